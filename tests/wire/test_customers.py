"""Customers in the newest version: defaults, replacement, contacts, links, status, archive and limits."""

from datetime import datetime
from uuid import UUID

import pytest
from tests.support.bodies import GERMAN, LINKS, contact, link, newest, of, older
from tests.support.clients import FIRST, NEWEST, SECOND, VERSIONS, Account, Json, invalid, refused, success

TEXTS = {
    "emoji": "👩‍👩‍👧‍👦 🇪🇺",
    "right to left": "شركة \N{RIGHT-TO-LEFT MARK}اختبار",
    "combining": "e\N{COMBINING ACUTE ACCENT}\N{COMBINING DIAERESIS}",
    "composed": "é",
    "white space": "  two  spaces\tand a tab\n",
    "control": "\x01\x1f\x7f\x85",
    "unassigned": "\U000e0fff\uffff",
    "quotes": "'\"\\/`<b>&amp;</b>",
    "zalgo": "Z" + "\N{COMBINING TILDE OVERLAY}" * 50,
    "ligature": "fi ℡ ſ",
}


def emails(customer: Json) -> dict[str, str]:
    return {each["email"]: each["billingPreference"] for each in customer["contacts"]}


async def test_the_least_that_a_customer_needs(account: Account) -> None:
    customer = await account.client.create(
        {"legalName": "Acme", "address": GERMAN, "taxStatus": "TAXED", "contacts": [contact()]}
    )
    made = customer["createdAt"]
    [person] = customer["contacts"]
    assert customer == {
        "id": customer["id"],
        "createdAt": made,
        "updatedAt": made,
        "organizations": [],
        "legalName": "Acme",
        "address": GERMAN,
        "domain": "example.com",
        "integrationIds": [],
        "taxStatus": "TAXED",
        "customProperties": {},
        "contacts": [
            {
                "id": person["id"],
                "name": "Ada",
                "email": "ada@example.com",
                "billingPreference": "PRIMARY",
                "createdAt": made,
                "updatedAt": made,
            }
        ],
        "status": "ACTIVE",
    }
    assert UUID(customer["id"]).version == UUID(person["id"]).version == 7
    assert datetime.fromisoformat(made).utcoffset() is not None
    assert made.endswith("Z")


async def test_ids_grow_with_time(account: Account) -> None:
    ids = [(await account.client.create(newest()))["id"] for _ in range(5)]
    assert ids == sorted(ids)
    assert len(set(ids)) == 5


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_created_customer_reads_as_it_was_answered(account: Account, version: str) -> None:
    customer = await account.client.create(of(version, url="https://example.com/", label="l"), version=version)
    assert await account.client.customer(customer["id"], version=version) == customer
    assert (await account.client.customer(customer["id"].upper(), version=version)) == customer


async def test_in_the_first_version_a_create_without_tax_status_is_taxed(account: Account) -> None:
    body = older()
    del body["taxStatus"]
    assert (await account.client.create(body, version=FIRST))["taxStatus"] == "TAXED"
    assert invalid(await account.client.post("/customers", version=SECOND, json=body)) == {"taxStatus": "required"}


@pytest.mark.parametrize("tax_status", ["TAXED", "TAX_EXEMPT", "REVERSE_CHARGED"])
@pytest.mark.parametrize("version", VERSIONS)
async def test_each_tax_status(account: Account, version: str, tax_status: str) -> None:
    customer = await account.client.create(of(version, taxStatus=tax_status), version=version)
    assert customer["taxStatus"] == tax_status


async def test_only_the_first_version_wraps_what_it_created(account: Account) -> None:
    first = success(await account.client.post("/customers", version=FIRST, json=older()), 201)
    assert first.keys() == {"customer"}
    second = success(await account.client.post("/customers", version=SECOND, json=older()), 201)
    assert second["legalName"] == "Acme"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_replacement_clears_the_url_and_the_label(account: Account, version: str) -> None:
    customer = await account.client.create(of(version, url="https://example.com/", label="l"), version=version)
    updated = await account.client.update(customer["id"], of(version), version=version)
    assert not {"url", "label"} & updated.keys()


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_a_replacement_in_an_older_version_clears_the_telephone(account: Account, version: str) -> None:
    customer = await account.client.create(of(version, telephone="1"), version=version)
    assert customer["telephone"] == "1"
    body = {name: value for name, value in of(version).items() if name != "telephone"}
    assert "telephone" not in await account.client.update(customer["id"], body, version=version)


