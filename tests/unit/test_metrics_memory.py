"""What processes measure together: exact whoever dies when, bounded, and never what stops the service."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.support.measured import figures

from customary import __version__
from customary.api.failures import STATUS
from customary.api.request_metrics import METHODS, NONE, OTHER, RequestMetrics
from customary.api.versions import LIVE
from customary.metrics import memory
from customary.metrics.families import ALL, REQUEST_BUCKETS, REQUESTS, Kind
from customary.metrics.families import CONNECTION_WAIT as HISTOGRAM
from customary.metrics.families import JOBS_WAITING as MOST
from customary.metrics.families import PROCESSES as SUM
from customary.metrics.families import REFUSED as COUNTER
from customary.metrics.memory import PLACE_BYTES, PLACES
from customary.metrics.process import Metrics
from customary.operations.delivery_metrics import DeliveryMetrics
from customary.storage.pool_metrics import PoolMetrics


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a server."""
    made = tmp_path / "metrics"
    made.touch()
    os.truncate(made, PLACES * PLACE_BYTES)
    return made


def forked(run: Callable[[], object]) -> int:
    """Run this in another process, which then waits to be killed; returns when it has run."""
    ready, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        _kept = run()
        os.write(done, b"!")
        signal.pause()
    os.close(done)
    assert os.read(ready, 1) == b"!"
    os.close(ready)
    return pid


# What an answer can be: a failure, or what endpoints answer, and what is outside of the API.
STATUSES = sorted({*STATUS.values(), 200, 201, 304, 307})


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_what_all_processes_count_is_added_up(path: Path) -> None:
    first, second = Metrics(path), Metrics(path)
    for metrics, amount in ((first, 2), (second, 3)):
        metrics.counter(COUNTER, "overload").add(amount)
        metrics.counter(COUNTER, "rate_limit").add()
        metrics.histogram(HISTOGRAM, "a").observe(amount)
        metrics.gauge(SUM, "a").add(amount)
        metrics.gauge(MOST).set(amount)
    found = figures(path)
    assert found.all("customary_http_requests_refused_total", reason="overload") == [5]
    assert found.all("customary_http_requests_refused_total", reason="rate_limit") == [2]
    assert found.all("customary_database_connection_wait_seconds_sum") == [5]
    assert found.all("customary_database_connection_wait_seconds_count") == [2]
    assert found.all("customary_processes") == [5]
    assert found.all("customary_jobs_waiting") == [3]
    assert found.all("customary_build_info", version=__version__) == [1]
    first.close()
    second.close()


def test_a_figure_that_is_asked_for_twice_is_one(path: Path) -> None:
    metrics = Metrics(path)
    metrics.counter(COUNTER, "overload").add()
    metrics.counter(COUNTER, "overload").add()
    assert figures(path).all("customary_http_requests_refused_total") == [2]
    metrics.close()


def test_counts_survive_their_processes_and_take_no_more_room(path: Path) -> None:
    """Thirty processes that count and are killed, one after another, need one place; gauges go with them."""

    def count() -> Metrics:
        metrics = Metrics(path)
        counter = metrics.counter(COUNTER, "overload")
        for _ in range(100):
            counter.add()
        metrics.histogram(HISTOGRAM, "a").observe(0.5)
        metrics.gauge(SUM, "a").set(1)
        return metrics

    for number in range(30):
        pid = forked(count)
        try:
            assert figures(path).sum("customary_processes") == 1
        finally:
            kill(pid)
        found = figures(path)
        assert found.sum("customary_processes") == 0
        assert found.sum("customary_http_requests_refused_total") == 100 * (number + 1)
        assert found.sum("customary_database_connection_wait_seconds_count") == number + 1
    assert path.stat().st_blocks * 512 <= PLACE_BYTES + 8192


def test_processes_that_live_have_places_of_their_own(path: Path) -> None:
    def live() -> Metrics:
        metrics = Metrics(path)
        metrics.gauge(SUM, "a").set(1)
        return metrics

    pids = [forked(live) for _ in range(5)]
    try:
        assert figures(path).sum("customary_processes") == 5
        kill(pids.pop(2))
        assert figures(path).sum("customary_processes") == 4
        pids.append(forked(live))
        assert figures(path).sum("customary_processes") == 5
    finally:
        for pid in pids:
            kill(pid)
    assert path.stat().st_blocks * 512 <= 5 * PLACE_BYTES + 8192


def test_a_successor_says_nothing_of_the_moment_that_it_did_not_measure(path: Path) -> None:
    kill(forked(lambda: Metrics(path).gauge(MOST).set(7)))
    successor = Metrics(path)
    assert figures(path).all("customary_jobs_waiting") == []
    successor.gauge(MOST)
    assert figures(path).all("customary_jobs_waiting") == [0]
    successor.close()


def test_a_process_killed_at_any_moment_leaves_what_can_be_read(path: Path) -> None:
    """It makes new figures all the time, so that it dies while it writes one; whoever takes its place goes on."""
    reported = 0
    for number in range(20):
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            metrics = Metrics(path)
            for label in range(10_000):
                metrics.counter(COUNTER, f"{number} {label}").add()
                os.write(theirs, b"!")
        time.sleep(0.002 * number / 20)
        kill(pid)
        os.close(theirs)
        while some := os.read(ours, 65536):
            reported += len(some)
        os.close(ours)
        shared = memory.Memory(path)
        counted = sum(number for _, (number,) in shared.read())
        shared.close()
        assert reported <= counted <= reported + number + 1
    assert reported


