"""Nothing waits for ever for the database, and whoever stops waiting leaves no connection in doubt behind."""

import asyncio
import random
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
import pytest_asyncio
from msgspec.structs import replace
from tests.faults.support_database import World, until, world
from tests.faults.support_postgresql import Server, majors, running

from customary import errors
from customary.api import gateway
from customary.operations.work import SERVICE
from customary.storage.connections import REQUESTS, WORK, Limits
from customary.storage.database import Database

NOBODY = "'a_standby_that_does_not_exist'"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name = 'customary'"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of the newest version."""
    with running(majors()[-1]) as server:
        yield server


@pytest_asyncio.fixture(scope="module")
async def place(server: Server) -> AsyncIterator[World]:
    """The application on a database of it, which all tests share: each leaves it well."""
    async with world(server, await server.migrated()) as place:
        yield place


@pytest.fixture
def impatient(place: World) -> Iterator[None]:
    """Uses of a connection of a second instead of seven."""
    connector = place.database._connector
    connector.limits = replace(REQUESTS, use_seconds=1.0)
    yield
    connector.limits = REQUESTS


@asynccontextmanager
async def without_standby(place: World) -> AsyncGenerator[None]:
    """Commits wait for a standby, and there is none."""
    await place.set("synchronous_standby_names", NOBODY)
    try:
        yield
    finally:
        await place.set("synchronous_standby_names", None)


@pytest.mark.usefixtures("impatient")
async def test_a_commit_that_waits_for_a_standby(place: World) -> None:
    """Whoever asked is told that nobody knows, and PostgreSQL is not asked to call it done.

    When the standby is there, the commit is, once; the same request under its key gets the answer to it.
    """
    async with without_standby(place):
        answer = await place.create("waiting", key="waiting")
        assert answer.status == 503
        assert "may or may not have been done" in answer.message
        again = await place.create("waiting", key="waiting")
        assert again.status in {409, 503}
        await asyncio.sleep(0)
        assert await place.run(WAITING) >= 1
        assert await place.stored("waiting") == []
        assert "canceling" not in place.server.log
    await until(lambda: nobody_waits(place))
    kept = await place.create("waiting", key="waiting")
    assert (kept.status, kept.headers["idempotent-replayed"]) == (201, "true")
    assert await place.stored("waiting") == ["waiting"]
    assert await place.well() < 1


async def nobody_waits(place: World) -> bool:
    return await place.run(WAITING) == 0 and not place.database._unconfirmed


@pytest.mark.usefixtures("impatient")
async def test_commits_that_wait_leave_room_for_reading(place: World) -> None:
    """When half of the connections wait for a standby no more is begun, and reading goes on; then all is well."""
    async with without_standby(place):
        answers = await asyncio.gather(*(place.create(f"many {number}") for number in range(8)))
        assert {answer.status for answer in answers} == {503}
        for number in range(20):
            answer = await place.create(f"more {number}")
            assert (answer.status, answer.seconds < 0.5) == (503, True)
            assert "nothing was begun" in answer.message
            assert (await place.read()).status == 200
        connections = await place.run("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        assert connections <= 4 + 4  # those that are kept, and those of the first who found out
    await until(lambda: nobody_waits(place))
    assert await place.well() < 1
    assert await place.stored("more") == []


async def test_requests_that_are_broken_off_at_any_moment(place: World) -> None:
    """No connection is lost or left half-way: afterwards all of them work, and each for whom it should."""
    source = random.Random(1)  # noqa: S311 - the same moments every time
    for _ in range(150):
        with suppress(TimeoutError):
            async with asyncio.timeout(source.uniform(0, 0.012)):
                await source.choice((place.read, lambda: place.create("broken off")))()
    entered: list[int] = []
    everybody = asyncio.Event()

    async def hold() -> int:
        async with place.database.transaction(place.account_id, SERVICE) as tx:
            entered.append(1)
            if len(entered) == 4:
                everybody.set()
            await asyncio.wait_for(everybody.wait(), 5)
            assert await tx.connection.fetchval("SELECT current_setting('app.account')") == str(place.account_id)
            return await tx.connection.fetchval("SELECT pg_backend_pid()")

    assert len(set(await asyncio.gather(*(hold() for _ in range(4))))) == 4
    async with place.database.without_tenant() as nobody:
        assert await nobody.fetchval("SELECT count(*) FROM customers") == 0
    idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'customary' AND state <> 'idle'"
    await until(lambda: equals(place, idle, 0))


async def equals(place: World, statement: str, wanted: int) -> bool:
    return await place.run(statement) == wanted


async def test_a_change_that_was_broken_off_has_no_effect(place: World) -> None:
    """It is undone by the end of its connection, without a word to the server."""
    database = place.database
    with pytest.raises(TimeoutError):  # noqa: PT012 - it is the block that is broken off
        async with asyncio.timeout(0.1), database.transaction(place.account_id, SERVICE) as tx:
            await tx.connection.execute("UPDATE customers SET legal_name = 'changed'")
            await tx.connection.execute("SELECT pg_sleep(30)")
    await until(
        lambda: equals(place, "SELECT count(*) FROM pg_locks WHERE relation = 'customary.customers'::regclass", 0)
    )
    assert await place.stored("changed") == []


async def test_a_refusal_undoes_its_transaction_and_costs_no_connection(place: World) -> None:
    """Nothing of it is left, and the connection serves the next one."""
    left: list[object] = []
    process = None
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: left.append(context))
    database = await Database.open(place.url, pool_size=1)
    try:
        with pytest.raises(errors.NotFound, match="refused"):  # noqa: PT012 - it is what happens in the block
            async with database.transaction(place.account_id, SERVICE) as tx:
                await tx.connection.execute("CREATE TEMPORARY TABLE first ()")
                assert await tx.connection.fetchval(IS_THERE)
                process = await tx.connection.fetchval("SELECT pg_backend_pid()")
                raise errors.NotFound("refused")
        async with database.without_tenant() as connection:
            assert not await connection.fetchval(IS_THERE)
            assert await connection.fetchval("SELECT pg_backend_pid()") == process
    finally:
        database.close()
        asyncio.get_running_loop().set_exception_handler(None)
    assert left == []


