"""Runs the plain SQL of a migration, several statements at once, and writes what every tenant table needs."""

from functools import partial
from typing import Any

from alembic import op


def run(sql: str) -> None:
    """Run these statements in the migration's transaction; any of them failing undoes all.

    The first statement starts the transaction: the driver's own `execute`, the only one that takes several
    statements at once, does not. It also keeps a migration from queueing behind a long lock while others queue
    behind the migration.
    """
    op.execute("SET LOCAL lock_timeout = '10s'")
    connection = op.get_bind().connection.dbapi_connection
    assert connection is not None  # noqa: S101 - Alembic runs migrations on a live connection only
    connection.run_async(partial(_execute, sql))


# `nullif` because a setting that was set once and reset reads as the empty string, which is no uuid.
_POLICY = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} TO customary_service
    USING ({column} = nullif(current_setting('app.account', true), '')::uuid)
    WITH CHECK ({column} = nullif(current_setting('app.account', true), '')::uuid);
"""


def bind_to_tenant(*tables: str, column: str = "account_id") -> None:
    """Let the service's role see and write only those rows of these tables that belong to the tenant it works for."""
    for table in tables:
        run(_POLICY.format(table=table, column=column))


async def _execute(sql: str, driver: Any) -> None:  # noqa: ANN401 - asyncpg's connection behind SQLAlchemy's
    await driver.execute(sql)
