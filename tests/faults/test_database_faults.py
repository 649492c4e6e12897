"""What is done to a PostgreSQL server while it is used: every request is answered, in time, and what was told is true.

The server is one of an operator's own, of the oldest version at hand.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import asyncpg
import pytest
import pytest_asyncio
from tests.faults.support_database import World, creating, until, world
from tests.faults.support_postgresql import Place, Server, majors, running

from customary import errors
from customary.operations.work import SERVICE
from customary.storage import connections
from customary.storage.database import Database
from customary.storage.readiness import Probe, Readiness

SETTINGS = ("max_connections=40", "superuser_reserved_connections=3", "shared_buffers=16MB")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server with room for few connections."""
    with running(majors()[0], Place(settings=SETTINGS)) as server:
        yield server


@pytest_asyncio.fixture(scope="module")
async def place(server: Server) -> AsyncIterator[World]:
    """The application on a database of it, which all tests share: each leaves it well."""
    async with world(server, await server.migrated()) as place:
        yield place


async def backends(place: World, where: str = "true") -> list[int]:
    """The processes that serve the application's connections."""
    found = await place.run(
        "SELECT coalesce(array_agg(pid), '{}') FROM pg_stat_activity"  # noqa: S608 - constants
        f" WHERE application_name = 'customary' AND datname = current_database() AND {where}"
    )
    return list(found)


async def test_a_backend_is_killed(place: World) -> None:
    """PostgreSQL then ends all others and starts anew; clients who try again lose nothing and get nothing twice."""
    async with creating(place, "killed") as created:
        for _ in range(2):
            seen = len(created)
            os.kill((await until(lambda: backends(place)))[0], signal.SIGKILL)
            await place.well()
            await until(lambda seen=seen: grown(created, seen))


async def grown(created: list[str], seen: int) -> bool:
    return len(created) >= seen + 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["fast", "immediate"])
async def test_the_server_is_stopped_and_started(place: World, number: int) -> None:
    """Again and again: no restart of the service is needed, and no client is left without an answer."""
    async with creating(place, f"stopped {number}") as created:
        for _ in range(2):
            seen = len(created)
            os.kill(place.server.pid, number)
            await asyncio.to_thread(place.server.stop)
            assert (await place.create("while it is away")).status == 503
            assert (await place.read()).status == 503
            assert await place.readiness() == (503, "The database does not answer.")
            await asyncio.to_thread(place.server.start)
            assert await place.well() < 3
            assert (await place.readiness())[0] == 200
            await until(lambda seen=seen: grown(created, seen))


async def test_connections_that_were_ended_while_nobody_used_them(place: World) -> None:
    """An operator ends them all: whoever comes next is served over new ones."""
    await asyncio.gather(*(place.read() for _ in range(8)))
    ended = await end_backends(place)
    await until(lambda: are_gone(place, ended))
    assert (await place.create("after they were ended")).status in {201, 503}
    assert await place.well() < 3


async def end_backends(place: World) -> list[int]:
    ended = await backends(place)
    for pid in ended:
        await place.run(f"SELECT pg_terminate_backend({pid})")
    return ended


async def are_gone(place: World, ended: list[int]) -> bool:
    return not set(ended) & set(await backends(place))


async def test_all_connections_of_the_server_are_taken(place: World) -> None:
    """Whoever needs one more is told to come again; those that are there go on working, and so does the pool."""
    hogs: list[asyncpg.Connection[asyncpg.Record]] = []

    async def is_crowded() -> bool:
        await end_backends(place)
        with suppress(asyncpg.TooManyConnectionsError):
            while True:
                hogs.append(await asyncpg.connect(place.url))
        return not await backends(place)

    try:
        await until(is_crowded)
        answers = await asyncio.gather(*(place.create(f"crowded {number}") for number in range(8)))
        assert {answer.status for answer in answers} == {503}
        await hogs.pop().close()
        await until(lambda: written(place))  # one connection is enough for all
    finally:
        for hog in hogs:
            await hog.close()
    await place.well()


async def written(place: World) -> bool:
    return (await place.create("one")).status == 201


async def test_a_table_is_locked(place: World) -> None:
    """Reading and writing give up after two seconds, and work as soon as they can."""
    blocking = await asyncpg.connect(place.url, server_settings={"search_path": "customary"})
    try:
        transaction = blocking.transaction()
        await transaction.start()
        await blocking.execute("ALTER TABLE customers ADD COLUMN more int")
        written, read = await asyncio.gather(place.create("locked"), place.read())
        assert (written.status, read.status) == (503, 503)
        assert min(written.seconds, read.seconds) > 1.8
        assert max(written.seconds, read.seconds) < 5
        await transaction.rollback()
    finally:
        await blocking.close()
    assert await place.well() < 1
    assert await place.stored("locked") == []


