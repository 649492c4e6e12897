"""What the newest version has beyond the published one: patches, unarchiving, writes by alias, and dry runs."""

import asyncio
import json
from collections.abc import Callable
from uuid import UUID

import pytest
from tests.support import records
from tests.support.bodies import GERMAN, contact, link, newest, older
from tests.support.clients import (
    FIRST,
    NEWEST,
    SECOND,
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

from customary.api.openapi import document
from customary.api.versions import LIVE
from customary.app import Application
from customary.domain.account import Scope

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
OPERATIONS = [
    ("PATCH", "/customers/{id}"),
    ("POST", "/customers/{id}/unarchive"),
    ("PUT", "/customers/by-alias/{alias}"),
    ("GET", "/customer-organizations"),
    ("GET", "/customer-organizations/{id}"),
    ("DELETE", "/customer-organizations/{id}"),
    ("GET", "/events"),
    ("POST", "/notifications/policies/{id}/rotate-secret"),
    ("GET", "/notifications/policies/{id}/deliveries"),
    ("GET", "/notifications/policies/{id}/deliveries/{deliveryId}"),
    ("GET", "/notifications/policies/{id}/deliveries/{deliveryId}/attempts"),
    ("POST", "/notifications/policies/{id}/deliveries/{deliveryId}/retry"),
    ("POST", "/notifications/policies/{id}/test"),
    ("POST", "/notifications/policies/{id}/replay"),
    ("GET", "/notifications/policies/{id}/recipients"),
    ("POST", "/notifications/policies/{id}/recipients/resume"),
    ("GET", "/notifications/policies/{id}/delivery-settings"),
    ("PUT", "/notifications/policies/{id}/delivery-settings"),
]


async def patch(client: Client, customer: Json, body: Json) -> Json:
    """The customer after this patch."""
    response = await client.request("PATCH", f"/customers/{customer['id']}", json=body)
    return success(response)


async def refuse(client: Client, customer: Json, body: Json) -> dict[str, str]:
    """The code of each failing field of a patch that must be refused and change nothing."""
    response = await client.request(
        "PATCH",
        f"/customers/{customer['id']}",
        content=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    problems = invalid(response)
    assert await client.customer(customer["id"]) == customer
    return problems


async def full(client: Client) -> Json:
    """A customer with a value for everything."""
    return await client.create(
        newest(
            url="https://example.com/",
            label="label",
            address={
                "line1": "1 Main St",
                "line2": "Floor 2",
                "town": "Albany",
                "state": "NY",
                "postcode": "12207",
                "country": "US",
            },
            contacts=[contact(), contact("bob@example.com", "NONE", "Bob")],
            customerAliases=["one", "two"],
            integrationIds=[link(NEWEST, "Xero", "x")],
            customProperties={"a": "1", "b": "2"},
        )
    )


async def aliases(client: Client, customer: Json) -> list[str]:
    items = success(await client.get(f"/customers/{customer['id']}/aliases"))["items"]
    return [item["value"] for item in items]


# --- PATCH /customers/{id} ---


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({"legalName": "New"}, {"legalName": "New"}),
        ({"url": None, "label": None}, {"url": None, "label": None}),
        ({"label": "new"}, {"label": "new"}),
        ({"taxStatus": "TAX_EXEMPT"}, {"taxStatus": "TAX_EXEMPT"}),
        ({"customProperties": {"a": None, "c": "3"}}, {"customProperties": {"b": "2", "c": "3"}}),
        ({"customProperties": None}, {"customProperties": {}}),
        ({"integrationIds": None}, {"integrationIds": []}),
        ({"unknown": 1, "id": MISSING, "telephone": "1", "legalName": "New"}, {"legalName": "New"}),
    ],
)
async def test_a_patch_changes_what_it_names_and_nothing_else(account: Account, body: Json, changed: Json) -> None:
    before = await full(account.client)
    after = await patch(account.client, before, body)
    expected = before | changed | {"updatedAt": after["updatedAt"]}
    assert after == {name: value for name, value in expected.items() if value is not None}
    assert after["updatedAt"] > before["updatedAt"]
    assert await account.client.customer(before["id"]) == after
    assert await aliases(account.client, before) == ["one", "two"]


