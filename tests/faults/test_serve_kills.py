"""`customary serve` under kill -9 and without its database: what was answered stays, and nobody waits for long."""

import asyncio
import contextlib
import json
import os
import resource
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
from msgspec import Struct
from tests.faults.support import (
    Service,
    data_dir,
    database_processes,
    free_port,
    postmaster,
    postmaster_now,
    serving,
    until,
)
from tests.faults.support_database import until as soon
from tests.faults.support_http import Client, Seen
from tests.support import bodies

from customary.storage import embedded

__all__ = ["data_dir"]

LONGEST_SECONDS = 10


class Answer(Struct, frozen=True):
    """What a request got, and when it was sent and answered."""

    status: int
    body: Any
    retry_after: str | None
    sent_at: float
    seconds: float


def create(client: httpx.Client, name: str) -> Answer:
    sent_at = time.monotonic()
    response = client.post("/customers", json=bodies.newest(legalName=name))
    return Answer(
        response.status_code,
        response.json(),
        response.headers.get("retry-after"),
        sent_at,
        time.monotonic() - sent_at,
    )


def names(client: httpx.Client) -> set[str]:
    """The legal names of all customers, which fit on one page here."""
    page = client.get("/customers", params={"limit": 100}).json()
    assert page["pagination"]["totalResultSize"] == len(page["items"])
    return {item["legalName"] for item in page["items"]}


@contextmanager
def creating(service: Service, count: int = 4) -> Generator[list[Answer]]:
    """Clients that create customers one after another, until the block ends; all their answers so far."""
    answers: list[Answer] = []
    ending = threading.Event()

    def work(number: int) -> None:
        with service.client() as client:
            made = 0
            while not ending.is_set():
                made += 1
                answers.append(create(client, f"customer {made} of {number}"))
                ending.wait(0.02)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ending.set()
        for thread in threads:
            thread.join(30)


def test_kill_and_start_five_times(data_dir: Path) -> None:
    """A server that was killed starts again on the same port at once, every time, and no customer is lost."""
    port, key = free_port(), None
    for number in range(5):
        with serving(data_dir, "--workers", "2", port=port) as service:
            key = key or service.key
            with service.client(key) as client:
                assert create(client, f"customer {number}").status == 201
            service.kill()
            until(lambda service=service: not service.workers_left(), 5)
            until(lambda: not database_processes(data_dir), 10)
    with serving(data_dir, port=port) as service, service.client(key) as client:
        assert names(client) == {f"customer {number}" for number in range(5)}


def test_a_killed_worker_is_replaced(data_dir: Path) -> None:
    """One of two processes dies: requests are answered within seconds, by two processes again."""
    with serving(data_dir, "--workers", "2") as service:
        before = service.workers()
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        until(lambda: len(service.workers() - {victim}) == 2, 5)
        assert before - {victim} < service.workers()
        until(lambda: all(service.is_ready() for _ in range(20)), 5)
        with service.client() as client:
            assert create(client, "after").status == 201
        assert service.signal(signal.SIGTERM) == 0


def test_of_a_killed_worker_only_what_it_had_is_lost(data_dir: Path) -> None:
    """Each client can lose the one request that the killed process was answering; the next one finds the other.

    While the kernel clears a process away its port still takes connections, and breaks them off: that is no other one.
    """
    with serving(data_dir, "--workers", "2") as service:
        victim = min(service.workers())
        seen = asyncio.run(asking_while(service, lambda: os.kill(victim, signal.SIGKILL), lambda: is_over(victim)))
        assert max(Counter(client for client, each in seen if each.status != 200).values(), default=0) <= 1
        assert len(seen) > 20 * CLIENTS


CLIENTS = 8


async def asking_while(
    service: Service, event: Callable[[], None], is_over: Callable[[], bool] = lambda: True
) -> list[tuple[int, Seen]]:
    """What so many clients see who ask one thing after another, before the event and after it.

    One that got no answer asks again when the event is over.
    """
    seen: list[tuple[int, Seen]] = []
    clients = [Client(service.port, service.key) for _ in range(CLIENTS)]

    async def ask(number: int, client: Client) -> None:
        for _ in range(60):
            each = await client.get("/api/customers?limit=1")
            seen.append((number, each))
            if each.status != 200:
                await soon(lambda: is_true(is_over()))
        client.close()

    tasks = [asyncio.create_task(ask(number, client)) for number, client in enumerate(clients)]
    await soon(lambda: is_true(len(seen) >= 10 * CLIENTS))
    event()
    await asyncio.gather(*tasks)
    return seen


def is_over(process: int) -> bool:
    """Whether a killed process has let go of everything that it had, as the last of its threads does."""
    place = Path(f"/proc/{process}")
    try:
        state = place.joinpath("stat").read_text(encoding="utf-8").rpartition(") ")[2]
        return state.startswith("Z") and len(list(place.joinpath("task").iterdir())) == 1
    except (FileNotFoundError, ProcessLookupError):
        return True


async def is_true(found: object) -> bool:
    return bool(found)


