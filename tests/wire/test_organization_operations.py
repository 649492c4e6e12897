"""Organisations by their own operations: created, joined, left, listed and deleted, and who has changed with them."""

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from uuid import uuid4

import httpx
import pytest
from tests.support import records
from tests.support.bodies import newest
from tests.support.clients import (
    NEWEST,
    Account,
    Client,
    Json,
    client_of,
    invalid,
    new_key,
    owner_connection,
    refused,
    success,
)
from tests.support.cluster import Database
from tests.support.published import Published

from customary.app import Application
from customary.domain.account import Scope
from customary.storage import connections

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
PATH = "/customer-organizations"
ONE = f"{PATH}/{{id}}"
MEMBERS = f"{PATH}/{{id}}/members"
PUBLISHED = [("POST", PATH), ("POST", MEMBERS), ("PUT", MEMBERS)]
OPERATIONS = [*PUBLISHED, ("GET", PATH), ("GET", ONE), ("DELETE", ONE)]
WITH_ID = [each for each in OPERATIONS if "{" in each[1]]


async def make(client: Client, *names: str) -> list[str]:
    """The ids of new customers with these names."""
    return [(await client.create(newest(legalName=name)))["id"] for name in names]


async def organize(client: Client, owner: str, members: list[str]) -> Json:
    return success(await client.post(PATH, json={"ownerId": owner, "memberIds": members}), 201)


async def set_members(client: Client, organization: Json, members: list[str]) -> Json:
    return success(await client.put(f"{PATH}/{organization['id']}/members", json={"customerIds": members}))


def ids(organization: Json) -> list[str]:
    return [member["id"] for member in organization["members"]]


async def versions(database: Database, customer_ids: list[str]) -> list[int]:
    async with owner_connection(database.owner_url) as connection:
        rows = await connection.fetch("SELECT id, version FROM customers")
    found = {str(row["id"]): row["version"] for row in rows}
    return [found[each] for each in customer_ids]


async def copies(database: Database, customer_id: str, number: int) -> list[str]:
    """The ids of so many copies of a customer, made at once."""
    made = [str(uuid4()) for _ in range(number)]
    async with owner_connection(database.owner_url) as connection:
        rows = await connection.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attnum > 0"
            " AND NOT attisdropped AND attname <> 'id'"
        )
        columns = ", ".join(row["attname"] for row in rows)
        await connection.execute(
            f"INSERT INTO customers (id, {columns}) SELECT made, {columns}"  # noqa: S608 - the table's own columns
            " FROM customers, unnest($1::text[]::uuid[]) made WHERE id = $2::text::uuid",
            made,
            customer_id,
        )
    return made


def body_of(method: str, path: str, customer_id: str = MISSING) -> Json:
    if (method, path) == ("POST", PATH):
        return {"ownerId": customer_id, "memberIds": []}
    return {"customerIds": []} if path == MEMBERS else None


# --- As published ---


async def test_the_published_example_creates_an_organisation(
    account: Account, published: Callable[[str], Published]
) -> None:
    """The example's two members are other customers than its owner, as the schema has it."""
    document = published(NEWEST)
    owner, first, second = await make(account.client, "Owner", "First", "Second")
    body = document.example("POST", PATH) | {"ownerId": owner, "memberIds": [first, second]}
    response = await account.client.post(PATH, version=NEWEST, json=body)
    created = success(response, document.success("POST", PATH))
    document.check("POST", PATH, response.status_code, created)
    assert created == {
        "id": created["id"],
        "owner": {"id": owner, "name": "Owner"},
        "members": [{"id": first, "name": "First"}, {"id": second, "name": "Second"}],
    }
    for customer in (owner, first, second):
        assert (await account.client.customer(customer))["organizations"] == [created]
    assert success(await account.client.get(f"{PATH}/{created['id']}")) == created


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_the_published_examples_change_the_members(
    account: Account, published: Callable[[str], Published], method: str
) -> None:
    document = published(NEWEST)
    owner, first, second = await make(account.client, "Owner", "First", "Second")
    organization = await organize(account.client, owner, [first])
    body = document.example(method, MEMBERS) | {"customerIds": [second]}
    response = await account.client.request(method, f"{PATH}/{organization['id']}/members", version=NEWEST, json=body)
    changed = success(response, document.success(method, MEMBERS))
    document.check(method, MEMBERS, response.status_code, changed)
    assert ids(changed) == ([first, second] if method == "POST" else [second])
    assert success(await account.client.get(f"{PATH}/{organization['id']}")) == changed