async def test_an_address_is_merged_part_by_part(account: Account) -> None:
    before = await full(account.client)
    after = await patch(account.client, before, {"address": {"line2": None, "town": "Troy"}})
    assert after["address"] == {
        "line1": "1 Main St",
        "town": "Troy",
        "state": "NY",
        "postcode": "12207",
        "country": "US",
    }
    moved = await patch(account.client, before, {"address": {"country": "DE", "state": None}})
    assert moved["address"] == {"line1": "1 Main St", "town": "Troy", "postcode": "12207", "country": "DE"}


async def test_lists_are_replaced(account: Account) -> None:
    before = await full(account.client)
    after = await patch(
        account.client,
        before,
        {"contacts": [contact()], "customerAliases": ["two", "three"], "integrationIds": [link(NEWEST, "Stripe", "s")]},
    )
    assert after["contacts"] == [before["contacts"][0]]
    assert [(each["service"], each["id"]) for each in after["integrationIds"]] == [("Stripe", "s")]
    assert await aliases(account.client, before) == ["two", "three"]
    await patch(account.client, before, {"customerAliases": None})
    assert await aliases(account.client, before) == []


async def test_what_no_patch_can_show_survives_one(account: Account) -> None:
    """A pending link, the telephone of the older versions, and contacts of which none is PRIMARY."""
    customer = await account.client.create(newest(pushToIntegrations=["Xero"]))
    flat = await account.client.customer(customer["id"], version=SECOND)
    await account.client.update(customer["id"], flat | {"telephone": "1"}, version=SECOND)
    [person] = customer["contacts"]
    url = f"/customers/{customer['id']}/contacts/{person['id']}"
    success(await account.client.put(url, json=contact(preference="NONE")))
    after = await patch(account.client, customer, {"label": "new"})
    assert [each["billingPreference"] for each in after["contacts"]] == ["NONE"]
    assert after["integrationIds"] == customer["integrationIds"]
    assert after["integrationIds"][0]["isPending"] is True
    assert (await account.client.customer(customer["id"], version=SECOND))["telephone"] == "1"


async def test_a_patch_can_name_a_parent_and_activate_a_draft(account: Account) -> None:
    parent = await account.client.create(newest(legalName="Parent"))
    draft = await account.client.create(newest(status="DRAFT"))
    after = await patch(account.client, draft, {"parentId": parent["id"], "status": "ACTIVE"})
    assert after["status"] == "ACTIVE"
    assert [each["owner"]["id"] for each in after["organizations"]] == [parent["id"]]
    response = await account.client.request("PATCH", f"/customers/{draft['id']}", json={"status": "DRAFT"})
    refused(response, 409, "conflict")


@pytest.mark.parametrize("body", [[], ["x"], "x", 1, True, None])
async def test_a_patch_that_is_no_object_has_a_refusal_of_its_own(account: Account, body: Json) -> None:
    customer = await account.client.create(newest())
    assert await refuse(account.client, customer, body) == {"": "mergePatch"}


@pytest.mark.parametrize(
    ("field", "code"),
    [
        ("legalName", "required"),
        ("address", "required"),
        ("taxStatus", "required"),
        ("contacts", "type"),
        ("status", "enum"),
        ("parentId", "type"),
        ("pushToIntegrations", "type"),
    ],
)
async def test_what_every_customer_needs_cannot_be_removed(account: Account, field: str, code: str) -> None:
    customer = await full(account.client)
    assert await refuse(account.client, customer, {field: None}) == {field: code}


