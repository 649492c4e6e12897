"""How long the service takes to start: from its command to its first answers.

    python -m bench.start [--rounds 5] [--data-dir DIRECTORY] [--json]

`customary serve` is started on a data directory that does not exist yet, and then on one that does: with `--data-dir`
on that one, which has to have been used before. Two answers count: the first 200 of /readyz, and the first page of
customers that a key is given. On a new directory the database has to be made first, which is told beside a guide and
held against nobody. Ends with exit code 1 if a start on an existing directory takes longer than a second and a half.
"""

import argparse
import base64
import http.client
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct, to_builtins
from tests.faults.support import Service, customary, new_data_dir, start

from bench.bars import Bar
from bench.reads import Effort
from bench.site import Site

MOST_SECONDS, GUIDE_SECONDS = 1.5, 4.0
ROUNDS = 5
_PATIENCE_SECONDS = 60.0
_POLL_SECONDS = 0.005


class Guide(Bar, frozen=True):
    """Something to go by, which is met whatever comes of it."""

    @property
    def is_met(self) -> bool:
        """Yes."""
        return True

    def row(self) -> tuple[str, ...]:
        """The line of a table, which says whether it is within."""
        *others, bar, _ = super().row()
        is_within = self.most is None or self.ratio <= self.most
        return *others, f"guide: {bar}", "within" if is_within else "beyond"


class Started(Struct, frozen=True):
    """Seconds from the command to the first 200 of /readyz, and to the first page of customers."""

    ready: float
    page: float


def bars(_: Site, effort: Effort) -> Iterator[Bar]:
    """The bar for an existing data directory, and the guide for a new one."""
    new, existing = measure(max(effort.rounds, 1))
    yield from judged(new, existing)


def judged(new: list[Started], existing: list[Started]) -> Iterator[Bar]:
    """What the rounds came to, in seconds: until the first page, which is the later one of the two."""
    for work, found, kind, most in (
        ("start on an existing directory, s", existing, Bar, MOST_SECONDS),
        ("start on a new directory, s", new, Guide, GUIDE_SECONDS),
    ):
        ready = sorted(each.ready for each in found)[len(found) // 2]
        seconds = [each.page for each in found]
        yield kind(12, work, seconds, most=most, base=f"/readyz {ready:.2f} s", other=f"page {_middle(seconds):.2f} s")


def _middle(seconds: list[float]) -> float:
    return sorted(seconds)[len(seconds) // 2]


def measure(rounds: int, existing: Path | None = None) -> tuple[list[Started], list[Started]]:
    """So many starts on new directories, and as many on one that exists: the last of these where none is named."""
    new = list[Started]()
    for _ in range(rounds - 1):
        with new_data_dir() as data_dir:
            new.append(_first(data_dir)[0])
    with new_data_dir() as data_dir:
        found, key = _first(data_dir)
        new.append(found)
        if existing is not None:
            data_dir, key = existing, _made_key(existing)  # noqa: PLW2901 - the other one is over
        return new, [_again(data_dir, key) for _ in range(rounds)]


def _first(data_dir: Path) -> tuple[Started, str]:
    """A start that makes the database, and the key that it prints."""
    began = time.perf_counter()
    service = start(data_dir)
    try:
        ready = _until(service, lambda: _status(service, "/readyz") == http.HTTPStatus.OK, began)
        _until(service, lambda: "client secret:" in service.output, began)
        service.await_ready()
        key = _authorization(*service.key.auth)
        page = _until(service, lambda: _status(service, "/api/customers", key) == http.HTTPStatus.OK, began)
        return Started(ready, page), key
    finally:
        service.close()


def _again(data_dir: Path, key: str) -> Started:
    began = time.perf_counter()
    service = start(data_dir)
    try:
        ready = _until(service, lambda: _status(service, "/readyz") == http.HTTPStatus.OK, began)
        page = _until(service, lambda: _status(service, "/api/customers", key) == http.HTTPStatus.OK, began)
        service.await_ready()
        return Started(ready, page)
    finally:
        service.close()


def _made_key(data_dir: Path) -> str:
    """A new key of the first account there."""
    place = ("--data-dir", data_dir, "--json")
    [account, *_] = json.loads(customary("accounts", "list", *place).output)
    made = json.loads(customary("keys", "create", "--account", account["name"], *place).output)
    return _authorization(made["clientId"], made["clientSecret"])


def _authorization(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def _until(service: Service, condition: Callable[[], bool], began: float) -> float:
    """Seconds since `began` when this holds."""
    while not condition():
        if service.process.poll() is not None or time.perf_counter() - began > _PATIENCE_SECONDS:
            raise SystemExit(service.error)
        time.sleep(_POLL_SECONDS)
    return time.perf_counter() - began


def _status(service: Service, path: str, authorization: str | None = None) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=5)
    try:
        connection.request("GET", path, headers={} if authorization is None else {"Authorization": authorization})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main() -> int:
    """Measure and print; 0 if the bar is met."""
    parser = argparse.ArgumentParser(prog="python -m bench.start", description="How long does a start take?")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how many starts of each kind")
    parser.add_argument("--data-dir", type=Path, help="the directory that exists; otherwise a small one is made")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    new, existing = measure(given.rounds, given.data_dir)
    if given.json:
        sys.stdout.write(json.dumps({"new": to_builtins(new), "existing": to_builtins(existing)}, indent=2) + "\n")
    else:
        for bar in judged(new, existing):
            sys.stdout.write("  ".join(bar.row()) + "\n")
    return 0 if all(bar.is_met for bar in judged(new, existing)) else 1


if __name__ == "__main__":
    sys.exit(main())
