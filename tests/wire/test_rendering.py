"""A customer outside an answer: in each version exactly what a GET of it answers there."""

import json
from collections.abc import Callable
from uuid import UUID

import pytest
from tests.support.bodies import GERMAN, contact, newest
from tests.support.clients import FIRST, NEWEST, SECOND, VERSIONS, Account, Json
from tests.support.published import Published

from customary.api import versions
from customary.api.payload import payload
from customary.app import Application
from customary.domain import example
from customary.domain.activity import EventType
from customary.domain.customer import Customer
from customary.errors import UnknownVersion
from customary.storage import customers

ACCOUNT_ID = UUID("01a1fac8-06be-7b35-9c0e-6f1d0f6c4b28")


def rendered(version: str, customer: Customer, account_id: UUID = ACCOUNT_ID) -> Json:
    """The customer that a receiver of this version reads."""
    return json.loads(payload(EventType.CUSTOMER_UPDATED, account_id, customer, api_version=version))["resource"]


async def stored(app: Application, account: Account, customer_id: str) -> Customer:
    async with app._running().database.reading(account.id) as reading:
        return await customers.get(reading, UUID(customer_id))


async def rich_customer(account: Account) -> Json:
    """A customer with something that each version shows, and something that the older ones cannot."""
    parent = await account.client.create(newest(legalName="Parent"))
    customer = await account.client.create(
        newest(
            address={**GERMAN, "line1": "1 Main Street", "line2": "Unit 3", "state": "NU", "country": "CA"},
            url="https://example.com/",
            label="Key account",
            contacts=[contact(), contact("bob@example.com", "STANDARD", "Bob"), contact("eve@example.com", "NONE")],
            parentId=parent["id"],
            integrationIds=[{"service": "Stripe", "id": "cus_1"}, {"service": "Sphere", "id": "1"}],
            pushToIntegrations=["Xero"],
            customerAliases=["alias"],
            customProperties={"region": "north"},
        )
    )
    flat = await account.client.customer(customer["id"], version=SECOND)
    return await account.client.update(customer["id"], {**flat, "telephone": "+1 555 0100"}, version=SECOND)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_rendered_customer_is_what_a_get_answers(app: Application, account: Account, version: str) -> None:
    customer = await rich_customer(account)
    shown = await account.client.customer(customer["id"], version=version)
    assert rendered(version, await stored(app, account, customer["id"]), account.id) == shown
    assert shown["label"] == "Key account"


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_archived_customer_without_contacts_is_rendered_as_a_get_answers(
    app: Application, account: Account, version: str
) -> None:
    customer = await account.client.create(newest(contacts=[contact(preference="PRIMARY")]))
    await account.client.post(f"/contacts/{customer['contacts'][0]['id']}/archive", version=NEWEST)
    await account.client.archive(customer["id"])
    shown = await account.client.customer(customer["id"], version=version)
    assert rendered(version, await stored(app, account, customer["id"]), account.id) == shown
    assert "archivedAt" in shown


def test_only_the_first_version_names_the_account_in_the_customer() -> None:
    named = {version: rendered(version, example.customer()).get("sequenceAccountId") for version in VERSIONS}
    assert named == {FIRST: str(ACCOUNT_ID), SECOND: None, NEWEST: None}


def test_a_version_that_is_no_longer_live_is_refused_by_name() -> None:
    with pytest.raises(UnknownVersion, match=r"'2023-01-01' any more.*2024-01-01, 2024-05-09, 2024-07-30"):
        versions.of_event("2023-01-01")


@pytest.mark.parametrize("event_type", EventType)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_example_is_a_customer_as_published(
    published: Callable[[str], Published], version: str, event_type: EventType
) -> None:
    shown = rendered(version, example.customer(event_type))
    published(version).check("GET", "/customers/{id}", 200, shown)
    assert shown["legalName"] == "Example Ltd"
    assert ("archivedAt" in shown) == (event_type is EventType.CUSTOMER_ARCHIVED)


def test_the_example_after_a_change_has_changed() -> None:
    created, updated, archived = (example.customer(event_type) for event_type in EventType)
    assert (created.version, updated.version, archived.version) == (1, 2, 2)
    assert created.label != updated.label
    assert created.updated_at < updated.updated_at


def test_a_payload_says_what_happened_to_what_in_which_account() -> None:
    customer = example.customer()
    body = json.loads(payload(EventType.CUSTOMER_CREATED, ACCOUNT_ID, customer, api_version=NEWEST))
    assert body == {
        "notificationType": "CUSTOMER_CREATED",
        "sequenceAccountId": str(ACCOUNT_ID),
        "resourceType": "CUSTOMER",
        "resourceId": str(customer.id),
        "resource": rendered(NEWEST, customer),
    }


@pytest.mark.parametrize(
    ("version", "name"), [(FIRST, "CUSTOMER_DELETED"), (SECOND, "CUSTOMER_DELETED"), (NEWEST, "CUSTOMER_ARCHIVED")]
)
def test_each_version_has_its_own_name_for_what_happened(version: str, name: str) -> None:
    """A receiver reads the name that it asked for when it made its policy."""
    customer = example.customer(EventType.CUSTOMER_ARCHIVED)
    body = json.loads(payload(EventType.CUSTOMER_ARCHIVED, ACCOUNT_ID, customer, api_version=version))
    assert body["notificationType"] == name
