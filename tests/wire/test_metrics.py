"""What requests and work leave in the metrics: exact counts, and no label that a caller could choose."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from tests.support import bodies, canaries
from tests.support.asgi import basic, send
from tests.support.clients import NEWEST, VERSIONS, Account, client_of, started, success
from tests.support.cluster import Database
from tests.support.measured import Figures, figures
from tests.wire.test_log_lines import HOSTILE
from tests.wire.test_rate_limits import limit

from customary.api.request_metrics import METHODS
from customary.api.versions import LIVE
from customary.app import Application
from customary.domain.delivery import Answer, Outcome
from customary.errors import Unavailable
from customary.metrics import memory
from customary.metrics.process import Metrics
from customary.operations.delivery_metrics import DeliveryMetrics
from customary.operations.queue_metrics import QueueWatch
from customary.storage import database as storage
from customary.storage.pool_metrics import PoolMetrics

REQUESTS = "customary_http_requests_total"
DURATIONS = "customary_http_request_duration_seconds_count"
REFUSED = "customary_http_requests_refused_total"
OPEN, IN_USE = "customary_database_connections_open", "customary_database_connections_in_use"


class Measured:
    """An application of its own, and what it measures."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.metrics = Metrics(path)

    @property
    def figures(self) -> Figures:
        """What it has measured so far."""
        return figures(self._path)


@pytest_asyncio.fixture
async def measured() -> AsyncIterator[Measured]:
    path = memory.shared_file()
    made = Measured(path)
    yield made
    made.metrics.close()
    path.unlink()


@pytest_asyncio.fixture
async def app(database: Database, measured: Measured) -> AsyncIterator[Application]:
    async with started(database.service_url, 2, metrics=measured.metrics) as running:
        yield running


async def test_every_answer_is_counted_once_by_its_route(account: Account, measured: Measured) -> None:
    """Whose customer it is, and which, is in no label."""
    customer = await account.client.create(bodies.newest())
    for _ in range(3):
        success(await account.client.get(f"/customers/{customer['id']}"))
    success(await account.client.get(f"/customers/{customer['id']}", version="2024-01-01"))
    await account.client.get("/customers/01a1fb31-eea0-70a4-beea-1db3e8c1433e")
    await account.client.post("/customers", json={})
    found = measured.figures
    one = {"method": "GET", "route": "/api/customers/{id}"}
    assert found.all(REQUESTS, **one, status="200", version=NEWEST) == [3]
    assert found.all(REQUESTS, **one, status="200", version="2024-01-01") == [1]
    assert found.all(REQUESTS, **one, status="404", version=NEWEST) == [1]
    assert found.all(REQUESTS, method="POST", route="/api/customers", status="201", version=NEWEST) == [1]
    assert found.all(REQUESTS, method="POST", route="/api/customers", status="400", version=NEWEST) == [1]
    assert found.sum(REQUESTS) == 7
    assert found.all(DURATIONS, **one) == [5]
    assert found.sum(DURATIONS) == 7
    assert 0 < found.sum("customary_http_request_duration_seconds_sum") < 7
    assert found.all("customary_http_requests_in_flight") == [0]
    assert str(account.id) not in found.text
    assert account.client_id not in found.text
    assert customer["id"] not in found.text


async def test_what_is_outside_of_the_api_is_counted_too(app: Application, measured: Measured) -> None:
    pages = (b"/api/docs", b"/api/docs/style.css", b"/api/docs/2024-01-01", b"/api/openapi/2024-01-01.json")
    for path in (b"/healthz", b"/readyz", b"/", b"/elsewhere", *pages):
        await send(app, "GET", path)
    found = measured.figures
    routes = ("/healthz", "/readyz", "/", "none", "/api/docs", "/api/openapi")
    counted = {route: found.sum(REQUESTS, route=route, version="none") for route in routes}
    assert counted == {"/healthz": 1, "/readyz": 1, "/": 1, "none": 1, "/api/docs": 3, "/api/openapi": 1}
    assert found.sum(REQUESTS) == found.sum(DURATIONS) == 8


