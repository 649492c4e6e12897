"""The version of the schema that this release needs, and whether a database has it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from customary.errors import SetupError

# The newest migration. They are numbered in four digits, so an older one sorts before a newer one.
HEAD = "0007"

SCHEMA = "customary"
SERVICE_ROLE = "customary_service"
SEARCH_PATH = f"{SCHEMA}, public, pg_temp"

CURRENT = f"SELECT version_num FROM {SCHEMA}.alembic_version"  # noqa: S608 - a constant
IS_MIGRATED = f"SELECT to_regclass('{SCHEMA}.alembic_version') IS NOT NULL"
_HOW_TO_MIGRATE = "Run: customary migrate --database-url URL"


@asynccontextmanager
async def connection(url: str) -> AsyncGenerator[Any]:
    """A connection in the role that this URL logs in as, with our schema first. Raises `SetupError` if unreachable."""
    try:
        opened = await asyncpg.connect(url, timeout=10, server_settings={"search_path": SEARCH_PATH})
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError, ValueError) as error:
        message = (
            f"The database cannot be reached ({type(error).__name__}: {error})."
            " Check the database URL, and that PostgreSQL runs and lets this role in."
        )
        raise SetupError(message) from None
    try:
        yield opened
    finally:
        await opened.close()


async def current(url: str) -> str | None:
    """The schema version of this database; None where it was never migrated. Raises `SetupError` if unreachable."""
    async with connection(url) as opened:
        return await opened.fetchval(CURRENT) if await opened.fetchval(IS_MIGRATED) else None


async def require_current(url: str) -> None:
    """Raise `SetupError`, naming the command to run, unless the schema fits this release exactly."""
    found = await current(url)
    if found == HEAD:
        return
    if found is None:
        message = f"The database has no Customary schema yet. {_HOW_TO_MIGRATE}"
    elif found < HEAD:
        message = f"The schema is at version {found} and this release needs {HEAD}. {_HOW_TO_MIGRATE}"
    else:
        message = f"The schema is at version {found}, newer than the {HEAD} of this release. Install the newer release."
    raise SetupError(message)
