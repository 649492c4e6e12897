"""The pool of connections, without a database: who gets which connection, and when."""

import asyncio
from typing import Any, cast
from uuid import UUID, uuid4

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customary.storage import pool as pools
from customary.storage.connections import TenantConnection
from customary.storage.pool import Pool
from customary.storage.pool_metrics import PoolMetrics
from customary.timeouts import Timeout

PATIENCE_SECONDS = 5.0


class Fake:
    """As much of a connection as a pool looks at."""

    def __init__(self) -> None:
        self.bound_to: UUID | None = None
        self.is_over = self.is_busy = False

    def is_closed(self) -> bool:
        return self.is_over

    def is_in_transaction(self) -> bool:
        return self.is_busy

    def terminate(self) -> None:
        if self.is_over:
            raise asyncpg.InterfaceError("again")
        self.is_over = True


class Server:
    """Makes connections as long as it is not told to refuse, and counts those that are open."""

    def __init__(self) -> None:
        self.made: list[Fake] = []
        self.refuses = False
        self.most = 0

    async def connect(self) -> TenantConnection:
        await asyncio.sleep(0)
        if self.refuses:
            raise OSError
        self.made.append(Fake())
        self.most = max(self.most, self.open)
        return cast("TenantConnection", self.made[-1])

    @property
    def open(self) -> int:
        return sum(not each.is_over for each in self.made)


def pool_of(size: int) -> tuple[Pool, Server]:
    """An empty pool, and what makes its connections."""
    server = Server()
    return Pool(server.connect, size, PoolMetrics()), server


async def take(pool: Pool, account_id: UUID | None = None, patience_seconds: float = PATIENCE_SECONDS) -> Any:  # noqa: ANN401 - a Fake, in the place of a connection
    """A connection of this pool."""
    with Timeout(patience_seconds):
        return await pool.take(account_id)


async def test_connections_are_made_when_they_are_needed_and_used_again() -> None:
    """One use after another needs one."""
    pool, server = pool_of(3)
    for _ in range(5):
        pool.give_back(await take(pool))
    assert len(server.made) == 1
    taken = [await take(pool) for _ in range(3)]
    assert len(server.made) == len(set(map(id, taken))) == 3


async def test_an_account_gets_the_connection_that_is_bound_to_it() -> None:
    """As long as that one is free; else any other."""
    pool, _ = pool_of(3)
    accounts = [uuid4() for _ in range(3)]
    taken = [await take(pool) for _ in accounts]
    for connection, account in zip(taken, accounts, strict=True):
        connection.bound_to = account
        pool.give_back(connection)
    for connection, account in zip(taken, accounts, strict=True):
        assert await take(pool, account) is connection
        pool.give_back(connection)
    last = await take(pool, uuid4())
    assert last is taken[2]


async def test_those_who_wait_are_served_in_their_order() -> None:
    """And by the same connection, without a new one."""
    pool, server = pool_of(1)
    connection = await take(pool)
    order: list[int] = []

    async def use(number: int) -> None:
        taken = await take(pool)
        order.append(number)
        pool.give_back(taken)

    waiting = [asyncio.create_task(use(number)) for number in range(4)]
    await asyncio.sleep(0)
    pool.give_back(connection)
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3]
    assert len(server.made) == 1


async def test_nobody_waits_for_ever() -> None:
    """Who got none in time is told so, and the next one is served as if they had not come."""
    pool, _ = pool_of(1)
    connection = await take(pool)
    with pytest.raises(TimeoutError):
        await take(pool, patience_seconds=0.01)
    pool.give_back(connection)
    assert await take(pool) is connection


