"""`customary serve` under kill -9 and without its database: what was answered stays, and nobody waits for long."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from msgspec import Struct
from tests.faults.support import Service, data_dir, database_processes, free_port, postmaster, serving, until
from tests.support import bodies

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
            until(lambda: service.status("/readyz") == 503 or postmaster(data_dir) != pid)
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
