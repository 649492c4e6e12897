"""The version of the schema that this release needs, whether a database has it, and what a login may do there."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from customary.errors import SetupError
from customary.storage import servers, sessions

# The newest migration. They are numbered in four digits, so an older one sorts before a newer one.
HEAD = "0014"

SCHEMA = "customary"
SERVICE_ROLE = "customary_service"
SEARCH_PATH = f"{SCHEMA}, public, pg_temp"

CURRENT = f"SELECT version_num FROM {SCHEMA}.alembic_version"  # noqa: S608 - a constant
IS_MIGRATED = f"SELECT to_regclass('{SCHEMA}.alembic_version') IS NOT NULL"
# From PostgreSQL 16 on a role can be a member of another and yet not allowed to become it.
MAY_SERVE = f"""
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '{SERVICE_ROLE}' AND pg_has_role(oid,
    CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END))
"""  # noqa: S608 - a constant
IS_RESTORED = "SELECT is_restored()"
LET_SERVE = f"SELECT format('GRANT {SERVICE_ROLE} TO %I;', session_user)"
IS_BOUND = f"SELECT row_security_active('{SCHEMA}.accounts')"

# Two migrations at once would both find the old version: the second waits here and then finds nothing to do.
LOCK = "SELECT pg_advisory_lock(7160561413842166)"
_HOW_TO_MIGRATE = "Run, with the same database: customary migrate"


@asynccontextmanager
async def connection(url: str) -> AsyncGenerator[Any]:
    """A connection in the role that this URL logs in as, with our schema first. Raises `SetupError` if unreachable."""
    try:
        opened = await session(url)
    except ValueError:  # Its message quotes what was taken for a port, which can be a part of the password.
        message = (
            "The database URL cannot be read. It must look like postgresql://user:password@host:5432/database,"
            " with %-codes for the special characters of the password."
        )
        raise SetupError(message) from None
    except asyncpg.TargetServerAttributeNotMatched:
        message = (
            "The database takes no changes: it is a standby, or set to be read-only. Give the database URL of the"
            " primary, or of all servers with commas between them."
        )
        raise SetupError(message) from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        message = (
            f"The database cannot be reached ({type(error).__name__}: {error})."
            " Check the database URL, and that PostgreSQL runs and lets this role in."
        )
        raise SetupError(message) from None
    try:
        yield opened
    finally:
        await opened.close()


async def session(url: str) -> Any:  # noqa: ANN401 - asyncpg's connection
    """A connection with our schema first. Raises `SetupError` behind a pooler that others share its session by."""
    opened = await servers.connect(url, timeout=10)
    try:
        await sessions.require(opened, lambda: servers.connect(url, timeout=10))
        await opened.execute(f"SET search_path = {SEARCH_PATH}")
    except BaseException:
        opened.terminate()
        raise
    return opened


async def current(url: str) -> str | None:
    """The schema version of this database; None where it was never migrated.

    Raises `SetupError` if it is unreachable, or the login may not look.
    """
    async with connection(url) as opened:
        try:
            return await opened.fetchval(CURRENT) if await opened.fetchval(IS_MIGRATED) else None
        except asyncpg.InsufficientPrivilegeError:
            raise await _not_let_in(opened) from None


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


async def require_service(url: str) -> None:
    """Raise `SetupError`, saying what to do, unless the schema fits and this login may work in the service's role."""
    await require_current(url)
    async with connection(url) as opened:
        if not await opened.fetchval(MAY_SERVE):
            raise await _not_let_in(opened)
        if await opened.fetchval(IS_RESTORED):
            message = f"The database was restored from another server. {_HOW_TO_MIGRATE}"
            raise SetupError(message)


async def require_owner(opened: Any) -> None:  # noqa: ANN401 - asyncpg's connection
    """Raise `SetupError` for a login from which the policies hide accounts and keys, so that it does not see none."""
    if await opened.fetchval(IS_BOUND):
        message = "This needs the owner of Customary's tables. Use the database URL that was migrated with."
        raise SetupError(message)


async def _not_let_in(opened: Any) -> SetupError:  # noqa: ANN401 - asyncpg's connection
    statement = await opened.fetchval(LET_SERVE)
    return SetupError(f"This login may not work as the role {SERVICE_ROLE}. Let an administrator run: {statement}")
