"""The options that many commands have: where the database is, whose account, and JSON instead of tables."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import click

Member = TypeVar("Member", bound=StrEnum)
Decorated = TypeVar("Decorated", bound=Callable[..., Any] | click.Command)


class OneOf(click.Choice[Member]):
    """A member of an enumeration, given by its value; click itself goes by the members' names."""

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """Write a member, or what somebody typed, in the way in which the two are compared."""
        return super().normalize_choice(str(choice), ctx)


def database_options(command: Decorated) -> Decorated:
    """Give a command the two options that name the database."""
    data_dir = click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        envvar="CUSTOMARY_DATA_DIR",
        show_envvar=True,
        help="Where the embedded database lives. Without it: your user data directory.",
    )
    database_url = click.option(
        "--database-url",
        envvar="CUSTOMARY_DATABASE_URL",
        show_envvar=True,
        help="A PostgreSQL (15 to 18) of your own, as postgresql://user:password@host/database.",
    )
    return data_dir(database_url(command))


def metrics_options(command: Decorated) -> Decorated:
    """Give a command the two options that say where its metrics are read."""
    host = click.option(
        "--metrics-host",
        envvar="CUSTOMARY_METRICS_HOST",
        show_envvar=True,
        help="The address to offer the metrics at.",
    )
    port = click.option(
        "--metrics-port",
        type=click.IntRange(1, 65535),
        envvar="CUSTOMARY_METRICS_PORT",
        show_envvar=True,
        help="The port to offer metrics for Prometheus at. Without it: nowhere.",
    )
    return host(port(command))


def account_option(default: str | None = None) -> Callable[[Decorated], Decorated]:
    """Give a command the account it is about; without a default it has to be named."""
    return click.option(
        "--account", default=default, required=default is None, help="The name or the id of the account."
    )


json_option = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")
