"""The error envelope: all failing fields at once, in the caller's own names, and nothing stored."""

import pytest
from tests.support.bodies import GERMAN, contact, newest, of, older
from tests.support.clients import FIRST, NEWEST, SECOND, VERSIONS, Account, invalid, refused, success

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"


async def test_all_failing_fields_are_named_at_once_and_nothing_is_stored(account: Account) -> None:
    body = newest(
        legalName="",
        address=GERMAN | {"country": "UK", "town": " "},
        url="example.com",
        taxStatus="EXEMPT",
        contacts=[contact(), contact("not an address"), {"email": "b@example.com", "billingPreference": "MAYBE"}],
        customProperties={"k": 1},
        integrationIds=[{"service": "Sage", "id": "1"}],
        customerAliases=["fine", ""],
        status="GONE",
    )
    assert invalid(await account.client.post("/customers", version=NEWEST, json=body)) == {
        "legalName": "tooShort",
        "address.town": "blank",
        "address.country": "enum",
        "url": "url",
        "taxStatus": "enum",
        "contacts[1].email": "email",
        "contacts[2].name": "required",
        "contacts[2].billingPreference": "enum",
        "customProperties.k": "type",
        "integrationIds[0].service": "enum",
        "customerAliases[1]": "tooShort",
        "status": "enum",
    }
    assert (await account.client.page())["items"] == []


@pytest.mark.parametrize(
    ("version", "links", "key"),
    [(FIRST, "externalIds", "externalIds[0].key"), (SECOND, "integrationIds", "integrationIds[0].service")],
)
async def test_keys_are_the_names_that_the_version_uses(account: Account, version: str, links: str, key: str) -> None:
    body = older(
        email="no",
        billingEmails=["a@example.com", "no"],
        **{links: [{"key": "Sphere", "value": "1", "service": "Sphere", "id": "1"}]},
    )
    assert invalid(await account.client.post("/customers", version=version, json=body)) == {
        "email": "email",
        "billingEmails[1]": "email",
        key: "enum",
    }


@pytest.mark.parametrize(
    ("version", "required"),
    [
        (FIRST, {"legalName", "address", "email", "billingEmails"}),
        (SECOND, {"legalName", "address", "email", "billingEmails", "taxStatus"}),
        (NEWEST, {"legalName", "address", "taxStatus", "contacts"}),
    ],
)
async def test_an_empty_object_names_all_required_fields_of_a_create(
    account: Account, version: str, required: set[str]
) -> None:
    answer = invalid(await account.client.post("/customers", version=version, json={}))
    assert answer == dict.fromkeys(required, "required")


@pytest.mark.parametrize(
    ("version", "required"),
    [
        (FIRST, {"legalName", "address", "email", "taxStatus"}),
        (SECOND, {"legalName", "address", "email", "billingEmails", "taxStatus"}),
        (NEWEST, {"legalName", "address", "taxStatus", "contacts"}),
    ],
)
async def test_an_empty_object_names_all_required_fields_of_an_update(
    account: Account, version: str, required: set[str]
) -> None:
    customer = await account.client.create(newest())
    answer = invalid(await account.client.put(f"/customers/{customer['id']}", version=version, json={}))
    assert answer == dict.fromkeys(required, "required")
    assert await account.client.customer(customer["id"]) == customer


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_parts_of_an_address_are_required(account: Account, version: str) -> None:
    answer = invalid(await account.client.post("/customers", version=version, json=of(version, address={})))
    assert answer == {f"address.{part}": "required" for part in ("line1", "town", "postcode", "country")}


async def test_the_fields_of_a_domain_rule_are_named_as_well(account: Account) -> None:
    body = newest(parentId=MISSING)
    response = await account.client.post("/customers", version=NEWEST, json=body)
    assert invalid(response) == {"parentId": "parent"}
    assert MISSING in response.json()["error"]["message"]


async def test_a_missing_customer_is_404_without_details(account: Account) -> None:
    error = refused(await account.client.get(f"/customers/{MISSING}"), 404, "notFound")
    assert "errors" not in error


async def test_a_body_is_judged_before_the_customer_is_looked_for(account: Account) -> None:
    assert invalid(await account.client.put(f"/customers/{MISSING}", json=newest(legalName=""))) == {
        "legalName": "tooShort"
    }
    refused(await account.client.put(f"/customers/{MISSING}", json=newest()), 404, "notFound")


async def test_answers_are_json_and_not_kept_by_caches(account: Account) -> None:
    response = await account.client.get("/customers")
    success(response)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
