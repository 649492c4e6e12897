"""`customary customers`: all customers of an account into a file, and out of one.

The command line that mounts this says how to reach the database and how to print.
"""

import gc
import hashlib
import io
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import asyncpg
import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from customary.api import tables, versions
from customary.cli_options import OneOf, account_option, database_options, json_option
from customary.domain.transfer import Format, Judged, Place
from customary.errors import SetupError
from customary.operations.accounts import find_account
from customary.operations.importing import Import, Outcome, Source, Status, Watch, check, import_customers
from customary.storage import exports
from customary.storage.database import Connection
from customary.storage.failures import Meaning, meaning_of

WithOwner: TypeAlias = Callable[[Path | None, str | None, Callable[[Connection], Awaitable[Any]]], Any]
PrintJson: TypeAlias = Callable[[object], None]

# What a script can tell apart: 1 is to be tried again once its reason is gone, 3 needs another file.
EXIT_REFUSED = 3
_STANDARD_STREAM = "-"
_PIECE_BYTES = 1024 * 1024
_OBJECTS_BETWEEN_COLLECTIONS = 200_000


def customers_app(with_owner: WithOwner, print_json: PrintJson) -> click.Group:
    """The commands. `with_owner` runs a function on a connection of the tables' owner."""
    app = click.Group("customers", help="All customers of an account: into a file, and out of one.")
    app.command("export", short_help="Write all customers into a file.")(_export_command(with_owner))
    app.command("import", short_help="Make customers from a file.")(_import_command(with_owner, print_json))
    return app


def _format_option(help_text: str) -> Callable[[Any], Any]:
    return click.option("--format", "form", type=OneOf(Format), help=help_text)


def _export_command(with_owner: WithOwner) -> Callable[..., None]:
    @account_option()
    @_format_option("CSV, or JSON on each line. Without it what the name of the file says, else CSV.")
    @click.option(
        "--output", type=click.Path(path_type=Path, dir_okay=False), help="The file. Without it: standard output."
    )
    @click.option("--include-archived", is_flag=True, help="Archived customers too.")
    @database_options
    def export(
        *,
        account: str,
        form: Format | None,
        output: Path | None,
        include_archived: bool,
        data_dir: Path | None,
        database_url: str | None,
    ) -> None:
        """Write all customers of an account, as they are at one moment, while the service goes on.

        A file is there whole or not at all.
        """
        chosen = form or _format_of(output)

        async def run(owner: Connection) -> int:
            found = await find_account(owner, account)
            with _written(output) as file, _progress() as bar:
                task = bar.add_task("Exporting", total=None)

                async def write(piece: bytes) -> None:
                    file.write(piece)
                    bar.advance(task, len(piece))

                return await exports.write(owner, found.id, chosen, write, has_archived=include_archived)

        rows = with_owner(data_dir, database_url, run)
        if output is not None:
            click.echo(f"Exported {_counted(rows)} to {output}.")

    return export


def _import_command(with_owner: WithOwner, print_json: PrintJson) -> Callable[..., None]:
    @click.argument("file")
    @account_option()
    @_format_option("CSV, or JSON on each line. Without it what the name of the file says, else CSV.")
    @click.option("--check", "is_check", is_flag=True, help="Read all of it, say what is wrong, and change nothing.")
    @click.option(
        "--existing",
        type=click.Choice(["refuse", "skip"]),
        default="refuse",
        help="What to do with a row whose id is a customer's already.",
    )
    @database_options
    @json_option
    def import_file(
        *,
        file: str,
        account: str,
        form: Format | None,
        is_check: bool,
        existing: str,
        data_dir: Path | None,
        database_url: str | None,
        as_json: bool,
    ) -> None:
        """Make a customer of each row of FILE, or of standard input for '-'.

        The whole file is judged first: if anything is wrong with it, nothing is imported. An import that is interrupted
        goes on where it ended when the same command is given again, and nothing is made twice.
        """
        chosen = form or _format_of(Path(file))
        # Millions of objects come and go, with hardly a circle among them: to look for those is a fifth of the time.
        gc.freeze()
        gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)

        async def run(owner: Connection) -> Outcome:
            found = await find_account(owner, account)
            with _read(file) as opened, _progress() as bar:
                job = Import(
                    owner=owner,
                    account_id=found.id,
                    source=_source(opened, chosen),
                    watch=_watch(bar, os.fstat(opened.fileno()).st_size),
                    skips=existing == "skip",
                )
                try:
                    return await (check(job) if is_check else import_customers(job))
                except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                    raise _interrupted(error) from error

        outcome: Outcome = with_owner(data_dir, database_url, run)
        if as_json:
            print_json(_document(outcome))
        else:
            _explain(outcome, file)
        if outcome.status is Status.REFUSED:
            raise click.exceptions.Exit(EXIT_REFUSED)

    return import_file