async def test_a_caller_adds_no_series(app: Application, account: Account, measured: Measured) -> None:
    """Whatever is made up for a path, a method, a version or a header falls under what is there already."""

    async def ask(hostile: bytes) -> None:
        text, key = hostile.decode("latin-1"), basic(account)
        for path in (b"/", b"/api/", b"/api/customers/", b"/api/docs/", b"/api/openapi/"):
            await send(app, "GET", path + hostile, headers=[key])
            await send(app, text, path + hostile, headers=[key])
            await send(app, text, path, headers=[key])
        for name in (b"sequence-version", b"x-request-id", b"host", b"user-agent", b"authorization", b"accept"):
            await send(app, "GET", b"/api/customers", headers=[key, (name, hostile)])
        await send(app, "POST", b"/api/customers", headers=[key], chunks=[hostile])

    for hostile in HOSTILE:
        await ask(hostile)
    before = measured.figures
    for number in range(5):
        await ask(b"another %d" % number)
        await ask(b"@%d/../" % number)
    after = measured.figures
    assert after.series() == before.series()
    assert after.sum(REQUESTS) > before.sum(REQUESTS)
    assert after.values("method") <= {*METHODS, "other"}
    assert after.values("version") - {"0.1.0"} <= {*LIVE, "none"}
    templates = {f"/api{endpoint.path}" for version in LIVE.values() for endpoint in version.endpoints}
    assert after.values("route") <= {*templates, "none", "/", "/healthz", "/readyz", "/api/docs", "/api/openapi"}
    assert canaries.leaks("the metrics", after.text) == []


async def test_no_personal_data_is_measured(account: Account, measured: Measured) -> None:
    """Sent in every part of a request, in every version, it is nowhere on the page."""
    customer = await account.client.create(bodies.newest())
    for version in VERSIONS:
        for value in (canaries.EMAIL, canaries.PERSON, canaries.TELEPHONE, canaries.STREET):
            await account.client.get(f"/customers/by-alias/{value}", version=version)
            await account.client.get(f"/customers/{value}", version=version)
            await account.client.get("/customers", version=version, params={"email": value, "legalName": value})
            await account.client.put(f"/customers/{customer['id']}/{value}", version=version, json={"email": value})
    found = measured.figures
    assert found.sum(REQUESTS) > 4 * 4 * 3
    assert canaries.leaks("the metrics", found.text) == []


async def test_what_is_refused_says_why(
    app: Application, database: Database, account: Account, measured: Measured
) -> None:
    await limit(database, 2)
    for _ in range(4):
        await account.client.get("/customers")
    async with client_of(app, (account.client_id, "csk_wrong")) as stranger:
        for _ in range(101):
            await stranger.get("/customers")
    app._admission._free = 0
    async with client_of(app, None) as late:
        answer = await late.http.get("/customers")
    assert answer.status_code == 503
    found = measured.figures
    assert found.all(REFUSED, reason="rate_limit") == [2]
    assert found.all(REFUSED, reason="wrong_secrets") == [1]
    assert found.all(REFUSED, reason="overload") == [1]
    assert found.sum(REQUESTS, status="429") == 3
    assert found.all(REQUESTS, method="GET", route="none", status="503", version=NEWEST) == [1]
    assert found.sum(DURATIONS) == found.sum(REQUESTS) - 1


async def test_requests_and_connections_in_use_are_seen_while_they_are(
    app: Application, account: Account, database: Database, measured: Measured
) -> None:
    """Two requests wait for a row that somebody holds: they, and their connections, are there until it is let go."""
    customer = await account.client.create(bodies.newest())
    owner = await asyncpg.connect(database.owner_url)
    try:
        lock = owner.transaction()
        await lock.start()
        await owner.execute("SELECT FROM customary.customers FOR UPDATE")
        writes = [asyncio.create_task(account.client.archive(customer["id"])) for _ in range(2)]
        await until(lambda: measured.figures.sum(IN_USE) == 2)
        found = measured.figures
        assert found.all("customary_http_requests_in_flight") == [2]
        assert found.all(OPEN, pool="requests") == [2]
        await lock.rollback()
        await asyncio.gather(*writes)
    finally:
        await owner.close()
    found = measured.figures
    assert found.all("customary_http_requests_in_flight") == [0]
    assert found.all(IN_USE, pool="requests") == [0]
    assert found.all(OPEN, pool="requests") == [2]


async def test_connections_that_end_are_not_counted_any_more(
    app: Application, account: Account, database: Database, measured: Measured
) -> None:
    """Whoever ends them: the database, or we, because they are in doubt. None stays in use."""
    await account.client.get("/customers")
    assert measured.figures.sum(OPEN) == 1
    owner = await asyncpg.connect(database.owner_url)
    await owner.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await owner.close()
    await until(lambda: measured.figures.sum(OPEN) == 0)
    await account.client.get("/customers")
    found = measured.figures
    assert (found.sum(OPEN), found.sum(IN_USE)) == (1, 0)
    await app.shutdown()
    await asyncio.sleep(0)
    assert measured.figures.sum(OPEN) == 0


