"""What measuring costs a request, and what a server's processes leave behind when they die.

    python -m bench.metrics [--rounds 5] [--json]

Everything that one answered request leaves in the metrics, over and over in one process, in processor time: as the
service does it, and as prometheus-client's mode for several processes would do it, round after round. Then processes
that measure one request are killed, two hundred of each kind: how much room is taken after that, and how long it takes
to write the page.
"""

import argparse
import importlib
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from bench.findings import Finding, report

MOST_MICROSECONDS = 5.0
DEATHS = 200
_TIMES = 100_000
_MEMORY = Path("/dev/shm")  # noqa: S108 - where a server has its file, too
_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


class Measured(Struct, frozen=True):
    """The time for one request, and after all deaths the files, the room they take, and the time for a page."""

    microseconds: float
    files: int
    bytes: int
    page_milliseconds: float


def ours(directory: Path) -> tuple[Callable[[], None], Callable[[], object]]:
    """What the service does for a request, and for a page."""
    from customary.api.request_metrics import RequestMetrics  # noqa: PLC0415 - each kind in a process of its own
    from customary.metrics import memory  # noqa: PLC0415
    from customary.metrics.page import Page  # noqa: PLC0415
    from customary.metrics.process import Metrics  # noqa: PLC0415
    from customary.storage.pool_metrics import PoolMetrics  # noqa: PLC0415

    path = directory / "metrics"
    if not path.exists():
        path.touch()
        os.truncate(path, memory.PLACES * memory.PLACE_BYTES)
    metrics = Metrics(path)
    requests, pool = RequestMetrics(metrics), PoolMetrics(metrics)

    def one() -> None:
        requests.in_flight.add(1)
        began = time.perf_counter()
        pool.waited(time.perf_counter() - began)
        pool.taken()
        pool.left()
        requests.answered("GET", "/api/customers/{id}", 200, "2024-07-30", time.perf_counter() - began)
        requests.in_flight.add(-1)

    return one, lambda: Page(memory.Memory(path)).written("")


def theirs(_directory: Path) -> tuple[Callable[[], None], Callable[[], object]]:
    """The same figures in prometheus-client's mode for several processes, their labels looked up beforehand."""
    from prometheus_client import (  # noqa: PLC0415
        CollectorRegistry,
        Counter,
        Gauge,
        Histogram,
        generate_latest,
    )
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    from customary.metrics import families  # noqa: PLC0415

    labels = ("GET", "/api/customers/{id}", "200", "2024-07-30")
    known = {
        labels: (
            Counter("requests", "Requests.", families.REQUESTS.labels).labels(*labels),
            Histogram(
                "duration", "Duration.", families.REQUEST_DURATION.labels, buckets=families.REQUEST_BUCKETS
            ).labels(*labels[:2]),
        )
    }
    in_flight = Gauge("in_flight", "In flight.", multiprocess_mode="livesum")
    in_use = Gauge("in_use", "In use.", ("pool",), multiprocess_mode="livesum").labels("requests")
    wait = Histogram("wait", "Wait.", ("pool",), buckets=families.WAIT_BUCKETS).labels("requests")

    def one() -> None:
        in_flight.inc()
        began = time.perf_counter()
        wait.observe(time.perf_counter() - began)
        in_use.inc()
        in_use.dec()
        counter, duration = known[labels]
        counter.inc()
        duration.observe(time.perf_counter() - began)
        in_flight.dec()

    def page() -> bytes:
        registry = CollectorRegistry()
        MultiProcessCollector(registry)
        return generate_latest(registry)

    return one, page


KINDS = {"ours": ours, "theirs": theirs}
# Loaded before anything is forked, which would do so each time.
LOADED = {
    "ours": ("customary.api.request_metrics", "customary.metrics.page", "customary.storage.pool_metrics"),
    "theirs": ("customary.metrics.families", "prometheus_client.multiprocess"),
}


def measure(kind: str, directory: Path) -> Measured:
    """Measure one kind in this process."""
    os.environ[_VARIABLE] = str(directory)  # prometheus-client decides by it when it is imported
    for module in LOADED[kind]:
        importlib.import_module(module)
    for _ in range(DEATHS):
        if (pid := os.fork()) == 0:
            KINDS[kind](directory)[0]()
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
    one, page = KINDS[kind](directory)
    files = list(directory.iterdir())
    room = sum(each.stat().st_blocks * 512 for each in files)
    page_seconds = min(_seconds(page, 1) for _ in range(5))
    return Measured(_seconds(one, _TIMES) / _TIMES * 1e6, len(files), room, page_seconds * 1000)


def in_process_of_its_own(kind: str) -> Measured:
    """Measure one kind where nothing of the other is loaded."""
    directory = tempfile.mkdtemp(prefix="customary-bench-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None)
    try:
        command = [sys.executable, "-m", "bench.metrics", "--kind", kind, "--directory", directory]
        printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603 - ourselves
        return Measured(**json.loads(printed))
    finally:
        shutil.rmtree(directory)


def main() -> int:
    """Measure and print; the exit code says whether the bar was reached."""
    parser = argparse.ArgumentParser(description="What does measuring cost?")
    parser.add_argument("--rounds", type=int, default=5, help="how many of each kind")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.kind:
        found = measure(given.kind, given.directory)
        sys.stdout.write(json.dumps({name: getattr(found, name) for name in found.__struct_fields__}))
        return 0
    rounds = [(in_process_of_its_own("ours"), in_process_of_its_own("theirs")) for _ in range(given.rounds)]
    findings = [*_findings("ours", [each for each, _ in rounds], MOST_MICROSECONDS)]
    findings += _findings("prometheus-client's", [each for _, each in rounds], None)
    if given.json:
        sys.stdout.write(json.dumps({each.name: each.value for each in findings}, indent=2) + "\n")
    else:
        report(findings)
    return 0 if all(each.is_within for each in findings) else 1


def _findings(name: str, found: list[Measured], most: float | None) -> list[Finding]:
    last = found[-1]
    cost = statistics.median(each.microseconds for each in found)
    page = statistics.median(each.page_milliseconds for each in found)
    return [
        Finding(f"{name}: for a request", cost, "us", most=most),
        Finding(f"{name}: files after {DEATHS} deaths", last.files, "files"),
        Finding(f"{name}: their room", last.bytes / 1024, "KiB"),
        Finding(f"{name}: a page after that", page, "ms"),
    ]


def _seconds(do: Callable[[], object], times: int) -> float:
    """The processor time that it takes to do something so often."""
    began = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(times):
        do()
    ended = resource.getrusage(resource.RUSAGE_SELF)
    return ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime


if __name__ == "__main__":
    sys.exit(main())