async def test_a_replacement_in_the_newest_version_keeps_the_telephone_that_it_cannot_show(account: Account) -> None:
    customer = await account.client.create(older(telephone="+49 30 1"), version=SECOND)
    await account.client.update(customer["id"], newest(legalName="New"))
    assert (await account.client.customer(customer["id"], version=SECOND))["telephone"] == "+49 30 1"


async def test_a_replacement_keeps_the_collections_that_it_leaves_out(account: Account) -> None:
    parent = await account.client.create(newest(legalName="Parent"))
    kept = {
        "customerAliases": ["a"],
        "integrationIds": [link(NEWEST, "Xero", "1"), link(NEWEST, "Sphere", "2")],
        "customProperties": {"k": "v"},
        "parentId": parent["id"],
        "status": "DRAFT",
    }
    before = await account.client.create(newest(**kept))
    after = await account.client.update(before["id"], newest(legalName="New"))
    assert after == before | {
        "legalName": "New",
        "updatedAt": after["updatedAt"],
        "organizations": after["organizations"],
    }
    assert [each["id"] for each in after["organizations"]] == [each["id"] for each in before["organizations"]]
    assert [
        each["value"] for each in success(await account.client.get(f"/customers/{before['id']}/aliases"))["items"]
    ] == ["a"]


async def test_a_replacement_replaces_the_collections_that_it_gives(account: Account) -> None:
    before = await account.client.create(
        newest(
            customerAliases=["a", "b"],
            integrationIds=[link(NEWEST, "Xero", "1")],
            customProperties={"k": "v", "l": "w"},
        )
    )
    given = {
        "customerAliases": ["b", "c"],
        "integrationIds": [link(NEWEST, "Stripe", "s")],
        "customProperties": {"l": "x"},
    }
    after = await account.client.update(before["id"], newest(**given))
    assert after["integrationIds"] == [{"service": "Stripe", "id": "s", "isPending": False}]
    assert after["customProperties"] == {"l": "x"}
    aliases = success(await account.client.get(f"/customers/{before['id']}/aliases"))["items"]
    assert [each["value"] for each in aliases] == ["b", "c"]
    after = await account.client.update(
        before["id"], newest(customerAliases=[], integrationIds=[], customProperties={})
    )
    assert (after["integrationIds"], after["customProperties"]) == ([], {})
    assert success(await account.client.get(f"/customers/{before['id']}/aliases"))["items"] == []


async def test_a_replacement_that_changes_nothing_changes_no_time(account: Account) -> None:
    before = await account.client.create(newest(label="l"))
    assert await account.client.update(before["id"], newest(label="l")) == before
    after = await account.client.update(before["id"], newest(label="m"))
    assert after["updatedAt"] > before["updatedAt"]
    assert after["createdAt"] == before["createdAt"]
    assert after["contacts"] == before["contacts"]


async def test_contacts_keep_their_id_by_email_and_come_oldest_first(account: Account) -> None:
    before = await account.client.create(
        newest(contacts=[contact("a@example.com"), contact("b@example.com", "STANDARD")])
    )
    after = await account.client.update(
        before["id"],
        newest(contacts=[contact("c@example.com", "NONE"), contact("B@Example.com", "PRIMARY", name="Bea")]),
    )
    assert emails(after) == {"B@Example.com": "PRIMARY", "c@example.com": "NONE"}
    bea, new = after["contacts"]
    old = before["contacts"][1]
    assert (bea["id"], bea["createdAt"], bea["name"]) == (old["id"], old["createdAt"], "Bea")
    assert bea["updatedAt"] > old["updatedAt"]
    assert new["id"] not in {each["id"] for each in before["contacts"]}
    assert new["createdAt"] == new["updatedAt"] == after["updatedAt"]