def _format_of(path: Path | None) -> Format:
    return Format.JSONL if path is not None and path.suffix in {".jsonl", ".ndjson"} else Format.CSV


@contextmanager
def _written(path: Path | None) -> Generator[BinaryIO]:
    """Where an export goes. A file is made beside its place and moved there once it is whole."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            yield file.file  # pyright: ignore[reportReturnType] - what is inside is a binary file
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


@contextmanager
def _read(name: str) -> Generator[BinaryIO]:
    """The file of this name. What cannot be read twice is kept in a file without a name, on the disk."""
    with sys.stdin.buffer if name == _STANDARD_STREAM else Path(name).open("rb") as opened:
        if stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            yield opened
            return
        with tempfile.TemporaryFile() as kept:
            shutil.copyfileobj(opened, kept, _PIECE_BYTES)
            kept.flush()
            yield kept


def _source(file: BinaryIO, form: Format) -> Source:
    digest = hashlib.sha256(form.value.encode())
    file.seek(0)
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    before = os.fstat(file.fileno())

    def read(start: Place | None) -> Iterator[Judged]:
        # Each reading has a position of its own: the file descriptor's is shared with whoever gave it.
        reader = io.BufferedReader(_Slices(file.fileno()), _PIECE_BYTES)
        return tables.judge(reader, form, versions.COLUMNS, versions.read_row, start)

    def is_unchanged() -> bool:
        now = os.fstat(file.fileno())
        return (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)

    return Source(digest.digest(), read, is_unchanged)


class _Slices(io.RawIOBase):
    """A file descriptor read from a position that is nobody else's."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self._position = descriptor, 0

    def readable(self) -> bool:
        """It can be read."""
        return True

    def seekable(self) -> bool:
        """Any part of it can."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go on from there."""
        self._position = os.fstat(self._descriptor).st_size + offset if whence == os.SEEK_END else offset
        return self._position

    def tell(self) -> int:
        """Where it goes on."""
        return self._position

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - anything that can be written into
        """Read the next bytes."""
        piece = os.pread(self._descriptor, len(buffer), self._position)
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


def _progress() -> Progress:
    """A bar on standard error, for somebody who watches; a script sees nothing of it."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _watch(bar: Progress, total: int) -> Watch:
    task = bar.add_task("Reading", total=total)
    return Watch(
        on_step=lambda step: bar.reset(task, description=step, total=total),
        on_progress=lambda read: bar.update(task, completed=read),
    )


def _interrupted(error: Exception) -> Exception:
    """What to say where the database went away in the middle; anything else stays what it is."""
    if meaning_of(error) not in {Meaning.LOST, Meaning.GONE} or isinstance(error, FileNotFoundError):
        return error
    message = (
        f"The database went away ({type(error).__name__}). Nothing is lost or half done: run the same command again,"
        " and the import goes on where it ended."
    )
    return SetupError(message)


def _document(outcome: Outcome) -> dict[str, Any]:
    return {
        "status": outcome.status.value,
        "rows": outcome.rows,
        "imported": outcome.imported,
        "skipped": outcome.skipped,
        "resumedAtRow": outcome.resumed_at,
        "problemCount": outcome.problem_count,
        "problems": [{"line": each.line, "column": each.column, "message": each.message} for each in outcome.problems],
    }


def _explain(outcome: Outcome, name: str) -> None:
    source = "standard input" if name == _STANDARD_STREAM else name
    for each in outcome.problems:
        click.echo(f"{source}: line {each.line}{each.column and f', {each.column}'}: {each.message}", err=True)
    match outcome.status:
        case Status.CHECKED:
            click.echo(f"{_counted(outcome.rows)} can be imported. Nothing was changed.")
        case Status.COMPLETE_ALREADY:
            click.echo(f"This file was imported before, all {outcome.rows:,} rows of it. Nothing was changed.")
        case Status.IMPORTED:
            skipped = f"; {outcome.skipped:,} were there already" if outcome.skipped else ""
            resumed = f" An earlier run had made the first {outcome.resumed_at:,} rows." if outcome.resumed_at else ""
            click.echo(f"Imported {_counted(outcome.imported)}{skipped}.{resumed}")
        case Status.REFUSED:
            shown = len(outcome.problems)
            more = f", the first {shown} of them above" if outcome.problem_count > shown else ""
            done = f" {outcome.imported:,} rows before are in." if outcome.imported else " Nothing was imported."
            click.echo(f"customary: The file has {outcome.problem_count:,} problems{more}.{done}", err=True)


def _counted(rows: int) -> str:
    return "1 customer" if rows == 1 else f"{rows:,} customers"
