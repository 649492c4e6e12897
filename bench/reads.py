"""The bars of reading: one customer, one customer in the older versions, pages, deep pages, totals and searches."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

import httpx
import msgspec
from msgspec import Struct

from bench import dataset
from bench.bars import Bar
from bench.rounds import Compared, compare
from bench.site import Site, floor
from bench.wrk import Generator
from customary.api.cursors import Cursors
from customary.domain.page import CustomerFilter, CustomerOrder, Position
from customary.storage import schema

NEWEST = "2024-07-30"
OLDER = ("2024-05-09", "2024-01-01")
_PATHS = 1_000
_CHECKED = 50
_SEARCHES = 200
_LONG = 6  # letters that few names begin with
_SECONDS_OF_A_DAY = 86_400


class Effort(Struct, frozen=True):
    """How much of it: customers of the largest data set, of a small one and of the one that is written to; rounds."""

    size: int
    small: int
    written: int
    rounds: int
    seconds: float


def bars(site: Site, effort: Effort) -> Iterator[Bar]:
    """All of them, in the order of their numbers."""
    yield from _one_customer(site, effort)
    yield from _versions(site, effort)
    yield from _page(site, effort)
    yield _deep(site, effort)
    yield _total(site, effort)
    yield _search(site, effort)


def _paths(size: int) -> list[str]:
    return [f"/api/customers/{customer_id}" for customer_id in dataset.ids_of(size, _PATHS)]


def _asking(site: Site, size: int, paths: Sequence[str], version: str | None = None) -> Generator:
    return Generator(site.service.url, paths, site.headers(size, version))


def _sides(found: Compared, unit: str = "/s") -> tuple[str, str]:
    return f"{found.base_rate:,.0f}{unit}", f"{found.other_rate:,.0f}{unit}"


def _one_customer(site: Site, effort: Effort) -> Iterator[Bar]:
    paths = _paths(effort.size)
    with floor(site, "read", effort.size) as url:
        _require_same(site, effort.size, url, paths[:: _PATHS // _CHECKED])
        product = _asking(site, effort.size, paths)
        found = compare(Generator(url, paths).run, product.run, rounds=effort.rounds, seconds=effort.seconds)
    base, other = _sides(found)
    yield Bar(1, "GET of a customer, to the floor", found.rates(), least=0.60, base=base, other=other)
    p99s = [f"{max(each.p99_milliseconds for each in side):.1f} ms" for side in (found.base, found.other)]
    yield Bar(1, "its p99", found.p99s(), most=2.5, base=p99s[0], other=p99s[1])


def _versions(site: Site, effort: Effort) -> Iterator[Bar]:
    paths = _paths(effort.size)
    newest = _asking(site, effort.size, paths, NEWEST)
    for version in OLDER:
        older = _asking(site, effort.size, paths, version)
        found = compare(newest.run, older.run, rounds=effort.rounds, seconds=effort.seconds)
        base, other = _sides(found)
        yield Bar(2, f"the same in {version}, to {NEWEST}", found.rates(), least=0.90, base=base, other=other)


def _page(site: Site, effort: Effort) -> Iterator[Bar]:
    paths = ["/api/customers?limit=100"]
    with floor(site, "page", effort.small) as url:
        _require_same(site, effort.small, url, paths)
        product = _asking(site, effort.small, paths)
        found = compare(Generator(url, paths).run, product.run, rounds=effort.rounds, seconds=effort.seconds)
    base, other = _sides(found)
    yield Bar(3, "a page of 100, to the floor", found.rates(), least=0.50, base=base, other=other)


def _deep(site: Site, effort: Effort) -> Bar:
    first = _asking(site, effort.size, ["/api/customers?limit=100"])
    deep = _asking(site, effort.size, [_deep_path(site, effort.size)])
    found = compare(first.run, deep.run, rounds=effort.rounds, seconds=effort.seconds)
    times = [1 / ratio for ratio in found.rates()]
    base, other = _sides(found)
    return Bar(5, f"a page {effort.size:,} rows deep, to the first", times, most=1.2, base=base, other=other)


def _deep_path(site: Site, size: int) -> str:
    """The page that ends with the first customer there ever was, by a cursor as the service writes it."""
    last = dataset.customer_of(size, 100)
    secret = asyncio.run(_cursor_secret(site.owner_url))
    key = (site.sets[size].account_id, "customers", CustomerFilter(), CustomerOrder.CREATED_AT, True)
    cursors = Cursors(secret, msgspec.json.encode(key), datetime, int(time.time() // _SECONDS_OF_A_DAY))
    path = f"/api/customers?limit=100&after={cursors.write(Position(last.created_at, last.id))}"
    items = _get(site, size, site.service.url, path).json()["items"]
    wanted = [str(dataset.customer_of(size, number).id) for number in range(99, -1, -1)]
    if [item["id"] for item in items] != wanted:
        raise SystemExit("The deepest page is not the one that it should be.")
    return path


async def _cursor_secret(url: str) -> bytes:
    async with schema.connection(url) as owner:
        return await owner.fetchval("SELECT cursor_secret FROM installation")


def _total(site: Site, effort: Effort) -> Bar:
    paths = ["/api/customers?limit=20"]
    for size in (effort.small, effort.size):
        shown = _get(site, size, site.service.url, paths[0]).json()["pagination"]["totalResultSize"]
        if shown < size:
            message = f"The total of {size} customers is shown as {shown}."
            raise SystemExit(message)
    small, large = (_asking(site, size, paths) for size in (effort.small, effort.size))
    found = compare(small.run, large.run, rounds=effort.rounds, seconds=effort.seconds)
    times = [1 / ratio for ratio in found.rates()]
    base, other = _sides(found)
    work = f"the first page of {effort.size:,}, to one of {effort.small:,}"
    return Bar(6, work, times, most=1.5, base=base, other=other)


def _search(site: Site, effort: Effort) -> Bar:
    """One search after another, as somebody types them; the names are those of customers, in part."""
    size = effort.size
    names = (dataset.customer_of(size, number * size // _SEARCHES).legal_name for number in range(_SEARCHES))
    words = [word for word in (name.partition(" ")[0] for name in names) if len(word) > _LONG]
    paths = [f"/api/customers?legalName={word}" for word in words]
    with floor(site, "search", size) as url:
        _require_found(site, size, url, paths[:_CHECKED])
        base, product = Generator(url, paths), _asking(site, size, paths)
        found = compare(
            partial(base.run, connections=1),
            partial(product.run, connections=1),
            rounds=effort.rounds,
            seconds=effort.seconds,
        )
    times = [1 / ratio for ratio in found.rates()]
    base_time, other_time = (f"{1000 / rate:.1f} ms" for rate in (found.base_rate, found.other_rate))
    return Bar(7, f"a search among {size:,}, to its SQL", times, most=2.0, base=base_time, other=other_time)


def _require_found(site: Site, size: int, floor_url: str, paths: Sequence[str]) -> None:
    """Raise `SystemExit` unless the product finds something of all that the SQL finds.

    That looks through everything a customer is found by, the product through legal names alone.
    """
    for path in paths:
        found = _get(site, size, site.service.url, path).json()["pagination"]["totalResultSize"]
        most = _get(site, size, floor_url, path).json()["totalResultSize"]
        if not 0 < found <= most:
            message = f"{path}: the product finds {found} of {most}."
            raise SystemExit(message)


def _get(site: Site, size: int, url: str, path: str) -> httpx.Response:
    return httpx.get(f"{url}{path}", headers=dict(site.headers(size)), trust_env=False, timeout=30)


def _require_same(site: Site, size: int, floor_url: str, paths: Sequence[str]) -> None:
    """Raise `SystemExit` unless the floor answers the product's bytes, but for the cursor of a page."""
    for path in paths:
        product, base = (_get(site, size, url, path).content for url in (site.service.url, floor_url))
        ours, theirs = (each.partition(b'"pagination"')[0] for each in (product, base))
        if ours != theirs:
            message = f"{path}: the floor answers something else than the product.\n{base[:400]!r}\n{product[:400]!r}"
            raise SystemExit(message)
