"""How much memory the process that answers requests takes under full load, and whether that grows.

    python -m bench.memory [--minutes 10] [--quick] [--json]

A service with one such process, on a data directory of its own with ten thousand customers, is asked by six generators
at once without a pause: customers in all versions, lists, searches, creates and updates under idempotency keys. Every
ten seconds its memory is read: what Linux counts as resident, for which the bars are, and beside it its share of what
it has in common with others (PSS).

It may have at most 150 MB after a minute. Growth is the middle of the last minute less the middle of the second one,
and may be at most 5 MB. It is not held to nothing: what prepares statements, remembers keys and puts texts together
has a bound of its own that a minute need not reach, Python gives memory back in whole arenas, and the samples of one
minute differ by a megabyte. In ten minutes more than a million requests are answered, so five megabytes are less than
five bytes for each of them: nothing that is kept for a request is that small. Ends with exit code 1 beyond a bar.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct, to_builtins
from tests.faults.support import Service

from bench import dataset, reads, writes
from bench.bars import Bar
from bench.reads import Effort
from bench.site import Site, prepared
from bench.updates import Updates
from bench.wrk import Generator, Load

CUSTOMERS = 10_000
MOST_MEGABYTES = 150.0
MOST_GROWTH_MEGABYTES = 5.0
MINUTES = 10
MINUTE_SECONDS, MINUTE_SECONDS_OF_QUICK = 60.0, 15.0
_SAMPLES_OF_MINUTE = 6
_LEAST_MINUTES = 3
_LARGE = 1_000_000
_PATHS = 1_000
_BODY = (
    '{"legalName":"Doboso {} BV","address":{"line1":"Permustraße 0","town":"Zürich","postcode":"14515","country":"CH"},'
    '"taxStatus":"TAXED","contacts":[{"name":"Ada Lovelace","email":"ada@example.com","billingPreference":"PRIMARY"}]}'
)
_LISTS = (
    *("/api/customers?limit=100", "/api/customers?limit=20", "/api/customers?limit=50&sortBy=legalName"),
    *("/api/customers?q=berlin", "/api/activity-logs?limit=20"),
)


class Sample(Struct, frozen=True):
    """What the process that answers and the one that works in the background had, so long after the load began."""

    seconds: float
    resident: float
    share: float
    background: float


class Found(Struct, frozen=True):
    """All samples, in megabytes, `of_minute` of them in each minute; and how much was answered in a second."""

    samples: Sequence[Sample]
    of_minute: int
    rate: float

    def after_a_minute(self) -> Sample:
        """The first sample that is not of the first minute."""
        return self.samples[self.of_minute]

    def growth(self) -> float:
        """The middle of the last minute less the middle of the second."""
        resident = [sample.resident for sample in self.samples]
        second, last = resident[self.of_minute : 2 * self.of_minute], resident[-self.of_minute :]
        return statistics.median(last) - statistics.median(second)


def bars(_: Site, effort: Effort) -> Iterator[Bar]:
    """After a minute and after ten; with few customers, which is the quick way, after three short minutes."""
    is_quick = effort.size < _LARGE
    found = measure(_LEAST_MINUTES if is_quick else MINUTES, MINUTE_SECONDS_OF_QUICK if is_quick else MINUTE_SECONDS)
    yield from judged(found)


def judged(found: Found) -> Iterator[Bar]:
    """The bars of what was found, in megabytes."""
    at = found.after_a_minute()
    share = f"PSS {at.share:.0f} MB"
    yield Bar(11, "memory under full load, MB", [at.resident], most=MOST_MEGABYTES, base=share, other=_told(at))
    background = f"in the background {found.samples[-1].background:.0f} MB"
    rate = f"{found.rate:,.0f}/s"
    growth = [found.growth()]
    yield Bar(11, f"its growth, MB ({background})", growth, most=MOST_GROWTH_MEGABYTES, base=rate, other=_ends(found))


def _told(sample: Sample) -> str:
    return f"RSS {sample.resident:.0f} MB"


def _ends(found: Found) -> str:
    return f"{found.samples[found.of_minute].resident:.0f} to {found.samples[-1].resident:.0f}"


def measure(minutes: int, minute_seconds: float) -> Found:
    """What the processes of a new service take under load, for so many minutes of so many seconds."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)  # the database's user has to pass when root runs this
        with prepared(Path(directory) / "memory", (CUSTOMERS,)) as site:
            return _under_load(site, minutes, minute_seconds)


