"""The command line. Every command reads the settings, does one thing and says what it did.

What a script would read is there as JSON on standard output; what went wrong is one sentence on standard error.
"""

import asyncio
import shlex
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from customary import cli_deliveries, cli_events, cli_secrets, cli_users, cli_worker, keyring, server
from customary.api import openapi, versions
from customary.cli_options import AsJson, DatabaseUrl, DataDir
from customary.connectors.mail_server import mail_server
from customary.domain.account import Account, ApiKey, Scope
from customary.domain.values import parse_id
from customary.errors import Failure, SetupError
from customary.operations import accounts as account_operations
from customary.operations import doctor as examination
from customary.operations.doctor import Finding, Verdict
from customary.settings import Settings, from_environment
from customary.storage import accounts, embedded, schema
from customary.storage.database import Connection, Database
from customary.storage.migrate import migrate as bring_up_to_date

Result = TypeVar("Result")

app = typer.Typer(
    name="customary",
    help="A self-hosted customer system of record for billing that speaks the Sequence Customers API.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
accounts_app = typer.Typer(help="Tenants: each has customers and keys of its own.", no_args_is_help=True)
keys_app = typer.Typer(help="API keys: what programs call the API with.", no_args_is_help=True)
app.add_typer(accounts_app, name="accounts")
app.add_typer(keys_app, name="keys")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(envvar="CUSTOMARY_HOST", help="The address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(envvar="CUSTOMARY_PORT", min=1, max=65535, help="The port to listen on.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    workers: Annotated[
        int | None, typer.Option(envvar="CUSTOMARY_WORKERS", min=1, max=64, help="How many processes answer.")
    ] = None,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Leave webhooks and e-mail to processes that run `customary worker`.")
    ] = False,
) -> None:
    """Start the service; with the embedded database unless a database URL is given."""
    settings = _settings(data_dir, database_url, host=host, port=port, workers=workers)
    server.run(settings, on_ready=lambda address, first: _greet(settings, address, first), has_worker=not no_worker)


@app.command()
def migrate(data_dir: DataDir = None, database_url: DatabaseUrl = None) -> None:
    """Bring the database's schema up to this release's version. The embedded database does it by itself."""
    settings = _settings(data_dir, database_url)
    with server.owner_url(settings) as url:
        before = asyncio.run(bring_up_to_date(url))
    if before == schema.HEAD:
        typer.echo(f"The schema is at version {schema.HEAD} already.")
    else:
        typer.echo(f"The schema is now at version {schema.HEAD}; it was {'empty' if before is None else before}.")


