"""The command line. Every command reads the settings, does one thing and says what it did.

What a script would read is there as JSON on standard output; what went wrong is one sentence on standard error.
"""

import asyncio
import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import click
import msgspec
from rich.console import Console
from rich.table import Table

from customary import (
    cli_customers,
    cli_deliveries,
    cli_events,
    cli_keys,
    cli_secrets,
    cli_users,
    cli_worker,
    keyring,
    server,
)
from customary.api import openapi, versions
from customary.cli_options import database_options, json_option, metrics_options
from customary.connectors.mail_server import mail_server
from customary.domain.account import Account
from customary.errors import Failure, SetupError
from customary.operations import accounts as account_operations
from customary.operations import doctor as examination
from customary.operations.doctor import Finding, Verdict
from customary.settings import Settings, from_environment
from customary.storage import accounts, embedded, schema
from customary.storage.database import Connection, Database
from customary.storage.migrate import migrate as bring_up_to_date
from customary.storage.secret_keys import KeyRing

Result = TypeVar("Result")


@click.group(context_settings={"show_default": True, "max_content_width": 120})
def app() -> None:
    """A self-hosted customer system of record for billing that speaks the Sequence Customers API."""


@app.group("accounts")
def accounts_app() -> None:
    """Tenants: each has customers and keys of its own."""


@app.command(short_help="Start the service.")
@click.option("--host", envvar="CUSTOMARY_HOST", show_envvar=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(1, 65535), envvar="CUSTOMARY_PORT", show_envvar=True, help="The port to listen on."
)
@database_options
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    envvar="CUSTOMARY_WORKERS",
    show_envvar=True,
    help="How many processes answer.",
)
@metrics_options
@click.option("--no-worker", is_flag=True, help="Leave webhooks and e-mail to processes that run `customary worker`.")
def serve(
    *,
    host: str | None,
    port: int | None,
    data_dir: Path | None,
    database_url: str | None,
    workers: int | None,
    metrics_host: str | None,
    metrics_port: int | None,
    no_worker: bool,
) -> None:
    """Start the service; with the embedded database unless a database URL is given."""
    measured = {"metrics_host": metrics_host, "metrics_port": metrics_port}
    settings = _settings(data_dir, database_url, host=host, port=port, workers=workers, **measured)
    server.run(settings, on_ready=lambda address, first: _greet(settings, address, first), has_worker=not no_worker)


@app.command(short_help="Bring the database's schema up to date.")
@database_options
def migrate(*, data_dir: Path | None, database_url: str | None) -> None:
    """Bring the database's schema up to this release's version. The embedded database does it by itself."""
    settings = _settings(data_dir, database_url)
    with server.owner_url(settings) as url:
        before = asyncio.run(bring_up_to_date(url))
    if before == schema.HEAD:
        click.echo(f"The schema is at version {schema.HEAD} already.")
    else:
        click.echo(f"The schema is now at version {schema.HEAD}; it was {'empty' if before is None else before}.")


@accounts_app.command("create")
@click.argument("name")
@database_options
@json_option
def create_account(*, name: str, data_dir: Path | None, database_url: str | None, as_json: bool) -> None:
    """Make an account."""
    account = _with_owner(data_dir, database_url, lambda owner: account_operations.create_account(owner, name))
    if as_json:
        _print_json(_account_document(account))
    else:
        click.echo(f"Made the account '{account.name}' with the id {account.id}.")


@accounts_app.command("list")
@database_options
@json_option
def list_accounts(*, data_dir: Path | None, database_url: str | None, as_json: bool) -> None:
    """List all accounts."""
    found = _with_owner(data_dir, database_url, accounts.all_accounts)
    if as_json:
        _print_json([_account_document(account) for account in found])
        return
    _print_table(
        ("Id", "Name", "Made"), [(str(each.id), each.name, f"{each.created_at:%Y-%m-%d %H:%M}") for each in found]
    )


@app.command("openapi", short_help="Print the OpenAPI document of a version.")
@click.argument("version")
def print_openapi(*, version: str) -> None:
    """Print the OpenAPI document of one version of the API, named by its date, such as 2024-07-30."""
    _require_version(version)
    sys.stdout.buffer.write(openapi.encoded(versions.LIVE[version]) + b"\n")


@app.command(short_help="Check what the service stands on, and advise.")
@database_options
@json_option
def doctor(*, data_dir: Path | None, database_url: str | None, as_json: bool) -> None:
    """Check the database, the disk, the clock and the mail server, and say what to do about each finding."""
    settings = _settings(data_dir, database_url)
    mail = mail_server(settings.smtp_url, settings.mail_from)

    async def examine(url: str) -> list[Finding]:
        async with schema.connection(url) as connection:
            place = _database_place(settings)
            # Each process has one more that readiness is asked over; one process works in the background.
            most = settings.workers * (settings.pool_size + 1) + settings.pool_size
            return await examination.examine(
                connection, data_dir=place, pool_connections=most, server=mail, keys=keyring.known(settings)
            )

    with server.owner_url(settings) as url:
        findings = asyncio.run(examine(url))
    if as_json:
        _print_json(findings)
    else:
        _print_findings(findings)
    if any(finding.verdict is Verdict.PROBLEM for finding in findings):
        raise click.exceptions.Exit(1)


