"""How the change feed is read among many events: in the order of an index, and no further than it is given out."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from msgspec import Struct
from tests.support import crowd
from tests.support.clients import owner_connection
from tests.support.cluster import Databases
from tests.support.plans import Watched, nodes

from customary.domain.activity import EventType
from customary.storage import event_feed
from customary.storage.database import Bound
from customary.storage.event_feed import BEGINNING, Feed, Place, Wanted
from customary.storage.schema import SEARCH_PATH

ACCOUNTS = [UUID(int=number + 1) for number in range(3)]
OWN = ACCOUNTS[0]
CUSTOMERS = 600
COUNT = 30_000
BEGAN = datetime(2020, 1, 1, tzinfo=UTC)

EVERYTHING = Wanted()

# Fifty events for each customer, one each second. Every tenth tells of an archived customer. The numbers of
# transactions are below those of the database, which has had few.
EVENTS = """
INSERT INTO events (account_id, id, type, customer_id, version, customer, created_at, transaction_id)
SELECT c.account_id, md5('event' || n)::uuid, CASE WHEN n % 10 = 0 THEN 'CUSTOMER_ARCHIVED' ELSE 'CUSTOMER_UPDATED' END,
       c.id, 1 + n / $1,
       jsonb_build_object('id', c.id, 'legal_name', c.legal_name, 'address', c.address, 'tax_status', c.tax_status,
           'status', c.status, 'created_at', c.created_at, 'updated_at', c.updated_at, 'version', 1 + n / $1),
       timestamptz '2020-01-01 00:00:00Z' + n * interval '1 second', (1 + n / 100)::text::xid8
  FROM generate_series(0, $2 - 1) n
  JOIN (SELECT *, row_number() OVER (ORDER BY id) - 1 AS position FROM customers) c ON c.position = n % $1
"""
# One change of an organisation with a thousand members: its events share it.
BATCH = """
WITH batch AS (
    INSERT INTO events (account_id, batch_id, id, type, customer_id, version, customer, created_at, organization_ids,
        transaction_id)
    SELECT account_id, md5('batch1')::uuid, md5('batch' || row_number() OVER (ORDER BY customer_id))::uuid,
           'CUSTOMER_UPDATED', customer_id, version + 1, customer || jsonb_build_object('version', version + 1),
           created_at + interval '1 day', ARRAY[md5('organization')::uuid], '400'::xid8
      FROM (SELECT DISTINCT ON (customer_id) * FROM events WHERE account_id = $1
             ORDER BY customer_id, version DESC) newest
)
INSERT INTO event_organizations
SELECT $1, md5('batch1')::uuid, md5('organization')::uuid,
       jsonb_build_object('id', md5('organization')::uuid,
           'owner', jsonb_build_object('id', md5('0')::uuid, 'name', '0'),
           'members', (SELECT jsonb_agg(jsonb_build_object('id', md5(n::text)::uuid, 'name', n::text))
                         FROM generate_series(1, 1000) n))
"""


class Service(Struct, frozen=True):
    """The service's connection, bound to the first account."""

    connection: "asyncpg.Connection[asyncpg.Record]"

    async def feed(
        self, start: Place, wanted: Wanted = EVERYTHING, limit: int = 20
    ) -> tuple[Feed, list[dict[str, Any]]]:
        """A page of the feed, and the plans of all statements that it took."""
        watched = Watched(self.connection)
        return await event_feed.read(Bound(OWN, watched), start, wanted, limit=limit), watched.plans


@pytest_asyncio.fixture(scope="module")
async def filled(databases: Databases) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """The service's connection to a database with many events in three accounts."""
    async with databases.fresh() as database:
        async with owner_connection(database.owner_url) as owner:
            for account_id in ACCOUNTS:
                await owner.execute(
                    "INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, now())", account_id, str(account_id)
                )
            await crowd.gather(owner, ACCOUNTS, CUSTOMERS)
            assert await owner.fetchval(event_feed.PLACE_NOW) > 400
            await owner.execute(EVENTS, CUSTOMERS, COUNT)
            await owner.execute(BATCH, OWN)
            await owner.execute("VACUUM ANALYZE events, event_organizations")
        settings = {"search_path": SEARCH_PATH, "jit": "off"}
        connection = await asyncpg.connect(database.service_url, server_settings=settings)
        try:
            await connection.fetchval("SELECT set_config('app.account', $1, false)", str(OWN))
            yield connection
        finally:
            await connection.close()


