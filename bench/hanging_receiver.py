"""Does one receiver that never answers slow down the others?

    python -m bench.hanging_receiver [--rounds 7] [--seconds 12] [--rate 60] [--json]

Fifty accounts with a receiver each that answers at once, and one more account whose receiver hangs in every other
round and answers in the rounds between. The same changes are made in all rounds, at an even rate; what is compared is
how long after the answer to a write its webhook arrives at the fifty. A real PostgreSQL, a real worker process.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager

import structlog
from msgspec import Struct
from tests.support import cluster as clusters
from tests.support import keys as secret_keys
from tests.support.bodies import newest
from tests.support.clients import Account, new_account, owner_connection, started, success
from tests.support.cluster import Database, Databases

from customary.domain.delivery import MOST_IN_FLIGHT

GOOD = 50
MOST_RATIO = 1.1
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_SETTLE_SECONDS = 20.0


class Arrivals(Struct):
    """When the webhook of each customer arrived, whether the one receiver hangs now, and how often it did."""

    at: dict[str, float]
    is_hanging: bool = False
    hung: int = 0


async def main() -> int:
    """Measure and print; the exit code says whether the others stayed within the bar."""
    parser = argparse.ArgumentParser(description="One receiver hangs: are the others slowed down?")
    parser.add_argument("--rounds", type=int, default=7, help="how many rounds of each kind")
    parser.add_argument("--seconds", type=float, default=12.0, help="how long a round is")
    parser.add_argument("--rate", type=float, default=60.0, help="changes a second, over all accounts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    found: dict[bool, list[list[float]]] = {False: [], True: []}
    with clusters.running() as cluster:
        async with Databases.of(cluster) as databases, databases.fresh() as database, world(database) as measured:
            accounts, arrivals = measured
            await one_round(accounts, arrivals, seconds=3, rate=given.rate, is_hanging=False)
            for number in range(2 * given.rounds):
                is_hanging = bool(number % 2)
                await begin_anew(database)
                arrivals.hung = 0
                seen = await one_round(
                    accounts, arrivals, seconds=given.seconds, rate=given.rate, is_hanging=is_hanging
                )
                if is_hanging and arrivals.hung < MOST_IN_FLIGHT:
                    message = f"The receiver was to hold up {MOST_IN_FLIGHT} deliveries and had {arrivals.hung}."
                    raise SystemExit(message)
                found[is_hanging].append(seen)
                if not given.json:
                    name = "hanging" if is_hanging else "none hangs"
                    sys.stdout.write(f"round {number + 1:2}, {name:10}: {summary(seen)}\n")
                    sys.stdout.flush()
    return report(found, as_json=given.json)


def report(found: dict[bool, list[list[float]]], *, as_json: bool) -> int:
    """Print what was found; 0 if it is within the bar."""
    pooled = {kind: [each for seen in rounds for each in seen] for kind, rounds in found.items()}
    ratio = percentile(pooled[True], 99) / percentile(pooled[False], 99)
    by_round = [percentile(a, 99) / percentile(b, 99) for a, b in zip(found[True], found[False], strict=True)]
    result = {
        "deliveries": {"noneHangs": len(pooled[False]), "oneHangs": len(pooled[True])},
        "p99Milliseconds": {
            "noneHangs": round(percentile(pooled[False], 99) * 1000, 1),
            "oneHangs": round(percentile(pooled[True], 99) * 1000, 1),
        },
        "ratioOfAll": round(ratio, 3),
        "medianRatioOfRounds": round(statistics.median(by_round), 3),
    }
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.write(f"none hangs: {summary(pooled[False])}\none hangs:  {summary(pooled[True])}\n")
        sys.stdout.write(f"p99 with one hanging, over p99 without: {ratio:.3f} of all deliveries,")
        sys.stdout.write(f" {statistics.median(by_round):.3f} in the median of the rounds (bar: {MOST_RATIO})\n")
    return 0 if min(ratio, statistics.median(by_round)) <= MOST_RATIO else 1


@asynccontextmanager
async def world(database: Database) -> AsyncGenerator[tuple[list[Account], Arrivals]]:
    """The accounts, each with a policy, the last one's receiver being the one that can hang; and a worker."""
    arrivals = Arrivals(at={})
    async with contextlib.AsyncExitStack() as stack:
        app = await stack.enter_async_context(started(database.service_url))
        server = await asyncio.start_server(lambda r, w: receive(arrivals, r, w), "127.0.0.1", 0)
        stack.push_async_callback(_close, server)
        port = server.sockets[0].getsockname()[1]
        accounts = [
            await stack.enter_async_context(new_account(app, database.owner_url, f"account {number}"))
            for number in range(GOOD + 1)
        ]
        for number, account in enumerate(accounts):
            path = "last" if number == GOOD else "good"
            policy = {"name": path, "channel": "WEBHOOK", "recipients": [f"http://127.0.0.1:{port}/{path}"]}
            success(await account.client.post("/notifications/policies", json=policy), 201)
        stack.enter_context(worker(database))
        yield accounts, arrivals