async def test_all_problems_of_the_patched_customer_are_named_at_once(account: Account) -> None:
    customer = await full(account.client)
    problems = await refuse(
        account.client,
        customer,
        {
            "legalName": "",
            "address": {"town": None, "country": "QQ"},
            "url": "ftp://example.com/",
            "label": 1,
            "contacts": [contact(preference="NONE")],
            "customProperties": {"a": 1, "x" * 65: "v"},
            "status": None,
        },
    )
    assert problems == {
        "legalName": "tooShort",
        "address.town": "required",
        "address.country": "enum",
        "url": "url",
        "label": "type",
        "contacts": "noPrimary",
        "customProperties.a": "type",
        f"customProperties.{'x' * 65}": "tooLong",
        "status": "enum",
    }


async def test_the_patched_customer_is_checked_as_a_whole(account: Account) -> None:
    """Each part alone would do; together they do not."""
    customer = await full(account.client)
    assert await refuse(account.client, customer, {"address": {"state": None}}) == {"address.state": "required"}
    assert await refuse(account.client, customer, {"address": {"country": "CA"}}) == {"address.state": "state"}
    many = {str(number): "v" for number in range(49)}
    assert await refuse(account.client, customer, {"customProperties": many}) == {"customProperties": "tooMany"}
    fits = await patch(account.client, customer, {"customProperties": many | {"a": None}})
    assert len(fits["customProperties"]) == 50


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/merge-patch+json", 200),
        ("Application/Merge-Patch+JSON; charset=UTF-8", 200),
        ("application/json-patch+json", 415),
        ("text/plain", 415),
    ],
)
async def test_a_patch_may_say_that_it_is_one(account: Account, content_type: str, status: int) -> None:
    customer = await account.client.create(newest())
    headers = {"Content-Type": content_type}
    url = f"/customers/{customer['id']}"
    response = await account.client.request("PATCH", url, content=b'{"label": "new"}', headers=headers)
    assert response.status_code == status, response.text


async def test_other_writes_take_no_merge_patch(account: Account) -> None:
    customer = await account.client.create(newest())
    content = json.dumps(newest()).encode()
    response = await account.client.put(f"/customers/{customer['id']}", content=content, headers=MERGE_PATCH)
    refused(response, 415, "unsupportedMediaType")


async def test_a_patch_may_be_nested_as_deep_as_any_body(account: Account) -> None:
    """Where its fields are unknown they change nothing; where a text belongs they are refused; deeper is no body."""
    customer = await full(account.client)
    before = await account.client.customer(customer["id"])
    deep: Json = None
    for _ in range(63):
        deep = {"deep": deep}
    assert await patch(account.client, customer, {"unknown": deep, "address": deep}) == before
    problems = await refuse(account.client, customer, {"label": deep, "customProperties": {"a": deep["deep"]}})
    assert problems == {"label": "type", "customProperties.a": "type"}
    assert await refuse(account.client, customer, {"unknown": {"deep": deep}}) == {"": "depth"}


@pytest.mark.parametrize("content", [b"", b"{", b'{"label": "\\u0000"}', b'{"label": 1, "label": 2}', b"[" * 100])
async def test_a_patch_that_is_no_good_json_is_refused(account: Account, content: bytes) -> None:
    customer = await account.client.create(newest())
    url = f"/customers/{customer['id']}"
    response = await account.client.request("PATCH", url, content=content, headers=MERGE_PATCH)
    refused(response, 400, "validationError")


async def test_a_patch_is_recorded_once_and_one_without_effect_never(account: Account, database: Database) -> None:
    customer = await full(account.client)
    await patch(account.client, customer, {"label": "new"})
    for body in ({}, {"label": "new"}, {"customProperties": {"z": None}}, {"address": {"town": "Albany"}}):
        await patch(account.client, customer, body)
    [_, activity] = await records.activities(database, "CUSTOMER")
    assert activity.verb == "UPDATED"
    assert activity.changes.keys() == {"label", "updated_at", "version"}
    assert activity.changes["label"] == ("label", "new")
    assert [event[:2] for event in await records.events(database, customer["id"])] == [
        (1, "CUSTOMER_CREATED"),
        (2, "CUSTOMER_UPDATED"),
    ]


