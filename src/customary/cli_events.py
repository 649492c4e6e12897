"""`customary listen` and `customary trigger`: seeing webhooks arrive while one writes what receives them.

The command line that mounts them says how to read the settings and how to print.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click
import msgspec

from customary import server
from customary.api import versions
from customary.api.payload import payload
from customary.api.wire import time_text
from customary.cli_options import OneOf, account_option, database_options, json_option
from customary.connectors.addresses import parse_networks
from customary.connectors.webhook import WebhookSender
from customary.domain.account import Account
from customary.domain.activity import Event, EventType
from customary.domain.customer import Customer
from customary.domain.delivery import Answer
from customary.domain.values import check_url, parse_id
from customary.errors import SetupError
from customary.operations.accounts import find_account
from customary.operations.customers import archive_customer
from customary.operations.listening import Forwarder, follow, from_now_on
from customary.operations.notification_policies import new_secret
from customary.operations.recording import operator
from customary.operations.triggers import trigger_update, trigger_with_example
from customary.settings import Settings
from customary.storage import embedded, schema
from customary.storage.database import Database, Tx
from customary.storage.event_feed import Wanted

Result = TypeVar("Result")
ReadSettings: TypeAlias = Callable[[Path | None, str | None], Settings]
PrintJson: TypeAlias = Callable[[object], None]

# Whoever runs the command names the URL, and means a program of their own: on this machine, or near it.
LOCAL_NETWORKS = parse_networks("127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7")


class _Listening(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody listens to, and how it is shown and forwarded."""

    account: Account
    version: str
    forwarder: Forwarder | None
    as_json: bool


def add_events(app: click.Group, read_settings: ReadSettings, print_json: PrintJson) -> None:
    """Add the two commands to the program."""
    app.command("listen", short_help="Show events as they happen, and forward them.")(_listen_command(read_settings))
    app.command("trigger", short_help="Make a change that sets off an event.")(
        _trigger_command(read_settings, print_json)
    )