def main() -> None:
    """Run the command line; what cannot be done is one sentence on standard error and exit code 1."""
    try:
        app(prog_name="customary")
    except (SetupError, Failure) as error:
        click.echo(f"customary: {error}", err=True)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        click.echo(f"customary: The database refused this: {error.args[0]}.", err=True)
    except OSError as error:
        click.echo(f"customary: This machine refused it: {error.filename or 'network'}: {error.strerror}.", err=True)
    else:
        return
    sys.exit(1)


def _settings(data_dir: Path | None, database_url: str | None, **given: str | int | None) -> Settings:
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if data_dir is not None:
        changes["data_dir"] = data_dir
    if database_url:
        changes["database_url"] = database_url
    return msgspec.structs.replace(from_environment(), **changes)


def _with_owner(
    data_dir: Path | None, database_url: str | None, use: Callable[[Connection], Awaitable[Result]]
) -> Result:
    """What `use` answers over a connection of the tables' owner, to a database whose schema fits."""

    async def connect(url: str) -> Result:
        await schema.require_current(url)
        async with schema.connection(url) as connection:
            await schema.require_owner(connection)
            return await use(connection)

    settings = _settings(data_dir, database_url)
    with server.owner_url(settings) as url:
        return asyncio.run(connect(url))


def _with_service(
    data_dir: Path | None, database_url: str | None, use: Callable[[Database], Awaitable[Result]]
) -> Result:
    """What `use` answers over connections in the service's role, with the secret keys."""
    settings = _settings(data_dir, database_url)

    async def connect(url: str) -> Result:
        await schema.require_service(url)
        database = await Database.open(url, pool_size=1, keys=keyring.required(settings))
        try:
            return await use(database)
        finally:
            database.close()

    with server.owner_url(settings) as url:
        return asyncio.run(connect(url))


def _with_keys(
    data_dir: Path | None, database_url: str | None, use: Callable[[Connection, KeyRing], Awaitable[Result]]
) -> Result:
    """What `use` answers over a connection of the tables' owner, with the secret keys; the first use makes those."""
    settings = _settings(data_dir, database_url)

    async def connect(url: str, keys: KeyRing) -> Result:
        async with schema.connection(url) as connection:
            await schema.require_owner(connection)
            return await use(connection, keys)

    with server.owner_url(settings) as url:
        asyncio.run(schema.require_current(url))
        return asyncio.run(connect(url, keyring.first_use(settings, url)))


def _database_place(settings: Settings) -> Path:
    return embedded.describe(settings.data_dir).cluster or settings.data_dir


def _require_version(version: str) -> None:
    if version not in versions.LIVE:
        message = f"There is no API version '{version}'. There are: {', '.join(versions.LIVE)}."
        raise SetupError(message)


def _greet(settings: Settings, address: str, first: server.FirstKey | None) -> None:
    click.echo(f"Customary answers at {address}/api; the reference is at {address}/api/docs")
    if settings.metrics_port is not None:
        host = f"[{settings.metrics_host}]" if ":" in settings.metrics_host else settings.metrics_host
        click.echo(f"Prometheus finds its metrics at http://{host}:{settings.metrics_port}/metrics")
    if first is not None:
        click.echo("\nThis is the first start: there is an account 'default' with this key.")
        click.echo(f"  client id:     {first.key.client_id}")
        click.echo(f"  client secret: {first.secret}")
        click.echo("Keep the secret now: it is not stored and cannot be shown again. Try it:\n")
        click.echo(f"  curl -u {first.key.client_id}:{first.secret} {address}/api/customers\n")
    else:
        click.echo(f"For another key: {_command(settings, 'keys', 'create', '--account', 'NAME')}")
    sys.stdout.flush()


def _command(settings: Settings, *arguments: str) -> str:
    """What to type for this command: the program as it can be found, and the data directory if it is another one."""
    program = "customary" if shutil.which("customary") else sys.argv[0]
    is_elsewhere = settings.database_url is None and settings.data_dir != Settings().data_dir
    place = ("--data-dir", str(settings.data_dir)) if is_elsewhere else ()
    return shlex.join([program, *arguments, *place])


def _account_document(account: Account) -> dict[str, str]:
    return {"id": str(account.id), "name": account.name, "createdAt": account.created_at.isoformat()}


def _print_json(document: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def _print_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table()
    for position, head in enumerate(heads):
        # The first column is an id, which somebody is going to copy whole.
        table.add_column(head, no_wrap=position == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _print_findings(findings: list[Finding]) -> None:
    marks = {Verdict.FINE: "[green]fine[/]", Verdict.WARNING: "[yellow]warning[/]", Verdict.PROBLEM: "[red]problem[/]"}
    table = Table("", "What", "Found", "What to do")
    for finding in findings:
        table.add_row(marks[finding.verdict], finding.topic, finding.found, finding.advice)
    Console().print(table)


cli_worker.add_worker(app, _settings)
cli_events.add_events(app, _settings, _print_json)
app.add_command(cli_keys.keys_app(_with_owner, _with_keys, _print_json, _print_table))
app.add_command(cli_users.users_app(_with_owner, _print_json, _print_table))
app.add_command(cli_customers.customers_app(_with_owner, _print_json))
app.add_command(cli_deliveries.deliveries_app(_with_owner, _print_json, _print_table))
app.add_command(cli_secrets.secrets_app(_with_service, _print_json))


if __name__ == "__main__":
    main()