@contextlib.contextmanager
def worker(database: Database) -> Generator[None]:
    """A worker process on this database."""
    environment = {
        **os.environ,
        "CUSTOMARY_DATABASE_URL": database.service_url,
        "CUSTOMARY_SECRET_KEYS": secret_keys.TEXT,
        "CUSTOMARY_WEBHOOK_ALLOW": "127.0.0.0/8",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "customary.cli", "worker"], env=environment, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


async def begin_anew(database: Database) -> None:
    """Forget that the last receiver hung: it is not paused, and nothing waits for it."""
    async with owner_connection(database.owner_url) as owner:
        await owner.execute("UPDATE jobs SET state = 'CANCELLED', finished_at = now() WHERE finished_at IS NULL")
        await owner.execute("UPDATE endpoints SET state = 'ACTIVE', failures = 0, failing_since = NULL")
        await owner.execute("UPDATE lanes SET opens_at = now(), most_in_flight = $1", MOST_IN_FLIGHT)


async def _close(server: asyncio.Server) -> None:
    server.close()


async def receive(arrivals: Arrivals, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Note when a webhook arrives, and answer; the last one not, while it hangs."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        now = time.monotonic()
        if head.startswith(b"POST /last ") and arrivals.is_hanging:
            arrivals.hung += 1
            await reader.read()  # until the other side has had enough
            return
        arrivals.at[json.loads(body)["resourceId"]] = now
        writer.write(_ANSWER)
        await writer.drain()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


async def one_round(
    accounts: list[Account], arrivals: Arrivals, *, seconds: float, rate: float, is_hanging: bool
) -> list[float]:
    """Make changes at an even rate; for each of the fifty's, how long after its answer the webhook arrived."""
    arrivals.is_hanging = is_hanging
    written: dict[str, float] = {}

    async def write(account: Account) -> None:
        made = await account.client.create(newest())
        if account is not accounts[-1]:
            written[made["id"]] = time.monotonic()

    started_at = time.monotonic()
    tasks: list[asyncio.Task[None]] = []
    for number in range(int(seconds * rate)):
        await asyncio.sleep(max(0.0, started_at + number / rate - time.monotonic()))
        tasks.append(asyncio.create_task(write(accounts[number % len(accounts)])))
    await asyncio.gather(*tasks)
    deadline = time.monotonic() + _SETTLE_SECONDS
    while not written.keys() <= arrivals.at.keys():
        if time.monotonic() > deadline:
            missing = len(written.keys() - arrivals.at.keys())
            message = f"{missing} of {len(written)} webhooks did not arrive within {_SETTLE_SECONDS:.0f} s."
            raise SystemExit(message)
        await asyncio.sleep(0.05)
    arrivals.is_hanging = False
    return [arrivals.at[customer_id] - at for customer_id, at in written.items()]


def percentile(values: list[float], percent: int) -> float:
    """The value that so many of a hundred are below."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def summary(values: list[float]) -> str:
    """The usual percentiles, for people."""
    parts = (f"p{percent} {percentile(values, percent) * 1000:6.1f} ms" for percent in (50, 90, 99))
    return f"{len(values):5} deliveries, " + ", ".join(parts)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
