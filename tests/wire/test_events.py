"""The change feed: everything that happened, in an order that never changes, and nothing twice."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any
from uuid import UUID

import pytest
from tests.support import records
from tests.support.bodies import contact, link, newest, of
from tests.support.clients import (
    FIRST,
    NEWEST,
    SECOND,
    VERSIONS,
    Account,
    Client,
    Json,
    client_of,
    invalid,
    started,
    success,
)
from tests.support.cluster import Database
from tests.support.published import Published

from customary.app import Application
from customary.domain.activity import ActorType, Caller
from customary.domain.contacts import BillingPreference, ContactWrite
from customary.domain.customer import Address, CustomerWrite
from customary.operations.customers import archive_customer, create_customer, unarchive_customer
from customary.storage import event_feed
from customary.storage.database import Database as Pool
from customary.storage.database import Tx
from customary.storage.event_feed import Wanted

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
CALLER = Caller(ActorType.OPERATOR, UUID(int=0), origin="TEST", api_version="", request_id="test")
WRITE = CustomerWrite(
    legal_name="Acme",
    address=Address(line1="1 High Street", town="Bristol", postcode="BS1 4ST", country="GB"),
    contacts=(ContactWrite("Ada", "ada@example.com", BillingPreference.PRIMARY),),
)


async def page(client: Client, **params: Any) -> Json:  # noqa: ANN401 - parameters of a list
    """A page of the feed."""
    return success(await client.get("/events", version=NEWEST, params=params))


async def walk(client: Client, **params: Any) -> list[Json]:  # noqa: ANN401 - parameters of a list
    """All events from here on, page by page."""
    items: list[Json] = []
    while True:
        found = await page(client, **params)
        items += found["items"]
        if not found["pagination"]["hasMore"]:
            return items
        params["after"] = found["pagination"]["next"]
        params.pop("since", None)


def told(items: list[Json]) -> list[tuple[str, str, int]]:
    """What happened to what, and which of its changes that was."""
    return [(item["notificationType"], item["resourceId"], item["resourceVersion"]) for item in items]


def pool(app: Application) -> Pool:
    return app._running().database


# --- What is in it ---


async def test_every_kind_of_write_is_an_event_with_the_customer_as_it_became(account: Account) -> None:
    client = account.client
    shown: list[Json] = []

    async def after(kind: str, customer_id: str) -> None:
        customer = await client.customer(customer_id)
        shown.append({"notificationType": kind, "resourceId": customer_id, "resource": customer})

    made = await client.create(newest())
    own, url = made["id"], f"/customers/{made['id']}"
    await after("CUSTOMER_CREATED", own)
    await client.update(own, newest(legalName="Renamed"))
    await after("CUSTOMER_UPDATED", own)
    success(await client.request("PATCH", url, json={"label": "l", "customerAliases": ["a"]}))
    await after("CUSTOMER_UPDATED", own)
    success(await client.put("/customers/by-alias/a", json=newest(integrationIds=[link(NEWEST, "Stripe", "1")])))
    await after("CUSTOMER_UPDATED", own)
    added = success(await client.post(f"{url}/contacts", json=contact("bob@example.com", "STANDARD", "Bob")), 201)
    await after("CUSTOMER_UPDATED", own)
    success(await client.put(f"{url}/contacts/{added['id']}", json=contact("bob@example.com", "NONE", "Rob")))
    await after("CUSTOMER_UPDATED", own)
    success(await client.post(f"{url}/contacts/{added['id']}/archive"))
    await after("CUSTOMER_UPDATED", own)
    alias = success(await client.post("/customer-aliases", json={"customerId": own, "value": "b"}), 201)
    await after("CUSTOMER_UPDATED", own)
    success(await client.delete(f"/customer-aliases/{alias['id']}"))
    await after("CUSTOMER_UPDATED", own)
    await client.archive(own)
    await after("CUSTOMER_ARCHIVED", own)
    success(await client.post(f"{url}/unarchive"))
    await after("CUSTOMER_UPDATED", own)

    items = (await page(client))["items"]
    assert [{name: item[name] for name in shown[0]} for item in items] == shown
    assert [item["resourceVersion"] for item in items] == list(range(1, len(shown) + 1))
    assert {item["resourceType"] for item in items} == {"CUSTOMER"}
    assert len({item["id"] for item in items}) == len(items)
    assert [item["createdAt"] for item in items] == [item["resource"]["updatedAt"] for item in items]


async def test_a_change_of_an_organisation_is_an_event_of_each_member_with_all_of_it(account: Account) -> None:
    client = account.client
    owner, *members = [(await client.create(newest(legalName=name)))["id"] for name in ("Owner", "One", "Two")]
    last = (await page(client))["pagination"]["next"]
    body = {"ownerId": owner, "memberIds": members}
    organization = success(await client.post("/customer-organizations", json=body), 201)
    items = (await page(client, after=last))["items"]
    assert sorted(told(items)) == sorted(("CUSTOMER_UPDATED", each, 2) for each in (owner, *members))
    for item in items:
        assert item["resource"] == await client.customer(item["resourceId"])
        assert [each["id"] for each in item["resource"]["organizations"]] == [organization["id"]]


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_written_in_any_version_is_in_the_feed_of_the_newest(account: Account, version: str) -> None:
    customer = await account.client.create(of(version), version=version)
    [item] = (await page(account.client))["items"]
    assert told([item]) == [("CUSTOMER_CREATED", customer["id"], 1)]
    assert item["resource"] == await account.client.customer(customer["id"])


async def test_a_resource_is_a_customer_as_published(account: Account, published: Callable[[str], Published]) -> None:
    await account.client.create(newest(url="https://example.com/", label="l", customProperties={"k": "v"}))
    [item] = (await page(account.client))["items"]
    published(NEWEST).check("GET", "/customers/{id}", 200, item["resource"])


async def test_what_changes_no_customer_is_no_event(account: Account) -> None:
    client = account.client
    customer = await client.create(newest(customerAliases=["taken"]))
    own, before = customer["id"], await page(client)
    await client.update(own, newest())
    assert invalid(await client.post("/customers", version=NEWEST, json={}))
    assert (await client.post("/customers", version=NEWEST, json=newest(customerAliases=["taken"]))).status_code == 409
    assert (await client.post("/customers", params={"dryRun": "true"}, json=newest())).status_code == 200
    assert (await client.post(f"/customers/{own}/archive", params={"dryRun": "true"})).status_code == 200
    assert await page(client) == before
    assert told(before["items"]) == [("CUSTOMER_CREATED", own, 1)]


async def test_the_two_older_versions_have_no_feed(account: Account) -> None:
    for version in (FIRST, SECOND):
        assert (await account.client.get("/events", version=version)).status_code == 404


# --- Reading on ---


async def test_pages_lead_on_and_the_last_one_still_says_where_to(account: Account) -> None:
    client = account.client
    ids = [(await client.create(newest()))["id"] for _ in range(5)]
    first = await page(client, limit=2)
    assert [item["resourceId"] for item in first["items"]] == ids[:2]
    assert first["pagination"] == {"next": first["items"][-1]["id"], "hasMore": True}
    rest = await page(client, limit=3, after=first["pagination"]["next"])
    assert [item["resourceId"] for item in rest["items"]] == ids[2:]
    assert rest["pagination"] == {"next": rest["items"][-1]["id"], "hasMore": False}
    end = await page(client, after=rest["pagination"]["next"])
    assert end == {"items": [], "pagination": rest["pagination"]}
    added = await client.create(newest())
    assert told((await page(client, after=end["pagination"]["next"]))["items"]) == [
        ("CUSTOMER_CREATED", added["id"], 1)
    ]


async def test_before_anything_happened_there_is_nothing_to_go_on_from(account: Account) -> None:
    assert await page(account.client) == {"items": [], "pagination": {"hasMore": False}}
    assert await page(account.client, since="2020-01-01T00:00:00Z") == {"items": [], "pagination": {"hasMore": False}}


async def test_one_customer_or_one_kind_of_event_can_be_picked_out(account: Account) -> None:
    client = account.client
    one, other = [(await client.create(newest()))["id"] for _ in range(2)]
    await client.update(one, newest(label="new"))
    await client.archive(one)
    await client.archive(other)
    assert told(await walk(client, resourceId=one)) == [
        ("CUSTOMER_CREATED", one, 1),
        ("CUSTOMER_UPDATED", one, 2),
        ("CUSTOMER_ARCHIVED", one, 3),
    ]
    assert told(await walk(client, notificationType="CUSTOMER_ARCHIVED", limit=1)) == [
        ("CUSTOMER_ARCHIVED", one, 3),
        ("CUSTOMER_ARCHIVED", other, 2),
    ]
    both = {"resourceId": other, "notificationType": "CUSTOMER_ARCHIVED"}
    assert told(await walk(client, **both)) == [("CUSTOMER_ARCHIVED", other, 2)]
    assert await walk(client, resourceId=MISSING) == []


async def test_a_reader_of_rare_events_gets_on_although_a_page_is_empty(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MOST_EXAMINED", 3)
    client = account.client
    ids = [(await client.create(newest()))["id"] for _ in range(7)]
    await client.archive(ids[0])
    everything = (await page(client))["items"]
    found = await page(client, notificationType="CUSTOMER_ARCHIVED")
    assert found == {"items": [], "pagination": {"next": everything[2]["id"], "hasMore": True}}
    archived = await walk(client, notificationType="CUSTOMER_ARCHIVED")
    assert told(archived) == [("CUSTOMER_ARCHIVED", ids[0], 2)]


async def test_since_starts_with_what_happened_at_that_time(account: Account) -> None:
    client = account.client
    made = [await client.create(newest()) for _ in range(3)]
    since = made[1]["createdAt"]
    assert [item["resourceId"] for item in await walk(client, since=since, limit=1)] == [
        each["id"] for each in made[1:]
    ]
    assert await walk(client, since="2099-01-01T00:00:00+01:00") == []


# --- What is refused ---


@pytest.mark.parametrize("after", [MISSING, "x", "", MISSING.upper() + "0"])
async def test_an_unknown_after_is_refused_and_says_how_to_start_again(account: Account, after: str) -> None:
    response = await account.client.get("/events", version=NEWEST, params={"after": after})
    assert invalid(response) == {"after": "unknownEvent"}
    assert "Start again" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("params", "problems"),
    [
        ({"limit": "0"}, {"limit"}),
        ({"limit": "101"}, {"limit"}),
        ({"since": "yesterday"}, {"since"}),
        ({"since": "2026-01-02T10:55:00"}, {"since"}),
        ({"since": "2026-01-02T10:55:00Z", "after": MISSING}, {"since", "after"}),
        ({"notificationType": "INVOICE_CREATED"}, {"notificationType"}),
        ({"resourceId": "x"}, {"resourceId"}),
    ],
)
async def test_a_bad_parameter_is_refused(account: Account, params: Json, problems: set[str]) -> None:
    assert invalid(await account.client.get("/events", version=NEWEST, params=params)).keys() == problems


async def test_another_accounts_events_are_not_there(account: Account, second_account: Account) -> None:
    own = await account.client.create(newest())
    foreign = await second_account.client.create(newest())
    assert [item["resourceId"] for item in await walk(account.client)] == [own["id"]]
    [event] = await walk(second_account.client)
    assert event["resourceId"] == foreign["id"]
    for params in ({"after": event["id"]}, {"after": MISSING}):
        assert invalid(await account.client.get("/events", version=NEWEST, params=params)) == {"after": "unknownEvent"}
    assert await walk(account.client, resourceId=foreign["id"]) == []


# --- Transactions that overlap ---


class Undone(Exception):
    """Leaves a transaction, which is undone by that."""


async def open_transaction(stack: AsyncExitStack, app: Application, account: Account) -> Tx:
    """A transaction that stays open until the stack is closed, and has its number by now."""
    tx = await stack.enter_async_context(pool(app).transaction(account.id, CALLER))
    await tx.connection.fetchval("SELECT pg_current_xact_id()")
    return tx


async def test_a_late_commit_with_a_lower_number_is_not_passed_over(app: Application, account: Account) -> None:
    early = await account.client.create(newest(legalName="Early"))
    start = (await page(account.client))["pagination"]["next"]
    async with AsyncExitStack() as slow:
        tx = await open_transaction(slow, app, account)
        quick = await account.client.create(newest(legalName="Quick"))
        late = await create_customer(tx, WRITE)
        waiting = await page(account.client, after=start)
        assert waiting == {"items": [], "pagination": {"next": start, "hasMore": False}}
    items = await walk(account.client, after=waiting["pagination"]["next"])
    assert {item["resourceId"] for item in items} == {str(late.id), quick["id"]}
    assert items[0]["resourceId"] == str(late.id)
    assert told(await walk(account.client))[0] == ("CUSTOMER_CREATED", early["id"], 1)


async def test_what_is_rolled_back_is_never_seen_and_holds_nothing_up(app: Application, account: Account) -> None:
    undone = kept = None
    with suppress(Undone):
        async with pool(app).transaction(account.id, CALLER) as tx:
            undone = await create_customer(tx, WRITE)
            await tx.connection.flush()
            kept = await account.client.create(newest())
            assert await walk(account.client) == []
            raise Undone
    assert undone is not None
    assert kept is not None
    items = await walk(account.client)
    assert [item["resourceId"] for item in items] == [kept["id"]]
    assert str(undone.id) not in json.dumps(items)


async def test_a_customers_events_keep_their_order_whichever_transaction_began_first(
    app: Application, account: Account
) -> None:
    """The transaction with the lower number changes the customer second."""
    customer = await account.client.create(newest())
    async with AsyncExitStack() as slow:
        tx = await open_transaction(slow, app, account)
        await account.client.archive(customer["id"])
        await unarchive_customer(tx, UUID(customer["id"]))
    assert told(await walk(account.client)) == [
        ("CUSTOMER_CREATED", customer["id"], 1),
        ("CUSTOMER_ARCHIVED", customer["id"], 2),
        ("CUSTOMER_UPDATED", customer["id"], 3),
    ]


async def test_several_changes_of_one_transaction_keep_their_order(app: Application, account: Account) -> None:
    async with pool(app).transaction(account.id, CALLER) as tx:
        customer = await create_customer(tx, WRITE)
        await archive_customer(tx, customer.id)
        await unarchive_customer(tx, customer.id)
    assert [item["resourceVersion"] for item in await walk(account.client, limit=1)] == [1, 2, 3]


async def test_since_includes_what_began_later_and_was_numbered_first(app: Application, account: Account) -> None:
    async with AsyncExitStack() as slow:
        tx = await slow.enter_async_context(pool(app).transaction(account.id, CALLER))
        quick = await account.client.create(newest())
        late = await create_customer(tx, WRITE)
    since = tx.now.isoformat()
    assert [item["resourceId"] for item in await walk(account.client, since=since)] == [quick["id"], str(late.id)]


async def test_from_now_on_is_after_what_is_committed_and_before_what_is_not(
    app: Application, account: Account
) -> None:
    await account.client.create(newest())
    async with AsyncExitStack() as slow:
        tx = await open_transaction(slow, app, account)
        async with pool(app).reading(account.id) as reading:
            start = await event_feed.place_now(reading)
        late = await create_customer(tx, WRITE)
    later = await account.client.create(newest())
    async with pool(app).reading(account.id) as reading:
        feed = await event_feed.read(reading, start, Wanted(), limit=10)
        rest = await event_feed.read(reading, feed.end, Wanted(), limit=10)
    assert [str(event.customer.id) for event in feed.events] == [str(late.id), later["id"]]
    assert rest == event_feed.Feed((), feed.end, has_more=False)


# --- Many at once ---


async def writer(client: Client, number: int, shared: list[str]) -> None:
    """Customers of its own, and changes of customers that all writers change."""
    for turn in range(8):
        own = (await client.create(newest(legalName=f"Writer {number}, turn {turn}")))["id"]
        await client.update(own, newest(label=str(turn)))
        target = shared[(number + turn) % len(shared)]
        success(await client.request("PATCH", f"/customers/{target}", json={"label": f"{number} {turn}"}))


async def follow(client: Client, seen: list[Json], done: asyncio.Event, limit: int) -> None:
    """See every event from the beginning on, as it comes, until nothing is left after the end of all writing."""
    params: dict[str, Any] = {"limit": limit}
    while True:
        is_last = done.is_set()
        found = await page(client, **params)
        seen += found["items"]
        if "next" in found["pagination"]:
            params["after"] = found["pagination"]["next"]
        if is_last and not found["pagination"]["hasMore"]:
            return


@pytest.mark.parametrize("limit", [3, 100])
async def test_a_reader_beside_eight_writers_sees_every_event_once_and_in_order(
    account: Account, database: Database, limit: int
) -> None:
    shared = [(await account.client.create(newest()))["id"] for _ in range(3)]
    done = asyncio.Event()
    seen: list[Json] = []
    async with (
        started(database.service_url, pool_size=12) as roomy,
        client_of(roomy, (account.client_id, account.secret)) as client,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(follow(client, seen, done, limit))
        async with asyncio.TaskGroup() as writers:
            for number in range(8):
                writers.create_task(writer(client, number, shared))
        done.set()

    versions: dict[str, list[int]] = defaultdict(list)
    for item in seen:
        versions[item["resourceId"]].append(item["resourceVersion"])
    assert len(versions) == 8 * 8 + 3
    for customer_id, numbers in versions.items():
        assert numbers == [version for version, _, _ in await records.events(database, customer_id)]
    assert sum(len(versions[customer_id]) for customer_id in shared) == 3 + 8 * 8
    assert len(seen) == (await records.count(database))[1]
    assert [item["id"] for item in await walk(account.client, limit=100)] == [item["id"] for item in seen]