def test_what_is_not_known_is_left_out(path: Path) -> None:
    metrics = Metrics(path)
    gauge = metrics.gauge(MOST)
    gauge.set(math.nan)
    assert figures(path).all("customary_jobs_waiting") == []
    gauge.set(2)
    assert figures(path).all("customary_jobs_waiting") == [2]
    metrics.close()


@settings(max_examples=25)
@given(st.lists(st.floats(0, 20, allow_nan=False) | st.sampled_from(HISTOGRAM.buckets), max_size=60))
def test_each_bucket_has_what_is_no_larger_than_its_bound(values: list[float]) -> None:
    metrics = Metrics(path := memory.shared_file())
    try:
        histogram = metrics.histogram(HISTOGRAM, "a")
        for value in values:
            histogram.observe(value)
        found = figures(path)
        for bound in (*HISTOGRAM.buckets, math.inf):
            le = "+Inf" if bound == math.inf else str(bound)
            counted = found.all("customary_database_connection_wait_seconds_bucket", le=le)
            assert counted == [sum(value <= bound for value in values)]
        assert found.sum("customary_database_connection_wait_seconds_sum") == pytest.approx(sum(values))
    finally:
        metrics.close()
        path.unlink()


def test_a_place_that_is_full_costs_figures_and_nothing_else(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PLACE_BYTES", 4096)
    with capture_logs() as logged:
        metrics = Metrics(path)
        for number in range(200):
            metrics.counter(COUNTER, str(number)).add()
            metrics.histogram(HISTOGRAM, str(number)).observe(1)
    assert {each["event"] for each in logged} == {"metrics_place_full"}
    found = figures(path)
    assert 5 < len(found.all("customary_http_requests_refused_total")) < 100
    assert set(found.all("customary_http_requests_refused_total")) == {1}
    metrics.close()


def test_all_that_can_be_measured_has_room(path: Path) -> None:
    """Every endpoint of every version with every status that there is, and every method without one."""
    with capture_logs() as logged:
        metrics = Metrics(path)
        requests = RequestMetrics(metrics)
        PoolMetrics(metrics, "requests")
        DeliveryMetrics(metrics)
        for version in LIVE.values():
            routes = {(each.method, f"/api{each.path}") for each in version.endpoints}
            routes |= {(method, NONE) for method in (*METHODS, OTHER)}
            for method, route in routes:
                for status in STATUSES:
                    requests.answered(method, route, status, version.date, 0.1)
    assert logged == []
    assert sum(REQUESTS.name.encode() + b'"' in key for key in metrics._place._found) == sum(
        len(STATUSES) * (len(version.endpoints) + len(METHODS) + 1) for version in LIVE.values()
    )
    metrics.close()


@pytest.mark.parametrize("size", [None, 0, 4096])
def test_without_a_file_that_can_be_used_the_service_goes_on(tmp_path: Path, size: int | None) -> None:
    broken = tmp_path / "metrics"
    if size is not None:
        broken.write_bytes(bytes(size))
    with capture_logs() as logged:
        Metrics(broken).counter(COUNTER, "overload").add()
    assert [each["event"] for each in logged] == ["metrics_file_not_usable"]


def test_without_memory_the_service_goes_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine has none left for a place, it is said now, and no later write is the end of the process."""

    def no_memory(*_given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", no_memory)
    with capture_logs() as logged:
        Metrics(path).counter(COUNTER, "overload").add()
    assert [each["event"] for each in logged] == ["metrics_file_not_usable"]
    assert figures(path).all("customary_http_requests_refused_total") == []


def test_more_processes_than_places(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "PLACES", 2)
    with capture_logs() as logged:
        made = [Metrics(path) for _ in range(3)]
        for metrics in made:
            metrics.counter(COUNTER, "overload").add()
    assert [each["event"] for each in logged] == ["metrics_file_not_usable"]
    assert figures(path).all("customary_http_requests_refused_total") == [2]
    for metrics in made:
        metrics.close()


def test_a_file_of_a_killed_server_is_removed_by_the_next() -> None:
    """A file whose maker lives is left alone."""
    ours = memory.shared_file()
    pid = forked(memory.shared_file)
    try:
        left = list(ours.parent.glob(f"customary-metrics-{pid}-*"))
        assert len(left) == 1
        memory.shared_file().unlink()
        assert left[0].exists()
        kill(pid)
        memory.shared_file().unlink()
        assert not left[0].exists()
        assert ours.exists()
    finally:
        ours.unlink()


def test_names_follow_the_conventions_and_are_unique() -> None:
    assert len({family.name for family in ALL}) == len(ALL)
    for family in ALL:
        assert family.name.startswith("customary_")
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket", "_info"))
        assert bool(family.buckets) == (family.kind is Kind.HISTOGRAM)
        assert sorted(family.buckets) == list(family.buckets)
        assert family.help.endswith(".")
    assert (REQUEST_BUCKETS[0], REQUEST_BUCKETS[-1]) == (0.001, 10)


def test_a_variable_for_another_way_to_measure_changes_nothing(path: Path, tmp_path: Path) -> None:
    """prometheus-client looks for it when it is imported, and a machine may have it set for other programs."""
    metrics = Metrics(path)
    metrics.counter(COUNTER, "overload").add(3)
    program = (
        "import sys; from pathlib import Path; from customary.metrics.memory import Memory;"
        " from customary.metrics.page import Page; print(Page(Memory(Path(sys.argv[1]))).written('')[1].decode())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "nowhere")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert 'customary_http_requests_refused_total{reason="overload"} 3.0' in printed
    assert not (tmp_path / "nowhere").exists()
    metrics.close()
