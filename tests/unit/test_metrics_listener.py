"""The port at which metrics are read: one page for whoever reads it, and nothing for anybody else."""

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct
from prometheus_client.openmetrics import parser as openmetrics_parser
from tests.faults.support import free_port, until
from tests.support.measured import Figures

from customary import server
from customary.errors import SetupError
from customary.metrics import listener
from customary.metrics.families import REFUSED
from customary.metrics.listener import offered
from customary.metrics.process import Metrics
from customary.settings import Settings, from_environment

CRLF = "\r\n"


class Offered(Struct, frozen=True):
    """Metrics that are offered at a port."""

    port: int
    path: Path


@pytest.fixture
def metrics() -> Iterator[Offered]:
    """A port where one figure can be read."""
    port = free_port()
    with offered("127.0.0.1", port) as path:
        made = Metrics(path)
        made.counter(REFUSED, "overload").add(5)
        yield Offered(port, path)
        made.close()


def asked(port: int, method: str, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def sent(port: int, given: bytes) -> bytes:
    """Everything that comes back for these bytes, until the other end closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(given)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        while some := connection.recv(65536):
            found += some
        return found


def test_the_page_is_in_the_format_that_was_asked_for(metrics: Offered) -> None:
    """The usual text, and OpenMetrics for those who name it: each is what a parser of it understands."""
    response, body = asked(metrics.port, "GET", "/metrics")
    assert (response.status, response.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert Figures(body.decode()).sum("customary_http_requests_refused_total", reason="overload") == 5
    accept = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    response, body = asked(metrics.port, "GET", "/metrics?of=anything", Accept=accept)
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert body.endswith(b"# EOF\n")
    assert {family.name for family in openmetrics_parser.text_string_to_metric_families(body.decode())} >= {
        "customary_build",
        "customary_http_requests_refused",
    }


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "application/openmetrics-text;version=99\x0b;a=\xff"])
def test_whatever_is_accepted_there_is_a_page(metrics: Offered, accept: str) -> None:
    response, body = asked(metrics.port, "GET", "/metrics", Accept=accept)
    assert response.status == 200
    assert b"customary_build_info" in body
    assert "99" not in response.headers["content-type"]


def test_head_is_the_same_without_the_page(metrics: Offered) -> None:
    response, body = asked(metrics.port, "HEAD", "/metrics")
    whole, page = asked(metrics.port, "GET", "/metrics")
    assert (response.status, body) == (200, b"")
    assert response.headers.items() == whole.headers.items()
    assert int(response.headers["content-length"]) == len(page)


@pytest.mark.parametrize("path", ["/", "/api/customers", "/metrics/", "/healthz", "/docs", "/%6detrics"])
def test_nothing_else_is_there(metrics: Offered, path: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        response, _ = asked(metrics.port, method, path)
        assert response.status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
def test_it_can_only_be_read(metrics: Offered, method: str) -> None:
    response, _ = asked(metrics.port, method, "/metrics")
    assert (response.status, response.headers["allow"]) == (405, "GET, HEAD")


def test_what_is_no_request_is_refused_and_what_is_none_yet_gets_nothing(metrics: Offered) -> None:
    for given in (
        "GET /metrics",
        "GET /metrics HTTP/2.0",
        "GET  /metrics HTTP/1.1",
        "\x16\x03\x01",
        "GET /\n HTTP/1.1",
    ):
        assert sent(metrics.port, f"{given}{CRLF}{CRLF}".encode()).startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert sent(metrics.port, b"GET /metrics HTTP/1.1\r\n") == b""
    assert sent(metrics.port, b"") == b""
    assert asked(metrics.port, "GET", "/metrics")[0].status == 200


def test_a_head_without_an_end_is_cut_off(metrics: Offered) -> None:
    """As soon as it is too large, and not when its time is over."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", metrics.port), timeout=10) as connection:
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                connection.sendall(b"x: " + b"y" * 1000 + b"\r\n")
        with contextlib.suppress(ConnectionError):
            assert connection.recv(1) == b""
    assert time.monotonic() - began < listener._LONGEST_EXCHANGE_SECONDS / 2


def test_who_says_nothing_is_cut_off_and_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_LONGEST_EXCHANGE_SECONDS", 0.3)
    port = free_port()
    with offered("127.0.0.1", port):
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
            silent.sendall(b"GET /metr")
            assert asked(port, "GET", "/metrics")[0].status == 200
            with contextlib.suppress(ConnectionResetError):
                assert silent.recv(1) == b""
        assert 0.25 < time.monotonic() - began < 5


def test_more_readers_than_there_is_room_for_are_turned_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_MOST_READERS", 2)
    port = free_port()
    with offered("127.0.0.1", port):
        silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(2)]
        until(lambda: _is_turned_away(port))
        for each in silent:
            each.close()
        until(lambda: not _is_turned_away(port))


def _is_turned_away(port: int) -> bool:
    try:
        return asked(port, "GET", "/metrics")[0].status != 200
    except (ConnectionError, http.client.HTTPException):
        return True


def test_a_port_that_is_taken_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_PORT_WAIT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=rf"127\.0\.0\.1, port {port}: Address already in use.*--metrics-port"):
            offered("127.0.0.1", port).__enter__()


def test_a_port_that_is_about_to_be_free_is_waited_for() -> None:
    """As that of a server which is started anew at once."""
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    threading.Timer(0.2, taken.close).start()
    with offered("127.0.0.1", port):
        assert asked(port, "GET", "/metrics")[0].status == 200


@pytest.mark.parametrize("host", ["no-such-host.invalid", "192.0.2.1"])
def test_an_address_that_is_not_of_this_machine_is_refused(host: str) -> None:
    with pytest.raises(SetupError, match=rf"at {host}, port 9464: .*--metrics-host"):
        offered(host, 9464).__enter__()


def test_nothing_is_left_of_it() -> None:
    port = free_port()
    with offered("localhost", port) as path:
        assert path.exists()
        assert asked(port, "GET", "/metrics")[0].status == 200
    assert not path.exists()
    with pytest.raises(ConnectionRefusedError):
        asked(port, "GET", "/metrics")


def test_without_a_port_it_is_measured_all_the_same() -> None:
    with offered("127.0.0.1", None) as path:
        made = Metrics(path)
        made.counter(REFUSED, "overload").add()
        made.close()
        assert path.exists()
    assert not path.exists()


def test_a_server_says_which_port_it_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_PORT_WAIT_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SetupError, match=f"port {port}: Address already in use"):
            server.metered(Settings(metrics_port=port)).__enter__()
    with pytest.raises(SetupError, match="The port 8000 is that of the API"):
        server.metered(Settings(metrics_port=8000)).__enter__()
    with pytest.raises(SetupError, match="CUSTOMARY_METRICS_PORT is 'none'"):
        from_environment({"CUSTOMARY_METRICS_PORT": "none"})
