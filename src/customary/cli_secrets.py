"""`customary secrets`: the keys that secrets are encrypted with, for an operator.

The command line that mounts this says how to reach the database, with the keys, and how to print.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from customary.cli_options import database_options, json_option
from customary.operations.encryption import Reencryption, reencrypt
from customary.storage import api_keys, secret_keys
from customary.storage.api_keys import Need
from customary.storage.database import Database
from customary.storage.secret_keys import KeyRing

WithService: TypeAlias = Callable[[Path | None, str | None, Callable[[Database], Awaitable[Any]]], Any]
PrintJson: TypeAlias = Callable[[object], None]


def secrets_app(with_service: WithService, print_json: PrintJson) -> click.Group:
    """The commands. `with_service` runs a function on the database as the service has it, with the keys."""
    app = click.Group("secrets", help="Secret keys: what stored secrets are encrypted with.")

    @app.command("new-key")
    def new_key() -> None:
        """Print a new key: a line to put into the file or the variable of the secret keys."""
        click.echo(secret_keys.new_key())

    @app.command("reencrypt")
    @database_options
    @json_option
    def reencrypt_all(
        *,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Encrypt everything that is stored with the first key, so that the others can go. Servers may run."""

        async def run(database: Database) -> tuple[KeyRing, Reencryption, list[Need]]:
            with _progress() as bar:
                task = bar.add_task("Encrypting", total=None)
                done = await reencrypt(
                    database,
                    on_start=lambda total: bar.update(task, total=total),
                    on_progress=lambda done: bar.advance(task, done),
                )
            async with database.without_tenant() as connection:
                return database.keys, done, await api_keys.needs(connection)

        document = _document(*with_service(data_dir, database_url, run))
        if as_json:
            print_json(document)
        else:
            _explain(document)
        if document["missingKeys"]:
            raise click.exceptions.Exit(1)

    return app


def _progress() -> Progress:
    """A bar on standard error, for somebody who watches; a script sees nothing of it."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _document(keys: KeyRing, done: Reencryption, needs: list[Need]) -> dict[str, Any]:
    """What came of it. A key is needed while it is the first, or rows or API secrets are still under it."""
    needed = {*done.rows, *(need.key_id for need in needs)} - {None}
    return {
        "keyInUse": keys.first,
        "encrypted": done.encrypted,
        "rowsByKey": {key_id: rows for key_id, rows in done.rows.items() if key_id is not None},
        "unencryptedRows": done.rows.get(None, 0),
        "apiSecretsByKey": {
            need.key_id: {
                "secrets": need.secrets,
                "lastUsedAt": need.last_used_at.isoformat() if need.last_used_at else None,
            }
            for need in needs
            if need.key_id is not None
        },
        "unneededKeys": [key_id for key_id in keys.ids[1:] if key_id not in needed],
        "missingKeys": sorted(str(key_id) for key_id in needed if key_id not in keys.ids),
    }


def _explain(document: dict[str, Any]) -> None:
    first, missing = document["keyInUse"], document["missingKeys"]
    click.echo(f"Encrypted {document['encrypted']} rows anew; the key in use is {first}.")
    left = sum(rows for key_id, rows in document["rowsByKey"].items() if key_id not in {first, *missing})
    left += document["unencryptedRows"]
    if left:
        click.echo(
            f"{left} rows are under other keys still, or came meanwhile. Start the servers again with this key as the"
            " first, then run this command again."
        )
    for key_id, use in document["apiSecretsByKey"].items():
        if key_id not in {first, *missing}:
            click.echo(
                f"{use['secrets']} API secrets are under {key_id} still, last used: {use['lastUsedAt'] or 'never'}."
                f" Each comes under {first} when it is next used. To see which nobody uses: customary keys list --json"
            )
    if document["unneededKeys"]:
        click.echo(
            f"No longer needed, once every server was started with {first} as its first key:"
            f" {', '.join(document['unneededKeys'])}"
        )
    for key_id in missing:
        _complain(key_id, document["rowsByKey"].get(key_id, 0), document["apiSecretsByKey"].get(key_id))


def _complain(key_id: str, rows: int, api_secrets: dict[str, Any] | None) -> None:
    """Say what cannot be read without a key that was not given."""
    if rows:
        click.echo(f"customary: {rows} rows are encrypted with the key '{key_id}', which was not given.", err=True)
    if api_secrets:
        found = f"{api_secrets['secrets']} API secrets need the key '{key_id}', which was not given, and open nothing."
        click.echo(f"customary: {found}", err=True)
