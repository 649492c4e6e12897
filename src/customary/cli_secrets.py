"""`customary secrets`: the keys that secrets are encrypted with, for an operator.

The command line that mounts this says how to reach the database, with the keys, and how to print.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeAlias

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from customary.cli_options import AsJson, DatabaseUrl, DataDir
from customary.operations.encryption import Reencryption, reencrypt
from customary.storage import secret_keys
from customary.storage.database import Database
from customary.storage.secret_keys import KeyRing

WithService: TypeAlias = Callable[[Path | None, str | None, Callable[[Database], Awaitable[Any]]], Any]
PrintJson: TypeAlias = Callable[[object], None]


def secrets_app(with_service: WithService, print_json: PrintJson) -> typer.Typer:
    """The commands. `with_service` runs a function on the database as the service has it, with the keys."""
    app = typer.Typer(help="Secret keys: what stored secrets are encrypted with.", no_args_is_help=True)

    def new_key() -> None:
        """Print a new key: a line to put into the file or the variable of the secret keys."""
        typer.echo(secret_keys.new_key())

    def reencrypt_all(
        data_dir: DataDir = None,
        database_url: DatabaseUrl = None,
        as_json: AsJson = False,  # noqa: FBT002 - in Typer a flag is a parameter that is true or false
    ) -> None:
        """Encrypt everything that is stored with the first key, so that the others can go. Servers may run."""

        async def run(database: Database) -> tuple[KeyRing, Reencryption]:
            with _progress() as bar:
                task = bar.add_task("Encrypting", total=None)
                return database.keys, await reencrypt(
                    database,
                    on_start=lambda total: bar.update(task, total=total),
                    on_progress=lambda done: bar.advance(task, done),
                )

        keys, done = with_service(data_dir, database_url, run)
        document = _document(keys, done)
        if as_json:
            print_json(document)
        else:
            _explain(keys, document)
        if document["missingKeys"]:
            raise typer.Exit(1)

    app.command("new-key")(new_key)
    app.command("reencrypt")(reencrypt_all)
    return app


def _progress() -> Progress:
    """A bar on standard error, for somebody who watches; a script sees nothing of it."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _document(keys: KeyRing, done: Reencryption) -> dict[str, Any]:
    """What came of it. A key is needed while it is the first, or rows are still under it."""
    return {
        "encrypted": done.encrypted,
        "rowsByKey": {key_id: rows for key_id, rows in done.rows.items() if key_id is not None},
        "unencryptedRows": done.rows.get(None, 0),
        "unneededKeys": [key_id for key_id in keys.ids[1:] if key_id not in done.rows],
        "missingKeys": sorted(key_id for key_id in done.rows if key_id is not None and key_id not in keys.ids),
    }


def _explain(keys: KeyRing, document: dict[str, Any]) -> None:
    typer.echo(f"Encrypted {document['encrypted']} rows anew; the key in use is {keys.first}.")
    left = sum(rows for key_id, rows in document["rowsByKey"].items() if key_id in keys.ids[1:])
    left += document["unencryptedRows"]
    if left:
        typer.echo(
            f"{left} rows are under other keys still, or came meanwhile. Start the servers again with this key as the"
            " first, then run this command again."
        )
    if document["unneededKeys"]:
        typer.echo(
            f"No longer needed, once every server was started with {keys.first} as its first key:"
            f" {', '.join(document['unneededKeys'])}"
        )
    for key_id in document["missingKeys"]:
        rows = document["rowsByKey"][key_id]
        typer.echo(f"customary: {rows} rows are encrypted with the key '{key_id}', which was not given.", err=True)