def _listen_command(read_settings: ReadSettings) -> Callable[..., None]:
    @click.option("--forward-to", metavar="URL", help="Send each event there as a webhook; http:// is fine nearby.")
    @account_option(server.DEFAULT_ACCOUNT)
    @click.option("--version", default=versions.NEWEST.date, help="The API version that webhooks are written in.")
    @click.option(
        "--type",
        "types",
        type=OneOf(EventType),
        multiple=True,
        help="Only these; give it several times. Without it: all.",
    )
    @click.option("--secret", help="What signs the webhooks. Without it one is made and shown.")
    @database_options
    @click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each event.")
    def listen(
        *,
        forward_to: str | None,
        account: str,
        version: str,
        types: tuple[EventType, ...],
        secret: str | None,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Print what happens in an account from now on, and send it as webhooks to a program of yours.

        It runs beside a server until Ctrl-C. Webhooks look like those of a notification policy, signatures included;
        none is sent again.
        """
        _require_sound(forward_to, version)
        settings = read_settings(data_dir, database_url)
        _require_server(settings)
        wanted = Wanted(types=frozenset(types) or None)

        async def run(database: Database, found: Account) -> None:
            sender = WebhookSender((*LOCAL_NETWORKS, *parse_networks(settings.webhook_allow or "")))
            forwarder = None if forward_to is None else Forwarder(sender, forward_to, secret or new_secret())
            listening = _Listening(account=found, version=version, forwarder=forwarder, as_json=as_json)
            try:
                await _until_told(_listen(database, listening, wanted))
            finally:
                await sender.close()

        _with_account(settings, account, run)

    return listen


def _trigger_command(read_settings: ReadSettings, print_json: PrintJson) -> Callable[..., None]:
    @click.argument("event_type", metavar="EVENT", type=OneOf(EventType))
    @account_option(server.DEFAULT_ACCOUNT)
    @click.option("--customer", metavar="ID", help="Whom to change. Without it: a new example.")
    @database_options
    @json_option
    def trigger(
        *,
        event_type: EventType,
        account: str,
        customer: str | None,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Make a change that sets off an event: on a new customer that is an example, or on one that you name.

        EVENT is CUSTOMER_CREATED, CUSTOMER_UPDATED or CUSTOMER_ARCHIVED.

        The change is real and stays. CUSTOMER_UPDATED sets the custom property `customary-trigger` of the customer that
        you name, and the next time takes it away.
        """
        if customer is not None and event_type is EventType.CUSTOMER_CREATED:
            message = "A customer that is there cannot be created. Leave --customer out, or ask for another event."
            raise SetupError(message)

        async def run(database: Database, found: Account) -> tuple[Customer, list[Event]]:
            async with database.transaction(found.id, operator()) as tx:
                return await _change(tx, event_type, customer), tx.events

        changed, events = _with_account(read_settings(data_dir, database_url), account, run)
        if as_json:
            print_json({"customerId": changed.id, "events": [_named(event) for event in events]})
        else:
            _tell(changed, events)

    return trigger


def _with_account(settings: Settings, name_or_id: str, use: Callable[[Database, Account], Awaitable[Result]]) -> Result:
    """What `use` answers over connections in the service's role, for this account. Raises `SetupError`."""

    async def connect(url: str) -> Result:
        await schema.require_service(url)
        async with schema.connection(url) as owner:
            await schema.require_owner(owner)
            found = await find_account(owner, name_or_id)
        database = await Database.open(url, pool_size=1)
        try:
            return await use(database, found)
        finally:
            database.close()

    with server.owner_url(settings) as url:
        return asyncio.run(connect(url))


# --- Listening ---


def _require_sound(forward_to: str | None, version: str) -> None:
    """Raise `SetupError` for a URL that is none, or a version that there is not."""
    if version not in versions.LIVE:
        message = f"There is no API version '{version}'. There are: {', '.join(versions.LIVE)}."
        raise SetupError(message)
    try:
        if forward_to is not None:
            check_url(forward_to)
    except ValueError as error:
        message = f"Nothing can be forwarded to '{forward_to}'. {error}"
        raise SetupError(message) from None


def _require_server(settings: Settings) -> None:
    """Raise `SetupError` where nothing can happen, and listening would keep the server from its data directory."""
    if settings.database_url is None and embedded.describe(settings.data_dir).postmaster_pid is None:
        message = f"No server runs on {settings.data_dir}, so there is nothing to hear. Start one: customary serve"
        raise SetupError(message)


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Do this until Ctrl-C or SIGTERM."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _listen(database: Database, listening: _Listening, wanted: Wanted) -> None:
    logging.getLogger("asyncpg").setLevel(logging.CRITICAL)  # that the database went away is said by `_tell_of_silence`
    place = await from_now_on(database, listening.account.id)
    _greet(listening)
    events = follow(database, listening.account.id, place, wanted, on_silence=_tell_of_silence)
    async with aclosing(events):
        async for event in events:
            _print(listening, event, await _forward(listening, event))


async def _forward(listening: _Listening, event: Event) -> Answer | None:
    if listening.forwarder is None:
        return None
    body = payload(event.type, listening.account.id, event.customer, api_version=listening.version)
    return await listening.forwarder.send(event, body)


def _greet(listening: _Listening) -> None:
    forwarder = listening.forwarder
    if listening.as_json:
        forwarding = {"forwardTo": forwarder.url, "secret": forwarder.secret} if forwarder else {}
        _print_line({"listeningTo": listening.account.name, "version": listening.version, **forwarding})
        return
    click.echo(f"Listening to the account '{listening.account.name}'. Ctrl-C ends it.")
    if forwarder is not None:
        click.echo(f"Forwarding to {forwarder.url} in the version {listening.version}, signed with: {forwarder.secret}")


def _print(listening: _Listening, event: Event, answer: Answer | None) -> None:
    name = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in event.customer.legal_name)
    if listening.as_json:
        came = {} if answer is None else {"forwarded": _outcome(answer)}
        _print_line({**_named(event), "createdAt": time_text(event.created_at), "legalName": name, **came})
        return
    came = "" if answer is None else f"  {_sentence(answer)}"
    what = f"{event.type:17}  {event.customer.id}  version {event.version}  {name}"
    click.echo(f"{event.created_at:%Y-%m-%d %H:%M:%S}  {what}{came}")


def _sentence(answer: Answer) -> str:
    took = f"in {answer.seconds * 1000:.0f} ms"
    return f"-> {answer.status} {took}" if answer.status is not None else f"-> {answer.outcome} {took}: {answer.error}"


def _outcome(answer: Answer) -> dict[str, Any]:
    return {
        "outcome": answer.outcome,
        "status": answer.status,
        "seconds": round(answer.seconds, 3),
        "error": answer.error,
    }


def _tell_of_silence() -> None:
    click.echo("customary: The database does not answer; waiting for it. Nothing is missed.", err=True)


def _print_line(document: dict[str, Any]) -> None:
    click.echo(msgspec.json.encode(document).decode())


# --- Triggering ---


async def _change(tx: Tx, event_type: EventType, customer: str | None) -> Customer:
    if customer is None:
        return await trigger_with_example(tx, event_type)
    if event_type is EventType.CUSTOMER_ARCHIVED:
        return await archive_customer(tx, parse_id(customer))
    return await trigger_update(tx, parse_id(customer))


def _tell(customer: Customer, events: list[Event]) -> None:
    if not events:
        click.echo(f"Customer {customer.id} is as it was: nothing changed, so no event follows.")
        return
    click.echo(f"Changed customer {customer.id}. What follows:")
    for event in events:
        click.echo(f"  {event.type:17}  version {event.version}  event {event.id}")


def _named(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "notificationType": event.type,
        "resourceId": event.customer.id,
        "resourceVersion": event.version,
    }