async def test_patches_of_different_fields_at_once_all_take_effect(account: Account, database: Database) -> None:
    customer = await account.client.create(newest())
    await asyncio.gather(
        *(patch(account.client, customer, {"customProperties": {str(number): "v"}}) for number in range(10))
    )
    after = await account.client.customer(customer["id"])
    assert after["customProperties"] == {str(number): "v" for number in range(10)}
    assert [event[0] for event in await records.events(database, customer["id"])] == list(range(1, 12))


async def test_a_stale_tag_stops_a_patch(account: Account) -> None:
    customer = await account.client.create(newest())
    url = f"/customers/{customer['id']}"
    tag = (await account.client.get(url)).headers["etag"]
    answer = await account.client.request("PATCH", url, json={"label": "new"}, headers={"If-Match": tag})
    assert answer.headers["etag"] == (await account.client.get(url)).headers["etag"]
    response = await account.client.request("PATCH", url, json={"label": "newer"}, headers={"If-Match": tag})
    refused(response, 412, "preconditionFailed")


async def test_an_archived_customer_takes_no_patch(account: Account) -> None:
    customer = await account.client.create(newest())
    await account.client.archive(customer["id"])
    response = await account.client.request("PATCH", f"/customers/{customer['id']}", json={"label": "new"})
    refused(response, 409, "conflict")


async def test_a_patch_with_a_taken_alias_changes_nothing(account: Account) -> None:
    await account.client.create(newest(customerAliases=["taken"]))
    customer = await account.client.create(newest())
    url = f"/customers/{customer['id']}"
    response = await account.client.request("PATCH", url, json={"label": "new", "customerAliases": ["taken"]})
    assert refused(response, 409, "conflict")["errors"][0]["key"] == "customerAliases[0]"
    assert await account.client.customer(customer["id"]) == customer


# --- POST /customers/{id}/unarchive ---


async def test_an_unarchived_customer_is_in_use_again(account: Account, database: Database) -> None:
    customer = await account.client.create(newest(customerAliases=["one"]))
    await account.client.archive(customer["id"])
    after = success(await account.client.post(f"/customers/{customer['id']}/unarchive"))
    assert after == customer | {"updatedAt": after["updatedAt"]}
    assert after["updatedAt"] > customer["updatedAt"]
    assert await account.client.names() == ["Acme"]
    assert [activity.verb for activity in await records.activities(database, "CUSTOMER")] == [
        "CREATED",
        "ARCHIVED",
        "UNARCHIVED",
    ]
    assert [event[:2] for event in await records.events(database, customer["id"])] == [
        (1, "CUSTOMER_CREATED"),
        (2, "CUSTOMER_ARCHIVED"),
        (3, "CUSTOMER_UPDATED"),
    ]
    await patch(account.client, customer, {"label": "new"})


async def test_unarchiving_a_customer_in_use_changes_nothing(account: Account, database: Database) -> None:
    customer = await account.client.create(newest())
    before = await records.count(database)
    assert success(await account.client.post(f"/customers/{customer['id']}/unarchive")) == customer
    assert await records.count(database) == before


async def test_a_stale_tag_stops_an_unarchiving(account: Account) -> None:
    customer = await account.client.create(newest())
    url = f"/customers/{customer['id']}"
    stale = {"If-Match": (await account.client.get(url)).headers["etag"]}
    await account.client.archive(customer["id"])
    refused(await account.client.post(f"{url}/unarchive", headers=stale), 412, "preconditionFailed")


# --- PUT /customers/by-alias/{alias} ---


