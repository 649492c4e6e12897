"""Every published operation on customers, with its published example: accepted, stored, and answered as published."""

from collections.abc import Callable
from typing import Any

import pytest
from tests.support.bodies import LINKS, newest
from tests.support.clients import (
    FIRST,
    NEWEST,
    SECOND,
    VERSIONS,
    Account,
    Json,
    client_of,
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
# Operations on paths below /customers that belong to another resource.
OTHER_RESOURCES = "/contacts"

OPERATIONS = [
    *(
        (version, method, path)
        for version in VERSIONS
        for method, path in (
            ("GET", "/customers"),
            ("POST", "/customers"),
            ("GET", "/customers/{id}"),
            ("PUT", "/customers/{id}"),
            ("GET", "/customers/{id}/aliases"),
            ("GET", "/customers/by-alias/{alias}"),
        )
    ),
    *(
        (version, method, path)
        for version in (FIRST, SECOND)
        for method, path in (
            ("DELETE", "/customers/{id}"),
            ("PUT", "/customers/{id}/archive"),
        )
    ),
    (NEWEST, "POST", "/customers/{id}/archive"),
]
WITH_BODY = [each for each in OPERATIONS if each[1:] in {("POST", "/customers"), ("PUT", "/customers/{id}")}]
WITH_ID = [each for each in OPERATIONS if "{" in each[2]]


async def example(account: Account, document: Published, method: str, path: str) -> Json:
    """The published example, its aliases free and its parent one of this account."""
    body = document.example(method, path)
    body["customerAliases"] = [f"{alias}-{method}-{document.version}" for alias in body["customerAliases"]]
    if "parentId" in body:
        body["parentId"] = (await account.client.create(newest(legalName="Parent")))["id"]
    return body


async def full_customer(account: Account) -> Json:
    """A customer that has a value for everything that a version can show."""
    parent = await account.client.create(newest(legalName="Parent"))
    links = [{"service": "Stripe", "id": "cus_1"}, {"service": "Sphere", "id": "1"}]
    customer = await account.client.create(
        newest(
            url="https://example.com/",
            label="l",
            parentId=parent["id"],
            integrationIds=links,
            pushToIntegrations=["Xero"],
            customerAliases=["alias"],
            customProperties={"k": "v"},
        )
    )
    flat = await account.client.customer(customer["id"], version=SECOND)
    flat |= {"telephone": "1", "contactName": "Somebody", "billingEmails": ["a@example.com", "b@example.com"]}
    await account.client.update(customer["id"], flat, version=SECOND)
    return customer


def test_every_published_operation_on_customers_is_listed_here(published: Callable[[str], Published]) -> None:
    found = {
        (version, method.upper(), path)
        for version in VERSIONS
        for path, methods in published(version).document["paths"].items()
        for method in methods
        if path.startswith("/customers") and OTHER_RESOURCES not in path and isinstance(methods[method], dict)
    }
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_published_create_is_accepted_and_kept(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    document = published(version)
    body = await example(account, document, "POST", "/customers")
    response = await account.client.post("/customers", version=version, json=body)
    answer = success(response, document.success("POST", "/customers"))
    document.check("POST", "/customers", response.status_code, answer)
    customer = answer["customer"] if version == FIRST else answer
    assert_kept(version, body, customer)
    for other in VERSIONS:
        shown = success(await account.client.get(f"/customers/{customer['id']}", version=other))
        published(other).check("GET", "/customers/{id}", 200, shown)
    assert await account.client.customer(customer["id"], version=version) == customer


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_published_update_is_accepted_and_kept(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    document = published(version)
    before = await full_customer(account)
    body = await example(account, document, "PUT", "/customers/{id}")
    response = await account.client.put(f"/customers/{before['id']}", version=version, json=body)
    customer = success(response, document.success("PUT", "/customers/{id}"))
    document.check("PUT", "/customers/{id}", response.status_code, customer)
    assert_kept(version, body, customer)
    assert await account.client.customer(customer["id"], version=version) == customer


def assert_kept(version: str, body: Json, customer: Json) -> None:
    """What was sent is what is shown, field by field."""
    for field in ("legalName", "address", "url", "label", "taxStatus"):
        assert customer[field] == body[field]
    links = [
        {name: link[name] for name in link if name in {"key", "value", "service", "id"}}
        for link in customer[LINKS[version]]
    ]
    assert sorted(links, key=str) == sorted(body[LINKS[version]], key=str)
    if version == NEWEST:
        for field in ("status", "customProperties"):
            assert customer[field] == body[field]
        shown = [
            {name: contact[name] for name in ("name", "email", "billingPreference")} for contact in customer["contacts"]
        ]
        assert shown == body["contacts"]
        assert [each["owner"]["id"] for each in customer["organizations"]] == [body["parentId"]]
    else:
        assert (customer["email"], customer["telephone"]) == (body["email"], body["telephone"])
        # A contact named like the company says nothing; the main contact receives billing, so its address is listed.
        assert "contactName" not in customer
        assert sorted(customer["billingEmails"]) == sorted({body["email"], *body["billingEmails"]})


@pytest.mark.parametrize(("version", "method", "path"), [each for each in OPERATIONS if each not in WITH_BODY])
async def test_operations_without_a_body_answer_as_published(
    account: Account, published: Callable[[str], Published], version: str, method: str, path: str
) -> None:
    document = published(version)
    customer = await full_customer(account)
    url = path.format(id=customer["id"], alias="alias")
    response = await account.client.request(method, url, version=version)
    answer = success(response, document.success(method, path))
    document.check(method, path, response.status_code, answer)
    if path == "/customers":
        assert len(answer["items"]) == 2
    elif path.endswith("/aliases"):
        assert [item["value"] for item in answer["items"]] == ["alias"]
    else:
        assert answer["id"] == customer["id"]
        assert ("archivedAt" in answer) == (method != "GET")


@pytest.mark.parametrize("version", VERSIONS)
async def test_lists_answer_as_published_with_pages_and_archived_customers(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    await account.client.archive((await full_customer(account))["id"])
    await full_customer_again(account)
    params: dict[str, Any] = {"includeArchived": "true", "limit": 1}
    seen = 0
    while True:
        page = await account.client.page(version=version, **params)
        published(version).check("GET", "/customers", 200, page)
        seen += len(page["items"])
        if "after" not in page["pagination"]:
            break
        params["after"] = page["pagination"]["after"]
    assert seen == 3


async def full_customer_again(account: Account) -> None:
    await account.client.create(newest(legalName="Another"))


@pytest.mark.parametrize(("version", "method", "path"), WITH_BODY)
async def test_a_bad_request_is_refused_in_the_envelope(account: Account, version: str, method: str, path: str) -> None:
    customer = await account.client.create(newest())
    url = path.format(id=customer["id"])
    error = refused(await account.client.request(method, url, version=version, json={}), 400, "validationError")
    assert error["errors"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_bad_list_is_refused_in_the_envelope(account: Account, version: str) -> None:
    refused(await account.client.get("/customers?limit=0", version=version), 400, "validationError")


@pytest.mark.parametrize(("version", "method", "path"), OPERATIONS)
async def test_without_a_key_nothing_is_answered(app: Application, version: str, method: str, path: str) -> None:
    async with client_of(app, None) as anonymous:
        url = path.format(id=MISSING, alias="alias")
        refused(await anonymous.request(method, url, version=version), 401, "unauthorized")


@pytest.mark.parametrize(("version", "method", "path"), OPERATIONS)
async def test_a_key_without_the_scope_is_forbidden(
    app: Application, account: Account, database: Database, version: str, method: str, path: str
) -> None:
    scope = Scope.WRITE if method == "GET" else Scope.READ
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({scope}))
    async with client_of(app, key) as limited:
        url = path.format(id=MISSING, alias="alias")
        refused(await limited.request(method, url, version=version), 403, "forbidden")


@pytest.mark.parametrize(("version", "method", "path"), WITH_ID)
async def test_a_missing_customer_is_not_found(
    account: Account, published: Callable[[str], Published], version: str, method: str, path: str
) -> None:
    body = await example(account, published(version), method, path) if (version, method, path) in WITH_BODY else None
    url = path.format(id=MISSING, alias="nobody")
    refused(await account.client.request(method, url, version=version, json=body), 404, "notFound")


@pytest.mark.parametrize(("version", "method", "path"), WITH_BODY)
async def test_a_taken_alias_is_a_conflict(
    account: Account, published: Callable[[str], Published], version: str, method: str, path: str
) -> None:
    body = await example(account, published(version), method, path)
    customer = await account.client.create(newest())
    await account.client.create(newest(customerAliases=body["customerAliases"]))
    url = path.format(id=customer["id"])
    refused(await account.client.request(method, url, version=version, json=body), 409, "conflict")