def test_a_stop_lets_everybody_have_an_answer(data_dir: Path) -> None:
    """Requests that are on their way are answered, whatever they wait for; connections without any do not count."""
    with serving(data_dir, "--workers", "2") as service:
        with embedded.running(data_dir) as addresses:
            url = addresses.owner_url
        answers = asyncio.run(stopped(service, url))
        assert [each.status for each in answers] == [201] * CLIENTS
        assert service.process.wait(LONGEST_SECONDS) == 0
        assert not [line for line in service.log() if line["level"] != "info"]


async def stopped(service: Service, url: str) -> list[Seen]:
    """What clients are answered who wait for a lock while the service is told to stop."""
    idle = [Client(service.port, service.key) for _ in range(20)]
    for client in idle:
        assert (await client.get("/api/customers?limit=1")).status == 200
    blocking = await asyncpg.connect(url)
    body = json.dumps(bodies.newest()).encode()
    clients = [Client(service.port, service.key) for _ in range(CLIENTS)]
    async with blocking.transaction():
        await blocking.execute("LOCK TABLE customary.customers")
        asked = [asyncio.create_task(client.post("/api/customers", body)) for client in clients]
        waiting = "SELECT count(*) = $1 FROM pg_locks WHERE relation = 'customary.customers'::regclass AND NOT granted"
        await soon(lambda: blocking.fetchval(waiting, CLIENTS))
        service.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(until, lambda: service.status("/healthz") is None)  # nobody is let in any more
    answers = await asyncio.gather(*asked)
    await blocking.close()
    for client in (*idle, *clients):
        client.close()
    return answers


def test_a_process_without_memory(data_dir: Path) -> None:
    """What does not fit is to be sent again; the process goes on, or dies of it and another takes its place."""
    with serving(data_dir) as service:
        (victim,) = service.workers()
        used = int(Path(f"/proc/{victim}/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
        resource.prlimit(victim, resource.RLIMIT_AS, (used, resource.RLIM_INFINITY))
        found: Counter[int | None] = Counter()

        def is_noticed() -> bool:
            try:
                with service.client() as client:
                    found[client.post("/customers", content=LARGE, headers=OF_JSON).status_code] += 1
            except httpx.TransportError:
                found[None] += 1
            return bool(found[503] or found[None])

        until(is_noticed)
        assert set(found) <= {400, 503, None}
        if victim in service.workers():
            resource.prlimit(victim, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        until(service.is_ready)
        with service.client() as client:
            assert create(client, "afterwards").status == 201


OF_JSON = {"Content-Type": "application/json"}
LARGE = b'{"legalName": "' + b"x" * 900_000 + b'"}'


def test_the_database_does_not_answer(data_dir: Path) -> None:
    """A stopped database makes 503 with Retry-After of every request, soon, and all is well when it goes on.

    What was in the middle of being written is no exception. Whatever was answered with 201 is there afterwards, and
    nothing answered with 503 is there twice.
    """
    with serving(data_dir) as service:
        with creating(service) as answers:
            until(lambda: len(answers) >= 20)
            stopped = database_processes(data_dir)
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):  # PostgreSQL has processes that come and go.
                    os.kill(pid, signal.SIGSTOP)
            stopped_at = time.monotonic()
            try:
                until(lambda: service.status("/readyz") == 503)
                assert service.status("/healthz") == 200
                until(lambda: len([each for each in answers if each.sent_at > stopped_at]) >= 8)
            finally:
                for pid in stopped:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
            until(service.is_ready)
            well_at = time.monotonic()
            until(lambda: [each for each in answers if each.sent_at > well_at and each.status == 201])
        check(service, answers)


def test_the_database_is_killed(data_dir: Path) -> None:
    """The database comes back by itself after a kill -9; clients see 503 for a moment and lose nothing."""
    with serving(data_dir) as service:
        with creating(service) as answers:
            until(lambda: len(answers) >= 20)
            pid = postmaster(data_dir)
            os.kill(pid, signal.SIGKILL)
            until(lambda: service.status("/readyz") == 503 or postmaster_now(data_dir) != pid)
            until(service.is_ready)
            well_at = time.monotonic()
            until(lambda: [each for each in answers if each.sent_at > well_at and each.status == 201])
        check(service, answers)


def check(service: Service, answers: list[Answer]) -> None:
    """Whatever went wrong was said in the envelope, within the time that a client waits; what was created is there."""
    assert max(each.seconds for each in answers) < LONGEST_SECONDS
    failed = [each for each in answers if each.status != 201]
    assert failed, "nobody met the failure"
    assert not [line for line in service.log() if line["event"] == "request_failed"]
    for each in failed:
        assert each.status == 503, each
        assert each.body["error"]["type"] == "unavailable"
        assert each.body["error"]["message"]
        assert each.retry_after is not None
        assert int(each.retry_after) > 0
    with service.client() as client:
        for each in answers:
            if each.status == 201:
                assert client.get(f"/customers/{each.body['id']}").status_code == 200