@pytest_asyncio.fixture(params=["force_custom_plan", "force_generic_plan"])
async def service(filled: "asyncpg.Connection[asyncpg.Record]", request: pytest.FixtureRequest) -> Service:
    """It plans for the values at hand, or once for all values: PostgreSQL takes either, as it sees fit."""
    await filled.execute(f"SET plan_cache_mode = {request.param}")
    return Service(filled)


def most_rows(plans: list[dict[str, Any]]) -> float:
    """The most rows that any part of these plans went through, all its runs together."""
    return max(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        for plan in plans
        for node in nodes(plan)
    )


def kinds(plans: list[dict[str, Any]]) -> set[str]:
    """What was done to the events. The view has more in store, for events that share something."""
    return {
        node["Node Type"]
        for plan in plans
        for node in nodes(plan)
        if node["Actual Loops"] > 0 and node.get("Relation Name") in {None, "events"}
    }


@pytest.mark.parametrize("start", [BEGINNING, Place(150), Place(299, 7, UUID(int=5))])
async def test_a_page_is_read_in_the_order_of_the_index(service: Service, start: Place) -> None:
    feed, plans = await service.feed(start)
    assert (len(feed.events), feed.has_more, len(plans)) == (20, True, 2)
    assert "events_in_order" in {node.get("Index Name") for node in nodes(plans[0])}
    assert kinds(plans).isdisjoint({"Sort", "Incremental Sort", "Seq Scan"})
    assert most_rows(plans) <= 21


async def test_what_events_share_is_put_together_only_for_those_that_are_given_out(service: Service) -> None:
    feed, plans = await service.feed(Place(400), limit=5)
    assert [len(event.customer.organizations[0].members) for event in feed.events] == [1000] * 5
    assert feed.has_more
    shared = [node for plan in plans for node in nodes(plan) if node.get("Relation Name") == "event_organizations"]
    assert sum(node["Actual Loops"] for node in shared) == 5
    assert most_rows(plans) <= 6


async def test_rare_events_are_looked_for_in_so_many_at_a_time(service: Service) -> None:
    wanted = Wanted(types=frozenset({EventType.CUSTOMER_CREATED}))
    feed, plans = await service.feed(Place(150), wanted)
    assert (feed.events, feed.has_more) == ((), True)
    assert feed.end.transaction_id > 150
    assert kinds(plans).isdisjoint({"Sort", "Incremental Sort", "Seq Scan"})
    assert most_rows(plans) == event_feed.MOST_EXAMINED + 1


async def test_the_events_of_one_customer_are_found_without_those_of_others(service: Service) -> None:
    customer_id = await service.connection.fetchval("SELECT customer_id FROM events WHERE transaction_id = '7' LIMIT 1")
    feed, plans = await service.feed(BEGINNING, Wanted(customer_id=customer_id), limit=100)
    assert [event.version for event in feed.events] == list(range(1, COUNT // CUSTOMERS + 2))
    assert {event.customer.id for event in feed.events} == {customer_id}
    assert "Seq Scan" not in kinds(plans)
    assert most_rows(plans) <= 60


async def test_a_start_is_found_without_reading_the_events(service: Service) -> None:
    watched = Watched(service.connection)
    reading = Bound(OWN, watched)
    since = BEGAN + timedelta(seconds=COUNT // 2)
    place = await event_feed.place_at(reading, since)
    assert place is not None
    feed, _ = await service.feed(place, Wanted(since=since))
    assert min(event.created_at for event in feed.events) - since < timedelta(seconds=60)
    assert await event_feed.place_of(reading, feed.events[0].id) is not None
    assert "Seq Scan" not in kinds(watched.plans)
    assert most_rows(watched.plans) <= event_feed.LONGEST_TRANSACTION.total_seconds() + 1
