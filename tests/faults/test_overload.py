"""More requests than can be answered: the rest is refused at once, told when to come again, and costs nothing."""

import asyncio
import time
from collections.abc import MutableMapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.faults.support import data_dir, serving
from tests.faults.support_http import Client, Seen, percentile, unlimited_key
from tests.support import bodies
from tests.support.asgi import basic
from tests.support.clients import Account, client_of, started
from tests.support.cluster import Database

from customary.api import admission
from customary.api.admission import Admission
from customary.api.request_metrics import RequestMetrics
from customary.app import Application
from customary.metrics.process import Metrics

__all__ = ["data_dir"]


@pytest.fixture(autouse=True)
def prompt_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was refused is logged soon."""
    monkeypatch.setattr(admission, "_REPORT_SECONDS", 0.3)


def filled(app: Application) -> ExitStack:
    """Every place taken, until it is closed."""
    taken = ExitStack()
    while not app._admission.is_full:
        taken.enter_context(app._admission)
    return taken


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_one_request_too_many(app: Application, account: Account, method: str) -> None:
    """It is refused as any request that cannot be served now; the next one that finds a place is served."""
    http = account.client.http
    with filled(app), structlog.testing.capture_logs() as logged:
        for version, name in (("2024-01-01", "mine"), ("1999-01-01", "\x01")):
            headers = {"Sequence-Version": version, "X-Request-Id": name}
            answer = await http.request(method, "/customers", json=bodies.newest(), headers=headers)
            assert answer.status_code == 503
            assert answer.json()["error"]["type"] == "unavailable"
            assert "nothing was begun" in answer.json()["error"]["message"]
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["content-type"] == "application/json"
            assert answer.headers["sequence-version"] == (version if version == "2024-01-01" else "2024-07-30")
            assert (answer.headers["x-request-id"] == "mine") is (name == "mine")
            assert len(answer.headers["x-request-id"]) >= 4
        for path, status in (("/healthz", 200), ("/readyz", 200), ("/elsewhere", 404)):
            assert (await http.get(f"http://testserver{path}")).status_code == status
        await asyncio.sleep(admission._REPORT_SECONDS)
    assert {"event": "requests_refused", "count": 2, "log_level": "warning"} in logged
    await account.client.create(bodies.newest())
    assert await account.client.names() == ["Acme"]


async def test_health_needs_no_connection_that_a_request_could_have(database: Database) -> None:
    """While every connection of the pool is in use, the service is as alive and as ready as before.

    A request waits for one for a second, and is then told to come again.
    """
    async with (
        started(database.service_url, pool_size=1) as app,
        client_of(app, None) as client,
        app._running().database.without_tenant(),
    ):
        assert (await client.http.get("http://testserver/healthz")).status_code == 200
        assert (await client.http.get("http://testserver/readyz")).status_code == 200
        began = time.monotonic()
        answer = await client.http.get("/customers", auth=("00000000-0000-0000-0000-000000000001", "of nobody"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert 0.9 < time.monotonic() - began < 5


async def test_a_client_that_does_not_send_takes_no_place(app: Application, account: Account) -> None:
    """However many bodies are on their way, others are served; a body that is there is counted as before."""
    free, asked, arrived = app._admission._free, asyncio.Event(), asyncio.Event()
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        asked.set()
        await arrived.wait()
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"x"), (b"content-type", b"application/json"), (b"content-length", b"2"), basic(account)]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "raw_path": b"/api/customers",
        "path": "/api/customers",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
    }
    slow = asyncio.create_task(app(scope, receive, send))
    await asyncio.wait_for(asked.wait(), 5)
    assert app._admission._free == free
    assert await account.client.names() == []
    arrived.set()
    await slow
    assert sent[0]["status"] == 400
    assert app._admission._free == free


async def test_one_refused_client_that_leaves_takes_no_answer_from_another(app: Application) -> None:
    """Those who are refused within one moment wait for it together; that one of them gives up is his matter alone."""
    answers: list[int] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    refusals = [asyncio.create_task(app._admission.refuse({"method": "GET", "headers": []}, send)) for _ in range(3)]
    await asyncio.sleep(0)
    refusals[1].cancel()
    ends = await asyncio.gather(*refusals, return_exceptions=True)
    assert [type(end) for end in ends] == [type(None), asyncio.CancelledError, type(None)]
    assert answers == [503, 503]


def test_there_is_room_for_a_burst_however_small_the_pool_is() -> None:
    """A hundred retries of one request at one moment are no overload."""
    for pool_size in (1, 10, 100):
        places = Admission(pool_size, RequestMetrics(Metrics()))
        with ExitStack() as taken:
            for _ in range(100):
                assert not places.is_full
                taken.enter_context(places)


async def test_four_times_as_many_clients_as_places(data_dir: Path) -> None:
    """Some are served and the others refused, in time; health answers all the while, and then all is well."""
    count = 4 * admission.LEAST_PLACES
    with serving(data_dir) as service:
        key = await asyncio.to_thread(unlimited_key, data_dir)
        clients = [Client(service.port, key) for _ in range(count)]
        ending = time.monotonic() + 2
        seen: list[Seen] = []
        health: list[Seen] = []

        async def ask(client: Client, path: str, into: list[Seen]) -> None:
            while time.monotonic() < ending:
                into.append(await client.get(path))

        large: list[Seen] = []

        async def send_much(client: Client) -> None:
            while time.monotonic() < ending:
                large.append(await client.post("/api/customers", b" " * 900_000))

        healths = [Client(service.port), Client(service.port)]
        large_ones = [Client(service.port, key), Client(service.port, key)]
        await asyncio.gather(
            *(ask(client, "/api/customers?limit=1", seen) for client in clients),
            ask(healths[0], "/healthz", health),
            ask(healths[1], "/readyz", health),
            *(send_much(client) for client in large_ones),
        )
        assert {each.status for each in large} <= {400, 503}
        assert {each.status for each in health} == {200}
        assert {each.status for each in seen} == {200, 503}
        assert all(each.has_retry_after for each in seen if each.status == 503)
        assert max(each.seconds for each in seen) < 10
        after = [await clients[0].get("/api/customers?limit=1") for _ in range(20)]
        assert {each.status for each in after} == {200}
        assert percentile([each.seconds for each in after], 0.5) < 1
        for client in (*clients, *healths, *large_ones):
            client.close()
