"""Clients that send a body slowly, or never to its end: each loses its own connection, and nobody else notices."""

import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Generator
from contextlib import ExitStack, contextmanager

import httpx
import pytest_asyncio
from msgspec import Struct
from tests.faults.framing import HOST, Parts, sized
from tests.faults.support import environment, free_port, until
from tests.support.bodies import newest
from tests.support.clients import new_account, started
from tests.support.cluster import Databases

PAUSE_SECONDS, TOTAL_SECONDS = 0.8, 1.6
CLOSED = re.compile(rb"HTTP/1\.1 408 Request Timeout\r\n.*\r\nconnection: close\r\n.*\"requestTimeout\"", re.DOTALL)


class Place(Struct, frozen=True):
    """A server with little patience, and what its requests are made of."""

    port: int
    parts: Parts
    auth: tuple[str, str]

    def client(self) -> httpx.Client:
        """A client of its API."""
        base = f"http://127.0.0.1:{self.port}/api"
        return httpx.Client(base_url=base, auth=self.auth, timeout=20, trust_env=False)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def place(databases: Databases) -> AsyncIterator[Place]:
    """One for all of these tests."""
    async with databases.fresh() as database, started(database.service_url) as app:
        async with new_account(app, database.owner_url, "slow") as account:
            key = str(account.client_id), account.secret
        with serving(database.service_url) as port:
            yield Place(port, Parts(*key), key)


@contextmanager
def serving(database_url: str) -> Generator[int]:
    """The port on which a process with little patience answers for this database."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.impatient_server", str(port), str(PAUSE_SECONDS), str(TOTAL_SECONDS)],
        env=environment({"CUSTOMARY_DATABASE_URL": database_url}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        until(lambda: process.poll() is not None or _answers(port))
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def sending(port: int, sent: bytes) -> Generator[socket.socket]:
    """A connection on which these bytes were sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        yield connection


def to_its_end(connection: socket.socket) -> bytes:
    """All that comes on a connection until the server ends it."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def cut(request: bytes) -> bytes:
    """A request but for the last bytes of its body."""
    return request[:-5]


def test_a_body_that_stops_is_answered_408_and_its_connection_ended(place: Place) -> None:
    """Whether its length was announced or not, and whether any of it came."""
    create = place.parts.create
    in_chunks = create + b"Transfer-Encoding: chunked\r\n\r\n"
    with ExitStack() as stack:
        connections = [
            stack.enter_context(sending(place.port, sent))
            for sent in (
                cut(sized(create, place.parts.honest)),
                create + b"Content-Length: 100\r\n\r\n",
                in_chunks,
                in_chunks + b"2\r\n{}\r\n",
            )
        ]
        for connection in connections:
            assert CLOSED.match(to_its_end(connection))


def test_a_byte_now_and_then_keeps_no_connection_open(place: Place) -> None:
    """No pause is too long, and all of them together are."""
    with sending(place.port, place.parts.create + b"Content-Length: 1000\r\n\r\n") as connection:
        connection.settimeout(PAUSE_SECONDS / 8)
        pauses, received = 0, b""
        while not received:
            try:
                received = connection.recv(65_536)
            except TimeoutError:
                connection.sendall(b" ")
                pauses += 1
        assert CLOSED.match(received)
        assert pauses > 1
        connection.settimeout(20)
        assert connection.recv(1) == b""


def test_others_are_answered_beside_hundreds_of_slow_ones(place: Place) -> None:
    """Bodies that stop, heads that stop and connections that say nothing take nobody's place."""
    idle = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
    stalled = cut(sized(place.parts.create, place.parts.honest + b" " * 30_000))
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(sending(place.port, idle))
            stack.enter_context(sending(place.port, b"GET /healthz HTTP/1.1\r\nHo"))
        slow = [stack.enter_context(sending(place.port, stalled)) for _ in range(100)]
        client = stack.enter_context(place.client())
        for _ in range(20):
            assert client.post("/customers", json=newest(legalName="quick")).status_code == 201
            assert client.get("/customers").status_code == 200
        assert all(CLOSED.match(to_its_end(connection)) for connection in slow)
    assert "honest" not in names(place)


def test_a_client_that_goes_away_changes_nothing(place: Place) -> None:
    """Not even if what it sent of its body is a whole customer."""
    sent = cut(sized(place.parts.create, place.parts.honest + b" " * 100))
    with sending(place.port, sent) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert to_its_end(connection).startswith(b"HTTP/1.1 400 ")
    with sending(place.port, sent):
        pass
    assert "honest" not in names(place)


def names(place: Place) -> set[str]:
    """The names of all customers."""
    with place.client() as client:
        page = client.get("/customers", params={"limit": 100}).json()
    assert page["pagination"]["totalResultSize"] <= 100
    return {item["legalName"] for item in page["items"]}