async def test_the_first_write_by_alias_creates_and_the_next_replaces(account: Account, database: Database) -> None:
    url = "/customers/by-alias/crm%2F1"
    created = success(await account.client.put(url, json=newest(label="l")), 201)
    assert await aliases(account.client, created) == ["crm/1"]
    assert await account.client.customer(created["id"]) == created
    replaced = success(await account.client.put(url, json=newest(legalName="New")))
    assert replaced["id"] == created["id"]
    assert replaced["legalName"] == "New"
    assert "label" not in replaced
    assert await aliases(account.client, created) == ["crm/1"]
    assert success(await account.client.put(url, json=newest(legalName="New"))) == replaced
    assert await records.count(database) == (2, 2)


@pytest.mark.parametrize("given", [["other"], ["crm-1", "other"], ["other", "crm-1"], []])
async def test_the_alias_stays_whatever_the_body_lists(account: Account, given: list[str]) -> None:
    url = "/customers/by-alias/crm-1"
    created = success(await account.client.put(url, json=newest(customerAliases=given)), 201)
    expected = {*given, "crm-1"}
    assert set(await aliases(account.client, created)) == expected
    success(await account.client.put(url, json=newest(customerAliases=given)))
    assert set(await aliases(account.client, created)) == expected


async def test_a_customers_id_is_an_alias_that_it_has_anyway(account: Account) -> None:
    customer = await account.client.create(newest())
    for alias in (customer["id"], customer["id"].upper()):
        body = newest(legalName=alias, customerAliases=["one"])
        assert success(await account.client.put(f"/customers/by-alias/{alias}", json=body))["id"] == customer["id"]
        assert await aliases(account.client, customer) == ["one"]


async def test_of_many_writes_by_one_alias_at_once_one_creates(account: Account, database: Database) -> None:
    for number in range(3):
        bodies = [newest(legalName=f"{number}-{each}") for each in range(8)]
        answers = await asyncio.gather(
            *(account.client.put(f"/customers/by-alias/a{number}", json=body) for body in bodies)
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]
        [customer_id] = {answer.json()["id"] for answer in answers}
        versions = [event[0] for event in await records.events(database, customer_id)]
        assert versions == list(range(1, 9))
    assert (await account.client.page())["pagination"]["totalResultSize"] == 3


async def test_a_create_with_the_alias_at_the_same_time_makes_no_second_customer(account: Account) -> None:
    for number in range(5):
        alias = f"a{number}"
        put, post = await asyncio.gather(
            account.client.put(f"/customers/by-alias/{alias}", json=newest()),
            account.client.post("/customers", json=newest(customerAliases=[alias])),
        )
        assert (put.status_code, post.status_code) in {(201, 409), (200, 201)}
    assert (await account.client.page())["pagination"]["totalResultSize"] == 5


async def test_another_alias_that_is_taken_is_a_conflict_under_its_key(account: Account) -> None:
    holder = await account.client.create(newest(customerAliases=["taken"]))
    body = newest(customerAliases=["free", "taken"])
    for _ in range(2):
        error = refused(await account.client.put("/customers/by-alias/crm-1", json=body), 409, "conflict")
        assert [each["key"] for each in error["errors"]] == ["customerAliases[1]"]
        assert holder["id"] in error["message"]
        refused(await account.client.get("/customers/by-alias/crm-1"), 404, "notFound")
        refused(await account.client.get("/customers/by-alias/free"), 404, "notFound")


async def test_too_many_or_too_long_aliases_are_refused(account: Account) -> None:
    hundred = newest(customerAliases=[str(number) for number in range(100)])
    assert invalid(await account.client.put("/customers/by-alias/x", json=hundred)) == {"customerAliases": "tooMany"}
    success(await account.client.put("/customers/by-alias/7", json=hundred), 201)
    response = await account.client.put(f"/customers/by-alias/{'x' * 256}", json=newest())
    assert invalid(response) == {"alias": "tooLong"}
    success(await account.client.put(f"/customers/by-alias/{'x' * 255}", json=newest()), 201)


