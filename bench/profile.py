"""What a read and a create spend their processor time on.

    python -m bench.profile [--seconds 4] [--requests 3000] [--directory build/bench] [--json]

First under load from wrk, with the floor beside it: how much of it each process takes for a request, by what Linux
counts. Then in one process without a network, by cProfile on the clock of processor time: how much of it goes to which
part of the code. A profiler makes calls dearer than what they do, so the second table has shares and no times.
"""

import argparse
import asyncio
import base64
import cProfile
import json
import os
import pstats
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from uuid import UUID

from msgspec import Struct, to_builtins
from rich.console import Console
from rich.table import Table
from tests.support import cluster as clusters
from tests.support.clients import owner_connection
from tests.support.cluster import Databases

from bench import dataset, writes
from bench.site import DIRECTORY, Site, floor, prepared
from bench.wrk import Generator
from customary import logs
from customary.app import Application
from customary.domain.account import Scope
from customary.operations.accounts import create_account
from customary.operations.api_keys import create_key
from customary.storage.secret_keys import new_key, parse

READ, WRITTEN = 1_000, 500
_CUSTOMERS, _CONCURRENCY = 500, 16
_UNLIMITED = 1_000_000_000
_TICK_MICROSECONDS = 1e6 / os.sysconf("SC_CLK_TCK")
# The first that a file's path contains is its part.
_PARTS = {
    "customary/app.py": "the way in: head, body, places, answer",
    "customary/api/intake": "the way in: head, body, places, answer",
    "customary/api/head": "the way in: head, body, places, answer",
    "customary/api/http": "the way in: head, body, places, answer",
    "customary/api/admission": "the way in: head, body, places, answer",
    "customary/api/auth": "key and rate",
    "customary/api/limits": "key and rate",
    "customary/api/client_address": "key and rate",
    "customary/connectors": "key and rate",
    "customary/logs": "log line and metrics",
    "customary/metrics": "log line and metrics",
    "customary/api/request_metrics": "log line and metrics",
    "customary/storage/pool_metrics": "log line and metrics",
    "customary/api/guard": "JSON of the body, and its rules",
    "customary/api/reading": "JSON of the body, and its rules",
    "customary/api/soundness": "JSON of the body, and its rules",
    "customary/api/wire": "translation to and from the version",
    "customary/api/versions": "translation to and from the version",
    "customary/domain": "operation and domain",
    "customary/operations": "operation and domain",
    "customary/storage": "connections, statements and rows",
    "customary/timeouts": "connections, statements and rows",
    "asyncpg": "asyncpg",
    "customary/api": "gate, routing, retries, entity tag",
}
_REST = "Python's own: context managers, tasks, ids, dates, texts"


class Cost(Struct, frozen=True):
    """The processor time of a request in microseconds, by process, and how many were answered a second."""

    work: str
    side: str
    rate: float
    of_process: float
    of_postgresql: float
    of_generator: float


def costs(site: Site, seconds: float) -> Iterator[Cost]:
    """What reads and creates take, of the floor and of the product."""
    paths = [f"/api/customers/{each}" for each in dataset.ids_of(READ, READ)]
    with floor(site, "read", READ) as url:
        yield _cost("read", "floor", Generator(url, paths), seconds)
        yield _cost("read", "product", Generator(site.service.url, paths, site.headers(READ)), seconds)
    common = [("Content-Type", "application/json"), ("Idempotency-Key", "bench-{}")]
    with floor(site, "create", WRITTEN) as url:
        yield _cost("create", "floor", Generator(url, ["/api/customers"], common, writes.BODY), seconds)
        headers = [*site.headers(WRITTEN), *common]
        yield _cost("create", "product", Generator(site.service.url, ["/api/customers"], headers, writes.BODY), seconds)


