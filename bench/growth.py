"""How what one request costs grows: with customers, with members of an organisation, with contacts, with neighbours.

    python -m bench.growth [--quick] [--only customers,members,contacts,neighbours,busy]
                           [--directory build/bench] [--rounds 3] [--seconds 1] [--json] [--write docs]

The cost is the time that half of the answers take at most, in milliseconds, when one connection asks for one thing
after another: nothing waits for anything else then, so it is what the request itself takes. All points of a chart are
measured in turn, some rounds of them; each is the median of its rounds. The load comes from wrk. What is written on the
way is removed again. Prints a table for each chart; with --write DIRECTORY also growth/*.svg there.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import to_builtins

from bench import growth_data, growth_neighbours, writes
from bench.growth_data import MEMBERS, Account, Family
from bench.growth_neighbours import WORKS
from bench.growth_rounds import Ask, Effort, asking, few, measured
from bench.plot import Chart, drawn, told
from bench.site import DIRECTORY, Site, prepared
from bench.updates import Updates
from bench.wrk import Generator
from customary.domain.contacts import Contact
from customary.domain.customer import Customer

SIZES, SIZES_OF_QUICK = (1_000, 10_000, 100_000, 1_000_000), (1_000, 10_000, 100_000)
PARTS = ("customers", "members", "contacts", "neighbours", "busy")
Y_LABEL = "milliseconds for one request: the median, over one connection"


def customers(site: Site, sizes: Sequence[int], effort: Effort) -> Chart:
    """Reading, listing, searching and creating in accounts of these sizes."""
    asks = {name: [work(site, size) for size in sizes] for name, work in WORKS.items()}
    ids = [site.sets[size].account_id for size in sizes]
    found = measured(asks, effort, after=lambda: growth_data.forget(site, ids))
    return Chart("By the customers of an account", "customers", Y_LABEL, sizes, found)


def _written(what: str) -> list[tuple[str, str]]:
    return [("Content-Type", "application/json"), ("Idempotency-Key", f"growth-{what}-{{}}")]


def members(site: Site, effort: Effort) -> Chart:
    """Reading a member, renaming the owner and creating one more member, by the members of the organisation."""
    account, families = growth_data.families(site)
    before = [growth_data.rows_of_members(site, account, family) for family in families]
    url, plain = site.service.url, account.headers()
    asks: dict[str, list[Ask]] = {
        "GET of a member": [asking(Generator(url, [_path(family.member)], plain)) for family in families],
        "rename of the owner": [_renaming(url, account, family.owner) for family in families],
        "one more member": [_joining(url, account, family) for family in families],
    }
    found = measured(asks, effort, after=lambda: growth_data.forget(site, [account.id]))
    if before != [growth_data.rows_of_members(site, account, family) for family in families]:
        raise SystemExit("A rename or a new member has rewritten rows of other members.")
    return Chart("By the members of an organisation", "members", Y_LABEL, MEMBERS, found)


def _path(customer: Customer) -> str:
    return f"/api/customers/{customer.id}"


def _renaming(url: str, account: Account, customer: Customer) -> Ask:
    """PUT of this customer as it is, under another name each time."""
    body = json.dumps(
        {
            "legalName": "Doboso {} BV",
            "address": {"line1": "1 High Street", "town": "Bristol", "postcode": "BS1 4ST", "country": "GB"},
            "taxStatus": "TAXED",
            "contacts": list(map(_contact, customer.contacts)),
        }
    )
    return asking(Updates(url, [_path(customer)], [*account.headers(), *_written("rename")], body))


def _contact(contact: Contact) -> dict[str, str]:
    return {"name": contact.name, "email": contact.email, "billingPreference": contact.billing_preference.value}


def _joining(url: str, account: Account, family: Family) -> Ask:
    """Few at a time, or the organisation would be another one."""
    body = writes.BODY.replace('{"legalName"', f'{{"parentId":"{family.owner.id}","legalName"', 1)
    return few(url, "/api/customers", [*account.headers(), *_written("join")], body)


def contacts(site: Site, effort: Effort) -> Chart:
    """Reading and renaming a customer with so many contacts."""
    account, made = growth_data.with_contacts(site)
    url = site.service.url
    asks: dict[str, list[Ask]] = {
        "GET": [asking(Generator(url, [_path(each)], account.headers())) for each in made.values()],
        "PUT of another name": [_renaming(url, account, each) for each in made.values()],
    }
    found = measured(asks, effort, after=lambda: growth_data.forget(site, [account.id]))
    return Chart("By the contacts of a customer", "contacts", Y_LABEL, tuple(made), found)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description="How does what a request costs grow?")
    parser.add_argument(
        "--quick", action="store_true", help="at most 100,000 customers, and one round of half the time"
    )
    parser.add_argument("--only", help=f"some parts, with commas between: {', '.join(PARTS)}")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where the database is kept between runs")
    parser.add_argument("--rounds", type=int, help="how many rounds; 3, or 1 with --quick")
    parser.add_argument("--seconds", type=int, default=1, help="how long each point is measured in a round")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", type=Path, metavar="DIRECTORY", help="draw the charts into growth/ there")
    given = parser.parse_args()
    effort = Effort(given.rounds or (1 if given.quick else 3), given.seconds)
    sizes = SIZES_OF_QUICK if given.quick else SIZES
    charts = dict[str, Chart]()
    with prepared(given.directory, sizes) as site:
        if growth_data.forget(site, [each.account_id for each in site.sets.values()]):
            growth_data.settle(site)
        for name, chart in _charts(site, sizes, effort, given.only.split(",") if given.only else PARTS):
            charts[name] = chart
            if not given.json:
                sys.stdout.write(f"\n{chart.title}, in ms\n\n{table(chart)}")
                sys.stdout.flush()
            if given.write is not None:
                _draw(given.write / "growth", name, chart)
    if given.json:
        sys.stdout.write(json.dumps(to_builtins(charts), indent=2) + "\n")
    return 0


def _charts(site: Site, sizes: Sequence[int], effort: Effort, wanted: Sequence[str]) -> Iterator[tuple[str, Chart]]:
    """The charts of these parts, each with the name of its file."""
    if "customers" in wanted:
        yield "customers", customers(site, sizes, effort)
    if "members" in wanted:
        yield "members", members(site, effort)
    if "contacts" in wanted:
        yield "contacts", contacts(site, effort)
    if "neighbours" in wanted:
        yield "neighbours", growth_neighbours.existing(site, sizes, effort, Y_LABEL)
    if "busy" in wanted:
        yield "busy-neighbour", growth_neighbours.busy(site, sizes, effort, Y_LABEL)
        yield "busy-neighbours", growth_neighbours.several(site, sizes, effort, Y_LABEL)


def table(chart: Chart) -> str:
    """The figures of a chart in Markdown: a line for each series."""
    heads = [chart.x_label, *(f"{x:,.0f}" for x in chart.xs)]
    rows = [
        [name, *("" if value is None else told(value) for value in values)] for name, values in chart.series.items()
    ]
    lines = [heads, ["---", *("---:" for _ in chart.xs)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _draw(directory: Path, name: str, chart: Chart) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.svg").write_text(drawn(chart), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
