"""What an account with a thousand customers notices of its neighbours: those that are there, and those that ask."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import dataset, growth_data, writes
from bench.growth_rounds import Ask, Effort, asking, beside, measured
from bench.plot import Chart
from bench.site import Site, prepared
from bench.wrk import Generator

OWN = 1_000
_TEN_TIMES = 10_000
_NUMBERS = (0, 1, 2, 4)
_PATHS = 500
_LONG = len("abcdef")


def each(site: Site, size: int) -> Ask:
    """GET of the customers of this account in turn."""
    paths = [f"/api/customers/{customer_id}" for customer_id in dataset.ids_of(size, _PATHS)]
    return asking(Generator(site.service.url, paths, site.headers(size)))


def page(site: Site, size: int) -> Ask:
    """GET of the first page."""
    return asking(Generator(site.service.url, ["/api/customers?limit=100"], site.headers(size)))


def search(site: Site, size: int) -> Ask:
    """Searches for the first words of names that are long enough to be rare."""
    numbers = range(0, size, max(1, size // _PATHS))
    words = (dataset.customer_of(size, number).legal_name.split(" ")[0] for number in numbers)
    paths = [f"/api/customers?legalName={word}" for word in words if len(word) > _LONG]
    return asking(Generator(site.service.url, paths, site.headers(size)))


def create(site: Site, size: int) -> Ask:
    """POST of new customers, each under an idempotency key of its own."""
    headers = [*site.headers(size), ("Content-Type", "application/json"), ("Idempotency-Key", "growth-create-{}")]
    return asking(Generator(site.service.url, ["/api/customers"], headers, writes.BODY))


WORKS = {"GET of a customer": each, "first page of 100": page, "search of a name": search, "POST of a customer": create}


def existing(site: Site, sizes: Sequence[int], effort: Effort, y_label: str) -> Chart:
    """The same account in three databases: alone, beside one of ten times its size, and beside all that there are."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.chmod(0o755)  # the database's user has to pass when root runs this
        alone = stack.enter_context(prepared(directory / "alone", (OWN,)))
        ten_times = stack.enter_context(prepared(directory / "ten", (OWN, _TEN_TIMES)))
        sites = (alone, ten_times, site)
        asks = {name: [work(each_site, OWN) for each_site in sites] for name, work in WORKS.items()}
        found = measured(asks, effort, after=lambda: _forget(sites))
    xs = (0, _TEN_TIMES, sum(size for size in sizes if size != OWN))
    return Chart(f"{OWN:,} customers, by what is beside them", "customers of neighbours", y_label, xs, found)


def _forget(sites: Sequence[Site]) -> None:
    for each_site in sites:
        growth_data.forget(each_site, [each_site.sets[OWN].account_id])


def busy(site: Site, sizes: Sequence[int], effort: Effort, y_label: str) -> Chart:
    """One neighbour asks all the time, for customers or for pages and searches; it is a small one or a large one."""
    own = each(site, OWN)
    asks = {
        "nobody else asks": [own for _ in sizes],
        "it reads customers": [beside(own, [each(site, size)]) for size in sizes],
        "it reads pages": [beside(own, [page(site, size)]) for size in sizes],
        "it searches": [beside(own, [search(site, size)]) for size in sizes],
    }
    found = measured(asks, effort)
    return Chart("GET beside a busy neighbour, by its size", "customers of the neighbour", y_label, sizes, found)


def several(site: Site, sizes: Sequence[int], effort: Effort, y_label: str) -> Chart:
    """So many neighbours ask for customers all the time: of ten times the size, and of the largest."""
    own = each(site, OWN)
    asks = {
        f"each of {size:,}": [beside(own, [each(site, size)] * number) for number in _NUMBERS]
        for size in (_TEN_TIMES, max(sizes))
    }
    found = measured(asks, effort)
    return Chart("GET beside busy neighbours, by their number", "busy neighbours", y_label, _NUMBERS, found)
