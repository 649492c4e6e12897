"""Brings the schema up to date, over a connection of the tables' owner."""

import asyncpg

from customary.errors import SetupError
from customary.storage import schema
from customary.storage.schema import HEAD, LOCK, SCHEMA, SERVICE_ROLE

OLDEST_POSTGRESQL, NEWEST_POSTGRESQL = 15, 18

_CREATE_ROLE = f"""
DO $$ BEGIN
    CREATE ROLE {SERVICE_ROLE} NOLOGIN NOSUPERUSER NOBYPASSRLS;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;  -- another database of this server made it just now
END $$
"""
_HAS_ROLE = f"SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = '{SERVICE_ROLE}')"  # noqa: S608 - a constant
_CREATE_SCHEMA = f"""
CREATE SCHEMA IF NOT EXISTS {SCHEMA};
GRANT USAGE ON SCHEMA {SCHEMA} TO {SERVICE_ROLE};
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA {SCHEMA};
CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA {SCHEMA};
"""
# What the administrator has to run for a login that may not do all of this: only what is missing.
_MISSING = f"""
SELECT concat_ws(' ',
    CASE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{SERVICE_ROLE}')
         THEN 'CREATE ROLE {SERVICE_ROLE} NOLOGIN;' END,
    CASE WHEN NOT ({schema.MAY_SERVE}) THEN ({schema.LET_SERVE}) END,
    CASE WHEN NOT has_database_privilege(current_database(), 'CREATE')
         THEN format('GRANT CREATE ON DATABASE %I TO %I;', current_database(), session_user) END)
"""  # noqa: S608 - constants


# Behind the newest event, as if this server had counted on from there.
_SETTLE = """
UPDATE installation SET transaction_offset = 1 - pg_current_xact_id()::text::bigint + (
    SELECT e.transaction_id::text::bigint FROM accounts a CROSS JOIN LATERAL (
           SELECT transaction_id FROM events WHERE account_id = a.id ORDER BY transaction_id DESC LIMIT 1) e
     ORDER BY e.transaction_id DESC LIMIT 1)
 WHERE is_restored()
"""


async def migrate(url: str) -> str | None:
    """Bring the schema to this release's version; answers the version before. Raises `SetupError`.

    Where the tables were restored from another server, the change feed goes on behind what it had there.
    """
    before = await _upgrade(url)
    async with schema.connection(url) as connection:
        await connection.execute(_SETTLE)
    return before


async def _upgrade(url: str) -> str | None:
    before = await schema.current(url)
    if before == HEAD:
        return before
    if before is not None and before > HEAD:
        await schema.require_current(url)
    await _prepare(url)
    from customary.storage.migrations.upgrade import upgrade  # noqa: PLC0415 - half of the imports of every command

    await upgrade(url)
    return before


async def _prepare(url: str) -> None:
    """The role, the schema and the extensions that the migrations build on."""
    async with schema.connection(url) as connection:
        major = connection.get_server_version().major
        if not OLDEST_POSTGRESQL <= major <= NEWEST_POSTGRESQL:
            message = f"This is PostgreSQL {major}; Customary runs on {OLDEST_POSTGRESQL} to {NEWEST_POSTGRESQL}."
            raise SetupError(message)
        await connection.execute(LOCK)
        try:
            if not await connection.fetchval(_HAS_ROLE):
                await connection.execute(_CREATE_ROLE)
            if not await connection.fetchval(schema.MAY_SERVE):
                await connection.execute(await connection.fetchval(schema.LET_SERVE))
            await connection.execute(_CREATE_SCHEMA)
        except asyncpg.PostgresError as error:
            missing = await connection.fetchval(_MISSING)
            advice = f" Let an administrator run: {missing}" if missing else ""
            message = f"The database cannot be prepared by this login: {error.args[0]}.{advice}"
            raise SetupError(message) from None