# --- Rules ---


async def test_an_organisation_may_begin_without_members(account: Account) -> None:
    [owner] = await make(account.client, "Owner")
    assert (await organize(account.client, owner, []))["members"] == []


async def test_a_customer_named_twice_is_one_member(account: Account) -> None:
    owner, member = await make(account.client, "Owner", "Member")
    assert ids(await organize(account.client, owner, [member, member.upper()])) == [member]


async def test_a_member_stays_in_other_organisations(account: Account) -> None:
    first, second, member = await make(account.client, "First", "Second", "Member")
    one = await organize(account.client, first, [member])
    two = await organize(account.client, second, [member])
    await set_members(account.client, two, [])
    assert [each["id"] for each in (await account.client.customer(member))["organizations"]] == [one["id"]]


async def test_an_owner_owns_one_organisation_and_the_refusal_names_it(account: Account) -> None:
    [owner] = await make(account.client, "Owner")
    organization = await organize(account.client, owner, [])
    response = await account.client.post(PATH, json={"ownerId": owner, "memberIds": []})
    error = refused(response, 409, "conflict")
    assert organization["id"] in error["message"]
    assert [(each["key"], each["code"]) for each in error["errors"]] == [("ownerId", "ownsOrganization")]


async def test_the_owner_is_no_member_of_its_own(account: Account) -> None:
    owner, member = await make(account.client, "Owner", "Member")
    response = await account.client.post(PATH, json={"ownerId": owner, "memberIds": [member, owner]})
    assert invalid(response) == {"memberIds[1]": "ownMember"}
    organization = await organize(account.client, owner, [])
    for method in ("POST", "PUT"):
        url = f"{PATH}/{organization['id']}/members"
        response = await account.client.request(method, url, json={"customerIds": [owner]})
        assert invalid(response) == {"customerIds[0]": "ownMember"}


@pytest.mark.parametrize("height", [1, 2, 4])
async def test_a_circle_of_parents_is_refused(account: Account, height: int) -> None:
    """Each owns an organisation with the next as its member; the last cannot take in the first."""
    chain = await make(account.client, *(f"Level {number}" for number in range(height + 1)))
    for owner, member in pairwise(chain):
        await organize(account.client, owner, [member])
    response = await account.client.post(PATH, json={"ownerId": chain[-1], "memberIds": [chain[0]]})
    assert invalid(response) == {"memberIds[0]": "circle"}
    organization = await organize(account.client, chain[-1], [])
    for method in ("POST", "PUT"):
        url = f"{PATH}/{organization['id']}/members"
        response = await account.client.request(method, url, json={"customerIds": [chain[0]]})
        assert invalid(response) == {"customerIds[0]": "circle"}


async def test_of_two_that_take_each_other_in_at_once_one_is_refused(account: Account) -> None:
    for number in range(5):
        first, second = await make(account.client, f"a{number}", f"b{number}")
        answers = await asyncio.gather(
            account.client.post(PATH, json={"ownerId": first, "memberIds": [second]}),
            account.client.post(PATH, json={"ownerId": second, "memberIds": [first]}),
        )
        assert sorted(answer.status_code for answer in answers) == [201, 400]