FAILING = """
CREATE SEQUENCE customary.failed;
GRANT USAGE ON SEQUENCE customary.failed TO customary_service;
CREATE FUNCTION customary.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF nextval('customary.failed') <= {times} THEN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'; END IF;
    RETURN new;
END $$;
CREATE TRIGGER failing BEFORE INSERT ON customary.customers FOR EACH ROW EXECUTE FUNCTION customary.fail()
"""
NO_LONGER = "DROP TRIGGER failing ON customary.customers; DROP FUNCTION customary.fail; DROP SEQUENCE customary.failed"


@pytest.mark.parametrize("code", ["40001", "40P01"], ids=["serialization failure", "deadlock"])
@pytest.mark.parametrize(("times", "status"), [(2, 201), (9, 503)])
async def test_what_was_undone_is_done_again(place: World, code: str, times: int, status: int) -> None:
    """A write that PostgreSQL undid is tried again, four times at most, and has one effect or none."""
    name = f"undone {code} {times}"
    await place.run(FAILING.format(times=times, code=code), "SELECT 1")
    try:
        answer = await place.create(name)
        tried = await place.run("SELECT last_value FROM customary.failed")
    finally:
        await place.run(NO_LONGER, "SELECT 1")
    assert (answer.status, tried) == (status, min(times + 1, 4))
    assert await place.stored(name) == ([name] if status == 201 else [])
    assert await place.well() < 1


async def test_the_schema_changes_while_it_is_used(place: World) -> None:
    """A statement that was prepared for columns of other types is prepared again, whoever meets that."""
    async with creating(place, "altered") as created:
        for kind in ("varchar", "text") * 3:
            seen = len(created)
            await place.run(
                "SET lock_timeout = '5s'", f"ALTER TABLE customary.customers ALTER label TYPE {kind}", "SELECT 1"
            )
            answers = await asyncio.gather(
                *(place.read() for _ in range(4)), *(place.create("as well") for _ in "1234")
            )
            assert {answer.status for answer in answers} <= {200, 201}
            await until(lambda seen=seen: grown(created, seen))


async def test_a_transaction_that_idles_is_ended(place: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was forgotten holds locks and keeps old rows for no longer than it may; nobody gets its connection."""
    monkeypatch.setattr(connections, "_IDLE_IN_TRANSACTION_SECONDS", 1)
    database = await Database.open(place.url, pool_size=1)
    try:
        with pytest.raises(errors.Unavailable):  # noqa: PT012 - it is what happens in the block, and at its end
            async with database.transaction(place.account_id, SERVICE) as tx:
                pid = await tx.connection.fetchval("SELECT pg_backend_pid()")
                await until(lambda: are_gone(place, [pid]))
                await tx.connection.fetchval("SELECT 1")
        async with database.reading(place.account_id) as reading:
            assert await reading.connection.fetchval("SELECT 1") == 1
    finally:
        database.close()


async def test_the_server_becomes_read_only(place: World) -> None:
    """Writes are refused and readiness says why. When it takes writes again, they work without a restart."""
    await asyncio.gather(*(place.read() for _ in range(8)))
    await place.set("default_transaction_read_only", "on")
    try:
        await until(lambda: refused(place))
        for number in range(6):  # each connection that was there finds out, and none is kept
            assert (await place.create(f"read-only {number}")).status == 503
        status, reason = await place.readiness()
        assert (status, "read-only" in reason) == (503, True)
    finally:
        await place.set("default_transaction_read_only", None)
    assert await place.well() < 3
    answers = await asyncio.gather(*(place.create(f"writable {number}") for number in range(12)))
    assert {answer.status for answer in answers} == {201}
    assert (await place.readiness())[0] == 200
    assert await place.stored("read-only") == []


async def refused(place: World) -> bool:
    return (await place.create("read-only at first")).status == 503


async def test_a_server_that_recovers_is_told_from_one_that_is_away(place: World) -> None:
    """While it lets nobody in, readiness says so; here it waits for a session's end before its own."""
    session = await asyncpg.connect(place.url)
    os.kill(place.server.pid, signal.SIGTERM)
    probe = Probe(place.url)
    try:
        await until(lambda: is_found(probe, Readiness.RECOVERING))
    finally:
        probe.close()
        await session.close()
        await asyncio.to_thread(place.server.stop)
        await asyncio.to_thread(place.server.start)
    assert await place.well() < 3


async def is_found(probe: Probe, wanted: Readiness) -> bool:
    return await probe.ask() is wanted
