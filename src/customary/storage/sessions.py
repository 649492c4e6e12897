"""Whether a connection is one session of the database, from its start to its end.

A pooler that hands the server's sessions round between statements or transactions would let one account's rows be
read under another's setting, so such a one is refused. Everything here is sent without prepared statements: these too
belong to a session, and behind such a pooler another program's would run.
"""

import asyncio
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any, TypeAlias

import asyncpg
import structlog

from customary.errors import SetupError

Connection: TypeAlias = Any  # asyncpg's Connection or the pool's proxy of one, which have the same methods

_log = structlog.get_logger("customary.database")

BACKEND = "SELECT pg_backend_pid()"
# No part of this order follows from another, so two sessions keep apart in it only where each client has its own.
_TURNS = "abbabaabbaababba" * 2
_PATIENCE_SECONDS = 10.0
_HOW_TO = (
    "Give Customary, which keeps connections of its own, a database URL without a pooler,"
    " or a pooler that leaves each connection its session: for pgbouncer, pool_mode = session."
)
MIXED = f"A pooler before the database lets connections share their sessions. {_HOW_TO}"


class Elsewhere(asyncpg.InterfaceError):
    """Another session answers than the one that a connection was prepared in."""


async def backend(connection: Connection) -> int:
    """The process of the server that answers now."""
    output = BytesIO()
    await connection.copy_from_query(BACKEND, output=output)
    return int(output.getvalue())


async def behind_pooler(connection: Connection) -> int | None:
    """The process that answers now, where a pooler stands in between; None without one.

    Whoever lets a client in tells it a number to cancel by: PostgreSQL that of the process, a pooler one of its own.
    """
    process = await backend(connection)
    return None if process == connection.get_server_pid() else process


async def require(connection: Connection, connect: Callable[[], Awaitable[Connection]]) -> None:
    """Raise `SetupError` where other connections, of which `connect` makes one, can come into this one's session."""
    try:
        if await behind_pooler(connection) is None:
            return
        async with asyncio.timeout(_PATIENCE_SECONDS):
            other = await connect()
            try:
                found = {(who, await backend(connection if who == "a" else other)) for who in _TURNS}
            finally:
                other.terminate()
    except TimeoutError:
        message = f"A pooler before the database has no room for two connections. {_HOW_TO}"
        raise SetupError(message) from None
    if (len(found), len({process for _, process in found})) != (2, 2):
        raise SetupError(MIXED)


async def require_same(connection: Connection, process: int, role: str) -> None:
    """Raise `Elsewhere` unless this process of the server answers, in this role. First in a transaction, it holds."""
    is_same = f"SELECT 1 / (pg_backend_pid() = {process} AND current_user = '{role}')::int"
    try:
        await connection.execute(is_same)
    except asyncpg.DivisionByZeroError:
        _log.error("sessions_mixed", advice=_HOW_TO)
        raise Elsewhere(MIXED) from None