async def test_all_unknown_customers_are_named_at_once_by_their_keys(account: Account, second_account: Account) -> None:
    [owner] = await make(account.client, "Owner")
    [foreign] = await make(second_account.client, "Foreign")
    body = {"ownerId": MISSING, "memberIds": [owner, foreign, "no id", ""]}
    response = await account.client.post(PATH, json=body)
    assert invalid(response) == dict.fromkeys(
        ("ownerId", "memberIds[1]", "memberIds[2]", "memberIds[3]"), "unknownCustomer"
    )
    for text in (MISSING, foreign, "no id"):
        assert text in response.json()["error"]["message"]
    organization = await organize(account.client, owner, [])
    for method in ("POST", "PUT"):
        url = f"{PATH}/{organization['id']}/members"
        response = await account.client.request(method, url, json={"customerIds": [foreign, owner]})
        assert invalid(response) == {"customerIds[0]": "unknownCustomer", "customerIds[1]": "ownMember"}
    assert (await second_account.client.customer(foreign))["organizations"] == []


async def test_archived_customers_neither_own_nor_join(account: Account) -> None:
    owner, member, archived, other = await make(account.client, "Owner", "Member", "Archived", "Other")
    organization = await organize(account.client, owner, [member])
    for customer in (archived, other):
        await account.client.archive(customer)
    for method in ("POST", "PUT"):
        url = f"{PATH}/{organization['id']}/members"
        body = {"customerIds": [member, archived, other]}
        error = refused(await account.client.request(method, url, json=body), 409, "conflict")
        assert [each["key"] for each in error["errors"]] == ["customerIds[1]", "customerIds[2]"]
    body = {"ownerId": archived, "memberIds": [member]}
    error = refused(await account.client.post(PATH, json=body), 409, "conflict")
    assert [(each["key"], each["code"]) for each in error["errors"]] == [("ownerId", "archived")]
    await account.client.archive(owner)
    refused(await account.client.put(f"{PATH}/{organization['id']}/members", json={"customerIds": []}), 409, "conflict")
    assert success(await account.client.get(f"{PATH}/{organization['id']}")) == organization


async def test_an_archived_member_may_stay_and_may_be_left_out(account: Account) -> None:
    owner, member, other = await make(account.client, "Owner", "Member", "Other")
    organization = await organize(account.client, owner, [member])
    await account.client.archive(member)
    assert ids(await set_members(account.client, organization, [member, other])) == [member, other]
    assert ids(await set_members(account.client, organization, [other])) == [other]


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, {"ownerId": "required", "memberIds": "required"}),
        ({"ownerId": 1, "memberIds": "x"}, {"ownerId": "type", "memberIds": "type"}),
        ({"ownerId": MISSING, "memberIds": [1, None]}, {"memberIds[0]": "type", "memberIds[1]": "type"}),
        ({"ownerId": MISSING, "memberIds": [MISSING] * 10_001}, {"memberIds": "tooMany"}),
    ],
)
async def test_a_malformed_body_is_refused_field_by_field(account: Account, body: Json, problems: Json) -> None:
    assert invalid(await account.client.post(PATH, json=body)) == problems


# --- What is recorded ---


async def test_a_create_is_one_activity_and_an_event_for_everybody_in_it(account: Account, database: Database) -> None:
    owner, first, second, other = await make(account.client, "Owner", "First", "Second", "Other")
    organization = await organize(account.client, owner, [first, second])
    [activity] = await records.activities(database, "CUSTOMER_ORGANIZATION")
    assert (activity.verb, activity.object[1], activity.target) == (
        "CREATED",
        organization["id"],
        ("CUSTOMER", owner),
    )
    before, after = activity.changes["members"]
    assert before is None
    assert [member["id"] for member in after] == [first, second]
    for customer in (owner, first, second):
        shown = await account.client.customer(customer)
        assert shown["updatedAt"] > shown["createdAt"]
        [_, (version, kind, body)] = await records.events(database, customer)
        assert (version, kind, body["id"]) == (2, "CUSTOMER_UPDATED", customer)
        assert body["organizations"] == [organization]
        assert body["updated_at"] != body["created_at"]
        assert body["contacts"]
    assert await versions(database, [owner, first, second, other]) == [2, 2, 2, 1]


