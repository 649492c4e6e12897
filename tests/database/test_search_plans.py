"""How lists are read among many customers: from indexes, as the service's own role, under the policies."""

import string
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from msgspec import Struct
from msgspec.structs import replace
from tests.support import crowd
from tests.support.clients import owner_connection
from tests.support.cluster import Databases
from tests.support.plans import Watched, nodes

from customary.domain.page import (
    CustomerFilter,
    CustomerOrder,
    CustomerPart,
    CustomProperty,
    Page,
    Position,
    Relevance,
    Window,
)
from customary.storage import customer_pages, customers
from customary.storage.database import Bound
from customary.storage.schema import SEARCH_PATH

COUNT = 30_000
ACCOUNTS = [UUID(int=number + 1) for number in range(3)]
OWN = ACCOUNTS[0]
READ = """
SELECT seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0) AS rows
  FROM pg_stat_xact_user_tables WHERE schemaname = 'customary' AND relname = $1
"""


class Service(Struct, frozen=True):
    """The service's connection, bound to the first account."""

    connection: "asyncpg.Connection[asyncpg.Record]"

    async def page(self, wanted: CustomerFilter, order: customer_pages.Order, window: Window) -> Page[Any]:
        """A page of customers as a list shows it."""
        parts = (CustomerPart.LINKS, CustomerPart.ORGANIZATIONS)
        return await customer_pages.fetch(Bound(OWN, self.connection), wanted, order, window, parts)

    async def plans(self, wanted: CustomerFilter, order: customer_pages.Order, window: Window) -> list[dict[str, Any]]:
        """The plans of all statements of such a page."""
        watched = Watched(self.connection)
        await customer_pages.fetch(Bound(OWN, watched), wanted, order, window, ())
        return watched.plans

    async def read(self, table: str) -> tuple[int, int]:
        """How often this connection read all of a table, and how many rows it took from it."""
        row = await self.connection.fetchrow(READ, table)
        return (row["seq_scan"], row["rows"]) if row else (0, 0)


@pytest_asyncio.fixture(scope="module")
async def service(databases: Databases) -> AsyncIterator[Service]:
    """A database with many customers in three accounts."""
    async with databases.fresh() as database:
        async with owner_connection(database.owner_url) as owner:
            for account_id in ACCOUNTS:
                await owner.execute(
                    "INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, now())", account_id, str(account_id)
                )
            await crowd.gather(owner, ACCOUNTS, COUNT)
        settings = {"search_path": SEARCH_PATH, "jit": "off"}
        connection = await asyncpg.connect(database.service_url, server_settings=settings)
        try:
            await connection.fetchval("SELECT set_config('app.account', $1, false)", str(OWN))
            yield Service(connection)
        finally:
            await connection.close()


def made(number: int) -> datetime:
    """When the customer of this number was made and last changed."""
    return datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=number)


NUMBER = 13_201  # of the first account and not archived
FILTERS = {
    "q": CustomerFilter(q=str(NUMBER)),
    "q, several words": CustomerFilter(q=f"EXAMPLE crm {NUMBER}"),
    "q, an id": CustomerFilter(q="0190a5f0-0000-7000-8000-000000000000"),
    "q, nothing": CustomerFilter(q="nobody"),
    "legalName": CustomerFilter(legal_name=f" {NUMBER} "),
    "email": CustomerFilter(email=f"Billing{NUMBER}@"),
    "label": CustomerFilter(label="tier 203"),
    "alias": CustomerFilter(alias=f"crm-{NUMBER}"),
    "updatedSince": CustomerFilter(updated_since=made(COUNT - 20)),
    "customProperties": CustomerFilter(custom_properties={"crm": f"crm-{NUMBER}"}),
    "a rare one among frequent ones": CustomerFilter(q="example", legal_name=str(NUMBER), updated_since=made(0)),
}


@pytest.mark.parametrize("order", [CustomerOrder.CREATED_AT, CustomerOrder.LEGAL_NAME, CustomProperty("region")])
@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS.keys())
async def test_few_matches_are_found_without_reading_the_rest(
    service: Service, wanted: CustomerFilter, order: customer_pages.Order
) -> None:
    """Also inside the functions that search: the server counts what every statement takes from a table."""
    tables = ("customers", "contacts", "customer_aliases")
    order = Relevance() if wanted.q and order is CustomerOrder.CREATED_AT else order
    before = [await service.read(table) for table in tables]
    page = await service.page(wanted, order, Window(20))
    after = [await service.read(table) for table in tables]
    assert (page.total > 0) == (wanted not in (FILTERS["q, an id"], FILTERS["q, nothing"]))
    assert page.total < 100
    assert len(page.items) == min(page.total, 20)
    for table, (scans_before, rows_before), (scans_after, rows_after) in zip(tables, before, after, strict=True):
        assert scans_after == scans_before, f"{table} was read from one end to the other"
        assert rows_after - rows_before < 1_000, table


