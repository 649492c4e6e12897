"""Runs the plain SQL of a migration: several statements at once, inside Alembic's transaction."""

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


async def _execute(sql: str, driver: Any) -> None:  # noqa: ANN401 - asyncpg's connection behind SQLAlchemy's
    await driver.execute(sql)