async def test_a_write_by_the_alias_of_an_archived_customer_is_a_conflict(account: Account) -> None:
    customer = await account.client.create(newest(customerAliases=["one"]))
    await account.client.archive(customer["id"])
    refused(await account.client.put("/customers/by-alias/one", json=newest()), 409, "conflict")


async def test_a_bad_body_by_alias_is_refused_field_by_field(account: Account) -> None:
    problems = invalid(await account.client.put("/customers/by-alias/one", json={}))
    assert problems == dict.fromkeys(("legalName", "address", "taxStatus", "contacts"), "required")
    refused(await account.client.get("/customers/by-alias/one"), 404, "notFound")


async def test_a_tag_guards_a_write_by_alias(account: Account) -> None:
    url = "/customers/by-alias/one"
    refused(await account.client.put(url, json=newest(), headers={"If-Match": "*"}), 412, "preconditionFailed")
    created = await account.client.put(url, json=newest())
    tag = {"If-Match": created.headers["etag"]}
    assert tag["If-Match"] == (await account.client.get(f"/customers/{created.json()['id']}")).headers["etag"]
    success(await account.client.put(url, json=newest(label="new"), headers=tag))
    refused(await account.client.put(url, json=newest(), headers=tag), 412, "preconditionFailed")


async def test_an_alias_of_another_account_is_free_here(account: Account, second_account: Account) -> None:
    foreign = success(await second_account.client.put("/customers/by-alias/one", json=newest()), 201)
    own = success(await account.client.put("/customers/by-alias/one", json=newest(label="own")), 201)
    assert own["id"] != foreign["id"]
    assert await second_account.client.customer(foreign["id"]) == foreign


async def test_a_retry_under_an_idempotency_key_gets_the_first_status_again(account: Account) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await account.client.put("/customers/by-alias/one", json=newest(), headers=headers)
    again = await account.client.put("/customers/by-alias/one", json=newest(), headers=headers)
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert first.status_code == 201


# --- ?dryRun=true ---


async def dry(client: Client, method: str, path: str, body: Json = None, headers: Json = ()) -> Json:
    """What a dry run answers."""
    response = await client.request(method, path, params={"dryRun": "true"}, json=body, headers=headers)
    answer = success(response)
    assert answer.keys() == {"dryRun", "result", "events"}
    assert answer["dryRun"] is True
    return answer


def told(*events: tuple[str, str]) -> list[dict[str, str]]:
    return [
        {"notificationType": kind, "resourceType": "CUSTOMER", "resourceId": customer_id}
        for kind, customer_id in events
    ]


async def everything(database: Database) -> list[int]:
    """How many rows each table has, so that nothing stored can hide."""
    async with owner_connection(database.owner_url) as connection:
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'customary'::regnamespace AND relkind = 'r'"
        )
        return [
            await connection.fetchval(f"SELECT count(*) FROM {table['relname']}")  # noqa: S608 - the schema's own names
            for table in tables
        ]


async def test_a_dry_create_answers_what_would_be_and_stores_nothing(account: Account, database: Database) -> None:
    parent = await account.client.create(newest(legalName="Parent"))
    before = await everything(database)
    body = newest(label="l", parentId=parent["id"], customerAliases=["one"])
    answer = await dry(account.client, "POST", "/customers", body, headers={"Idempotency-Key": "k"})
    result = answer["result"]
    assert UUID(result["id"])
    assert result["label"] == "l"
    assert answer["events"] == told(("CUSTOMER_CREATED", result["id"]), ("CUSTOMER_UPDATED", parent["id"]))
    assert await everything(database) == before
    assert await account.client.customer(parent["id"]) == parent
    refused(await account.client.get(f"/customers/{result['id']}"), 404, "notFound")
    created = success(await account.client.post("/customers", json=body, headers={"Idempotency-Key": "k"}), 201)
    assert created.keys() == result.keys()