async def test_the_counters_would_show_a_search_that_reads_everything(service: Service) -> None:
    before = await service.read("customers")
    assert (await service.page(CustomerFilter(q="e"), Relevance(), Window(20))).total > 15_000
    scans, rows = await service.read("customers")
    assert scans > before[0] or rows - before[1] > 15_000


# What has no letters to look for in the index, has more words than anybody types, or is a pattern elsewhere.
HEAVY = [
    "e",
    " ".join(string.ascii_lowercase + string.digits),
    "bi il ll li in ng ex xa am mp pl le cr rm m- @n @s @g .e 0 1 2 3 4 5 6 7 8 9",
    "%" * 255,
    "_" * 255,
    "\\" * 255,
    "(a+)+$ .*.*.*.*.* a{1000}{1000} [[:alpha:]]*" * 5,
    " ".join(map(chr, range(0x4E00, 0x4E7F))),
    "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 255,
]


@pytest.mark.parametrize("field", ["q", "legal_name", "email", "label"])
async def test_no_text_takes_the_time_that_a_statement_has(service: Service, field: str) -> None:
    """A third of the service's own limit has to do; what is looked for takes tens of milliseconds here."""
    async with service.connection.transaction():
        await service.connection.execute("SET LOCAL statement_timeout = '2s'")
        for text in HEAVY:
            wanted = replace(CustomerFilter(), **{field: text[:255]})
            order = Relevance() if field == "q" else CustomerOrder.CREATED_AT
            await service.page(wanted, order, Window(100))


DEEP = {
    CustomerOrder.CREATED_AT: Position(made(NUMBER), UUID(int=0)),
    CustomerOrder.UPDATED_AT: Position(made(NUMBER), UUID(int=0)),
    CustomerOrder.LEGAL_NAME: Position("meadow", UUID(int=0)),
    CustomerOrder.LABEL: Position("tier 5", UUID(int=0)),
}


@pytest.mark.parametrize("is_descending", [True, False])
@pytest.mark.parametrize("order", DEEP)
async def test_any_page_is_read_in_the_order_of_an_index(
    service: Service, order: CustomerOrder, is_descending: bool
) -> None:
    without = Position(None, UUID(int=2**127)) if order is CustomerOrder.LABEL else DEEP[order]
    for window in (
        Window(20, is_descending),
        Window(20, is_descending, after=DEEP[order]),
        Window(20, is_descending, before=DEEP[order]),
        Window(20, is_descending, after=without),
        Window(20, is_descending, before=without),
    ):
        plans = await service.plans(CustomerFilter(), order, window)
        pages = [plan for plan in plans if plan["Node Type"] == "Limit"]
        assert pages
        assert sum(plan["Actual Rows"] for plan in pages) >= 20
        for node in (node for plan in pages for node in nodes(plan)):
            assert node["Node Type"] not in {"Sort", "Incremental Sort", "Seq Scan"}, window
            assert node["Actual Rows"] + node.get("Rows Removed by Filter", 0) < 200, window


async def test_a_customer_is_read_by_its_alias_from_an_index(service: Service) -> None:
    before = await service.read("customers")
    found = await customers.get_by_alias(Bound(OWN, service.connection), f"crm-{NUMBER}")
    assert found.custom_properties["crm"] == f"crm-{NUMBER}"
    scans, rows = await service.read("customers")
    assert (scans, rows < before[1] + 10) == (before[0], True)


@pytest.mark.parametrize("include_archived", [False, True])
async def test_customers_are_not_counted_anew(service: Service, *, include_archived: bool) -> None:
    """How many there are is kept, so that a page of a million costs as much as one of a thousand."""
    plans = await service.plans(CustomerFilter(include_archived=include_archived), CustomerOrder.CREATED_AT, Window(20))
    [count] = [plan for plan in plans if plan["Node Type"] == "Aggregate"]
    assert {node["Relation Name"] for node in nodes(count) if "Relation Name" in node} == {"customer_counts"}


async def test_a_part_that_is_not_shown_is_not_read(service: Service) -> None:
    before = await service.read("contacts")
    assert len((await service.page(CustomerFilter(), CustomerOrder.CREATED_AT, Window(20))).items) == 20
    assert await service.read("contacts") == before
