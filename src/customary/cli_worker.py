"""`customary worker`: the work in the background alone, on any machine that reaches the database."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import asyncpg
import click
import structlog
from msgspec.structs import replace

from customary import keyring, logs, server, worker
from customary.cli_options import database_options, metrics_options
from customary.errors import SetupError
from customary.metrics import listener
from customary.operations.work import CAPACITY
from customary.settings import Settings

_log = structlog.get_logger("customary.worker")

ReadSettings: TypeAlias = Callable[..., Settings]


def add_worker(app: click.Group, read_settings: ReadSettings) -> None:
    """Add the command to the program."""

    @app.command("worker", short_help="Deliver webhooks and e-mail.")
    @click.option("--concurrency", type=click.IntRange(1, 1000), default=CAPACITY, help="How much it does at once.")
    @metrics_options
    @database_options
    def work(
        *,
        concurrency: int,
        metrics_host: str | None,
        metrics_port: int | None,
        data_dir: Path | None,
        database_url: str | None,
    ) -> None:
        """Deliver webhooks and e-mail; `serve` has one such worker inside. Run as many as you like."""
        settings = read_settings(data_dir, database_url, metrics_host=metrics_host, metrics_port=metrics_port)
        try:
            keys = keyring.required(settings)
            with contextlib.ExitStack() as opened:
                if settings.metrics_file is None:
                    file = opened.enter_context(listener.offered(settings.metrics_host, settings.metrics_port))
                    settings = replace(settings, metrics_file=file)
                url = opened.enter_context(server.service_url(settings))
                worker.run(url, settings, keys, capacity=concurrency)
        except (SetupError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            # Beside a server its words are part of the server's log, and it is started again soon.
            if worker.parent_pid() is None:
                raise
            logs.configure()
            _log.error("worker_ended_early", kind=type(error).__name__, reason=str(error))
            raise click.exceptions.Exit(1) from None