async def test_dry_changes_of_a_customer_change_nothing(account: Account, database: Database) -> None:
    customer = await account.client.create(newest(customerAliases=["one"]))
    archived = await account.client.archive((await account.client.create(newest(legalName="Archived")))["id"])
    before = await everything(database)
    url = f"/customers/{customer['id']}"
    updated = told(("CUSTOMER_UPDATED", customer["id"]))
    for method, path, body, events in (
        ("PUT", url, newest(label="new"), updated),
        ("PUT", url, newest(), []),
        ("PATCH", url, {"label": "new"}, updated),
        ("PATCH", url, {}, []),
        ("PUT", "/customers/by-alias/one", newest(label="new"), updated),
        ("POST", f"{url}/contacts", contact("new@example.com", "NONE"), updated),
        ("POST", f"{url}/archive", None, told(("CUSTOMER_ARCHIVED", customer["id"]))),
        ("POST", f"/customers/{archived['id']}/unarchive", None, told(("CUSTOMER_UPDATED", archived["id"]))),
    ):
        answer = await dry(account.client, method, path, body)
        assert answer["events"] == events, (method, path)
        assert answer["result"], (method, path)
    assert await everything(database) == before
    assert await account.client.customer(customer["id"]) == customer
    assert await account.client.customer(archived["id"]) == archived


async def test_dry_changes_of_organisations_change_nothing(account: Account, database: Database) -> None:
    owner, member = [(await account.client.create(newest(legalName=name)))["id"] for name in ("Owner", "Member")]
    both = told(*(("CUSTOMER_UPDATED", each) for each in sorted((owner, member))))
    before = await everything(database)
    body = {"ownerId": owner, "memberIds": [member]}
    answer = await dry(account.client, "POST", "/customer-organizations", body)
    assert answer["result"]["members"] == [{"id": member, "name": "Member"}]
    assert answer["events"] == both
    assert await everything(database) == before
    organization = success(await account.client.post("/customer-organizations", json=body), 201)
    before = await everything(database)
    url = f"/customer-organizations/{organization['id']}"
    emptied = await dry(account.client, "PUT", f"{url}/members", {"customerIds": []})
    assert emptied == {"dryRun": True, "result": organization | {"members": []}, "events": both}
    assert await dry(account.client, "DELETE", url) == {"dryRun": True, "result": organization, "events": both}
    assert await everything(database) == before
    assert success(await account.client.get(url)) == organization


async def test_a_dry_run_is_refused_as_the_write_would_be(account: Account, database: Database) -> None:
    customer = await account.client.create(newest(customerAliases=["taken"]))
    before = await everything(database)
    params = {"dryRun": "true"}
    post = account.client.post
    assert invalid(await post("/customers", params=params, json=newest(legalName=""))) == {"legalName": "tooShort"}
    taken = newest(customerAliases=["taken"])
    refused(await post("/customers", params=params, json=taken), 409, "conflict")
    url = f"/customers/{customer['id']}"
    stale = {"If-Match": '"stale"'}
    response = await account.client.request("PATCH", url, params=params, json={"label": "l"}, headers=stale)
    refused(response, 412, "preconditionFailed")
    refused(await post(f"/customers/{MISSING}/unarchive", params=params), 404, "notFound")
    assert await everything(database) == before


@pytest.mark.parametrize("query", ["dryRun=yes", "dryRun=", "dryRun=true&dryRun=true"])
async def test_a_dry_run_is_asked_for_clearly_or_not_at_all(account: Account, query: str) -> None:
    assert invalid(await account.client.post(f"/customers?{query}", json=newest())) == {"dryRun": "type"}
    assert (await account.client.page())["items"] == []


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_the_older_versions_know_no_dry_run(account: Account, version: str) -> None:
    """There the parameter is one of those that are ignored, so the write is a write."""
    body = older()
    success(await account.client.post("/customers?dryRun=true", version=version, json=body), 201)
    assert (await account.client.page())["pagination"]["totalResultSize"] == 1


