"""Points of a chart measured in turn, so that whatever else the machine does meets all of them."""

import http.client
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import uuid4

from msgspec import Struct

from bench.wrk import Generator

# Asks for so many seconds over one connection; the milliseconds that half of the answers took at most.
Ask = Callable[[int], float]

_WARM_UP_SECONDS = 1
_LEAD_SECONDS = 0.3
_FEW = 5
_SUCCESSES = range(200, 300)


class Effort(Struct, frozen=True):
    """How many rounds there are, and for how many seconds each point is measured in one: whole ones, says wrk."""

    rounds: int
    seconds: int


def measured(
    asks: Mapping[str, Sequence[Ask]], effort: Effort, *, after: Callable[[], object] | None = None
) -> dict[str, list[float]]:
    """The cost of each, in milliseconds: the median of its rounds. `after` is called behind each round."""
    every = [(name, position, ask) for name, row in asks.items() for position, ask in enumerate(row)]
    found: dict[tuple[str, int], list[float]] = {(name, position): [] for name, position, _ in every}
    for number in range(effort.rounds + 1):
        for name, position, ask in every:
            cost = ask(effort.seconds if number else _WARM_UP_SECONDS)
            if number:
                found[name, position].append(cost)
        if after is not None:
            after()
    return {
        name: [statistics.median(found[name, position]) for position in range(len(row))] for name, row in asks.items()
    }


def asking(generator: Generator) -> Ask:
    """What this generator measures over one connection."""
    return lambda seconds: generator.run(seconds, 1).p50_milliseconds


def beside(own: Ask, others: Sequence[Ask]) -> Ask:
    """The same while others ask without a pause, each over one connection."""

    def ask(seconds: int) -> float:
        if not others:
            return own(seconds)
        with ThreadPoolExecutor(len(others)) as threads:
            running = [threads.submit(other, seconds + 1) for other in others]
            time.sleep(_LEAD_SECONDS)
            found = own(seconds)
            for each in running:
                each.result()
            return found

    return ask


def few(url: str, path: str, headers: Sequence[tuple[str, str]], body: str) -> Ask:
    """POST of this body a few times and no more, for what would be another thing after many.

    Each `{}` in it and in the headers becomes something that no other request has. Raises `SystemExit` for anything but
    a success.
    """

    def ask(_: int) -> float:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        try:
            took = [_posted(connection, path, headers, body) for _ in range(_FEW)]
        finally:
            connection.close()
        return statistics.median(took) * 1000

    return ask


def _posted(connection: http.client.HTTPConnection, path: str, headers: Sequence[tuple[str, str]], body: str) -> float:
    """Seconds until the whole answer was there."""
    new = uuid4().hex
    given = {name: value.replace("{}", new) for name, value in headers}
    began = time.perf_counter()
    connection.request("POST", path, body.replace("{}", new).encode(), given)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in _SUCCESSES:
        message = f"POST {path} answered {answer.status}: {text[:200]!r}"
        raise SystemExit(message)
    return time.perf_counter() - began