def _cost(work: str, side: str, generator: Generator, seconds: float) -> Cost:
    generator.run(1.0)
    before, before_generator = _used(), _of_children()
    load = generator.run(seconds)
    after, after_generator = _used(), _of_children()
    used = Counter[str]()
    for process, (kind, ticks) in after.items():
        used[kind] += ticks - before.get(process, (kind, 0))[1]
    wanted = "floor" if side == "floor" else "serve"
    process, database = (used[kind] * _TICK_MICROSECONDS / load.requests for kind in (wanted, "postgres"))
    of_generator = (after_generator - before_generator) * 1e6 / load.requests
    return Cost(work, side, load.rate, process, database, of_generator)


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _used() -> dict[str, tuple[str, int]]:
    """For each process what it is, and the ticks of processor time that it has used."""
    found: dict[str, tuple[str, int]] = {}
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            words = place.joinpath("cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
            name, _, rest = place.joinpath("stat").read_text().rpartition(")")
        except OSError:  # it is gone by now
            continue
        kinds = {"bench.serve_floor": "floor", "customary.cli serve": "serve"}
        kind = next((kind for part, kind in kinds.items() if part in words), name.partition("(")[2])
        fields = rest.split()
        found[place.name] = kind, int(fields[11]) + int(fields[12])
    return found


async def shares(work: str, requests: int) -> Counter[str]:
    """What part of the code takes how much of the processor time of so many reads or creates."""
    with clusters.running() as cluster:
        async with Databases.of(cluster) as databases, databases.fresh() as database:
            keys = parse(new_key())
            async with owner_connection(database.owner_url) as owner:
                account = await create_account(owner, "profile")
                batch = [dataset.customer_of(_CUSTOMERS, number) for number in range(_CUSTOMERS)]
                await dataset.store(owner, account.id, batch)
                scopes = frozenset(Scope)
                key, secret = await create_key(
                    owner, account.id, ring=keys, name="x", scopes=scopes, requests_per_minute=_UNLIMITED
                )
            app = Application(database.service_url, 10, keys=keys)
            await app.startup()
            try:
                credentials = base64.b64encode(f"{key.client_id}:{secret}".encode())
                asked = _asker(app, work, [each.id for each in batch], credentials)
                await _ask(asked, requests // 5)
                profile = cProfile.Profile(time.process_time)
                profile.enable()
                await _ask(asked, requests)
                profile.disable()
            finally:
                await app.shutdown()
    return _by_part(profile)


def _by_part(profile: cProfile.Profile) -> Counter[str]:
    """The own time of each function counts for its file's part; that of a built-in one for its callers'."""
    found = Counter[str]()
    stats: dict[Any, Any] = pstats.Stats(profile).stats  # pyright: ignore[reportAttributeAccessIssue]
    for (file, _, _), (_, _, own, _, callers) in stats.items():
        if file != "~":
            found[_part_of(file)] += own
            continue
        for (caller, _, _), (_, _, its_own, _) in callers.items():
            found[_part_of(caller)] += its_own
    return found


def _part_of(file: str) -> str:
    return next((part for path, part in _PARTS.items() if path in file), _REST)


def _asker(app: Application, work: str, ids: list[UUID], credentials: bytes) -> Callable[[int], Awaitable[None]]:
    common = [(b"host", b"127.0.0.1:8000"), (b"authorization", b"Basic " + credentials)]

    async def ask(number: int) -> None:
        content, headers = b"", list(common)
        path = f"/api/customers/{ids[number % len(ids)]}"
        if work == "create":
            path, content = "/api/customers", writes.BODY.replace("{}", f"{number:x}").encode()
            headers += [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
            headers.append((b"idempotency-key", b"profile-%d" % number))
        answers: list[MutableMapping[str, Any]] = []

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            answers.append(message)

        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST" if work == "create" else "GET",
            "raw_path": path.encode(),
            "path": path,
            "query_string": b"",
            "headers": headers,
            "client": ("127.0.0.1", 40_000),
        }
        await app(scope, receive, send)
        if answers[0]["status"] >= 300:  # noqa: PLR2004 - no success
            raise SystemExit(f"{work}: {answers}")

    return ask


async def _ask(ask: Callable[[int], Awaitable[None]], requests: int) -> None:
    """So many requests, a few of them at a time; each has a number that none had before."""
    numbers = iter(range(requests))
    first = time.monotonic_ns()

    async def worker() -> None:
        for number in numbers:
            await ask(first + number)

    await asyncio.gather(*(worker() for _ in range(_CONCURRENCY)))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description="Where the processor time goes.")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each load takes")
    parser.add_argument("--requests", type=int, default=3_000, help="how many requests are profiled")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the database is kept between runs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    with prepared(given.directory, (READ, WRITTEN)) as site:
        found = list(costs(site, given.seconds))
    with tempfile.TemporaryFile("w") as nowhere:
        logs.configure(nowhere)
        parts = {work: asyncio.run(shares(work, given.requests)) for work in ("read", "create")}
    if given.json:
        told = {"costs": to_builtins(found), "shares": {work: dict(each) for work, each in parts.items()}}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return 0
    _print(found, parts)
    return 0


def _print(found: list[Cost], parts: dict[str, Counter[str]]) -> None:
    table = Table("work", "side", "requests/s", "its process, µs", "PostgreSQL, µs", "wrk, µs")
    for each in found:
        times = (f"{value:.0f}" for value in (each.of_process, each.of_postgresql, each.of_generator))
        table.add_row(each.work, each.side, f"{each.rate:,.0f}", *times)
    console = Console(width=120)
    console.print(table)
    table = Table("part of the process", *(f"of a {work}" for work in parts))
    totals = {work: sum(each.values()) for work, each in parts.items()}
    for part, _ in sum(parts.values(), Counter[str]()).most_common():
        table.add_row(part, *(f"{each[part] / totals[work]:.0%}" for work, each in parts.items()))
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