def test_the_document_says_which_operations_can_be_tried() -> None:
    for date, version in LIVE.items():
        for path, item in document(version)["paths"].items():
            for method, operation in item.items():
                names = [parameter["name"] for parameter in operation["parameters"]]
                assert ("dryRun" in names) == (date == NEWEST and method != "get"), (date, method, path)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_each_extension_is_tagged_as_one(method: str, path: str) -> None:
    operation = document(LIVE[NEWEST])["paths"][path][method.lower()]
    assert operation["tags"] == ["Extensions"]


def test_the_document_describes_a_patch_in_both_media_types_and_both_outcomes_of_a_write_by_alias() -> None:
    paths = document(LIVE[NEWEST])["paths"]
    content = paths["/customers/{id}"]["patch"]["requestBody"]["content"]
    assert content.keys() == {"application/json", "application/merge-patch+json"}
    responses = paths["/customers/by-alias/{alias}"]["put"]["responses"]
    assert {"200", "201"} <= responses.keys()
    assert len(responses["200"]["content"]["application/json"]["schema"]["anyOf"]) == 2
    tried = paths["/customers"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert tried["required"] == ["dryRun", "result", "events"]


# --- Everybody and nobody ---


def body_of(method: str, path: str) -> Json:
    if method == "PATCH":
        return {"label": "new"}
    if path.endswith("/rotate-secret"):
        return {}
    return newest() if path.endswith("{alias}") else None


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_without_a_key_nothing_is_answered(app: Application, method: str, path: str) -> None:
    async with client_of(app, None) as anonymous:
        url = path.format(id=MISSING, deliveryId=MISSING, alias="a")
        refused(await anonymous.request(method, url, json=body_of(method, path)), 401, "unauthorized")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_key_without_the_scope_is_forbidden(
    app: Application, account: Account, database: Database, method: str, path: str
) -> None:
    scope = Scope.WRITE if method == "GET" else Scope.READ
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({scope}))
    async with client_of(app, key) as limited:
        url = path.format(id=MISSING, deliveryId=MISSING, alias="a")
        refused(await limited.request(method, url, json=body_of(method, path)), 403, "forbidden")


@pytest.mark.parametrize(("method", "path"), [("PATCH", "/customers/{}"), ("POST", "/customers/{}/unarchive")])
async def test_a_customer_that_is_missing_malformed_or_foreign_answers_exactly_alike(
    account: Account, second_account: Account, method: str, path: str
) -> None:
    foreign = await second_account.client.create(newest())
    seen: set[bytes] = set()
    for each in (MISSING, "x", foreign["id"]):
        response = await account.client.request(
            method, path.format(each), json={"label": "n"} if method == "PATCH" else None
        )
        refused(response, 404, "notFound")
        seen.add(response.content)
    assert len(seen) == 1
    assert await second_account.client.customer(foreign["id"]) == foreign


@pytest.mark.parametrize("version", [FIRST, SECOND])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_the_older_versions_have_no_extension(account: Account, version: str, method: str, path: str) -> None:
    url = path.format(id=MISSING, deliveryId=MISSING, alias="a")
    response = await account.client.request(method, url, version=version, json=body_of(method, path))
    assert response.status_code in {404, 405}
    assert response.json()["error"]["type"] in {"notFound", "methodNotAllowed"}


@pytest.mark.parametrize("method", ["PATCH", "PUT", "POST"])
async def test_answers_are_customers_as_published(
    account: Account, published: Callable[[str], Published], method: str
) -> None:
    customer = await full(account.client)
    path = {"PATCH": "/customers/{}", "PUT": "/customers/by-alias/one", "POST": "/customers/{}/unarchive"}[method]
    body = {"PATCH": {"address": GERMAN}, "PUT": newest(), "POST": None}[method]
    answer = success(await account.client.request(method, path.format(customer["id"]), json=body))
    published(NEWEST).check("GET", "/customers/{id}", 200, answer)