async def test_a_contact_that_was_left_out_comes_back_as_a_new_one(account: Account) -> None:
    before = await account.client.create(newest(contacts=[contact("a@example.com"), contact("b@example.com")]))
    await account.client.update(before["id"], newest(contacts=[contact("a@example.com")]))
    after = await account.client.update(
        before["id"], newest(contacts=[contact("a@example.com"), contact("b@example.com")])
    )
    assert after["contacts"][0]["id"] == before["contacts"][0]["id"]
    assert after["contacts"][1]["id"] != before["contacts"][1]["id"]


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@example.com", "Ada@EXAMPLE.com"])
async def test_two_contacts_with_one_email_are_a_conflict(account: Account, email: str) -> None:
    body = newest(contacts=[contact("ada@example.com"), contact("x@example.com"), contact(email, "STANDARD")])
    error = refused(await account.client.post("/customers", json=body), 409, "conflict")
    assert [detail["key"] for detail in error["errors"]] == ["contacts[2].email"]
    assert (await account.client.page())["items"] == []


async def test_two_customers_may_have_the_same_contact(account: Account) -> None:
    first, second = await account.client.create(newest()), await account.client.create(newest())
    assert emails(first) == emails(second)
    assert first["contacts"][0]["id"] != second["contacts"][0]["id"]


@pytest.mark.parametrize("contacts", [[], [contact(preference="STANDARD")], [contact(preference="NONE")]])
async def test_one_contact_has_to_be_primary(account: Account, contacts: list[Json]) -> None:
    customer = await account.client.create(newest())
    assert invalid(await account.client.post("/customers", json=newest(contacts=contacts))).keys() == {"contacts"}
    assert invalid(await account.client.put(f"/customers/{customer['id']}", json=newest(contacts=contacts))).keys() == {
        "contacts"
    }
    assert await account.client.customer(customer["id"]) == customer


async def test_a_draft_becomes_active_and_never_a_draft_again(account: Account) -> None:
    draft = await account.client.create(newest(status="DRAFT"))
    assert draft["status"] == "DRAFT"
    assert (await account.client.update(draft["id"], newest(label="x")))["status"] == "DRAFT"
    assert (await account.client.update(draft["id"], newest(status="ACTIVE")))["status"] == "ACTIVE"
    error = refused(
        await account.client.put(f"/customers/{draft['id']}", json=newest(status="DRAFT", label="y")), 409, "conflict"
    )
    assert [detail["key"] for detail in error["errors"]] == ["status"]
    assert "label" not in await account.client.customer(draft["id"])


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_draft_is_an_ordinary_row(account: Account, version: str) -> None:
    draft = await account.client.create(newest(status="DRAFT"))
    assert (await account.client.customer(draft["id"], version=version))["id"] == draft["id"]
    assert [item["id"] for item in (await account.client.page(version=version))["items"]] == [draft["id"]]


ARCHIVES = [
    (FIRST, "DELETE", ""),
    (FIRST, "PUT", "/archive"),
    (SECOND, "DELETE", ""),
    (SECOND, "PUT", "/archive"),
    (NEWEST, "POST", "/archive"),
]


@pytest.mark.parametrize(("version", "method", "path"), ARCHIVES)
async def test_archiving_twice_answers_the_same(account: Account, version: str, method: str, path: str) -> None:
    customer = await account.client.create(newest())
    first = success(await account.client.request(method, f"/customers/{customer['id']}{path}", version=version))
    assert first["archivedAt"] > customer["createdAt"]
    again = success(await account.client.request(method, f"/customers/{customer['id']}{path}", version=version))
    assert again == first
    assert await account.client.customer(customer["id"], version=version) == first


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_archived_customer_cannot_be_changed(account: Account, version: str) -> None:
    customer = await account.client.create(of(version), version=version)
    await account.client.archive(customer["id"])
    before = await account.client.customer(customer["id"])
    refused(
        await account.client.put(f"/customers/{customer['id']}", version=version, json=of(version)), 409, "conflict"
    )
    refused(
        await account.client.put(f"/customers/{customer['id']}", version=version, json=of(version, label="x")),
        409,
        "conflict",
    )
    assert await account.client.customer(customer["id"]) == before


