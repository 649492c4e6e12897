"""Creating, reading and listing customers, beside what a team would otherwise take, on the same machine.

    python -m bench.peers [--customers 10000] [--rounds 5] [--seconds 3] [--quick] [--json]

An ordinary FastAPI and SQLAlchemy service of the same resource in the same PostgreSQL with the same customers, and a
Prism mock of the published document, which keeps nothing. All are asked in turn in each round, by wrk; an answer that
is no success ends the run. What the two need is installed under `build/peers`, and is never part of Customary.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from itertools import zip_longest
from operator import itemgetter
from typing import Any

import httpx
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from bench import dataset, writes
from bench.peers import installation, sides
from bench.peers.sides import Side
from bench.rounds import WARM_UP_SECONDS, Compared
from bench.site import prepared
from bench.wrk import Generator as Asking
from bench.wrk import Load

_WRITTEN = 1_000  # customers of the account that is written to, so that the one that is read stays as it was
_PATHS, _CHECKED = 1_000, 20
_PAGE = "/customers?limit=100"


class Effort(Struct, frozen=True):
    """How many customers there are to read, and the rounds."""

    customers: int
    rounds: int
    seconds: float


class Measured(Struct, frozen=True):
    """What each side did of one job, round by round; the product is the first."""

    job: str
    loads: dict[str, list[Load]]

    def rates(self) -> dict[str, float]:
        """Answers a second of each side, in the middle of the rounds."""
        return {name: statistics.median(each.rate for each in loads) for name, loads in self.loads.items()}

    def ratios(self) -> dict[str, list[float]]:
        """What each round makes of the product's rate over that of each peer."""
        (_, product), *peers = self.loads.items()
        return {name: Compared(peer, product).rates() for name, peer in peers}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="The service beside its alternatives.")
    parser.add_argument("--customers", type=int, default=10_000, help="how many customers the account that is read has")
    parser.add_argument("--rounds", type=int, help="how many rounds of each side; 5, or 2 with --quick")
    parser.add_argument("--seconds", type=float, help="how long each side of a round takes; 3, or 1 with --quick")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds, only to see that it works")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    rounds, seconds = (2, 1.0) if given.quick else (5, 3.0)
    effort = Effort(given.customers, given.rounds or rounds, given.seconds or seconds)
    with _compared(effort.customers) as running:
        _require_same(running, effort.customers)
        page_bytes = {side.name: len(side.get(effort.customers, _PAGE).content) for side in running}
        found = [_measure(job, asking, effort) for job, asking in _jobs(running, effort.customers).items()]
    if given.json:
        shown = {"jobs": [_summary(each) for each in found], "page_bytes": page_bytes}
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    else:
        _print(found, page_bytes)


@contextmanager
def _compared(customers: int) -> Generator[list[Side]]:
    """All sides, running; the product is the first."""
    python, prism = installation.python(), installation.prism()
    with ExitStack() as stack:
        site = stack.enter_context(prepared(installation.BUILD / "site", (_WRITTEN, customers)))
        running = [sides.product(site), stack.enter_context(sides.fastapi(site, python))]
        if prism is not None:
            running.append(stack.enter_context(sides.prism(site, prism)))
        yield running


def _jobs(running: Sequence[Side], customers: int) -> dict[str, dict[str, Asking]]:
    """For each job what is asked of each side. The account that is read is not written to."""
    one = [f"/customers/{customer_id}" for customer_id in dataset.ids_of(customers, _PATHS)]
    sent = ("Content-Type", "application/json"), ("Idempotency-Key", "bench-{}")
    return {
        "create a customer": {
            side.name: Asking(side.url, _below(side, ["/customers"]), [*side.headers(_WRITTEN), *sent], writes.BODY)
            for side in running
        },
        "read a customer": {
            side.name: Asking(side.url, _below(side, one), side.headers(customers)) for side in running
        },
        "list 100 customers": {
            side.name: Asking(side.url, _below(side, [_PAGE]), side.headers(customers)) for side in running
        },
    }


def _below(side: Side, paths: Sequence[str]) -> list[str]:
    """The paths behind the host: wrk drops what the URL says after it."""
    _, _, base = side.url.removeprefix("http://").partition("/")
    return [f"/{base}{path}" if base else path for path in paths]


def _measure(job: str, asking: dict[str, Asking], effort: Effort) -> Measured:
    """So many rounds, in each of which every side has its turn, behind a warm-up that does not count."""
    for side in asking.values():
        side.run(WARM_UP_SECONDS)
    loads: dict[str, list[Load]] = {name: [] for name in asking}
    for _ in range(effort.rounds):
        for name, side in asking.items():
            loads[name].append(side.run(effort.seconds))
    return Measured(job, loads)


def _require_same(running: Sequence[Side], customers: int) -> None:
    """Raise `SystemExit` unless the FastAPI service answers what the product does: it has to do the same work."""
    product, peer, *_ = running
    ids = dataset.ids_of(customers, _CHECKED)
    for path in (_PAGE, *(f"/customers/{customer_id}" for customer_id in ids)):
        ours, theirs = (_parts_of(side.get(customers, path)) for side in (product, peer))
        for our, their in zip_longest(ours, theirs):
            if our != their:
                message = f"{path}: {peer.name} answers something else than the product.\n{their}\n{our}"
                raise SystemExit(message)


def _parts_of(answer: httpx.Response) -> list[object]:
    """The customers in an answer, and behind them how many there are in all; without the cursors."""
    body = answer.json(object_hook=_normal)
    return [*body.get("items", [body]), body.get("pagination", {}).get("totalResultSize")]


def _normal(found: dict[str, Any]) -> dict[str, Any]:
    """Without what each side says in its own way: the digits of times, and the order of ids in other systems."""
    for name, value in found.items():
        if name.endswith("At"):
            found[name] = datetime.fromisoformat(value)
        if name == "integrationIds":
            value.sort(key=itemgetter("service"))
    return found


def _summary(found: Measured) -> dict[str, object]:
    """One job, for JSON."""
    return {
        "job": found.job,
        "rates": {name: round(rate, 1) for name, rate in found.rates().items()},
        "ratios": {name: [round(each, 2) for each in ratios] for name, ratios in found.ratios().items()},
    }


def _print(found: Sequence[Measured], page_bytes: dict[str, int]) -> None:
    """The table: each side's answers a second, and how many times those of each peer the product gives."""
    names = list(found[0].loads)
    table = Table("job", *(f"{name}/s" for name in names), *(f"product to {name}" for name in names[1:]))
    for each in found:
        rates = [f"{rate:,.0f}" for rate in each.rates().values()]
        ratios = [
            f"{statistics.median(every):.1f} ({min(every):.1f} to {max(every):.1f})" for every in each.ratios().values()
        ]
        table.add_row(each.job, *rates, *ratios)
    Console(width=140).print(table)
    # A mock answers the document's example whatever is asked, so its page is not the same work.
    sizes = ", ".join(f"{size:,} from {name}" for name, size in page_bytes.items())
    sys.stdout.write(f"Bytes of the page that is listed: {sizes}.\n")


if __name__ == "__main__":
    main()
