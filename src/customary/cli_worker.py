"""`customary worker`: the work in the background alone, on any machine that reaches the database."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeAlias

import asyncpg
import structlog
import typer

from customary import keyring, logs, server, worker
from customary.cli_options import DatabaseUrl, DataDir
from customary.errors import SetupError
from customary.operations.work import CAPACITY
from customary.settings import Settings

_log = structlog.get_logger("customary.worker")

ReadSettings: TypeAlias = Callable[[Path | None, str | None], Settings]


def add_worker(app: typer.Typer, read_settings: ReadSettings) -> None:
    """Add the command to the program."""

    def work(
        concurrency: Annotated[
            int, typer.Option("--concurrency", min=1, max=1000, help="How much it does at once.")
        ] = CAPACITY,
        data_dir: DataDir = None,
        database_url: DatabaseUrl = None,
    ) -> None:
        """Deliver webhooks and e-mail; `serve` has one such worker inside. Run as many as you like."""
        settings = read_settings(data_dir, database_url)
        try:
            keys = keyring.required(settings)
            with server.service_url(settings) as url:
                worker.run(url, settings, keys, capacity=concurrency)
        except (SetupError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            # Beside a server its words are part of the server's log, and it is started again soon.
            if worker.parent_pid() is None:
                raise
            logs.configure()
            _log.error("worker_ended_early", kind=type(error).__name__, reason=str(error))
            raise typer.Exit(1) from None

    app.command("worker")(work)