async def test_a_change_touches_the_owner_and_who_joins_or_leaves_and_nobody_else(
    account: Account, database: Database
) -> None:
    owner, stays, leaves, joins = await make(account.client, "Owner", "Stays", "Leaves", "Joins")
    organization = await organize(account.client, owner, [stays, leaves])
    changed = await set_members(account.client, organization, [stays, joins])
    assert await versions(database, [owner, stays, leaves, joins]) == [3, 2, 3, 2]
    assert (await records.events(database, leaves))[-1][2]["organizations"] == []
    assert (await records.events(database, joins))[-1][2]["organizations"] == [changed]
    [_, activity] = await records.activities(database, "CUSTOMER_ORGANIZATION")
    assert activity.verb == "UPDATED"
    assert activity.changes.keys() == {"members"}
    before, after = activity.changes["members"]
    assert {each["id"] for each in before} == {stays, leaves}
    assert {each["id"] for each in after} == {stays, joins}


async def test_an_event_shows_all_organisations_oldest_first(account: Account, database: Database) -> None:
    """Also those that the change was not about."""
    first, second, member = await make(account.client, "First", "Second", "Member")
    one = await organize(account.client, first, [member])
    own = await organize(account.client, member, [])
    two = await organize(account.client, second, [member])
    assert (await records.events(database, member))[-1][2]["organizations"] == [one, own, two]
    assert (await account.client.customer(member))["organizations"] == [one, own, two]


async def test_a_write_that_changes_nothing_records_nothing(account: Account, database: Database) -> None:
    owner, first, second = await make(account.client, "Owner", "First", "Second")
    organization = await organize(account.client, owner, [first, second])
    before = await records.count(database)
    assert await set_members(account.client, organization, [second, first, first]) == organization
    url = f"{PATH}/{organization['id']}/members"
    for members in ([first], []):
        assert success(await account.client.post(url, json={"customerIds": members})) == organization
    refused(await account.client.post(PATH, json={"ownerId": owner, "memberIds": []}), 409, "conflict")
    assert await records.count(database) == before
    assert await versions(database, [owner, first, second]) == [2, 2, 2]


async def test_versions_have_no_gap_after_changes_of_all_kinds_at_once(account: Account, database: Database) -> None:
    owner, *members = await make(account.client, "Owner", "a", "b", "c")
    organization = await organize(account.client, owner, [])
    url = f"{PATH}/{organization['id']}/members"
    for _ in range(3):
        answers = await asyncio.gather(
            account.client.put(url, json={"customerIds": members}),
            account.client.put(url, json={"customerIds": members[:1]}),
            account.client.post(url, json={"customerIds": members[::-1]}),
            *(account.client.put(f"/customers/{each}", json=newest(label=str(uuid4()))) for each in [owner, *members]),
        )
        assert {answer.status_code for answer in answers} == {200}
    for customer, version in zip([owner, *members], await versions(database, [owner, *members]), strict=True):
        assert [event[0] for event in await records.events(database, customer)] == list(range(1, version + 1))


# --- Through parentId ---


async def test_a_new_parent_has_changed_as_well(account: Account, database: Database) -> None:
    [parent] = await make(account.client, "Parent")
    child = await account.client.create(newest(legalName="Child", parentId=parent))
    assert await versions(database, [parent, child["id"]]) == [2, 1]
    assert [event[:2] for event in await records.events(database, parent)] == [
        (1, "CUSTOMER_CREATED"),
        (2, "CUSTOMER_UPDATED"),
    ]
    assert (await records.events(database, parent))[-1][2]["organizations"] == child["organizations"]
    assert (await records.events(database, child["id"]))[0][2]["organizations"] == child["organizations"]
    assert await records.count(database) == (2, 3)


async def test_another_parent_touches_both_parents_and_the_same_one_nobody(
    account: Account, database: Database
) -> None:
    first, second = await make(account.client, "First", "Second")
    child = (await account.client.create(newest(parentId=first)))["id"]
    await account.client.update(child, newest(parentId=second))
    assert await versions(database, [first, second, child]) == [3, 2, 2]
    assert (await records.events(database, first))[-1][2]["organizations"][0]["members"] == []
    before = await records.count(database)
    await account.client.update(child, newest(parentId=second))
    assert await records.count(database) == before
    await account.client.update(child, newest(parentId=second, label="new"))
    assert await versions(database, [first, second, child]) == [3, 2, 3]


