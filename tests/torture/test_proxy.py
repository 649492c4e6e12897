"""The proxy before the database does to a connection what its name says, and nothing when it is told nothing."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg
import pytest
from tests.support.cluster import Cluster, Database
from tests.torture import proxy as proxies
from tests.torture.proxy import Loss, Proxy

OTHERS = "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"
BROKEN = (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError)


@pytest.fixture
def proxy(cluster: Cluster) -> Iterator[Proxy]:
    """A proxy before the PostgreSQL of the tests, which is reached by a socket."""
    (directory,) = parse_qs(urlsplit(cluster.admin_url).query)["host"]
    with proxies.running(Path(directory) / ".s.PGSQL.5432", seed=1) as running:
        yield running


@asynccontextmanager
async def connected(proxy: Proxy, database: Database) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    url = urlsplit(database.owner_url)
    through = url._replace(netloc=f"{url.netloc.rpartition('@')[0]}@127.0.0.1:{proxy.port}", query="")
    connection = await asyncpg.connect(urlunsplit(through), timeout=10)
    try:
        yield connection
    finally:
        connection.terminate()


async def stored(database: Database, loss: Loss, proxy: Proxy) -> int:
    """How many rows are there after the commit of one lost its connection."""
    direct = await asyncpg.connect(database.owner_url)
    try:
        await direct.execute("CREATE TABLE t (n int)")
        async with connected(proxy, database) as connection:
            proxy.loss_chance, proxy.losses = 1.0, (loss,)
            with pytest.raises(BROKEN):
                async with connection.transaction():
                    await connection.execute("INSERT INTO t VALUES (1)")
        assert proxy.counts == {loss: 1}
        # What was on its way when the connection broke is dealt with before its backend ends.
        async with asyncio.timeout(10):
            while await direct.fetchval(OTHERS):  # noqa: ASYNC110 - a database tells nobody
                await asyncio.sleep(0.01)
        return await direct.fetchval("SELECT count(*) FROM t")
    finally:
        await direct.close()


async def test_it_passes_on_what_it_gets(proxy: Proxy, database: Database) -> None:
    """Also one byte at a time, and slowly."""
    text = "x" * 100_000
    async with connected(proxy, database) as connection:
        assert await connection.fetchval("SELECT $1::text", text) == text
        proxy.is_bytewise = True
        assert await connection.fetchval("SELECT $1::text", text[:500]) == text[:500]
        proxy.is_bytewise, proxy.is_slow = False, True
        assert await connection.fetchval("SELECT 1") == 1
    assert not proxy.counts


@pytest.mark.parametrize(("loss", "rows"), [(Loss.BEFORE, 0), (Loss.SENT, 1), (Loss.ANSWERED, 1)])
async def test_a_commit_is_lost(proxy: Proxy, database: Database, loss: Loss, rows: int) -> None:
    """Its client cannot tell whether it was made: it was, unless it was never sent."""
    assert await stored(database, loss, proxy) == rows


async def test_connections_are_reset(proxy: Proxy, database: Database) -> None:
    """All that are open break; new ones work."""
    async with connected(proxy, database) as connection:
        await asyncio.to_thread(proxy.reset_all)
        with pytest.raises(BROKEN):
            await connection.fetchval("SELECT 1")
    async with connected(proxy, database) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_connections_are_reset_again_while_they_end(proxy: Proxy, database: Database) -> None:
    """One that is ending already is no trouble."""

    def reset_often() -> None:
        for _ in range(20):
            proxy.reset_all()

    for _ in range(10):
        async with connected(proxy, database):
            await asyncio.to_thread(reset_often)


async def test_one_side_is_closed(proxy: Proxy, database: Database) -> None:
    """The client is told that nothing more will come."""
    async with connected(proxy, database) as connection:
        await asyncio.to_thread(proxy.half_close_all)
        with pytest.raises(BROKEN):
            await connection.fetchval("SELECT 1", timeout=5)


async def test_nothing_goes_through(proxy: Proxy, database: Database) -> None:
    """Nobody is told anything, until what was sent meanwhile is dealt with."""
    async with connected(proxy, database) as connection:
        proxy.is_silent = True
        asked = asyncio.create_task(connection.fetchval("SELECT 7"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(asked), 0.2)
        proxy.is_silent = False
        assert await asked == 7