@pytest.mark.parametrize("version", VERSIONS)
async def test_links_are_shown_as_the_version_does(account: Account, version: str) -> None:
    body = of(version, **{LINKS[version]: [link(version, "Xero", "x"), link(version, "HubSpot", "h")]})
    customer = await account.client.create(body, version=version)
    made = customer["createdAt"]
    expected = {
        FIRST: [{"key": "HubSpot", "value": "h", "syncTime": made}, {"key": "Xero", "value": "x", "syncTime": made}],
        SECOND: [{"service": "HubSpot", "id": "h"}, {"service": "Xero", "id": "x"}],
        NEWEST: [
            {"service": "HubSpot", "id": "h", "isPending": False},
            {"service": "Xero", "id": "x", "isPending": False},
        ],
    }
    assert customer[LINKS[version]] == expected[version]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_service_twice_is_refused(account: Account, version: str) -> None:
    body = of(
        version,
        **{LINKS[version]: [link(version, "Xero", "1"), link(version, "Stripe", "1"), link(version, "Xero", "2")]},
    )
    answer = invalid(await account.client.post("/customers", version=version, json=body))
    assert answer == {f"{LINKS[version]}[2].{'key' if version == FIRST else 'service'}": "repeated"}


async def test_several_customers_may_link_the_same_external_id(account: Account) -> None:
    for _ in range(2):
        customer = await account.client.create(newest(integrationIds=[link(NEWEST, "Xero", "same")]))
        assert customer["integrationIds"][0]["id"] == "same"


@pytest.mark.parametrize("version", [FIRST, SECOND])
@pytest.mark.parametrize("service", ["GoCardless", "Avalara", "Anrok", "Attio", "Numeral", "Rillet", "Sphere"])
async def test_the_newer_services_are_unknown_to_the_older_versions(
    account: Account, version: str, service: str
) -> None:
    body = older(**{LINKS[version]: [link(version, service, "1")]})
    assert set(invalid(await account.client.post("/customers", version=version, json=body)).values()) == {"enum"}
    customer = await account.client.create(newest(integrationIds=[link(NEWEST, service, "1")]))
    assert (await account.client.customer(customer["id"], version=version))[LINKS[version]] == []


async def test_a_push_makes_a_pending_link_where_there_is_none(account: Account) -> None:
    customer = await account.client.create(newest(pushToIntegrations=["Xero"]))
    assert customer["integrationIds"] == [{"service": "Xero", "id": customer["id"], "isPending": True}]
    linked = await account.client.create(newest(integrationIds=[link(NEWEST, "Xero", "1")]))
    linked = await account.client.update(linked["id"], newest(pushToIntegrations=["Xero"]))
    assert linked["integrationIds"] == [{"service": "Xero", "id": "1", "isPending": False}]
    later = await account.client.create(newest())
    later = await account.client.update(later["id"], newest(pushToIntegrations=["Xero", "Xero"]))
    assert later["integrationIds"] == [{"service": "Xero", "id": later["id"], "isPending": True}]


async def test_a_link_given_by_hand_ends_the_pending_one(account: Account) -> None:
    customer = await account.client.create(newest(pushToIntegrations=["Xero"]))
    customer = await account.client.update(customer["id"], newest(integrationIds=[link(NEWEST, "Xero", "real")]))
    assert customer["integrationIds"] == [{"service": "Xero", "id": "real", "isPending": False}]


