"""Metrics of the real service: exact over all of its processes, whichever of them die, and read at their port alone."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from msgspec import Struct
from tests.faults.support import PROGRAM, Service, environment, free_port, new_data_dir, serving, until
from tests.support import bodies, canaries
from tests.support.measured import Figures, files_of

from customary.metrics.memory import Memory

REQUESTS = "customary_http_requests_total"
PROCESSES = "customary_processes"
COUNTED = {"method": "GET", "route": "/api/customers", "status": "200"}


class Measured(Struct, frozen=True):
    """A server that offers its metrics."""

    service: Service
    url: str

    def figures(self) -> Figures:
        """What it says now; whatever it says is searched for personal data."""
        return read(self.url)

    def ask(self, times: int) -> None:
        """Ask over a new connection each time, so that every process gets some."""
        for _ in range(times):
            with self.service.client() as client:
                assert client.get("/customers").status_code == 200


def parts_of(path: Path) -> int:
    """How many processes have counted what this counts."""
    memory = Memory(path)
    try:
        return sum(b'"GET","/api/customers","200"' in key for key, _ in memory.read())
    finally:
        memory.close()


def read(url: str) -> Figures:
    answer = httpx.get(url, trust_env=False, timeout=10)
    assert answer.status_code == 200
    canaries.WATCH.take("a page of metrics", answer.text)
    return Figures(answer.text)


@pytest.fixture(scope="module")
def measured() -> Iterator[Measured]:
    """A server with two processes that answer and one in the background."""
    port = free_port()
    with (
        new_data_dir() as directory,
        serving(directory, "--workers", "2", given={"CUSTOMARY_METRICS_PORT": str(port)}) as service,
    ):
        yield Measured(service, f"http://127.0.0.1:{port}/metrics")
    assert files_of(service.process.pid) == []


def test_it_says_where_they_are(measured: Measured) -> None:
    assert f"Prometheus finds its metrics at {measured.url}\n" in measured.service.output


def test_counts_are_exact_over_all_processes_also_when_some_are_killed(measured: Measured) -> None:
    """Each of the two that answer has its part in it. One is killed five times over, and nothing is lost."""
    service = measured.service
    before = measured.figures().sum(REQUESTS, **COUNTED)
    measured.ask(40)
    assert measured.figures().sum(REQUESTS, **COUNTED) == before + 40
    [file] = files_of(service.process.pid)
    assert parts_of(file) == 2
    for number in range(1, 6):
        victim = min(service.workers())
        os.kill(victim, signal.SIGKILL)
        until(lambda victim=victim: len(service.workers() - {victim}) == 2 and measured.figures().sum(PROCESSES) == 3)
        measured.ask(10)
        found = measured.figures()
        assert found.sum(REQUESTS, **COUNTED) == before + 40 + 10 * number
        duration = "customary_http_request_duration_seconds_count"
        assert found.sum(duration, method="GET", route="/api/customers") == before + 40 + 10 * number
    found = measured.figures()
    assert found.all(PROCESSES, kind="requests") == [2]
    assert found.all("customary_http_requests_in_flight") == [0]
    assert found.all("customary_database_connections_in_use", pool="requests") == [0]
    assert file.stat().st_blocks * 512 < 4.1 * 512 * 1024  # as much as three processes need, and one that overlaps


def test_the_worker_in_the_background_says_what_waits_and_is_missed_when_it_dies(measured: Measured) -> None:
    service = measured.service
    until(lambda: measured.figures().all("customary_jobs_waiting") == [0])
    [victim] = service.background_workers()
    os.kill(victim, signal.SIGSTOP)
    try:
        os.kill(victim, signal.SIGKILL)
        until(lambda: measured.figures().sum(PROCESSES, kind="background") == 0)
    finally:
        until(lambda: service.background_workers() - {victim})
    until(lambda: measured.figures().sum(PROCESSES, kind="background") == 1)
    until(lambda: measured.figures().all("customary_jobs_waiting") == [0])


def test_nothing_else_is_at_that_port_and_no_metrics_at_that_of_the_api(measured: Measured) -> None:
    base = measured.url.removesuffix("/metrics")
    for path in ("/", "/api/customers", "/healthz", "/metrics/more"):
        assert httpx.get(f"{base}{path}", trust_env=False).status_code == 404
    assert httpx.post(measured.url, trust_env=False).status_code == 405
    assert measured.service.status("/metrics") == 404
    with measured.service.client() as client:
        assert client.get("/metrics").status_code == 404


def test_personal_data_in_requests_is_not_in_them(measured: Measured) -> None:
    """`read` lets every page be searched: the test at whose end something was found fails."""
    with measured.service.client() as client:
        assert client.post("/customers", json=bodies.newest()).status_code == 201
        for value in (canaries.EMAIL, canaries.COMPANY, canaries.TELEPHONE):
            client.get(f"/customers/{value}")
            client.get("/customers", params={"email": value})
            client.request(canaries.COMPANY, "/customers")
    assert measured.figures().sum(REQUESTS, method="other") >= 1


def test_a_worker_on_its_own_offers_its_own(measured: Measured) -> None:
    port = free_port()
    options = ("--data-dir", str(measured.service.data_dir), "--metrics-port", str(port))
    worker = subprocess.Popen([*PROGRAM, "worker", *options], env=environment(), stderr=subprocess.DEVNULL)
    try:
        found = until(lambda: _figures_with(port, "customary_jobs_waiting"))
        assert found.all(PROCESSES) == [1]
        assert found.all(PROCESSES, kind="background") == [1]
        assert found.all(REQUESTS) == []
        assert len(files_of(worker.pid)) == 1
        worker.terminate()
        assert worker.wait(20) == 0
        assert files_of(worker.pid) == []
    finally:
        worker.kill()
        worker.wait(10)


def _figures_with(port: int, name: str) -> Figures | None:
    try:
        found = read(f"http://127.0.0.1:{port}/metrics")
    except httpx.TransportError:
        return None
    return found if found.all(name) else None
