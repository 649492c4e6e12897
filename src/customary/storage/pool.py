"""The connections of one process to one database: which are free, who waits for one, and how many there may be.

Taking a free one and giving it back is done without waiting for anything, since every read does both. asyncpg's own
pool makes a task for each return and a proxy for each use, which costs as much as half of what a read costs otherwise.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg

from customary.storage.connections import TenantConnection
from customary.storage.pool_metrics import PoolMetrics

_LONGEST_IDLE_SECONDS = 300.0


class Pool:
    """At most `size` connections, made by `connect` when they are needed."""

    def __init__(self, connect: Callable[[], Awaitable[TenantConnection]], size: int, metrics: PoolMetrics) -> None:
        self.size = size
        self._connect, self._metrics = connect, metrics
        self._free: list[tuple[TenantConnection, float]] = []  # the one that was used last comes last
        self._taken: set[TenantConnection] = set()
        self._connecting = 0
        self._is_ended = False
        self._waiting: deque[asyncio.Future[TenantConnection | None]] = deque()

    async def take(self, account_id: UUID | None) -> TenantConnection:
        """A connection for one use: if there is a choice, one that sees this account's rows already.

        It waits until one gets free, however long that is; whoever takes says how long they wait. Raises
        `asyncpg.InterfaceError` after `end`, and what `connect` raises.
        """
        if self._is_ended:
            raise asyncpg.InterfaceError("the connections were ended")
        began = time.perf_counter()
        try:
            connection = self._free_one(account_id)
            if connection is None:
                connection = await self._next(account_id)
        finally:
            self._metrics.waited(time.perf_counter() - began)
        if connection not in self._taken:  # as it is where it was passed on
            self._taken.add(connection)
            self._metrics.taken()
        return connection

    def give_back(self, connection: TenantConnection) -> None:
        """The use is over. A connection that is not as it was taken is ended."""
        if connection.is_closed() or connection.is_in_transaction():
            self.drop(connection)
            return
        waiting = self._next_waiting()
        if waiting is not None:
            waiting.set_result(connection)  # it stays taken: nobody can come between
            return
        self._leave(connection)
        self._free.append((connection, time.monotonic()))
        self._end_idle(time.monotonic() - _LONGEST_IDLE_SECONDS)

    def drop(self, connection: TenantConnection) -> None:
        """End a connection without a word, and let somebody else have its place. A second time nothing happens."""
        _terminate(connection)
        if connection in self._taken:
            self._leave(connection)
            self._offer_place()

    def end_free(self) -> None:
        """End those that nobody uses, so that whatever comes next gets a new one."""
        self._end_idle(time.monotonic())

    def end(self) -> None:
        """End all connections, the busy ones too; there will be no others."""
        self._is_ended = True
        self.end_free()
        for connection in list(self._taken):
            self.drop(connection)

    def _leave(self, connection: TenantConnection) -> None:
        self._taken.discard(connection)
        self._metrics.left()

    def _free_one(self, account_id: UUID | None) -> TenantConnection | None:
        while self._free:
            position = len(self._free) - 1
            for candidate in range(position, -1, -1):
                if self._free[candidate][0].bound_to == account_id:
                    position = candidate
                    break
            connection, _ = self._free.pop(position)
            if not connection.is_closed():
                return connection
        return None

    async def _next(self, account_id: UUID | None) -> TenantConnection:
        """One that is new, or given back. Whoever waits here is told in the order in which they came."""
        while len(self._taken) + len(self._free) + self._connecting >= self.size:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            try:
                given = await waiting
            except asyncio.CancelledError:
                self._pass_on(waiting)
                raise
            if given is not None and not given.is_closed():
                return given
            if given is not None:
                self.drop(given)
            free = self._free_one(account_id)
            if free is not None:
                return free
        return await self._new()

    async def _new(self) -> TenantConnection:
        self._connecting += 1
        try:
            connection = await self._connect()
        except BaseException:
            self._connecting -= 1
            self._offer_place()
            raise
        self._connecting -= 1
        if self._is_ended:
            _terminate(connection)
            raise asyncpg.InterfaceError("the connections were ended")
        return connection

    def _pass_on(self, waiting: "asyncio.Future[TenantConnection | None]") -> None:
        """Somebody gave up, maybe just when it was their turn: then the next one gets what they were given."""
        if waiting.cancelled() or not waiting.done():
            return
        given = waiting.result()
        if given is None:
            self._offer_place()
        else:
            self.give_back(given)

    def _offer_place(self) -> None:
        """Tell the next one that there is room for a new connection."""
        waiting = self._next_waiting()
        if waiting is not None:
            waiting.set_result(None)

    def _next_waiting(self) -> "asyncio.Future[TenantConnection | None] | None":
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                return waiting
        return None

    def _end_idle(self, before: float) -> None:
        while self._free and self._free[0][1] <= before:
            _terminate(self._free.pop(0)[0])


def _terminate(connection: TenantConnection) -> None:
    """A polite end would wait for an answer. The server undoes what it was doing."""
    with contextlib.suppress(asyncpg.InterfaceError):  # its end was seen before
        connection.terminate()
