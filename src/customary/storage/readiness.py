"""Whether the database takes writes now, asked over a connection that no request has to give up for it."""

import asyncio
from enum import Enum, auto

import asyncpg

from customary.storage import schema
from customary.storage.connections import REQUESTS, Connector, TenantConnection
from customary.storage.failures import OF_DATABASE
from customary.storage.pool_metrics import PoolMetrics

TIMEOUT_SECONDS = 1.0

STATE = f"""
SELECT ({schema.CURRENT}) AS schema,
       pg_is_in_recovery() OR current_setting('transaction_read_only')::bool AS is_read_only
"""


class Readiness(Enum):
    """How a database was found."""

    READY = auto()
    SILENT = auto()
    RECOVERING = auto()
    READ_ONLY = auto()
    OTHER_SCHEMA = auto()


class Probe:
    """Asks one database how it is; keeps its connection for the next time."""

    def __init__(self, url: str) -> None:
        self._connect = Connector(url, REQUESTS, PoolMetrics())
        self._connection: TenantConnection | None = None
        self._asking: asyncio.Task[Readiness] | None = None

    async def ask(self) -> Readiness:
        """How the database is, within about a second. All who ask at one time share one answer."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    def close(self) -> None:
        """Let go of the connection."""
        if self._asking is not None:
            self._asking.cancel()
        self._forget()

    async def _ask(self) -> Readiness:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                found = await self._look()
        except asyncpg.CannotConnectNowError:
            found = Readiness.RECOVERING
        except asyncpg.TargetServerAttributeNotMatched:
            found = Readiness.READ_ONLY
        except OF_DATABASE:
            found = Readiness.SILENT
        if found not in {Readiness.READY, Readiness.OTHER_SCHEMA}:
            self._forget()
        return found

    async def _look(self) -> Readiness:
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._connect()
        row = await self._connection.fetchrow(STATE)
        if row is None or row["is_read_only"]:
            return Readiness.READ_ONLY
        return Readiness.READY if row["schema"] == schema.HEAD else Readiness.OTHER_SCHEMA

    def _forget(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
