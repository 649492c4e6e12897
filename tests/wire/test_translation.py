"""One customer through all versions: what one of them writes, the others show and do not lose."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bodies import GERMAN, LINKS, contact, link, newest, older
from tests.support.clients import FIRST, NEWEST, SECOND, VERSIONS, Account, Client, Json, success
from tests.support.strategies import filled_texts, texts

from customary.domain.values import CANADIAN_PROVINCES

OLDER_SERVICES = (
    "Amazon_Redshift Google_BigQuery Google_Sheets HubSpot NetSuite QuickBooks_Online Salesforce Slack Snowflake"
    " Stripe Xero"
).split()
NEWER_SERVICES = "GoCardless Avalara Anrok Attio Numeral Rillet Sphere".split()
TERRITORIES = {"NT", "NU", "YT"}

CONTACTS = [
    contact("first@example.com", "PRIMARY", "First"),
    contact("second@example.com", "PRIMARY", "Second"),
    contact("standard@example.com", "STANDARD", "Standard"),
    contact("none@example.com", "NONE", "None"),
]


def preferences(customer: Json) -> dict[str, str]:
    return {each["email"]: each["billingPreference"] for each in customer["contacts"]}


def sendable(customer: Json) -> Json:
    """What a client of an older version sends back when it changed nothing."""
    if "externalIds" not in customer:
        return customer
    return customer | {
        "externalIds": [{name: each[name] for name in ("key", "value")} for each in customer["externalIds"]]
    }


async def test_the_older_versions_show_the_contacts_flat(account: Account) -> None:
    customer = await account.client.create(newest(contacts=CONTACTS))
    for version in (FIRST, SECOND):
        flat = await account.client.customer(customer["id"], version=version)
        assert (flat["email"], flat["contactName"]) == ("first@example.com", "First")
        assert flat["billingEmails"] == ["first@example.com", "second@example.com", "standard@example.com"]


async def test_a_contact_named_like_the_company_has_no_contact_name(account: Account) -> None:
    customer = await account.client.create(newest(legalName="Acme", contacts=[contact(name="Acme")]))
    for version in (FIRST, SECOND):
        assert "contactName" not in await account.client.customer(customer["id"], version=version)


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_a_flat_customer_has_contacts_in_the_newest_version(account: Account, version: str) -> None:
    body = older(contactName="Ada", billingEmails=["b@example.com", "ADA@example.com", "c@example.com"])
    customer = await account.client.create(body, version=version)
    shown = await account.client.customer(customer["id"])
    contacts = [(each["name"], each["email"], each["billingPreference"]) for each in shown["contacts"]]
    assert contacts == [
        ("Ada", "ada@example.com", "PRIMARY"),
        ("b@example.com", "b@example.com", "STANDARD"),
        ("c@example.com", "c@example.com", "STANDARD"),
    ]
    assert (shown["status"], shown["customProperties"], shown["organizations"]) == ("ACTIVE", {}, [])


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_without_a_contact_name_the_contact_has_the_legal_name(account: Account, version: str) -> None:
    customer = await account.client.create(older(legalName="Acme"), version=version)
    assert (await account.client.customer(customer["id"]))["contacts"][0]["name"] == "Acme"


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_a_new_email_becomes_the_primary_contact_and_the_old_ones_stay(account: Account, version: str) -> None:
    customer = await account.client.create(newest(contacts=CONTACTS))
    body = older(email="new@example.com", billingEmails=["first@example.com", "standard@example.com"])
    flat = await account.client.update(customer["id"], body, version=version)
    assert flat["email"] == "new@example.com"
    after = await account.client.customer(customer["id"])
    assert preferences(after) == {
        "first@example.com": "STANDARD",
        "second@example.com": "NONE",
        "standard@example.com": "STANDARD",
        "none@example.com": "NONE",
        "new@example.com": "PRIMARY",
    }
    assert [each["id"] for each in after["contacts"][:4]] == [each["id"] for each in customer["contacts"]]


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_the_email_of_a_contact_makes_it_primary_ignoring_case(account: Account, version: str) -> None:
    customer = await account.client.create(newest(contacts=CONTACTS))
    body = older(email="NONE@example.com", contactName="Nora", billingEmails=["second@example.com"])
    await account.client.update(customer["id"], body, version=version)
    after = await account.client.customer(customer["id"])
    assert preferences(after)["NONE@example.com"] == "PRIMARY"
    assert after["contacts"][3]["id"] == customer["contacts"][3]["id"]
    assert after["contacts"][3]["name"] == "Nora"
    assert (await account.client.customer(customer["id"], version=version))["email"] == "NONE@example.com"


async def test_the_first_version_may_leave_the_billing_emails_out(account: Account) -> None:
    customer = await account.client.create(newest(contacts=CONTACTS))
    body = older(email="first@example.com", contactName="First")
    del body["billingEmails"]
    await account.client.update(customer["id"], body, version=FIRST)
    assert (await account.client.customer(customer["id"]))["contacts"] == customer["contacts"]


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_a_billing_email_that_is_no_longer_listed_receives_none(account: Account, version: str) -> None:
    customer = await account.client.create(newest(contacts=CONTACTS))
    body = older(email="first@example.com", contactName="First", billingEmails=[])
    flat = await account.client.update(customer["id"], body, version=version)
    assert flat["billingEmails"] == ["first@example.com"]
    assert list(preferences(await account.client.customer(customer["id"])).values()) == [
        "PRIMARY",
        "NONE",
        "NONE",
        "NONE",
    ]


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_links_to_the_newer_services_survive_a_write_through_an_older_version(
    account: Account, version: str
) -> None:
    links = [link(NEWEST, "Stripe", "s"), *(link(NEWEST, service, service) for service in NEWER_SERVICES)]
    customer = await account.client.create(newest(integrationIds=links))
    await account.client.update(
        customer["id"], older(**{LINKS[version]: [link(version, "Xero", "x")]}), version=version
    )
    after = await account.client.customer(customer["id"])
    assert {each["service"]: each["id"] for each in after["integrationIds"]} == {
        "Xero": "x",
        **{service: service for service in NEWER_SERVICES},
    }


@pytest.mark.parametrize("version", [FIRST, SECOND])
@pytest.mark.parametrize("state", sorted(TERRITORIES))
async def test_a_territory_survives_a_write_through_an_older_version(
    account: Account, version: str, state: str
) -> None:
    address = GERMAN | {"country": "CA", "state": state}
    customer = await account.client.create(newest(address=address))
    flat = await account.client.customer(customer["id"], version=version)
    assert "state" not in flat["address"]
    await account.client.update(customer["id"], sendable(flat) | {"label": "new"}, version=version)
    assert (await account.client.customer(customer["id"]))["address"] == address


async def test_what_2024_05_09_updates_is_seen_in_the_contacts_of_2024_07_30(account: Account) -> None:
    customer = await account.client.create(older(contactName="Ada", billingEmails=["b@example.com"]), version=FIRST)
    body = older(contactName="Ada King", email="ada@example.com", billingEmails=["c@example.com"])
    await account.client.update(customer["id"], body, version=SECOND)
    after = await account.client.customer(customer["id"])
    assert [(each["name"], each["email"], each["billingPreference"]) for each in after["contacts"]] == [
        ("Ada King", "ada@example.com", "PRIMARY"),
        ("b@example.com", "b@example.com", "NONE"),
        ("c@example.com", "c@example.com", "STANDARD"),
    ]


emails = st.sampled_from([f"{letter}@example.com" for letter in "abcdefABC"])


def unlike(items: list[str]) -> list[str]:
    """One spelling of each address."""
    return list({item.casefold(): item for item in items}.values())


@st.composite
def addresses(draw: st.DrawFn, *, with_territories: bool) -> Json:
    country = draw(st.sampled_from(["DE", "US", "CA", "CA", "XK"]))
    provinces = [each for each in CANADIAN_PROVINCES if with_territories or each not in TERRITORIES]
    address: dict[str, Any] = {
        "line1": draw(filled_texts),
        "town": draw(filled_texts),
        "postcode": "1",
        "country": country,
    }
    if country in {"US", "CA"}:
        address["state"] = draw(st.sampled_from(["NY", "DC"] if country == "US" else sorted(provinces)))
    if draw(st.booleans()):
        address["line2"] = draw(texts)
    return address


optional_texts = {"label": texts, "url": st.sampled_from(["https://example.com/", "http://example.org/ü"])}


@st.composite
def newest_bodies(draw: st.DrawFn) -> Json:
    addressees = unlike(draw(st.lists(emails, min_size=1, max_size=5)))
    contacts = [
        contact(each, draw(st.sampled_from(["PRIMARY", "STANDARD", "NONE"])), draw(texts)) for each in addressees
    ]
    contacts[draw(st.integers(0, len(contacts) - 1))]["billingPreference"] = "PRIMARY"
    services = draw(st.lists(st.sampled_from(OLDER_SERVICES + NEWER_SERVICES), unique=True, max_size=4))
    return newest(
        legalName=draw(filled_texts),
        address=draw(addresses(with_territories=True)),
        contacts=contacts,
        integrationIds=[link(NEWEST, service, draw(filled_texts)) for service in services],
        customProperties=draw(st.dictionaries(filled_texts, texts, max_size=3)),
        taxStatus=draw(st.sampled_from(["TAXED", "TAX_EXEMPT", "REVERSE_CHARGED"])),
        status=draw(st.sampled_from(["ACTIVE", "DRAFT"])),
        **{name: draw(values) for name, values in optional_texts.items() if draw(st.booleans())},
    )


@st.composite
def older_bodies(draw: st.DrawFn, version: str) -> Json:
    services = draw(st.lists(st.sampled_from(OLDER_SERVICES), unique=True, max_size=4))
    optional = optional_texts | {"telephone": texts, "contactName": texts}
    return older(
        legalName=draw(filled_texts),
        address=draw(addresses(with_territories=False)),
        email=draw(emails),
        billingEmails=draw(st.lists(emails, max_size=4)),
        taxStatus=draw(st.sampled_from(["TAXED", "TAX_EXEMPT", "REVERSE_CHARGED"])),
        **{LINKS[version]: [link(version, service, draw(filled_texts)) for service in services]},
        **{name: draw(values) for name, values in optional.items() if draw(st.booleans())},
    )


versioned_bodies = st.one_of(
    st.tuples(st.just(NEWEST), newest_bodies()),
    st.tuples(st.just(FIRST), older_bodies(FIRST)),
    st.tuples(st.just(SECOND), older_bodies(SECOND)),
)


async def in_all_versions(client: Client, customer_id: str) -> dict[str, Json]:
    return {version: await client.customer(customer_id, version=version) for version in VERSIONS}


def assert_consistent(shown: dict[str, Json]) -> None:
    """The three versions show one customer, each as much of it as it knows."""
    first, second, whole = (shown[version] for version in VERSIONS)
    assert {name: value for name, value in first.items() if name not in {"sequenceAccountId", "externalIds"}} == {
        name: value for name, value in second.items() if name != "integrationIds"
    }
    assert {each["key"]: each["value"] for each in first["externalIds"]} == {
        each["service"]: each["id"] for each in second["integrationIds"]
    }
    for field in ("id", "createdAt", "legalName", "url", "label", "taxStatus"):
        assert second.get(field) == whole.get(field)
    known = {each["service"]: each["id"] for each in whole["integrationIds"] if each["service"] in OLDER_SERVICES}
    assert {each["service"]: each["id"] for each in second["integrationIds"]} == known
    address = dict(whole["address"])
    if address.get("state") in TERRITORIES:
        del address["state"]
    assert second["address"] == address
    receiving = [each for each in whole["contacts"] if each["billingPreference"] != "NONE"]
    assert second["billingEmails"] == [each["email"] for each in receiving]
    main = next(each for each in whole["contacts"] if each["billingPreference"] == "PRIMARY")
    assert second["email"] == main["email"]
    assert second.get("contactName", whole["legalName"]) == main["name"]


def assert_as_written(version: str, body: Json, shown: Json) -> None:
    """What a version wrote is what it shows."""
    for field in ("legalName", "address", "taxStatus", "url", "label", "telephone", "status", "customProperties"):
        if version == NEWEST or field not in {"status", "customProperties"}:
            assert shown.get(field) == body.get(field)
    names = {FIRST: ("key", "value")}.get(version, ("service", "id"))
    links = [tuple(each[name] for name in names) for each in shown[LINKS[version]]]
    assert sorted(links) == sorted(tuple(each[name] for name in names) for each in body[LINKS[version]])
    if version == NEWEST:
        contacts = [{name: each[name] for name in ("name", "email", "billingPreference")} for each in shown["contacts"]]
        assert contacts == body["contacts"]
    else:
        spelled = {each.casefold(): each for each in (*body["billingEmails"], body["email"])}
        assert shown["email"] == body["email"]
        assert sorted(shown["billingEmails"]) == sorted(spelled.values())
        assert shown.get("contactName", shown["legalName"]) == body.get("contactName", body["legalName"])


@settings(max_examples=60)
@given(written=versioned_bodies)
async def test_what_a_version_writes_all_versions_show(account: Account, written: tuple[str, Json]) -> None:
    version, body = written
    customer = await account.client.create(body, version=version)
    shown = await in_all_versions(account.client, customer["id"])
    assert shown[version] == customer
    assert_as_written(version, body, customer)
    assert_consistent(shown)


@settings(max_examples=60)
@given(written=versioned_bodies, through=st.sampled_from([FIRST, SECOND]))
async def test_writing_back_what_an_older_version_shows_changes_nothing(
    account: Account, written: tuple[str, Json], through: str
) -> None:
    """Not a link to a newer service, a custom property, a NONE contact, a territory or a time."""
    version, body = written
    customer_id = (await account.client.create(body, version=version))["id"]
    before = await in_all_versions(account.client, customer_id)
    await account.client.update(customer_id, sendable(before[through]), version=through)
    assert await in_all_versions(account.client, customer_id) == before


@settings(max_examples=60)
@given(
    written=versioned_bodies,
    changed=st.one_of(*(st.tuples(st.just(each), older_bodies(each)) for each in (FIRST, SECOND))),
)
async def test_a_write_through_an_older_version_loses_nothing_that_it_cannot_show(
    account: Account, written: tuple[str, Json], changed: tuple[str, Json]
) -> None:
    version, body = written
    through, change = changed
    before = await account.client.customer((await account.client.create(body, version=version))["id"])
    await account.client.update(before["id"], change, version=through)
    shown = await in_all_versions(account.client, before["id"])
    after = shown[NEWEST]
    assert_as_written(through, change, shown[through])
    assert_consistent(shown)
    assert (after["customProperties"], after["status"]) == (before["customProperties"], before["status"])
    hidden = [each for each in before["integrationIds"] if each["service"] in NEWER_SERVICES]
    assert [each for each in after["integrationIds"] if each["service"] in NEWER_SERVICES] == hidden
    names = {each["id"]: each["email"].casefold() for each in after["contacts"]}
    assert {each["id"]: each["email"].casefold() for each in before["contacts"]}.items() <= names.items()


@settings(max_examples=40)
@given(written=st.one_of(*(st.tuples(st.just(each), older_bodies(each)) for each in (FIRST, SECOND))))
async def test_the_newest_version_keeps_the_telephone(account: Account, written: tuple[str, Json]) -> None:
    version, body = written
    customer = await account.client.create(body, version=version)
    whole = await account.client.customer(customer["id"])
    changed = {name: whole[name] for name in ("address", "taxStatus", "contacts")} | {
        "legalName": "New",
        "integrationIds": [],
    }
    success(await account.client.put(f"/customers/{customer['id']}", version=NEWEST, json=changed))
    after = await account.client.customer(customer["id"], version=version)
    assert after.get("telephone") == body.get("telephone")
    assert after["legalName"] == "New"
