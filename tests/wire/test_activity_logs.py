"""The activity log in the newest version: true, complete, filtered, and never changed."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.support.bodies import newest
from tests.support.clients import (
    NEWEST,
    VERSIONS,
    Account,
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
from customary.domain.activity import ObjectType
from customary.storage.activity_logs import reference_id
from customary.storage.database import Database as Pool

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
LIST = "/activity-logs"
PATH = LIST + "/{id}"
POLICY = {"name": "Finance", "channel": "EMAIL", "recipients": ["a@example.com"]}


async def log(account: Account, **params: object) -> list[Json]:
    return success(await account.client.get(LIST, params=params))["items"]


async def last(account: Account) -> Json:
    """The newest entry, with its one item."""
    entry = (await log(account, limit=1))[0]
    [item] = entry["activityLogItems"]
    return entry | {"item": item}


def changes(item: Json) -> dict[str, tuple[Any, Any]]:
    return {each["field"]: (each.get("before"), each.get("after")) for each in item["metadata"]}


async def test_an_entry_says_who_did_what_through_what(account: Account, published: Callable[[str], Published]) -> None:
    response = await account.client.post("/customers", json=newest(), headers={"X-Request-Id": "req-1"})
    customer = success(response, 201)
    [entry] = await log(account)
    published(NEWEST).check("GET", PATH, 200, entry)
    [item] = entry["activityLogItems"]
    customer_reference = str(reference_id(ObjectType.CUSTOMER, UUID(customer["id"])))
    assert entry == {
        "id": entry["id"],
        "sequenceAccountId": str(account.id),
        "activityType": "CUSTOMER_CREATED",
        "apiVersion": NEWEST,
        "origin": "API",
        "traceId": "req-1",
        "createdAt": customer["createdAt"],
        "activityLogItems": [
            {
                "id": entry["id"],
                "activityLogId": entry["id"],
                "verb": "CREATED",
                "name": "Customer created",
                "summary": f"An API key created customer {customer['id']}.",
                "metadata": item["metadata"],
                "activityLogActor": {
                    "id": item["activityLogActor"]["id"],
                    "entityType": "API_KEY",
                    "entityId": account.client_id,
                },
                "activityLogObject": {
                    "id": customer_reference,
                    "entityType": "CUSTOMER",
                    "entityId": customer["id"],
                },
            }
        ],
    }
    assert item["activityLogActor"]["id"] not in {account.client_id, customer["id"], customer_reference}


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_entry_has_the_version_that_the_change_came_through(account: Account, version: str) -> None:
    success(await account.client.post("/notifications/policies", version=version, json=POLICY), 201)
    assert (await last(account))["apiVersion"] == version


async def test_a_change_is_told_in_the_names_of_the_api_with_before_and_after(account: Account) -> None:
    """Keys of custom properties are the caller's own and stay; what has no value is left out; nothing is null."""
    customer = await account.client.create(newest(label="old", customProperties={"my_key": "1"}))
    await account.client.update(
        customer["id"],
        newest(customerAliases=["one"], customProperties={"my_key": "2", "an_other": "3"}, url="https://example.com/"),
    )
    entry = await last(account)
    found = changes(entry["item"])
    after = await account.client.customer(customer["id"])
    assert found["label"] == ("old", None)
    assert found["url"] == (None, "https://example.com/")
    assert found["customProperties"] == ({"my_key": "1"}, {"my_key": "2", "an_other": "3"})
    assert found["updatedAt"] == (customer["updatedAt"], after["updatedAt"])
    assert found["customerAliases"][0] == []
    [alias] = found["customerAliases"][1]
    assert {"id", "value", "createdAt"} <= alias.keys()
    assert not any("_" in name for name in alias)
    assert {"legalName", "version", "aliases"} & found.keys() == set()
    assert {"field": "label", "before": "old"} in entry["item"]["metadata"]
    assert entry["item"]["summary"].startswith(f"An API key updated customer {customer['id']}: ")
    assert "customerAliases" in entry["item"]["summary"]
    assert "null" not in (await account.client.get(LIST)).text


async def test_the_name_says_what_kind_of_thing_was_changed(account: Account) -> None:
    policy = success(await account.client.post("/notifications/policies", json=POLICY), 201)
    path = f"/notifications/policies/{policy['id']}/recipients"
    success(await account.client.post(path, json={"recipients": ["b@e.de"]}))
    entry = await last(account)
    assert entry["activityType"] == "NOTIFICATION_POLICY_UPDATED"
    assert entry["item"]["name"] == "Notification policy updated"
    assert changes(entry["item"]) == {"recipients": (["a@example.com"], ["a@example.com", "b@e.de"])}


async def test_what_is_refused_or_changes_nothing_leaves_no_entry(account: Account) -> None:
    customer = await account.client.create(newest())
    assert len(await log(account)) == 1
    await account.client.update(customer["id"], newest())
    refused(await account.client.post("/customers", json={}), 400, "validationError")
    refused(await account.client.delete(f"/users/{MISSING}"), 404, "notFound")
    success(await account.client.post("/customers?dryRun=true", json=newest()))
    assert len(await log(account)) == 1


async def filled(account: Account, count: int = 5) -> list[Json]:
    return [await account.client.create(newest(legalName=str(number))) for number in range(count)]