async def test_what_somebody_gets_who_gave_up_at_that_moment_is_another_s() -> None:
    """Neither the connection nor the place is lost."""
    for is_dropped in (False, True):
        pool, server = pool_of(1)
        connection = await take(pool)
        tasks = [asyncio.create_task(take(pool)) for _ in range(2)]
        await asyncio.sleep(0)
        (pool.drop if is_dropped else pool.give_back)(connection)
        tasks[0].cancel()
        taken = await asyncio.wait_for(tasks[1], PATIENCE_SECONDS)
        assert (taken is connection) is not is_dropped
        assert server.open == 1


async def test_a_connection_that_is_over_makes_room() -> None:
    """Whether it ended in use, while nobody used it, or in the hands of somebody who left a transaction open."""
    pool, server = pool_of(1)
    for spoil in ("is_over", "is_busy"):
        connection = await take(pool)
        setattr(connection, spoil, True)
        pool.give_back(connection)
        assert server.open == 0
    connection = await take(pool)
    pool.give_back(connection)
    connection.is_over = True
    assert await take(pool) is not connection
    assert server.most == 1


async def test_a_failure_to_connect_is_told_and_costs_no_place() -> None:
    """Whoever waits for the place tries for themselves."""
    pool, server = pool_of(1)
    server.refuses = True
    found = await asyncio.gather(*(take(pool) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [OSError] * 3
    server.refuses = False
    assert await take(pool) is server.made[0]


async def test_free_connections_are_ended_when_they_are_forgotten_or_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in use go on."""
    pool, server = pool_of(2)
    busy, free = await take(pool), await take(pool)
    pool.give_back(free)
    pool.end_free()
    assert (busy.is_over, free.is_over) == (False, True)
    monkeypatch.setattr(pools, "_LONGEST_IDLE_SECONDS", 0.0)
    pool.give_back(busy)
    assert busy.is_over
    await take(pool)
    pool.end()
    assert server.open == 0


async def test_there_are_no_connections_after_the_end() -> None:
    """Neither new ones nor one that was being made then."""
    pool, server = pool_of(2)
    connecting = asyncio.create_task(take(pool))
    await asyncio.sleep(0)
    pool.end()
    for asked in (connecting, take(pool)):
        with pytest.raises(asyncpg.InterfaceError):
            await asked
    assert server.open == 0


STEPS = st.lists(st.tuples(st.sampled_from(["take", "give", "drop", "cancel", "end"]), st.integers(0, 9)), max_size=60)


@given(size=st.integers(1, 3), steps=STEPS)
def test_there_are_never_more_than_there_may_be_and_everybody_is_served(
    size: int, steps: list[tuple[str, int]]
) -> None:
    """Whatever happens in whatever order; in the end all that were not broken off have had a connection."""
    asyncio.run(Walk(size).run(steps))


class Walk:
    """Takes and gives back at random."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.pool, self.server = pool_of(size)
        self.tasks: list[asyncio.Task[None]] = []
        self.held: list[Any] = []

    async def run(self, steps: list[tuple[str, int]]) -> None:
        """Go these steps, then let everybody have their turn."""
        for step, number in steps:
            self.step(step, number)
            if number % 2:
                await asyncio.sleep(0)
            assert self.server.open <= self.size
            assert len(set(map(id, self.held))) == len(self.held)
        for _ in range(10 * len(self.tasks)):
            await asyncio.sleep(0)
            while self.held:
                self.pool.give_back(self.held.pop())
        assert all(task.done() for task in self.tasks)
        assert all(task.cancelled() or task.exception() is None for task in self.tasks)
        assert self.server.most <= self.size

    def step(self, step: str, number: int) -> None:
        """Go one step."""
        if step == "take":
            self.tasks.append(asyncio.create_task(self.use()))
        elif step == "cancel" and self.tasks:
            self.tasks[number % len(self.tasks)].cancel()
        elif step == "end":
            self.pool.end_free()
        elif step in {"give", "drop"} and self.held:
            given = self.held.pop(number % len(self.held))
            (self.pool.give_back if step == "give" else self.pool.drop)(given)

    async def use(self) -> None:
        """Take one and keep it."""
        self.held.append(await take(self.pool))