def _under_load(site: Site, minutes: int, minute_seconds: float) -> Found:
    seconds, samples = minutes * minute_seconds, list[Sample]()
    generators = _generators(site)
    with ThreadPoolExecutor(len(generators)) as threads:
        began = time.monotonic()
        running = [threads.submit(generator.run, seconds + 1, count) for generator, count in generators]
        for number in range(minutes * _SAMPLES_OF_MINUTE + 1):
            at = number * minute_seconds / _SAMPLES_OF_MINUTE
            _sleep_until(began + at, running)
            samples.append(_sample(site.service, at))
        rate = sum(each.result().rate for each in running)
    return Found(samples, _SAMPLES_OF_MINUTE, rate)


def _sleep_until(moment: float, running: Sequence["Future[Load]"]) -> None:
    """Wait; raises what a generator raised that ended before its time."""
    time.sleep(max(0.0, moment - time.monotonic()))
    for each in running:
        if each.done():
            each.result()


def _generators(site: Site) -> list[tuple[Generator, int]]:
    """What asks, and over how many connections."""
    url, plain = site.service.url, site.headers(CUSTOMERS)
    customers = [f"/api/customers/{customer_id}" for customer_id in dataset.ids_of(CUSTOMERS, _PATHS)]
    words = [dataset.customer_of(CUSTOMERS, number).legal_name.split(" ")[0] for number in range(0, CUSTOMERS, 100)]
    searches = [f"/api/customers?legalName={word}" for word in words if word.isascii()]
    written = [("Content-Type", "application/json"), ("Idempotency-Key", "memory-{}")]
    versions = [
        (Generator(url, customers, site.headers(CUSTOMERS, version)), 6) for version in (reads.NEWEST, *reads.OLDER)
    ]
    return [
        *versions,
        (Generator(url, [*_LISTS, *searches], plain), 6),
        (Generator(url, ["/api/customers"], [*plain, *written], writes.BODY), 4),
        (Updates(url, customers, [*plain, *written], _BODY), 4),
    ]


def _sample(service: Service, seconds: float) -> Sample:
    [worker] = service.workers()
    background = sum(_kilobytes(pid, "status", "VmRSS:") for pid in service.background_workers())
    resident, share = _kilobytes(worker, "status", "VmRSS:"), _kilobytes(worker, "smaps_rollup", "Pss:")
    return Sample(seconds, resident / 1024, share / 1024, background / 1024)


def _kilobytes(pid: int, file: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise LookupError(name)


def main() -> int:
    """Measure and print; 0 if both bars are met."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description="The memory of a busy process.")
    parser.add_argument("--minutes", type=int, default=MINUTES, help="for how long; at least three")
    parser.add_argument("--quick", action="store_true", help="three minutes of fifteen seconds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    minutes = _LEAST_MINUTES if given.quick else max(_LEAST_MINUTES, given.minutes)
    found = measure(minutes, MINUTE_SECONDS_OF_QUICK if given.quick else MINUTE_SECONDS)
    if given.json:
        sys.stdout.write(json.dumps({**to_builtins(found), "growth": found.growth()}, indent=2) + "\n")
    else:
        for sample in found.samples:
            figures = f"RSS {sample.resident:6.1f} MB, PSS {sample.share:6.1f} MB"
            sys.stdout.write(f"{sample.seconds:5.0f} s: {figures}; in the background RSS {sample.background:.1f} MB\n")
        for bar in judged(found):
            sys.stdout.write("  ".join(bar.row()) + "\n")
    return 0 if all(bar.is_met for bar in judged(found)) else 1


if __name__ == "__main__":
    sys.exit(main())