async def test_only_xero_can_be_pushed_to(account: Account) -> None:
    answer = invalid(await account.client.post("/customers", json=newest(pushToIntegrations=["Xero", "Stripe"])))
    assert answer == {"pushToIntegrations[1]": "enum"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"line1": ""}, {"address.line1": "tooShort"}),
        ({"line1": " \t"}, {"address.line1": "blank"}),
        ({"town": "\N{NO-BREAK SPACE}"}, {"address.town": "blank"}),
        ({"postcode": ""}, {"address.postcode": "tooShort"}),
        ({"country": "UK"}, {"address.country": "enum"}),
        ({"country": "de"}, {"address.country": "enum"}),
        ({"country": ""}, {"address.country": "enum"}),
        ({"country": "US"}, {"address.state": "required"}),
        ({"country": "US", "state": "ON"}, {"address.state": "state"}),
        ({"country": "CA", "state": "NY"}, {"address.state": "state"}),
        ({"country": "US", "state": "XX"}, {"address.state": "enum"}),
        ({"country": "US", "state": "ny"}, {"address.state": "enum"}),
        ({"country": "US", "state": ""}, {"address.state": "enum"}),
        ({"state": "Bayern"}, {"address.state": "enum"}),
    ],
)
async def test_addresses_that_are_refused(
    account: Account, version: str, change: Json, expected: dict[str, str]
) -> None:
    body = of(version, address=GERMAN | change)
    assert invalid(await account.client.post("/customers", version=version, json=body)) == expected


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "change",
    [
        {"country": "XK"},
        {"country": "US", "state": "DC"},
        {"country": "CA", "state": "PE"},
        {"line2": ""},
        {"state": "NY"},
    ],
)
async def test_addresses_that_are_taken(account: Account, version: str, change: Json) -> None:
    address = GERMAN | change
    assert (await account.client.create(of(version, address=address), version=version))["address"] == address


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_canadian_customer_needs_a_province_from_the_start(account: Account, version: str) -> None:
    body = of(version, address=GERMAN | {"country": "CA"})
    assert invalid(await account.client.post("/customers", version=version, json=body)) == {"address.state": "required"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_customer_that_moves_to_canada_needs_a_province(account: Account, version: str) -> None:
    customer = await account.client.create(of(version), version=version)
    body = of(version, address=GERMAN | {"country": "CA"})
    assert invalid(await account.client.put(f"/customers/{customer['id']}", version=version, json=body)) == {
        "address.state": "required"
    }


@pytest.mark.parametrize("state", ["NT", "NU", "YT"])
async def test_territories_are_known_to_the_newest_version_only(account: Account, state: str) -> None:
    address = GERMAN | {"country": "CA", "state": state}
    assert (await account.client.create(newest(address=address)))["address"]["state"] == state
    for version in (FIRST, SECOND):
        answer = invalid(await account.client.post("/customers", version=version, json=older(address=address)))
        assert answer == {"address.state": "enum"}


LIMITS = [
    ("legalName", 255),
    ("label", 255),
    ("address.line1", 255),
    ("address.line2", 255),
    ("address.town", 255),
    ("address.postcode", 255),
    ("contacts[0].name", 255),
    ("customerAliases[0]", 255),
    ("integrationIds[0].id", 255),
    ("customProperties.k", 500),
]


def with_text(path: str, text: str) -> Json:
    body = newest(customerAliases=["a"], integrationIds=[link(NEWEST, "Xero", "1")], customProperties={"k": "v"})
    name, _, rest = path.partition("[0]") if "[0]" in path else path.partition(".")
    if not rest and "[0]" not in path:
        body[name] = text
    elif "[0]" in path:
        if rest:
            body[name][0][rest.removeprefix(".")] = text
        else:
            body[name][0] = text
    else:
        body[name][rest] = text
    return body


@pytest.mark.parametrize(("path", "limit"), LIMITS)
async def test_the_longest_text_is_taken_and_one_character_more_is_not(account: Account, path: str, limit: int) -> None:
    """Characters are counted, not bytes."""
    customer = await account.client.create(with_text(path, "ü" * limit))
    stored = await account.client.customer(customer["id"])
    if not path.startswith("customerAliases"):
        assert "ü" * limit in str(stored)
    else:
        assert await account.client.names(alias="ü" * limit) == ["Acme"]
    assert invalid(await account.client.post("/customers", json=with_text(path, "ü" * (limit + 1)))) == {
        path: "tooLong"
    }


@pytest.mark.parametrize("field", ["contactName", "telephone"])
@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_limits_of_the_older_fields(account: Account, version: str, field: str) -> None:
    assert (await account.client.create(older(**{field: "x" * 255}), version=version))[field] == "x" * 255
    answer = invalid(await account.client.post("/customers", version=version, json=older(**{field: "x" * 256})))
    assert answer == {field: "tooLong"}


async def test_limits_of_addresses_of_the_net(account: Account) -> None:
    url = "https://example.com/" + "x" * 2028
    email = "a@" + ".".join(["x" * 60] * 4 + ["y" * 5, "de"])  # 254 characters
    assert (len(url), len(email)) == (2048, 254)
    customer = await account.client.create(newest(url=url, contacts=[contact(email)]))
    assert (customer["url"], customer["contacts"][0]["email"]) == (url, email)
    body = newest(url=url + "x", contacts=[contact("a" + email)])
    assert invalid(await account.client.post("/customers", json=body)) == {
        "url": "tooLong",
        "contacts[0].email": "tooLong",
    }


async def test_limits_of_custom_properties(account: Account) -> None:
    most = {f"{number:064}": "x" for number in range(50)}
    assert (await account.client.create(newest(customProperties=most)))["customProperties"] == most
    too_many = most | {"one more": "x"}
    assert invalid(await account.client.post("/customers", json=newest(customProperties=too_many))) == {
        "customProperties": "tooMany"
    }
    long_key = "k" * 65
    answer = invalid(await account.client.post("/customers", json=newest(customProperties={long_key: "x", "": "y"})))
    assert answer == {f"customProperties.{long_key}": "tooLong", "customProperties.": "tooShort"}


async def test_limits_of_lists(account: Account) -> None:
    aliases = [f"a{number}" for number in range(101)]
    customer = await account.client.create(newest(customerAliases=aliases[:100]))
    assert len(success(await account.client.get(f"/customers/{customer['id']}/aliases"))["items"]) == 100
    body = newest(customerAliases=aliases, integrationIds=[link(NEWEST, "Xero", "1")] * 51)
    answer = invalid(await account.client.post("/customers", json=body))
    assert answer == {"customerAliases": "tooMany", "integrationIds": "tooMany"}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
async def test_texts_are_returned_exactly(account: Account, text: str) -> None:
    address = {"line1": text, "line2": text, "town": text, "postcode": text, "country": "DE"}
    customer = await account.client.create(
        newest(
            legalName=text,
            label=text,
            address=address,
            contacts=[contact(name=text)],
            customerAliases=[text],
            integrationIds=[link(NEWEST, "Xero", text)],
            customProperties={text[:64]: text},
        )
    )
    shown = await account.client.customer(customer["id"])
    assert shown == customer
    assert (shown["legalName"], shown["label"], shown["address"]) == (text, text, address)
    assert shown["contacts"][0]["name"] == shown["integrationIds"][0]["id"] == text
    assert shown["customProperties"] == {text[:64]: text}
    [alias] = success(await account.client.get(f"/customers/{customer['id']}/aliases"))["items"]
    assert alias["value"] == text
    assert [item["id"] for item in (await account.client.page(alias=text))["items"]] == [customer["id"]]
    assert [item["id"] for item in (await account.client.page(legalName=text))["items"]] == [customer["id"]]


@pytest.mark.parametrize(
    "email", ["Ada.Lovelace+billing@Example.COM", "dörte@exämple.de", "o'hara@example.co.uk", "x@sub.xn--exmple-cua.de"]
)
async def test_an_email_is_kept_as_it_was_written(account: Account, email: str) -> None:
    customer = await account.client.create(newest(contacts=[contact(email)]))
    assert customer["contacts"][0]["email"] == email


async def test_a_url_is_kept_as_it_was_written_and_gives_the_domain(account: Account) -> None:
    customer = await account.client.create(newest(url="HTTPS://Shop.Example.co.uk:8443/a b"[:-2]))
    assert (customer["url"], customer["domain"]) == ("HTTPS://Shop.Example.co.uk:8443/a", "example.co.uk")


async def test_a_public_mailbox_gives_no_domain(account: Account) -> None:
    assert "domain" not in await account.client.create(newest(contacts=[contact("ada@gmail.com")]))


async def test_the_domain_follows_the_contacts(account: Account) -> None:
    customer = await account.client.create(newest())
    after = await account.client.update(customer["id"], newest(contacts=[contact("ada@other.example.org")]))
    assert (customer["domain"], after["domain"]) == ("example.com", "example.org")