async def test_waiting_for_a_connection_is_measured_also_in_vain(
    database: Database, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "ACQUIRE_TIMEOUT_SECONDS", 0.05)
    pool = PoolMetrics(measured.metrics, "requests")
    opened = await storage.Database.open(database.service_url, pool_size=1, metrics=pool)
    try:
        async with opened.without_tenant():
            with pytest.raises(Unavailable):
                async with opened.without_tenant():
                    pass
            assert measured.figures.sum(IN_USE) == 1
    finally:
        opened.close()
    found = measured.figures
    assert found.sum(IN_USE) == 0
    # The first one was for what every process reads when it starts.
    assert found.all("customary_database_connection_wait_seconds_count", pool="requests") == [3]
    assert found.all("customary_database_connection_wait_seconds_sum", pool="requests")[0] > 0.05


def test_attempts_are_counted_by_channel_and_outcome(measured: Measured) -> None:
    """All combinations are there from the start, so that the first failure is a step from 0 to 1."""
    attempts = DeliveryMetrics(measured.metrics)
    name = "customary_delivery_attempts_total"
    assert len(measured.figures.all(name)) == 3 * len(Outcome)
    assert set(measured.figures.all(name)) == {0}
    attempts.attempted("WEBHOOK", Answer(outcome=Outcome.TIMED_OUT, seconds=15))
    attempts.attempted("WEBHOOK", Answer(outcome=Outcome.DELIVERED, seconds=0.02))
    attempts.attempted("EMAIL", Answer(outcome=Outcome.REJECTED, seconds=0.5))
    found = measured.figures
    assert found.all(name, channel="webhook", outcome="timed_out") == [1]
    assert found.all(name, channel="webhook", outcome="delivered") == [1]
    assert found.all(name, channel="email", outcome="rejected") == [1]
    assert found.sum(name) == 3
    assert found.sum("customary_delivery_attempt_duration_seconds_sum", channel="webhook") == pytest.approx(15.02)
    assert found.sum("customary_delivery_attempt_duration_seconds_count", channel="webhook") == 2


async def test_what_waits_is_looked_up(account: Account, database: Database, measured: Measured) -> None:
    """Work that is due and not begun, of all accounts; and events that an open transaction keeps from readers."""
    policy = {"name": "p", "channel": "EMAIL", "recipients": [canaries.EMAIL]}
    success(await account.client.post("/notifications/policies", version=NEWEST, json=policy), 201)
    seconds = 0.0
    opened = await storage.Database.open(database.service_url, pool_size=1)
    owner = await asyncpg.connect(database.owner_url)
    try:
        watch = QueueWatch(opened, measured.metrics, lambda: seconds)
        assert measured.figures.all("customary_jobs_waiting") == []
        await watch.look()
        assert waits(measured) == (0, 0, 0)
        for _ in range(3):
            await account.client.create(bodies.newest())
        await owner.execute("UPDATE customary.jobs SET due_at = now() - interval '1 minute' WHERE true")
        await owner.execute("UPDATE customary.lanes SET opens_at = now() - interval '1 hour' WHERE true")
        lock = owner.transaction()
        await lock.start()
        await owner.execute("SELECT pg_current_xact_id()")
        await watch.look()
        waiting, oldest, held = waits(measured)
        assert (waiting, held) == (3, 0)
        assert 60 <= oldest < 90
        seconds = 10.0
        await watch.look()
        assert waits(measured)[2] == 0  # nothing came after it that could be missed
        await account.client.create(bodies.newest())
        await watch.look()
        seconds = 50.0
        await watch.look()
        assert waits(measured)[2] == 40
        await lock.rollback()
        await owner.execute("UPDATE customary.lanes SET opens_at = 'infinity' WHERE true")
        await watch.look()
        assert waits(measured) == (4, 0, 0)
    finally:
        await owner.close()
        opened.close()
    await watch.look()
    assert measured.figures.all("customary_jobs_waiting") == []


async def until(condition: Callable[[], bool]) -> None:
    """Poll until this holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what another process does with its memory tells nobody
            await asyncio.sleep(0.01)


def waits(measured: Measured) -> tuple[float, float, float]:
    found = measured.figures
    (waiting,), (oldest,), (held,) = (
        found.all("customary_jobs_waiting"),
        found.all("customary_oldest_due_job_age_seconds"),
        found.all("customary_event_feed_waiting_seconds"),
    )
    return waiting, oldest, held