IS_THERE = "SELECT to_regclass('pg_temp.first') IS NOT NULL"


@pytest.mark.parametrize(
    ("method", "message"),
    [("GET", "nothing was changed"), ("POST", "may or may not have been done")],
)
async def test_the_deadline_of_a_request(
    place: World, monkeypatch: pytest.MonkeyPatch, method: str, message: str
) -> None:
    """Whatever a request waits for, it is answered at its deadline, and the answer is honest."""
    monkeypatch.setattr(gateway, "DEADLINE_SECONDS", 0.4)
    blocking = await asyncpg.connect(place.url, server_settings={"search_path": "customary"})
    try:
        async with blocking.transaction():
            await blocking.execute("LOCK TABLE customers")
            answer = await (place.create("too late") if method == "POST" else place.read())
        assert (answer.status, answer.seconds < 1.5) == (503, True)
        assert message in answer.message
    finally:
        await blocking.close()
    monkeypatch.undo()
    assert await place.well() < 1
    # A write that the database has is done as soon as it can be, whoever waits for it.
    await until(lambda: is_stored(place, "too late", times=int(method == "POST")))


async def is_stored(place: World, name: str, *, times: int) -> bool:
    return await place.stored(name) == [name] * times


@pytest.mark.parametrize(("limits", "statement", "transaction"), [(REQUESTS, "6s", "7s"), (WORK, "1min", "65s")])
async def test_what_the_server_is_told_to_bound(place: World, limits: Limits, statement: str, transaction: str) -> None:
    """Requests have seconds, work in the background has a minute, and who is gone is noticed in seconds."""
    wanted = {
        "statement_timeout": statement,
        "lock_timeout": "2s",
        "idle_in_transaction_session_timeout": "10s",
        "client_connection_check_interval": "1s",
        "tcp_user_timeout": "10000",
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "jit": "off",
    }
    if place.server.major >= 17:
        wanted["transaction_timeout"] = transaction
    database = await Database.open(place.url, pool_size=1, limits=limits)
    try:
        async with database.without_tenant() as connection:
            for name, value in wanted.items():
                assert await connection.fetchval(f"SHOW {name}") == value, name
            end = connection._transport.get_extra_info("socket")
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 5_000
    finally:
        database.close()


async def test_a_statement_takes_no_longer_than_it_may(place: World) -> None:
    """The server ends it, the connection is as good as before, and a caller hears that it can try again."""
    database = await Database.open(place.url, pool_size=1, limits=replace(REQUESTS, statement_seconds=1))
    try:
        async with database.without_tenant() as connection:
            process = await connection.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(errors.Unavailable, match="right now"):
            async with database.without_tenant() as connection:
                await connection.fetchval("SELECT pg_sleep(20)")
        async with database.without_tenant() as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") == process
    finally:
        database.close()


@pytest.mark.parametrize(("given", "used"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")])
async def test_no_default_makes_commits_less_than_safe(place: World, given: str, used: str) -> None:
    """A database or a role can be told not to wait for the disk; the service waits all the same."""
    await place.run(f"ALTER DATABASE {place.name} SET synchronous_commit = {given}", "SELECT 1")
    try:
        database = await Database.open(place.url, pool_size=1)
        try:
            async with database.without_tenant() as connection:
                assert await connection.fetchval("SHOW synchronous_commit") == used
        finally:
            database.close()
    finally:
        await place.run(f"ALTER DATABASE {place.name} RESET synchronous_commit", "SELECT 1")
