"""A service under load while something happens to it: what everybody was told, when, and whether it was true."""

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import httpx
from msgspec import Struct
from tests.faults.support import Key, Service, until
from tests.support import bodies
from tests.torture.checker import check
from tests.torture.clients import Clients, Shape, Tenant, clients, gathered, new_tenant
from tests.torture.history import History

LONGEST_SECONDS = 10.0
# The clients of a torture, who do everything that an API can do, and one who follows the feed.
SHAPES = (Shape(mixed=3, follows=True),)
_APART_SECONDS = 0.05


class Sample(Struct, frozen=True):
    """One request of the watch and its answer; a status of None is that none came."""

    at: float
    seconds: float
    status: int | None
    retry_after: str | None
    name: str = ""


Samples: TypeAlias = list[Sample]


class Watch:
    """Asks for the same three things again and again: whether the service lives, a list, and one new customer.

    Each has a connection of its own, so that one which waits does not hold up the others.
    """

    def __init__(self, service: Service, key: Key) -> None:
        self.health: Samples = []
        self.reads: Samples = []
        self.writes: Samples = []
        self._service, self._key = service, key
        self._ending = threading.Event()
        asking: tuple[tuple[Samples, Callable[[httpx.Client, str], httpx.Response]], ...] = (
            (self.health, lambda client, _: client.get(f"{service.url}/healthz")),
            (self.reads, lambda client, _: client.get("/customers", params={"limit": 1})),
            (self.writes, lambda client, name: client.post("/customers", json=bodies.newest(legalName=name))),
        )
        self._threads = [threading.Thread(target=self._ask, args=each) for each in asking]
        for thread in self._threads:
            thread.start()

    def _ask(self, samples: Samples, ask: Callable[[httpx.Client, str], httpx.Response]) -> None:
        with self._service.client(self._key) as client:
            while not self._ending.is_set():
                name, at = f"watched {len(samples)}", time.monotonic()
                try:
                    answer = ask(client, name)
                except httpx.TransportError:
                    samples.append(Sample(at, time.monotonic() - at, None, None, name))
                else:
                    retry_after = answer.headers.get("retry-after")
                    samples.append(Sample(at, time.monotonic() - at, answer.status_code, retry_after, name))
                self._ending.wait(_APART_SECONDS)

    def end(self) -> None:
        """Ask nothing more."""
        self._ending.set()
        for thread in self._threads:
            thread.join(30)

    def well_after(self, at: float, timeout_seconds: float = 60) -> float:
        """The seconds from this moment to the end of the first read and the first write after it that succeed."""

        def first(samples: Samples, wanted: int) -> float | None:
            found = next((each for each in list(samples) if each.at >= at and each.status == wanted), None)
            return None if found is None else found.at + found.seconds - at

        until(lambda: first(self.reads, 200) and first(self.writes, 201), timeout_seconds)
        return max(first(self.reads, 200) or 0, first(self.writes, 201) or 0)

    def check_answers(self) -> None:
        """What was asked was answered, in time and as it is to be."""
        assert [each for each in self.health if each.status != 200] == []
        for each in [*self.reads, *self.writes]:
            _check_answer(each.seconds, each.status, has_retry_after=each.retry_after is not None)

    def check_stored(self) -> None:
        """What was acknowledged is there, and nothing is there twice or that nobody asked for."""
        with self._service.client(self._key) as client:
            names = _names(client)
        assert len(names) == len(set(names))
        assert {each.name for each in self.writes if each.status == 201} <= set(names)
        assert set(names) <= {each.name for each in self.writes}


def _names(client: httpx.Client) -> list[str]:
    """The legal names of all customers."""
    names: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = client.get("/customers", params={"limit": 100, **after})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        names += [item["legalName"] for item in page["items"]]
        if not page["pagination"].get("after"):
            return names
        after = {"after": page["pagination"]["after"]}


def _check_answer(seconds: float, status: int | None, *, has_retry_after: bool) -> None:
    """Whoever could not be served was told so in time, and when to come back."""
    assert seconds <= LONGEST_SECONDS, (seconds, status)
    assert status is not None, "no answer"
    assert status < 500 or (status, has_retry_after) == (503, True), (status, has_retry_after)


class Load:
    """What runs while something happens, and what is to be said of it afterwards."""

    def __init__(self, service: Service, tenant: Tenant, watch: Watch, running: Clients) -> None:
        self.watch = watch
        self._service, self._tenant, self._running = service, tenant, running

    def done(self) -> int:
        """How much the clients have done so far."""
        return self._running.done().total()

    def check(self) -> History:
        """Let everybody end, and hold what they were told against what is there. The service has to be well."""
        history = self._running.end()
        self.watch.end()
        self.watch.check_answers()
        self.watch.check_stored()
        for name, answer in history.answers.items():
            seconds = answer.at - history.attempts[name].at
            _check_answer(seconds, answer.status, has_retry_after=answer.has_retry_after)
        assert not [line for line in self._service.log() if line["event"] == "request_failed"]
        found = check(history, gathered(self._tenant, self._service.port))
        assert found.problems == []
        return history


@contextmanager
def loaded(service: Service, owner_url: str, directory: Path, *, seed: int = 1) -> Generator[Load]:
    """The service with clients that work on it, each of two accounts, until `check` or the end of the block."""
    tenant, watched = (asyncio.run(new_tenant(owner_url, name)) for name in ("worked on", "watched"))
    watch = Watch(service, Key(watched.client_id, watched.secret))
    try:
        with clients(tenant.where(service.port), directory, seed=seed, shapes=SHAPES) as running:
            load = Load(service, tenant, watch, running)
            until(lambda: load.done() >= 20 and len(watch.writes) >= 5)
            yield load
    finally:
        watch.end()
