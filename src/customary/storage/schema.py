"""The version of the schema: bring it up to date, or say that it is not."""

from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from customary.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCHEMA = "customary"
SERVICE_ROLE = "customary_service"
SEARCH_PATH = f"{SCHEMA}, public, pg_temp"
OLDEST_POSTGRESQL, NEWEST_POSTGRESQL = 15, 18

_CREATE_ROLE = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{SERVICE_ROLE}') THEN
        CREATE ROLE {SERVICE_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS;
    END IF;
    IF NOT pg_has_role(current_user, '{SERVICE_ROLE}', 'MEMBER') THEN
        EXECUTE format('GRANT {SERVICE_ROLE} TO %I', current_user);
    END IF;
END $$
"""
_CREATE_SCHEMA = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
GRANT USAGE ON SCHEMA {SCHEMA} TO {SERVICE_ROLE};
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA {SCHEMA};
"""
# Two migrations at once would both find the old version: the second waits here and then finds nothing to do.
_MIGRATION_LOCK = 0x637573746F6D6172


def head() -> str:
    """The schema version that this release of the service needs."""
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None  # noqa: S101 - the package always has at least one migration
    return revision


async def current(url: str) -> str | None:
    """The schema version of this database; None where it was never migrated. Raises `SetupError` if unreachable."""
    async with _connection(url) as connection:
        exists = await connection.fetchval(f"SELECT to_regclass('{SCHEMA}.alembic_version') IS NOT NULL")
        if not exists:
            return None
        return await connection.fetchval(f"SELECT version_num FROM {SCHEMA}.alembic_version")  # noqa: S608 - a constant


async def migrate(url: str) -> tuple[str | None, str]:
    """Bring the schema to this release's version over a connection of the tables' owner; answers (before, after)."""
    before = await current(url)
    await _prepare(url)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(url, server_settings={"search_path": SEARCH_PATH}),
        poolclass=NullPool,
    )
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()
    return before, head()


async def require_current(url: str) -> None:
    """Raise `SetupError`, naming the command to run, unless the schema fits this release exactly."""
    found, needed = await current(url), head()
    if found is None:
        message = "The database has no Customary schema yet. Run: customary migrate --database-url URL"
        raise SetupError(message)
    if found == needed:
        return
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if found in known:
        message = f"The schema is at version {found} and this release needs {needed}. Run: customary migrate --database-url URL"
        raise SetupError(message)
    message = f"The schema is at version {found}, which this release does not know: a newer release migrated it. Install that one."
    raise SetupError(message)


@asynccontextmanager
async def _connection(url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, asyncpg.PostgresError, TimeoutError, ValueError) as error:
        message = f"The database cannot be reached ({type(error).__name__}: {error}). Check the database URL and that PostgreSQL runs."
        raise SetupError(message) from None
    try:
        yield connection
    finally:
        await connection.close()


async def _prepare(url: str) -> None:
    """The role, the schema and the extension that the first migration builds on."""
    async with _connection(url) as connection:
        major = connection.get_server_version().major
        if not OLDEST_POSTGRESQL <= major <= NEWEST_POSTGRESQL:
            message = f"This is PostgreSQL {major}; Customary runs on {OLDEST_POSTGRESQL} to {NEWEST_POSTGRESQL}."
            raise SetupError(message)
        try:
            await connection.execute(_CREATE_ROLE)
            await connection.execute(_CREATE_SCHEMA)
        except asyncpg.InsufficientPrivilegeError as error:
            message = (
                f"The role of this database URL may not prepare the database ({error.message}). Let an administrator run:"
                f" CREATE ROLE {SERVICE_ROLE} NOLOGIN; GRANT {SERVICE_ROLE} TO <your role>; GRANT CREATE ON DATABASE"
                " <your database> TO <your role>; and then migrate again."
            )
            raise SetupError(message) from None


def _upgrade(connection: Connection) -> None:
    config = _config()
    config.attributes["connection"] = connection
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _MIGRATION_LOCK})
    connection.commit()
    try:
        command.upgrade(config, "head")
    except ProgrammingError as error:
        message = f"The migration failed and was undone: {error.orig}"
        raise SetupError(message) from error


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("customary.storage.migrations")))
    config.set_main_option("path_separator", "os")
    return config