@accounts_app.command("create")
def create_account(
    name: Annotated[str, typer.Argument(help="What to call the account.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make an account."""
    account = _with_owner(data_dir, database_url, lambda owner: account_operations.create_account(owner, name))
    if as_json:
        _print_json(_account_document(account))
    else:
        typer.echo(f"Made the account '{account.name}' with the id {account.id}.")


@accounts_app.command("list")
def list_accounts(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List all accounts."""
    found = _with_owner(data_dir, database_url, accounts.all_accounts)
    if as_json:
        _print_json([_account_document(account) for account in found])
        return
    _print_table(
        ("Id", "Name", "Made"), [(str(each.id), each.name, f"{each.created_at:%Y-%m-%d %H:%M}") for each in found]
    )


@keys_app.command("create")
def create_key(
    account: Annotated[str, typer.Option("--account", help="The name or the id of the account.")],
    name: Annotated[str, typer.Option("--name", help="What the key is for.")] = "",
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it may do; give it twice for both. Without it: both.")
    ] = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option("--requests-per-minute", min=1, max=1_000_000, help="Its rate limit. Without it: 1500."),
    ] = None,
    pin: Annotated[
        str | None, typer.Option("--pin", help="The API version of requests that name none. Without it: the newest.")
    ] = None,
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Make an API key and show its secret, this once."""
    if pin is not None:
        _require_version(pin)
    scopes = frozenset(scope or Scope)

    async def make(owner: Connection) -> tuple[ApiKey, str]:
        found = await account_operations.find_account(owner, account)
        return await account_operations.create_key(
            owner,
            found.id,
            name=name,
            scopes=scopes,
            pinned_version=pin,
            requests_per_minute=requests_per_minute,
        )

    key, secret = _with_owner(data_dir, database_url, make)
    if as_json:
        _print_json({"clientId": str(key.client_id), "clientSecret": secret})
        return
    typer.echo(f"Client id:     {key.client_id}")
    typer.echo(f"Client secret: {secret}")
    typer.echo("Keep the secret now: it is not stored and cannot be shown again.")


@keys_app.command("list")
def list_keys(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """List all keys, without their secrets."""

    async def look(owner: Connection) -> tuple[list[ApiKey], dict[UUID, str]]:
        return await accounts.all_keys(owner), {each.id: each.name for each in await accounts.all_accounts(owner)}

    keys, names = _with_owner(data_dir, database_url, look)
    if as_json:
        _print_json([_key_document(key) for key in keys])
        return
    heads = ("Client id", "Account", "Name", "Scopes", "Pinned to", "State")
    rows = [
        (
            str(key.client_id),
            names[key.account_id],
            key.name,
            " ".join(sorted(key.scopes)),
            key.pinned_version or "",
            "revoked" if key.revoked_at else "active",
        )
        for key in keys
    ]
    _print_table(heads, rows)


@keys_app.command("revoke")
def revoke_key(
    client_id: Annotated[str, typer.Argument(metavar="ID", help="The client id of the key.")],
    data_dir: DataDir = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Revoke a key: from now on it opens nothing."""

    async def revoke(owner: Connection) -> ApiKey:
        parsed: UUID | None = parse_id(client_id)
        key = None if parsed is None else await accounts.revoke_key(owner, parsed)
        if key is None:
            message = f"There is no key with the client id '{client_id}'. See: customary keys list"
            raise SetupError(message)
        return key

    key = _with_owner(data_dir, database_url, revoke)
    typer.echo(f"Revoked the key {key.client_id}.")


@app.command("openapi")
def print_openapi(
    version: Annotated[str, typer.Argument(help="The date of the version, such as 2024-07-30.")],
) -> None:
    """Print the OpenAPI document of one version of the API."""
    _require_version(version)
    sys.stdout.buffer.write(openapi.encoded(versions.LIVE[version]) + b"\n")


@app.command()
def doctor(data_dir: DataDir = None, database_url: DatabaseUrl = None, as_json: AsJson = False) -> None:
    """Check the database, the disk, the clock and the mail server, and say what to do about each finding."""
    settings = _settings(data_dir, database_url)
    mail = mail_server(settings.smtp_url, settings.mail_from)

    async def examine(url: str) -> list[Finding]:
        async with schema.connection(url) as connection:
            place = _database_place(settings)
            most = settings.workers * settings.pool_size
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
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; what cannot be done is one sentence on standard error and exit code 1."""
    try:
        app()
    except (SetupError, Failure) as error:
        typer.echo(f"customary: {error}", err=True)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        typer.echo(f"customary: The database refused this: {error.args[0]}.", err=True)
    except OSError as error:
        typer.echo(f"customary: This machine refused it: {error.filename or 'network'}: {error.strerror}.", err=True)
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
            await database.close()

    with server.owner_url(settings) as url:
        return asyncio.run(connect(url))


def _database_place(settings: Settings) -> Path:
    return embedded.describe(settings.data_dir).cluster or settings.data_dir


def _require_version(version: str) -> None:
    if version not in versions.LIVE:
        message = f"There is no API version '{version}'. There are: {', '.join(versions.LIVE)}."
        raise SetupError(message)


def _greet(settings: Settings, address: str, first: server.FirstKey | None) -> None:
    typer.echo(f"Customary answers at {address}/api; the reference is at {address}/api/docs")
    if first is not None:
        typer.echo("\nThis is the first start: there is an account 'default' with this key.")
        typer.echo(f"  client id:     {first.key.client_id}")
        typer.echo(f"  client secret: {first.secret}")
        typer.echo("Keep the secret now: it is not stored and cannot be shown again. Try it:\n")
        typer.echo(f"  curl -u {first.key.client_id}:{first.secret} {address}/api/customers\n")
    else:
        typer.echo(f"For another key: {_command(settings, 'keys', 'create', '--account', 'NAME')}")
    sys.stdout.flush()


def _command(settings: Settings, *arguments: str) -> str:
    """What to type for this command: the program as it can be found, and the data directory if it is another one."""
    program = "customary" if shutil.which("customary") else sys.argv[0]
    is_elsewhere = settings.database_url is None and settings.data_dir != Settings().data_dir
    place = ("--data-dir", str(settings.data_dir)) if is_elsewhere else ()
    return shlex.join([program, *arguments, *place])


def _account_document(account: Account) -> dict[str, str]:
    return {"id": str(account.id), "name": account.name, "createdAt": account.created_at.isoformat()}


def _key_document(key: ApiKey) -> dict[str, Any]:
    return {
        "clientId": str(key.client_id),
        "accountId": str(key.account_id),
        "name": key.name,
        "scopes": sorted(key.scopes),
        "pinnedVersion": key.pinned_version,
        "createdAt": key.created_at.isoformat(),
        "revokedAt": key.revoked_at.isoformat() if key.revoked_at else None,
    }


def _print_json(document: object) -> None:
    typer.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


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
app.add_typer(cli_users.users_app(_with_owner, _print_json, _print_table), name="users")
app.add_typer(cli_deliveries.deliveries_app(_with_owner, _print_json, _print_table), name="deliveries")
app.add_typer(cli_secrets.secrets_app(_with_service, _print_json), name="secrets")


if __name__ == "__main__":
    main()
