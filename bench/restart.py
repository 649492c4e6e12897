"""What clients notice when the service is stopped, and when one of its processes is killed.

    python -m bench.restart [--rounds 3] [--json]

A real service with two worker processes and its embedded PostgreSQL, and clients that read and write one after
another. It is told to stop while they do, and while there are connections that nobody uses, a head that is never
finished and a body that is never finished: whatever was asked for before has to be answered. Then, in another one, a
worker process is killed: how many requests fail in the second after that, and in the time that follows.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from msgspec import Struct
from tests.faults.support import Key, Service, new_data_dir, serving
from tests.faults.support_http import Client, Seen, ended, unlimited_key
from tests.support import bodies

CLIENTS = 8
IDLE = 50
LONGEST_STOP_SECONDS = 10.0
MOST_ERRORS = 0.01
_BODY = json.dumps(bodies.newest()).encode()
_ONE_IN = 5


class Stop(Struct, frozen=True):
    """What came of telling a service under load to stop: so many requests were on their way, and so many dropped."""

    on_their_way: int
    dropped: int
    seconds: float
    status: int


class Kill(Struct, frozen=True):
    """What came of killing one of two processes: requests and failures in the second after that, and thereafter."""

    requests: int
    errors: int
    later_requests: int
    later_errors: int


async def main() -> int:
    """Measure and print; the exit code says whether every bar was reached."""
    parser = argparse.ArgumentParser(description="What do clients notice of a stop, and of a killed process?")
    parser.add_argument("--rounds", type=int, default=3, help="how many rounds of each")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    stops = [await one_stop() for _ in range(given.rounds)]
    kills = [await one_kill() for _ in range(given.rounds)]
    return report(stops, kills, as_json=given.json)


async def one_stop() -> Stop:
    """A service is told to stop."""
    with new_data_dir() as data_dir, serving(data_dir, "--workers", "2") as service:
        key = unlimited_key(data_dir)
        async with hanging(service, key), asking(service, key) as (seen, asked):
            await asyncio.sleep(1)
            stopped_at = time.monotonic()
            on_their_way = len(asked) - len(seen)
            service.process.send_signal(signal.SIGTERM)
            status = await asyncio.to_thread(service.process.wait, 60)
            seconds = time.monotonic() - stopped_at
        dropped = [each for each in seen if each.status is None and each.at < stopped_at]
        return Stop(on_their_way, len(dropped), seconds, status)


async def one_kill() -> Kill:
    """One of two processes of a service is killed."""
    with new_data_dir() as data_dir, serving(data_dir, "--workers", "2") as service:
        key = unlimited_key(data_dir)
        async with asking(service, key) as (seen, _):
            await asyncio.sleep(1)
            killed_at = time.monotonic()
            os.kill(min(service.workers()), signal.SIGKILL)
            await asyncio.sleep(4)
        first = [
            each for each in seen if killed_at - 10 < each.at < killed_at + 1 and each.at + each.seconds > killed_at
        ]
        later = [each for each in seen if each.at >= killed_at + 1]
        return Kill(len(first), sum(map(failed, first)), len(later), sum(map(failed, later)))


def failed(seen: Seen) -> bool:
    """Whether this one would have to be tried again."""
    return seen.status not in {200, 201}


@asynccontextmanager
async def asking(service: Service, key: Key) -> AsyncGenerator[tuple[list[Seen], list[float]]]:
    """Clients that read, and write now and then. Yields what they saw, and when each request of theirs was begun."""
    seen: list[Seen] = []
    asked: list[float] = []

    async def ask(client: Client) -> None:
        while True:
            asked.append(time.monotonic())
            is_write = len(asked) % _ONE_IN == 0
            answer = await (client.post("/api/customers", _BODY) if is_write else client.get("/api/customers?limit=1"))
            seen.append(answer)
            if answer.status is None:
                await asyncio.sleep(0.02)

    clients = [Client(service.port, key) for _ in range(CLIENTS)]
    tasks = [asyncio.create_task(ask(client)) for client in clients]
    try:
        yield seen, asked
    finally:
        await ended(tasks)
        for client in clients:
            client.close()


@asynccontextmanager
async def hanging(service: Service, key: Key) -> AsyncGenerator[None]:
    """Connections that are kept and not used, one with the half of a head, and one with the half of a body."""
    idle = [Client(service.port, key) for _ in range(IDLE)]
    for client in idle:
        await client.get("/api/customers?limit=1")
    credentials = base64.b64encode(f"{key.client_id}:{key.secret}".encode()).decode()
    head = f"POST /api/customers HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\n"
    whole = f"{head}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{"
    writers: list[asyncio.StreamWriter] = []
    for text in (head, whole):
        _, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(text.encode())
        writers.append(writer)
    try:
        yield
    finally:
        for each in (*idle, *writers):
            with contextlib.suppress(OSError):
                each.close()


def report(stops: list[Stop], kills: list[Kill], *, as_json: bool) -> int:
    """Print what was found; 0 if every bar was reached in every round."""
    shares = [kill.errors / kill.requests for kill in kills]
    values: dict[str, object] = {
        "stopped, times": len(stops),
        "requests on their way then": sum(stop.on_their_way for stop in stops),
        "of these dropped": sum(stop.dropped for stop in stops),
        "longest stop, seconds": round(max(stop.seconds for stop in stops), 2),
        "exit statuses": sorted({stop.status for stop in stops}),
        "processes killed": len(kills),
        "requests in the second after that": [kill.requests for kill in kills],
        "of these failed": [kill.errors for kill in kills],
        "highest share of failures": round(max(shares), 5),
        "requests after that": sum(kill.later_requests for kill in kills),
        "of these failed later": sum(kill.later_errors for kill in kills),
    }
    is_good = (
        all(stop.dropped == 0 and stop.seconds <= LONGEST_STOP_SECONDS and stop.status == 0 for stop in stops)
        and max(shares) <= MOST_ERRORS
        and not any(kill.later_errors for kill in kills)
    )
    values["passed"] = is_good
    if as_json:
        sys.stdout.write(json.dumps(values, indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(f"{name:34} {value}" for name, value in values.items()) + "\n")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
