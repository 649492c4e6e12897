"""`customary deliveries`: seeing what was sent to whom and sending it again, for an operator.

The command line that mounts this says how to reach the database and how to print.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import click
import msgspec
from msgspec import Struct
from rich.markup import escape

from customary.api.wire import time_of, time_text
from customary.cli_options import OneOf, account_option, database_options, json_option
from customary.domain.delivery import WEBHOOK_ID_PREFIX, State, held_because, webhook_id
from customary.domain.page import Window
from customary.domain.values import parse_id
from customary.errors import SetupError
from customary.operations.accounts import find_account
from customary.operations.recording import operator_transaction
from customary.operations.replays import Range, replay, resume_recipient, retry_delivery
from customary.storage import delivery_log
from customary.storage.database import Bound, Connection
from customary.storage.delivery_log import Attempt, Delivery, Recipient, Wanted

WithOwner: TypeAlias = Callable[[Path | None, str | None, Callable[[Connection], Awaitable[Any]]], Any]
PrintJson: TypeAlias = Callable[[object], None]
PrintTable: TypeAlias = Callable[[tuple[str, ...], list[tuple[str, ...]]], None]

_MOST_ATTEMPTS = 100

_policy_option = click.option("--policy", required=True, metavar="ID", help="The id of a notification policy.")
_any_policy_option = click.option("--policy", metavar="ID", help="Only those of this policy.")
_delivery_argument = click.argument("delivery", metavar="ID")


class _Program(Struct, frozen=True):
    """What the command line lends: a connection of the tables' owner, and its ways to print."""

    with_owner: WithOwner
    print_json: PrintJson
    print_table: PrintTable


def deliveries_app(with_owner: WithOwner, print_json: PrintJson, print_table: PrintTable) -> click.Group:
    """The commands. `with_owner` runs a function on a connection of the tables' owner and answers what it answers."""
    app = click.Group("deliveries", help="Deliveries: what recipients of notification policies are told.")
    program = _Program(with_owner, print_json, print_table)
    for add in (_add_list, _add_show, _add_retry, _add_replay, _add_recipients, _add_resume):
        add(app, program)
    return app


