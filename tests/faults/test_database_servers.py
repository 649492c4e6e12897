"""A database URL that names several servers: the one that takes changes is used, whichever that is at the time."""

import asyncio
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import structlog
from tests.faults.support import free_port
from tests.faults.support_database import until
from tests.faults.support_postgresql import Server, majors, running

from customary import errors
from customary.errors import SetupError
from customary.operations.work import SERVICE
from customary.server import warn_of_settings
from customary.storage import schema
from customary.storage.database import Database
from customary.storage.readiness import Probe, Readiness

ACCOUNT = UUID(int=1)
# A change, and where it was made.
CHANGE = "CREATE TEMPORARY TABLE IF NOT EXISTS changed ()"
PORT = "SELECT current_setting('port')::int"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server."""
    with running(majors()[-1]) as server:
        yield server


@pytest.fixture(scope="module")
def other() -> Iterator[Server]:
    """Another server, with the same password of the same role."""
    with running(majors()[0]) as server:
        yield server


def naming(url: str, *hosts: str) -> str:
    """The URL with these hosts instead of its own."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}:{parts.password}@{','.join(hosts)}").geturl()


async def read_only(server: Server, *, value: bool) -> None:
    setting = "ALTER SYSTEM SET default_transaction_read_only = " + ("on" if value else "off")
    await server.run(setting, "SELECT pg_reload_conf()")


async def change(database: Database) -> int | None:
    """The port of the server that took a change; None where it was refused."""
    try:
        async with database.transaction(ACCOUNT, SERVICE) as tx:
            await tx.connection.execute(CHANGE)
            return await tx.connection.fetchval(PORT)
    except errors.Unavailable:
        return None


async def read(database: Database) -> int:
    """The port of the server that was read from."""
    async with database.reading(ACCOUNT) as reading:
        return await reading.connection.fetchval(PORT)


async def takes_changes(database: Database, *, wanted: bool) -> bool:
    return (await change(database) is not None) == wanted


async def where(database: Database, count: int = 8) -> set[int | None]:
    """Where as many changes at once as use every connection were made."""
    return set(await asyncio.gather(*(change(database) for _ in range(count))))


async def test_the_part_of_the_primary_goes_to_another_server(server: Server, other: Server) -> None:
    """Changes go on where they are taken, within seconds and without a restart.

    The first that is refused tells all: no connection to the old one is read from any more, which may not know what
    is new.
    """
    urls = [await each.migrated() for each in (server, other)]
    assert len({url.replace(str(each.port), "") for url, each in zip(urls, (server, other), strict=True)}) == 1
    await read_only(other, value=True)
    url = naming(urls[0], f"127.0.0.1:{server.port}", f"127.0.0.1:{other.port}")
    database, probe = await Database.open(url, pool_size=4), Probe(url)
    try:
        for old, new in ((server, other), (other, server)):
            assert await where(database) == {old.port}
            assert await probe.ask() is Readiness.READY
            await read_only(old, value=True)
            await until(lambda: takes_changes(database, wanted=False))
            assert await probe.ask() is Readiness.READ_ONLY
            await read_only(new, value=False)
            began = time.monotonic()
            assert await asyncio.gather(*(read(database) for _ in range(4))) == [new.port] * 4
            await until(lambda: takes_changes(database, wanted=True))
            assert time.monotonic() - began < 3
            assert await where(database) == {new.port}
    finally:
        probe.close()
        database.close()


@pytest.mark.parametrize("behaviour", ["refuses", "is silent"])
async def test_a_server_that_is_gone_holds_nobody_up(server: Server, behaviour: str) -> None:
    """Whether its machine refuses connections or takes them and says nothing, the other is found at once."""
    url = await server.migrated()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if behaviour == "is silent":
            listener.listen()
        gone = f"127.0.0.1:{listener.getsockname()[1] if behaviour == 'is silent' else free_port()}"
        began = time.monotonic()
        database = await Database.open(naming(url, gone, f"127.0.0.1:{server.port}"), pool_size=4)
        try:
            assert await where(database) == {server.port}
            await schema.require_service(naming(url, gone, f"127.0.0.1:{server.port}"))
            assert time.monotonic() - began < 2
        finally:
            database.close()


async def test_a_database_that_takes_no_changes_is_refused_at_the_start(server: Server) -> None:
    """The sentence says what it is, and which URL is wanted."""
    url = await server.migrated()
    await read_only(server, value=True)
    try:
        with pytest.raises(SetupError, match=r"takes no changes: it is a standby, or set to be read-only\. Give"):
            await schema.require_service(url)
    finally:
        await read_only(server, value=False)


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
async def test_a_server_that_endangers_what_is_stored(server: Server, setting: str) -> None:
    """A service that starts on it says so in its log, and what would be right; on a sound one it says nothing."""
    url = await server.migrated()
    with structlog.testing.capture_logs() as logged:
        await warn_of_settings(url)
    assert logged == []
    await server.run(f"ALTER SYSTEM SET {setting} = off", "SELECT pg_reload_conf()")
    try:
        await until(lambda: is_warned(url, setting))
    finally:
        await server.run(f"ALTER SYSTEM RESET {setting}", "SELECT pg_reload_conf()")


async def is_warned(url: str, setting: str) -> bool:
    with structlog.testing.capture_logs() as logged:
        await warn_of_settings(url)
    return [(each["event"], each["kind"], each["found"]) for each in logged] == [
        ("database_endangered", f"setting {setting}", "off")
    ]