async def test_a_parent_replaces_the_parent_before_also_where_the_child_had_joined_by_hand(account: Account) -> None:
    """Naming the owner as the parent makes the membership one by parent."""
    first, second, child = await make(account.client, "First", "Second", "Child")
    await organize(account.client, first, [child])
    await account.client.update(child, newest(parentId=first))
    after = await account.client.update(child, newest(parentId=second))
    assert [each["owner"]["id"] for each in after["organizations"]] == [second]


async def test_a_renamed_customer_is_answered_with_its_new_name_in_organisations(account: Account) -> None:
    parent, child = await make(account.client, "Parent", "Child")
    await organize(account.client, parent, [child])
    answer = await account.client.update(child, newest(legalName="Renamed"))
    assert answer["organizations"][0]["members"] == [{"id": child, "name": "Renamed"}]
    assert await account.client.customer(child) == answer


# --- Conditions, keys, other accounts ---


async def test_a_stale_tag_is_refused_and_a_fresh_one_accepted(account: Account) -> None:
    owner, member = await make(account.client, "Owner", "Member")
    organization = await organize(account.client, owner, [])
    url = f"{PATH}/{organization['id']}"
    tag = (await account.client.get(url)).headers["etag"]
    await set_members(account.client, organization, [member])
    stale = {"If-Match": tag}
    for method, path, body in (
        ("PUT", f"{url}/members", {"customerIds": []}),
        ("POST", f"{url}/members", {"customerIds": []}),
        ("DELETE", url, None),
    ):
        response = await account.client.request(method, path, json=body, headers=stale)
        refused(response, 412, "preconditionFailed")
    fresh = {"If-Match": (await account.client.get(url)).headers["etag"]}
    answer = await account.client.put(f"{url}/members", json={"customerIds": []}, headers=fresh)
    assert success(answer) == organization
    assert answer.headers["etag"] == (await account.client.get(url)).headers["etag"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_without_a_key_nothing_is_answered(app: Application, method: str, path: str) -> None:
    async with client_of(app, None) as anonymous:
        response = await anonymous.request(method, path.format(id=MISSING), json=body_of(method, path))
        refused(response, 401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_key_without_the_scope_is_forbidden(
    app: Application, account: Account, database: Database, method: str, path: str
) -> None:
    scope = Scope.WRITE if method == "GET" else Scope.READ
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({scope}))
    async with client_of(app, key) as limited:
        response = await limited.request(method, path.format(id=MISSING), json=body_of(method, path))
        refused(response, 403, "forbidden")


@pytest.mark.parametrize(("method", "path"), WITH_ID)
async def test_an_organisation_that_is_missing_malformed_or_foreign_answers_exactly_alike(
    account: Account, second_account: Account, method: str, path: str
) -> None:
    [foreign_owner] = await make(second_account.client, "Foreign")
    foreign = await organize(second_account.client, foreign_owner, [])
    seen: set[tuple[int, bytes]] = set()
    for each in (MISSING, "x", foreign["id"]):
        response: httpx.Response = await account.client.request(
            method, path.format(id=each), json=body_of(method, path)
        )
        refused(response, 404, "notFound")
        seen.add((response.status_code, response.content))
    assert len(seen) == 1
    assert success(await second_account.client.get(f"{PATH}/{foreign['id']}")) == foreign


@pytest.mark.parametrize("version", ["2024-01-01", "2024-05-09"])
async def test_the_older_versions_have_no_organisations(account: Account, version: str) -> None:
    refused(await account.client.post(PATH, version=version, json={}), 404, "notFound")


# --- Listing and deleting ---


async def test_organisations_are_listed_newest_first_page_by_page(account: Account, second_account: Account) -> None:
    owners = await make(account.client, "a", "b", "c")
    made = [await organize(account.client, owner, []) for owner in owners]
    [foreign] = await make(second_account.client, "Foreign")
    await organize(second_account.client, foreign, [])
    page = success(await account.client.get(PATH))
    assert page == {"items": made[::-1], "pagination": {"totalResultSize": 3}}
    first = success(await account.client.get(PATH, params={"limit": "2", "sortOrder": "ASC"}))
    assert first["items"] == made[:2]
    after = {"limit": "2", "sortOrder": "ASC", "after": first["pagination"]["after"]}
    second = success(await account.client.get(PATH, params=after))
    assert second["items"] == made[2:]
    back = {"limit": "2", "sortOrder": "ASC", "before": second["pagination"]["before"]}
    assert success(await account.client.get(PATH, params=back))["items"] == made[:2]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "after=x", "sortOrder=up"])