@pytest.mark.parametrize("order", ["ASC", "DESC", "asc", None])
async def test_the_log_is_walked_in_either_order(
    account: Account, published: Callable[[str], Published], order: str | None
) -> None:
    ids = [customer["id"] for customer in await filled(account)]
    params: dict[str, Any] = {"limit": 2} | ({"sortOrder": order} if order else {})
    seen: list[str] = []
    pages: list[list[str]] = []
    while True:
        page = success(await account.client.get(LIST, params=params))
        published(NEWEST).check("GET", LIST, 200, page)
        assert page["pagination"]["totalResultSize"] == 5
        pages.append([entry["activityLogItems"][0]["activityLogObject"]["entityId"] for entry in page["items"]])
        seen += pages[-1]
        if "after" not in page["pagination"]:
            break
        params["after"] = page["pagination"]["after"]
    assert seen == (ids if order in {"ASC", "asc"} else ids[::-1])
    del params["after"]
    back = success(await account.client.get(LIST, params=params | {"before": page["pagination"]["before"]}))
    assert [each["activityLogItems"][0]["activityLogObject"]["entityId"] for each in back["items"]] == pages[-2]


async def test_the_log_of_one_thing_is_found_by_either_id(account: Account) -> None:
    first, second = await filled(account, 2)
    await account.client.archive(first["id"])
    for customer, expected in ((first, ["ARCHIVED", "CREATED"]), (second, ["CREATED"])):
        entries = await log(account, activityLogObjectEntityId=customer["id"].upper())
        assert [entry["activityLogItems"][0]["verb"] for entry in entries] == expected
        reference = entries[0]["activityLogItems"][0]["activityLogObject"]["id"]
        assert await log(account, activityLogObjectId=reference) == entries
        both = {"activityLogObjectId": reference, "activityLogObjectEntityId": customer["id"]}
        assert await log(account, **both) == entries
        # The two kinds of id are not each other.
        assert await log(account, activityLogObjectId=customer["id"]) == []
        assert await log(account, activityLogObjectEntityId=reference) == []
    assert await log(account, activityLogObjectEntityId=MISSING) == []


async def test_one_entry_is_the_one_in_the_list(account: Account, published: Callable[[str], Published]) -> None:
    await filled(account, 2)
    for entry in await log(account):
        response = await account.client.get(PATH.format(id=entry["id"]))
        published(NEWEST).check("GET", PATH, 200, success(response))
        assert response.json() == entry
        assert response.headers["etag"]


@pytest.mark.parametrize(
    ("params", "problems"),
    [
        ({"limit": 0}, {"limit": "range"}),
        ({"limit": "x", "activityLogObjectId": "x"}, {"limit": "type", "activityLogObjectId": "id"}),
        ({"sortOrder": "UP"}, {"sortOrder": "enum"}),
        ({"after": "x"}, {"after": "cursor"}),
        ({"after": "x", "before": "y"}, {"after": "cursor", "before": "cursor"}),
        (
            {"activityLogObjectId": "", "activityLogObjectEntityId": "0185a14254ff7ce5846afc188432da6e"},
            {"activityLogObjectId": "id", "activityLogObjectEntityId": "id"},
        ),
    ],
)
async def test_a_list_that_cannot_be_is_refused(account: Account, params: Json, problems: Json) -> None:
    assert invalid(await account.client.get(LIST, params=params)) == problems


async def test_a_cursor_belongs_to_its_filter_order_and_tenant(account: Account, second_account: Account) -> None:
    [customer, _] = await filled(account, 2)
    cursor = success(await account.client.get(LIST, params={"limit": 1}))["pagination"]["after"]
    for params in ({"sortOrder": "ASC"}, {"activityLogObjectEntityId": customer["id"]}):
        assert invalid(await account.client.get(LIST, params=params | {"after": cursor})) == {"after": "cursor"}
    assert invalid(await second_account.client.get(LIST, params={"after": cursor})) == {"after": "cursor"}


async def test_another_tenants_log_does_not_exist(account: Account, second_account: Account) -> None:
    [customer] = await filled(second_account, 1)
    [foreign] = await log(second_account)
    assert await log(account) == []
    assert await log(account, activityLogObjectEntityId=customer["id"]) == []
    errors = [
        refused(await account.client.get(PATH.format(id=each)), 404, "notFound")
        for each in (MISSING, foreign["id"], "nonsense")
    ]
    assert all(error == errors[0] for error in errors)


@pytest.mark.parametrize("path", [LIST, PATH])
async def test_without_a_key_or_its_scope_nothing_is_answered(
    app: Application, account: Account, database: Database, path: str
) -> None:
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({Scope.WRITE}))
    url = path.format(id=MISSING)
    async with client_of(app, None) as anonymous, client_of(app, key) as limited:
        refused(await anonymous.get(url), 401, "unauthorized")
        refused(await limited.get(url), 403, "forbidden")


@pytest.mark.parametrize("version", VERSIONS[:2])
async def test_older_versions_have_no_log(account: Account, version: str) -> None:
    refused(await account.client.get(LIST, version=version), 404, "notFound")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nobody_writes_to_the_log(account: Account, method: str) -> None:
    for path in (LIST, PATH.format(id=MISSING)):
        refused(await account.client.request(method, path, json={}), 405, "methodNotAllowed")


@pytest.mark.parametrize("table", ["activity_logs", "events"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
async def test_the_database_refuses_the_service_any_change_of_the_record(
    account: Account, database: Database, table: str, statement: str
) -> None:
    await filled(account, 1)
    before = await log(account)
    pool = await Pool.open(database.service_url, pool_size=1)
    try:
        async with pool.reading(account.id) as reading:
            assert await reading.connection.fetchval(f"SELECT count(*) FROM {table}") == 1  # noqa: S608 - constants
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reading.connection.execute(statement.format(table))
    finally:
        pool.close()
    assert await log(account) == before
