"""Bytes on real sockets against the real server, alone and behind a proxy: where a request ends is never in doubt."""

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.faults import framing_campaign, support_haproxy
from tests.faults.framing import SMUGGLED, Case, Parts, exchange, send, sized
from tests.faults.framing_check import failures, smuggled
from tests.faults.framing_table import cases
from tests.faults.support import Key, Service, new_data_dir, serving, until

from customary.server import allow_files

MEBIBYTE = 1024 * 1024


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """A server for all of these tests: what one test sends must not harm the next."""
    with new_data_dir() as directory, serving(directory, "--no-worker") as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def slow_heads(service: Service) -> Iterator[list[Future[tuple[bytes, bool]]]]:
    """Connections that wait for their end while the other tests run, with all that they hear."""
    with ThreadPoolExecutor() as threads:
        heads = [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\nX: "]
        yield [threads.submit(send, service.port, head) for head in heads]


@pytest.fixture(scope="module")
def key(service: Service) -> Key:
    """A key that no rate limit stops."""
    return framing_campaign.unlimited_key(service.data_dir)


@pytest.fixture(scope="module")
def parts(key: Key) -> Parts:
    return Parts(*key.auth)


@pytest.fixture(scope="module")
def client(service: Service, key: Key) -> Iterator[httpx.Client]:
    with service.client(key) as connected:
        yield connected


def test_each_case_comes_to_its_verdict(service: Service, parts: Parts, client: httpx.Client) -> None:
    """What is no HTTP is refused and ends the connection; nothing in a body is ever taken for a request."""
    table = cases(parts)
    assert len(table) >= 200
    before = smuggled(client)
    assert failures(service.port, table) == []
    assert smuggled(client) == before
    assert service.is_ready()


@support_haproxy.NEEDED
def test_a_proxy_in_front_changes_no_verdict(service: Service, parts: Parts, client: httpx.Client) -> None:
    """Proxy and server agree on where each request ends, although all clients share the connections between them."""
    with support_haproxy.proxied(service.port) as port:
        before = smuggled(client)
        assert failures(port, cases(parts), is_proxy=True) == []
        # In the one case in which a proxy may send it on as a request of its own it is one.
        split = {f"{SMUGGLED} {number:05d}" for number, case in enumerate(cases(parts)) if case.is_split}
        assert {name for made, name in smuggled(client).items() if made not in before} <= split


def test_what_is_smuggled_would_be_seen(service: Service, parts: Parts, client: httpx.Client) -> None:
    """The same bytes, sent as the request that they are, make a customer whose name the other tests look for."""
    case = Case(name="smuggled", sent=parts.smuggled, statuses=(201,))
    outcome = exchange(service.port, case, 99_999)
    assert [(answer.status, answer.request_id) for answer in outcome.own] == [(201, b"smuggled-99999")]
    assert f"{SMUGGLED} 99999" in smuggled(client).values()


def test_mutations_never_break_the_server(service: Service, key: Key) -> None:
    """A few hundred of the campaign's mutations; `python -m tests.faults.framing_campaign` runs thousands."""
    processes = service.workers()
    seen, found = framing_campaign.campaign(service.port, key, 400, seed=1, is_patient=False)
    assert found == []
    assert len(seen) > 3
    assert service.workers() == processes
    assert service.is_ready()


@pytest.mark.parametrize("size", [MEBIBYTE + 1, 11_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_client_that_sends_too_much_can_read_its_answer(
    service: Service, parts: Parts, size: int, *, is_chunked: bool, is_known: bool
) -> None:
    """It writes to the end before it reads, and finds a whole answer and the end of the connection, and no reset."""
    head = parts.create if is_known else parts.create.replace(parts.authorization, b"")
    piece = b"10000\r\n" + bytes(65_536) + b"\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        if is_chunked:
            connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(size // 65_536 + 2):
                connection.sendall(piece)
            connection.sendall(b"0\r\n\r\n")
        else:
            connection.sendall(sized(head, bytes(size)))
        received = b"".join(iter(lambda: connection.recv(65_536), b""))
    status = 413 if is_known else 401
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\nconnection: close\r\n" in received
    assert received.endswith(b'"}}')


def test_a_body_without_end_is_not_read_for_ever(service: Service, parts: Parts) -> None:
    """A client that goes on sending after its answer is cut off."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(parts.create + b"Transfer-Encoding: chunked\r\n\r\n")
        with pytest.raises(ConnectionError):
            connection.sendall((b"10000\r\n" + bytes(65_536) + b"\r\n") * 2_000)


def test_the_most_that_is_read_is_read_on_every_way(service: Service, parts: Parts) -> None:
    """A customer in a body of exactly 1 MiB."""
    body = parts.honest + b" " * (MEBIBYTE - len(parts.honest))
    whole = Case(name="whole", sent=sized(parts.create, body), statuses=(201,))
    in_chunks = parts.create + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % MEBIBYTE + body + b"\r\n0\r\n\r\n"
    assert failures(service.port, [whole, Case(name="in chunks", sent=in_chunks, statuses=(201,))]) == []


def test_a_head_that_comes_too_slowly_ends_the_connection(slow_heads: list[Future[tuple[bytes, bool]]]) -> None:
    """One that is never complete, and a connection on which nothing is ever said."""
    assert [head.result() for head in slow_heads] == [(b"", False)] * 2


def test_a_worker_holds_more_connections_than_it_may_usually_open_files(service: Service) -> None:
    """1,024 is what most systems allow at first; so many silent clients would keep all others out."""
    allow_files()  # for this process, which has the other ends
    (worker,) = service.workers()
    with contextlib.ExitStack() as stack:
        for _ in range(1_200):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=20))
        until(lambda: len(list(Path(f"/proc/{worker}/fd").iterdir())) > 1_200)
        assert service.is_ready()


def test_the_log_has_nothing_of_what_was_sent(service: Service, parts: Parts) -> None:
    """Neither credentials nor a line that a client made up: a path is logged as the endpoint's, or not at all."""
    forged = b'GET /api/x%0a{"event":"forged"} HTTP/1.1\r\nX-Request-Id: "},{"event":"forged"\r\n'
    send(service.port, forged + parts.authorization + b"Host: x\r\nConnection: close\r\n\r\n")
    credentials = parts.authorization.rpartition(b" ")[2].strip().decode()
    with contextlib.suppress(ConnectionError):
        send(service.port, b"GET /api/x HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + b"QQ" * 50_000 + b"\r\n\r\n")
    assert credentials not in service.error
    assert "QQQQ" not in service.error
    assert "forged" not in service.error