async def test_a_bad_page_is_refused(account: Account, query: str) -> None:
    assert invalid(await account.client.get(f"{PATH}?{query}"))


async def test_a_cursor_of_another_list_is_refused(account: Account) -> None:
    await make(account.client, "a", "b")
    cursor = (await account.client.page(limit="1"))["pagination"]["after"]
    assert invalid(await account.client.get(PATH, params={"after": cursor})) == {"after": "cursor"}


async def test_a_deleted_organisation_is_gone_and_its_customers_stay(account: Account, database: Database) -> None:
    owner, member = await make(account.client, "Owner", "Member")
    organization = await organize(account.client, owner, [member])
    url = f"{PATH}/{organization['id']}"
    assert success(await account.client.delete(url)) == organization
    refused(await account.client.get(url), 404, "notFound")
    refused(await account.client.delete(url), 404, "notFound")
    for customer in (owner, member):
        shown = await account.client.customer(customer)
        assert shown["organizations"] == []
        assert "archivedAt" not in shown
        assert [event[0] for event in await records.events(database, customer)] == [1, 2, 3]
        assert (await records.events(database, customer))[-1][2]["organizations"] == []
    [_, activity] = await records.activities(database, "CUSTOMER_ORGANIZATION")
    assert activity.verb == "DELETED"
    assert activity.changes["members"] == ([{"id": member, "name": "Member"}], None)
    assert (await organize(account.client, owner, [member]))["id"] != organization["id"]


# --- Many members ---


async def test_the_number_of_statements_does_not_grow_with_the_members(
    account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, member = await make(account.client, "Owner", "Member")
    owners, members = await copies(database, original, 2), await copies(database, member, 300)
    count = 0
    connection_class: Json = connections.TenantConnection
    execute = connection_class._execute

    async def counted(self: Json, *arguments: Json, **options: Json) -> Json:
        nonlocal count
        count += 1
        return await execute(self, *arguments, **options)

    monkeypatch.setattr(connection_class, "_execute", counted)
    counts: list[list[int]] = []
    for owner, some in zip(owners, (members[:1], members), strict=True):
        organization, steps = await organize(account.client, owner, []), [count]
        for joined in (some, []):
            await set_members(account.client, organization, joined)
            steps.append(count)
        success(await account.client.post(f"{PATH}/{organization['id']}/members", json={"customerIds": some}))
        steps.append(count)
        success(await account.client.delete(f"{PATH}/{organization['id']}"))
        steps.append(count)
        counts.append([later - earlier for earlier, later in pairwise(steps)])
    assert counts[0] == counts[1]
    assert all(step > 5 for step in counts[0])


async def test_ten_thousand_members_join_at_once_and_their_events_share_what_they_joined(
    account: Account, database: Database
) -> None:
    """Each event with a copy of its own of the organisation would be 7 GB."""
    owner, member = await make(account.client, "Owner", "Member")
    members = await copies(database, member, 10_000)
    organization = await organize(account.client, owner, members)
    assert sorted(ids(organization)) == sorted(members)
    async with owner_connection(database.owner_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM events WHERE batch_id IS NOT NULL") == 10_001
        assert await connection.fetchval("SELECT count(*) FROM event_organizations") == 1
        stored = await connection.fetchval("SELECT sum(pg_column_size(customer)) FROM events")
        assert stored < 20 * 1024**2
        whole = await connection.fetchval(
            "SELECT customer FROM complete_events WHERE customer_id = $1::text::uuid", members[0]
        )
    assert json.loads(whole)["organizations"] == [organization]