def _add_list(app: click.Group, program: _Program) -> None:
    @app.command("list")
    @account_option("default")
    @_any_policy_option
    @click.option("--state", type=OneOf(State, case_sensitive=False), help="Only those in this state.")
    @click.option("--limit", type=click.IntRange(1, 1000), default=20, help="How many at most.")
    @database_options
    @json_option
    def list_all(
        *,
        account: str,
        policy: str | None,
        state: State | None,
        limit: int,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """List deliveries, the newest first."""

        async def read(owner: Connection) -> tuple[Delivery, ...]:
            account_id, policy_id = await _place(owner, account, policy)
            wanted = Wanted(policy_id=policy_id, state=state)
            return (await delivery_log.fetch(Bound(account_id, owner), Window(limit), wanted)).items

        found = program.with_owner(data_dir, database_url, read)
        if as_json:
            program.print_json([_document(each) for each in found])
        elif not found:
            click.echo("There are no such deliveries.")
        else:
            heads = ("Id", "What", "Recipient", "State", "Attempts", "Made", "Next attempt", "Last answer")
            program.print_table(heads, [_row(each) for each in found])


def _add_show(app: click.Group, program: _Program) -> None:
    @app.command("show")
    @_delivery_argument
    @database_options
    @json_option
    def show(
        *,
        delivery: str,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Show the delivery with this id, or webhook-id, and what its attempts came to, the last one first."""

        async def read(owner: Connection) -> tuple[Delivery, list[Attempt]]:
            account_id, policy_id, delivery_id = await _find(owner, delivery)
            reading = Bound(account_id, owner)
            attempts, _ = await delivery_log.attempts(reading, delivery_id, limit=_MOST_ATTEMPTS)
            return await delivery_log.get(reading, policy_id, delivery_id), attempts

        found, attempts = program.with_owner(data_dir, database_url, read)
        document = _document(found)
        if as_json:
            program.print_json(document | {"attempted": [_attempt_document(each) for each in attempts]})
            return
        program.print_table(("What", "Value"), [(name, escape(str(value))) for name, value in document.items()])
        if not attempts:
            click.echo("There was no attempt that is over.")
            return
        heads = ("Attempt", "Began", "Took", "Outcome", "Status", "Error", "Answer")
        program.print_table(heads, [_attempt_row(each) for each in attempts])


def _add_retry(app: click.Group, program: _Program) -> None:
    @app.command("retry")
    @_delivery_argument
    @database_options
    @json_option
    def retry(
        *,
        delivery: str,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Attempt the delivery with this id, or webhook-id, now: it may wait or be over, and keeps its webhook-id."""

        async def queue(owner: Connection) -> Delivery:
            account_id, policy_id, delivery_id = await _find(owner, delivery)
            async with operator_transaction(owner, account_id) as tx:
                return await retry_delivery(tx, policy_id, delivery_id)

        found = program.with_owner(data_dir, database_url, queue)
        if as_json:
            program.print_json(_document(found))
            return
        click.echo(f"Queued the delivery {found.id} to {found.recipient}.")
        if held := held_because(found.recipient_state):
            click.echo(f"It is not sent yet. {held}")


def _add_replay(app: click.Group, program: _Program) -> None:
    @app.command("replay")
    @_policy_option
    @click.option("--from", "start", metavar="TIME", help="What happened at this time of RFC 3339 or later.")
    @click.option("--to", "end", metavar="TIME", help="What happened before this time.")
    @click.option("--failed", is_flag=True, help="Only what was given up.")
    @click.option("--recipient", metavar="URL", help="Only what is for this recipient.")
    @database_options
    @json_option
    def replay_all(
        *,
        policy: str,
        start: str | None,
        end: str | None,
        failed: bool,
        recipient: str | None,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Send once more what happened in a time, or what was given up; what was sent before keeps its webhook-id."""
        if start is None and not failed:
            message = "Say what to replay: --from TIME for all from a time on, or --failed for what was given up."
            raise SetupError(message)
        wanted = Range(start=_time(start), end=_time(end), is_failed_only=failed, recipient=recipient)

        async def queue(owner: Connection) -> int:
            account_id, policy_id = await _place(owner, "", policy)
            async with operator_transaction(owner, account_id) as tx:
                return await replay(tx, policy_id, wanted)

        queued = program.with_owner(data_dir, database_url, queue)
        if as_json:
            program.print_json({"queued": queued})
        else:
            click.echo(f"Queued {queued} deliveries." if queued else "There was nothing to replay.")


def _add_recipients(app: click.Group, program: _Program) -> None:
    @app.command("recipients")
    @account_option("default")
    @_any_policy_option
    @database_options
    @json_option
    def recipients(
        *,
        account: str,
        policy: str | None,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """List the recipients of policies: how each does, and what waits for it."""

        async def read(owner: Connection) -> list[Recipient]:
            account_id, policy_id = await _place(owner, account, policy)
            return await delivery_log.recipients(Bound(account_id, owner), policy_id)

        found = program.with_owner(data_dir, database_url, read)
        if as_json:
            program.print_json([_recipient_document(each) for each in found])
        elif not found:
            click.echo("There are no notification policies in this account, so nobody is told anything.")
        else:
            heads = ("Policy", "Recipient", "State", "Failures", "Failing since", "Next attempt", "Waiting", "Problem")
            program.print_table(heads, [_recipient_row(each) for each in found])


def _add_resume(app: click.Group, program: _Program) -> None:
    @app.command("resume")
    @_policy_option
    @click.option("--recipient", required=True, metavar="URL", help="Which recipient to resume.")
    @database_options
    @json_option
    def resume(
        *,
        policy: str,
        recipient: str,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Speak to a paused or disabled recipient again at once, and send it all that waits."""

        async def go_on(owner: Connection) -> Recipient:
            account_id, policy_id = await _place(owner, "", policy)
            async with operator_transaction(owner, account_id) as tx:
                name = await resume_recipient(tx, policy_id, recipient)
                return next(each for each in await delivery_log.recipients(tx, policy_id) if each.recipient == name)

        found = program.with_owner(data_dir, database_url, go_on)
        if as_json:
            program.print_json(_recipient_document(found))
        else:
            click.echo(f"Resumed {found.recipient}; {_count(found.pending)} deliveries wait for it.")


async def _place(owner: Connection, account: str, policy: str | None) -> tuple[UUID, UUID | None]:
    """The account that is meant, and the policy if one is named: that of a policy is known by it."""
    if policy is None:
        return (await find_account(owner, account)).id, None
    policy_id = parse_id(policy)
    account_id = None if policy_id is None else await delivery_log.locate_policy(owner, policy_id)
    if account_id is None:
        message = f"There is no notification policy with the id '{policy}'. See: customary deliveries recipients"
        raise SetupError(message)
    return account_id, policy_id


async def _find(owner: Connection, delivery: str) -> tuple[UUID, UUID, UUID]:
    """The account, the policy and the id of a delivery."""
    delivery_id = parse_id(delivery.removeprefix(WEBHOOK_ID_PREFIX))
    found = None if delivery_id is None else await delivery_log.locate_delivery(owner, delivery_id)
    if delivery_id is None or found is None:
        message = (
            f"There is no delivery with the id '{delivery}'. What was over 30 days ago is not kept."
            " See: customary deliveries list"
        )
        raise SetupError(message)
    return (*found, delivery_id)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return time_of(text)
    except (msgspec.ValidationError, OverflowError):
        message = f"'{text}' is not a time of RFC 3339, such as 2026-01-02T10:55:00Z."
        raise SetupError(message) from None


def _document(delivery: Delivery) -> dict[str, Any]:
    """What there is to know of a delivery, under the names of the API."""
    is_pending = delivery.state is State.PENDING
    values: dict[str, Any] = {
        "id": str(delivery.id),
        "webhookId": webhook_id(delivery.id),
        "policyId": str(delivery.policy_id),
        "notificationType": delivery.event_type,
        "resourceId": delivery.customer_id and str(delivery.customer_id),
        "resourceVersion": delivery.version,
        "eventId": delivery.event_id and str(delivery.event_id),
        "isTest": delivery.event_id is None,
        "recipient": delivery.recipient,
        "recipientState": delivery.recipient_state,
        "state": delivery.state,
        "reason": delivery.reason,
        "heldBecause": held_because(delivery.recipient_state) if is_pending else None,
        "isInFlight": delivery.is_in_flight,
        "attempts": delivery.attempts,
        "attemptsLeft": delivery.attempts_left,
        "createdAt": time_text(delivery.created_at),
        "nextAttemptAt": _shown(None if delivery.is_in_flight else delivery.due_at),
        "finishedAt": _shown(delivery.finished_at),
        "lastOutcome": delivery.last_outcome,
        "lastResponseStatus": delivery.last_status,
        "lastError": delivery.last_error,
    }
    return {name: value for name, value in values.items() if value is not None}


def _row(delivery: Delivery) -> tuple[str, ...]:
    return (
        str(delivery.id),
        f"{delivery.event_type}{' (test)' if delivery.event_id is None else ''}",
        escape(delivery.recipient),
        f"{delivery.state}{'' if held_because(delivery.recipient_state) is None else f', {delivery.recipient_state}'}",
        str(delivery.attempts),
        _minute(delivery.created_at),
        "now" if delivery.is_in_flight else _minute(delivery.due_at),
        str(delivery.last_status or delivery.last_outcome or ""),
    )


def _attempt_document(attempt: Attempt) -> dict[str, Any]:
    values = {
        "number": attempt.number,
        "startedAt": time_text(attempt.started_at),
        "durationMilliseconds": attempt.duration_milliseconds,
        "outcome": attempt.outcome,
        "responseStatus": attempt.response_status,
        "responseBody": None if attempt.response_status is None else attempt.response_body.decode(errors="replace"),
        "error": attempt.error,
    }
    return {name: value for name, value in values.items() if value is not None}


def _attempt_row(attempt: Attempt) -> tuple[str, ...]:
    return (
        str(attempt.number),
        f"{attempt.started_at:%Y-%m-%d %H:%M:%S}",
        f"{attempt.duration_milliseconds} ms",
        attempt.outcome,
        str(attempt.response_status or ""),
        escape(attempt.error or ""),
        escape(attempt.response_body.decode(errors="replace")),
    )


def _recipient_document(recipient: Recipient) -> dict[str, Any]:
    values = {
        "policyId": str(recipient.policy_id),
        "recipient": recipient.recipient,
        "state": recipient.state,
        "consecutiveFailures": recipient.failures,
        "failingSince": _shown(recipient.failing_since),
        "nextProbeAt": _shown(recipient.next_probe_at),
        "reason": recipient.reason,
        "pendingDeliveries": recipient.pending,
    }
    return {name: value for name, value in values.items() if value is not None}


def _recipient_row(recipient: Recipient) -> tuple[str, ...]:
    return (
        str(recipient.policy_id),
        escape(recipient.recipient),
        recipient.state,
        str(recipient.failures),
        _minute(recipient.failing_since),
        _minute(recipient.next_probe_at),
        _count(recipient.pending),
        escape(recipient.reason or ""),
    )


def _count(number: int) -> str:
    return f"{number}+" if number >= delivery_log.MOST_COUNTED else str(number)


def _shown(time: datetime | None) -> str | None:
    return None if time is None else time_text(time)


def _minute(time: datetime | None) -> str:
    return "" if time is None else f"{time:%Y-%m-%d %H:%M}"
