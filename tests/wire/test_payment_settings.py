"""Payment settings of customers in all versions, with the published examples and everything that is refused."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.support.bodies import newest
from tests.support.clients import (
    FIRST,
    NEWEST,
    SECOND,
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

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
PATHS = {
    FIRST: "/customer-settings",
    SECOND: "/payments/settings/customers",
    NEWEST: "/payments/settings/customers",
}
OPERATIONS = [
    (version, method, path)
    for version in VERSIONS
    for method, path in (
        ("POST", PATHS[version]),
        ("GET", PATHS[version] + "/{id}"),
        ("PUT", PATHS[version] + "/{id}"),
        ("DELETE", PATHS[version] + "/{id}"),
    )
]
WITH_ID = [each for each in OPERATIONS if "{" in each[2]]


async def customer_id(account: Account) -> str:
    return (await account.client.create(newest()))["id"]


async def settled(account: Account, provider: str = "STRIPE", *, version: str = NEWEST, customer: str = "") -> Json:
    """New payment settings, of a new customer unless one is named."""
    sent = {"customerId": customer or await customer_id(account), "paymentProvider": provider}
    return success(await account.client.post(PATHS[version], version=version, json=sent), 201)


async def shown(account: Account, settings_id: str, version: str = NEWEST) -> Json:
    return success(await account.client.get(f"{PATHS[version]}/{settings_id}", version=version))


async def changed(account: Account, settings_id: str, provider: str, version: str = NEWEST) -> Json:
    sent = {"paymentProvider": provider}
    return success(await account.client.put(f"{PATHS[version]}/{settings_id}", version=version, json=sent))


async def records(database: Database) -> list[dict[str, Any]]:
    """Every entry about payment settings, oldest first."""
    async with owner_connection(database.owner_url) as connection:
        rows = await connection.fetch(
            "SELECT verb, object_id::text, target_type, target_id::text, api_version, changes::text"
            "  FROM activity_logs WHERE object_type = 'CUSTOMER_PAYMENT_SETTINGS' ORDER BY id"
        )
        return [dict(row) for row in rows]


async def events(database: Database) -> int:
    async with owner_connection(database.owner_url) as connection:
        return await connection.fetchval("SELECT count(*) FROM events")


def visible(response: httpx.Response) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """All of an answer but its request id and what is left of the limit."""
    varying = {b"x-request-id", b"ratelimit", b"ratelimit-policy"}
    return (
        response.status_code,
        response.content,
        [(name, value) for name, value in response.headers.raw if name.lower() not in varying],
    )


def test_every_published_operation_is_listed_here(published: Callable[[str], Published]) -> None:
    found = {
        (version, method.upper(), path)
        for version in VERSIONS
        for path, methods in published(version).document["paths"].items()
        for method in methods
        if "settings" in path and isinstance(methods[method], dict)
    }
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_published_examples_are_accepted_and_answered_as_published(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    document, path = published(version), PATHS[version]
    one = path + "/{id}"
    sent = document.example("POST", path) | {"customerId": await customer_id(account)}
    response = await account.client.post(path, version=version, json=sent)
    made = success(response, document.success("POST", path))
    document.check("POST", path, response.status_code, made)
    assert made == sent | {"id": made["id"], "sequenceAccountId": str(account.id)}
    url = f"{path}/{made['id']}"
    for method, example in (("GET", None), ("PUT", document.example("PUT", one)), ("DELETE", None)):
        answer = success(await account.client.request(method, url, version=version, json=example))
        document.check(method, one, document.success(method, one), answer)
        assert answer == made
    refused(await account.client.get(url, version=version), 404, "notFound")


@pytest.mark.parametrize("version", [SECOND, NEWEST])
async def test_the_oldest_path_is_the_first_versions_alone(account: Account, version: str) -> None:
    made = await settled(account)
    refused(await account.client.get(f"/customer-settings/{made['id']}", version=version), 404, "notFound")
    answer = await account.client.get(f"/payments/settings/customers/{made['id']}", version=FIRST)
    refused(answer, 404, "notFound")


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_id_is_the_settings_own(account: Account, version: str) -> None:
    """The customer's id is not another name for its settings."""
    made = await settled(account, version=version)
    assert made["id"] != made["customerId"]
    for method, sent in (("GET", None), ("PUT", {"paymentProvider": "NONE"}), ("DELETE", None)):
        url = f"{PATHS[version]}/{made['customerId']}"
        refused(await account.client.request(method, url, version=version, json=sent), 404, "notFound")
    assert await shown(account, made["id"], version) == made


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_version_shows_what_any_version_wrote(account: Account, version: str) -> None:
    made = await settled(account, version=version)
    for other in VERSIONS:
        assert await shown(account, made["id"], other) == made
        assert (await changed(account, made["id"], "NONE", other))["paymentProvider"] == "NONE"
        assert (await changed(account, made["id"], "STRIPE", other))["paymentProvider"] == "STRIPE"


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_a_provider_that_an_older_version_cannot_name(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    """It is NONE there, a write that repeats that keeps it, any other write replaces it."""
    made = await settled(account, "GOCARDLESS")
    seen = await shown(account, made["id"], version)
    published(version).check("GET", PATHS[version] + "/{id}", 200, seen)
    assert seen == made | {"paymentProvider": "NONE"}
    assert await changed(account, made["id"], "NONE", version) == seen
    assert await shown(account, made["id"]) == made
    sent = {"paymentProvider": "GOCARDLESS"}
    answer = await account.client.put(f"{PATHS[version]}/{made['id']}", version=version, json=sent)
    assert invalid(answer) == {"paymentProvider": "enum"}
    assert (await changed(account, made["id"], "STRIPE", version))["paymentProvider"] == "STRIPE"
    assert (await changed(account, made["id"], "NONE", version))["paymentProvider"] == "NONE"
    assert (await shown(account, made["id"]))["paymentProvider"] == "NONE"


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_an_older_version_deletes_what_it_cannot_name(account: Account, version: str) -> None:
    made = await settled(account, "GOCARDLESS")
    answer = success(await account.client.delete(f"{PATHS[version]}/{made['id']}", version=version))
    assert answer["paymentProvider"] == "NONE"
    refused(await account.client.get(f"{PATHS[NEWEST]}/{made['id']}"), 404, "notFound")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_customer_has_one_set_of_settings(account: Account, database: Database, version: str) -> None:
    made = await settled(account, version=version)
    sent = {"customerId": made["customerId"], "paymentProvider": "NONE"}
    error = refused(await account.client.post(PATHS[version], version=version, json=sent), 409, "conflict")
    assert made["id"] in error["message"]
    assert made["customerId"] in error["message"]
    assert [detail["key"] for detail in error["errors"]] == ["customerId"]
    assert await shown(account, made["id"], version) == made
    assert len(await records(database)) == 1
    success(await account.client.delete(f"{PATHS[version]}/{made['id']}", version=version))
    again = await settled(account, version=version, customer=made["customerId"])
    assert again["id"] != made["id"]


async def test_of_many_at_once_one_is_made(account: Account, database: Database) -> None:
    sent = {"customerId": await customer_id(account), "paymentProvider": "STRIPE"}
    answers = await asyncio.gather(*(account.client.post(PATHS[NEWEST], json=sent) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert len(await records(database)) == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_all_wrong_fields_are_named_at_once(account: Account, version: str) -> None:
    path, made = PATHS[version], await settled(account)
    for sent, expected in (
        ({}, {"customerId": "required", "paymentProvider": "required"}),
        ({"customerId": 1, "paymentProvider": "PAYPAL"}, {"customerId": "type", "paymentProvider": "enum"}),
    ):
        assert invalid(await account.client.post(path, version=version, json=sent)) == expected
    for sent, code in (({}, "required"), ({"paymentProvider": "stripe"}, "enum")):
        answer = await account.client.put(f"{path}/{made['id']}", version=version, json=sent)
        assert invalid(answer) == {"paymentProvider": code}
    for value in (None, 1, ["STRIPE"]):
        answer = await account.client.put(f"{path}/{made['id']}", version=version, json={"paymentProvider": value})
        assert invalid(answer).keys() == {"paymentProvider"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_unknown_customers_are_refused(
    account: Account, second_account: Account, database: Database, version: str
) -> None:
    for wrong in (MISSING, "nobody", "", await customer_id(second_account)):
        sent = {"customerId": wrong, "paymentProvider": "STRIPE"}
        answer = await account.client.post(PATHS[version], version=version, json=sent)
        assert invalid(answer) == {"customerId": "customer"}
    assert await records(database) == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_fields_that_a_caller_cannot_set_are_ignored(account: Account, version: str) -> None:
    sent = {"customerId": await customer_id(account), "paymentProvider": "NONE", "id": MISSING}
    sent["sequenceAccountId"] = MISSING
    made = success(await account.client.post(PATHS[version], version=version, json=sent), 201)
    assert made["id"] != MISSING
    assert made["sequenceAccountId"] == str(account.id)
    other = {"paymentProvider": "STRIPE", "customerId": await customer_id(account)}
    answer = success(await account.client.put(f"{PATHS[version]}/{made['id']}", version=version, json=other))
    assert answer == made | {"paymentProvider": "STRIPE"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_one_activity_for_each_change_and_no_event(account: Account, database: Database, version: str) -> None:
    """Customers do not show their payment settings, so nobody is told that they changed."""
    customer = await customer_id(account)
    told = await events(database)
    made = await settled(account, version=version, customer=customer)
    for provider in ("STRIPE", "NONE", "NONE"):
        await changed(account, made["id"], provider, version)
    success(await account.client.delete(f"{PATHS[version]}/{made['id']}", version=version))
    entries = await records(database)
    assert [each["verb"] for each in entries] == ["CREATED", "UPDATED", "DELETED"]
    for each in entries:
        assert (each["object_id"], each["api_version"]) == (made["id"], version)
        assert (each["target_type"], each["target_id"]) == ("CUSTOMER", customer)
    assert "STRIPE" in entries[1]["changes"]
    assert "NONE" in entries[1]["changes"]
    assert customer not in entries[1]["changes"]
    assert await events(database) == told
    after = await account.client.customer(customer)
    assert after["updatedAt"] == after["createdAt"]


async def test_repeating_what_an_older_version_shows_records_nothing(account: Account, database: Database) -> None:
    made = await settled(account, "GOCARDLESS")
    await changed(account, made["id"], "NONE", FIRST)
    assert [each["verb"] for each in await records(database)] == ["CREATED"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_archived_customers_settings_can_only_be_read(
    account: Account, database: Database, version: str
) -> None:
    made = await settled(account, version=version)
    without = await customer_id(account)
    await account.client.archive(made["customerId"])
    await account.client.archive(without)
    client, url = account.client, f"{PATHS[version]}/{made['id']}"
    for customer in (without, made["customerId"]):
        sent = {"customerId": customer, "paymentProvider": "STRIPE"}
        refused(await client.post(PATHS[version], version=version, json=sent), 409, "conflict")
    refused(await client.put(url, version=version, json={"paymentProvider": "NONE"}), 409, "conflict")
    refused(await client.delete(url, version=version), 409, "conflict")
    assert await shown(account, made["id"], version) == made
    assert len(await records(database)) == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stale_tag_is_refused(account: Account, version: str) -> None:
    made = await settled(account)
    url = f"{PATHS[version]}/{made['id']}"
    stale = (await account.client.get(url, version=version)).headers["etag"]
    sent = {"paymentProvider": "NONE"}
    answer = await account.client.put(url, version=version, json=sent, headers={"If-Match": stale})
    fresh = answer.headers["etag"]
    sent = {"paymentProvider": "STRIPE"}
    answer = await account.client.put(url, version=version, json=sent, headers={"If-Match": stale})
    refused(answer, 412, "preconditionFailed")
    answer = await account.client.delete(url, version=version, headers={"If-Match": stale})
    refused(answer, 412, "preconditionFailed")
    assert (await shown(account, made["id"]))["paymentProvider"] == "NONE"
    success(await account.client.delete(url, version=version, headers={"If-Match": fresh}))


@pytest.mark.parametrize(("version", "method", "path"), WITH_ID)
async def test_malformed_missing_and_foreign_ids_answer_alike(
    account: Account, second_account: Account, version: str, method: str, path: str
) -> None:
    theirs = await settled(second_account)
    sent = {"paymentProvider": "NONE"} if method == "PUT" else None
    answers = [
        await account.client.request(method, path.format(id=each), version=version, json=sent)
        for each in (theirs["id"], MISSING, "nothing")
    ]
    refused(answers[0], 404, "notFound")
    assert len({str(visible(answer)) for answer in answers}) == 1
    assert await shown(second_account, theirs["id"]) == theirs


@pytest.mark.parametrize(("version", "method", "path"), OPERATIONS)
async def test_without_a_key_nothing_is_answered(app: Application, version: str, method: str, path: str) -> None:
    async with client_of(app, None) as anonymous:
        refused(await anonymous.request(method, path.format(id=MISSING), version=version), 401, "unauthorized")


@pytest.mark.parametrize(("version", "method", "path"), OPERATIONS)
async def test_a_key_without_the_scope_is_forbidden(
    app: Application, account: Account, database: Database, version: str, method: str, path: str
) -> None:
    scope = Scope.WRITE if method == "GET" else Scope.READ
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({scope}))
    async with client_of(app, key) as limited:
        refused(await limited.request(method, path.format(id=MISSING), version=version), 403, "forbidden")
