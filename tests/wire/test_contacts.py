"""Contacts one by one: the rules about e-mails and billing, and what every version sees of a change."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from tests.support import records
from tests.support.bodies import contact, newest, older
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
    new_key,
    owner_connection,
    refused,
    success,
)
from tests.support.cluster import Database
from tests.support.published import Published

from customary.app import Application
from customary.domain.account import Scope

SERVED = (SECOND, NEWEST)
MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
ADA, BEA, CAT = "ada@example.com", "bea@example.com", "cat@example.com"
OPERATIONS = [
    ("GET", "/customers/{customer}/contacts"),
    ("POST", "/customers/{customer}/contacts"),
    ("PUT", "/customers/{customer}/contacts/{id}"),
    ("POST", "/customers/{customer}/contacts/{id}/archive"),
]
WITH_ID = OPERATIONS[2:]


def path_of(customer: Json, person: Json | None = None) -> str:
    return f"/customers/{customer['id']}/contacts" + (f"/{person['id']}" if person else "")


async def listed(client: Client, customer: Json, **params: str) -> list[Json]:
    return success(await client.get(path_of(customer), params=params))["items"]


async def preferences(client: Client, customer: Json) -> dict[str, str]:
    return {person["email"]: person["billingPreference"] for person in await listed(client, customer)}


def body_for(method: str, path: str) -> Json:
    return contact(BEA, "NONE") if method == "PUT" or path.endswith("/contacts") else None


def visible(response: httpx.Response) -> tuple[int, bytes]:
    return response.status_code, response.content


# --- As published ---


@pytest.mark.parametrize("version", SERVED)
async def test_the_published_examples_are_accepted_kept_and_answered_as_published(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    document = published(version)
    customer = await account.client.create(newest())
    collection, single, archive = (path for _, path in OPERATIONS[1:])

    body = document.example("POST", collection)
    response = await account.client.post(path_of(customer), version=version, json=body)
    created = success(response, document.success("POST", collection))
    document.check("POST", collection, response.status_code, created)
    assert {name: created[name] for name in body} == body
    assert created["createdAt"] == created["updatedAt"]
    assert "archivedAt" not in created

    body = document.example("PUT", single)
    response = await account.client.put(path_of(customer, customer["contacts"][0]), version=version, json=body)
    refused(response, 409, "conflict")  # the examples share their e-mail
    body |= {"email": BEA, "billingPreference": "PRIMARY"}
    response = await account.client.put(path_of(customer, created), version=version, json=body)
    updated = success(response, document.success("PUT", single))
    document.check("PUT", single, response.status_code, updated)
    assert updated == created | body | {"updatedAt": updated["updatedAt"]}
    assert updated["updatedAt"] > created["updatedAt"]

    response = await account.client.post(f"{path_of(customer, created)}/archive", version=version)
    archived = success(response, document.success("POST", archive))
    document.check("POST", archive, response.status_code, archived)
    assert archived == updated | {"updatedAt": archived["updatedAt"], "archivedAt": archived["updatedAt"]}

    for params, expected in (({}, customer["contacts"]), ({"includeArchived": "true"}, None)):
        response = await account.client.get(path_of(customer), version=version, params=params)
        answer = success(response, document.success("GET", collection))
        document.check("GET", collection, response.status_code, answer)
        assert answer["items"] == (expected if expected is not None else [*customer["contacts"], archived])


async def test_the_first_version_has_no_contacts(account: Account) -> None:
    customer = await account.client.create(newest())
    refused(await account.client.get(path_of(customer), version=FIRST), 404, "notFound")


async def test_contacts_are_listed_oldest_first_and_archived_ones_on_request_only(account: Account) -> None:
    customer = await account.client.create(newest())
    for email in (CAT, BEA):
        success(await account.client.post(path_of(customer), json=contact(email, "NONE")), 201)
    [ada, cat, bea] = await listed(account.client, customer)
    assert [ada["email"], cat["email"], bea["email"]] == [ADA, CAT, BEA]
    success(await account.client.post(f"{path_of(customer, cat)}/archive"))
    assert await listed(account.client, customer) == [ada, bea]
    assert await listed(account.client, customer, includeArchived="false") == [ada, bea]
    shown = await listed(account.client, customer, includeArchived="true")
    assert [(person["email"], "archivedAt" in person) for person in shown] == [(ADA, False), (CAT, True), (BEA, False)]


async def test_a_customer_without_contacts_has_an_empty_list(account: Account) -> None:
    """The last one may be archived: nobody receives billing then, and the older versions show an empty e-mail."""
    customer = await account.client.create(newest())
    success(await account.client.post(f"{path_of(customer, customer['contacts'][0])}/archive"))
    assert await listed(account.client, customer) == []
    flat = await account.client.customer(customer["id"], version=SECOND)
    assert (flat["email"], flat["billingEmails"]) == ("", [])
    assert "domain" not in await account.client.customer(customer["id"])


# --- The rules ---


@pytest.mark.parametrize("email", [ADA, "ADA@example.com", "Ada@EXAMPLE.com"])
async def test_an_email_that_another_contact_has_is_a_conflict(account: Account, email: str) -> None:
    customer = await account.client.create(newest(contacts=[contact(ADA), contact(BEA, "NONE")]))
    bea = customer["contacts"][1]
    for answer in (
        await account.client.post(path_of(customer), json=contact(email)),
        await account.client.put(path_of(customer, bea), json=contact(email)),
    ):
        error = refused(answer, 409, "conflict")
        assert [(detail["key"], detail["code"]) for detail in error["errors"]] == [("email", "duplicate")]
        assert customer["contacts"][0]["id"] in error["message"]
    assert await account.client.customer(customer["id"]) == customer


async def test_an_email_may_be_another_customers_or_an_archived_contacts_or_change_its_case(account: Account) -> None:
    await account.client.create(newest(contacts=[contact(BEA)]))
    customer = await account.client.create(newest())
    [ada] = customer["contacts"]
    bea = success(await account.client.post(path_of(customer), json=contact(BEA, "NONE")), 201)
    success(await account.client.post(f"{path_of(customer, bea)}/archive"))
    again = success(await account.client.post(path_of(customer), json=contact(BEA, "NONE")), 201)
    assert again["id"] != bea["id"]
    renamed = success(await account.client.put(path_of(customer, ada), json=contact("ADA@example.com")))
    assert (renamed["id"], renamed["email"]) == (ada["id"], "ADA@example.com")


async def test_nobody_receives_billing_where_nobody_is_primary(account: Account) -> None:
    """Each write that would leave a STANDARD contact without a PRIMARY one is refused, with a code of its own."""
    customer = await account.client.create(newest(contacts=[contact(ADA), contact(BEA, "STANDARD")]))
    ada = customer["contacts"][0]
    for preference in ("NONE", "STANDARD"):
        answer = await account.client.put(path_of(customer, ada), json=contact(ADA, preference))
        assert invalid(answer) == {"billingPreference": "noPrimary"}
    assert invalid(await account.client.post(f"{path_of(customer, ada)}/archive")) == {"": "noPrimary"}
    assert await account.client.customer(customer["id"]) == customer

    success(await account.client.post(path_of(customer), json=contact(CAT)), 201)
    success(await account.client.post(f"{path_of(customer, ada)}/archive"))
    assert await preferences(account.client, customer) == {BEA: "STANDARD", CAT: "PRIMARY"}


async def test_the_first_that_receives_billing_has_to_be_primary(account: Account) -> None:
    customer = await account.client.create(newest())
    [ada] = customer["contacts"]
    success(await account.client.put(path_of(customer, ada), json=contact(ADA, "NONE")))
    answer = await account.client.post(path_of(customer), json=contact(BEA, "STANDARD"))
    assert invalid(answer) == {"billingPreference": "noPrimary"}
    success(await account.client.post(path_of(customer), json=contact(BEA, "PRIMARY")), 201)
    success(await account.client.put(path_of(customer, ada), json=contact(ADA, "STANDARD")))
    assert await preferences(account.client, customer) == {ADA: "STANDARD", BEA: "PRIMARY"}


@pytest.mark.parametrize("version", SERVED)
async def test_archiving_twice_answers_the_same_and_records_nothing(
    account: Account, database: Database, version: str
) -> None:
    """Also after the customer itself was archived, which nothing else can be written to."""
    customer = await account.client.create(newest(contacts=[contact(ADA), contact(BEA)]))
    [ada, bea] = customer["contacts"]
    path = f"{path_of(customer, bea)}/archive"
    first = await account.client.post(path, version=version)
    success(first)
    before = await records.count(database)
    assert visible(await account.client.post(path, version=version)) == visible(first)
    assert await records.count(database) == before
    await account.client.archive(customer["id"])
    assert visible(await account.client.post(path, version=version)) == visible(first)

    for method, below, body in (
        ("POST", path_of(customer), contact(CAT)),
        ("PUT", path_of(customer, ada), contact(ADA)),
        ("PUT", path_of(customer, bea), contact(BEA)),
        ("POST", f"{path_of(customer, ada)}/archive", None),
    ):
        refused(await account.client.request(method, below, version=version, json=body), 409, "conflict")
    assert [person["email"] for person in await listed(account.client, customer)] == [ADA]


@pytest.mark.parametrize("version", SERVED)
async def test_an_archived_contact_cannot_be_changed(account: Account, version: str) -> None:
    customer = await account.client.create(newest(contacts=[contact(ADA), contact(BEA, "NONE")]))
    bea = customer["contacts"][1]
    success(await account.client.post(f"{path_of(customer, bea)}/archive"))
    for body in (contact(BEA, "NONE"), contact(CAT)):
        error = refused(await account.client.put(path_of(customer, bea), version=version, json=body), 409, "conflict")
        assert bea["id"] in error["message"]


async def test_a_customer_has_at_most_a_hundred_contacts(account: Account) -> None:
    people = [contact(f"p{number}@example.com") for number in range(100)]
    customer = await account.client.create(newest(contacts=people))
    assert invalid(await account.client.post(path_of(customer), json=contact(ADA))) == {"": "tooMany"}
    last = customer["contacts"][-1]
    success(await account.client.put(path_of(customer, last), json=contact(ADA)))
    success(await account.client.post(f"{path_of(customer, last)}/archive"))
    success(await account.client.post(path_of(customer), json=contact(ADA)), 201)


# --- What others see of it ---


async def test_every_version_sees_the_change(account: Account) -> None:
    """The oldest PRIMARY contact is the flat one; the customer's domain follows its e-mail."""
    customer = await account.client.create(older(email="ada@old.com", billingEmails=[]), version=FIRST)
    [ada] = await listed(account.client, customer)
    success(await account.client.put(path_of(customer, ada), json=contact("ada@new.com", name="Ada L")))
    success(await account.client.post(path_of(customer), json=contact(BEA, "STANDARD", name="Bea")), 201)
    success(await account.client.post(path_of(customer), json=contact(CAT, "NONE", name="Cat")), 201)
    for version in (FIRST, SECOND):
        flat = await account.client.customer(customer["id"], version=version)
        assert (flat["email"], flat["contactName"]) == ("ada@new.com", "Ada L")
        assert flat["billingEmails"] == ["ada@new.com", BEA]
    shown = await account.client.customer(customer["id"])
    assert shown["domain"] == "new.com"
    assert shown["contacts"] == await listed(account.client, customer)
    assert shown["updatedAt"] == shown["contacts"][-1]["createdAt"]
    assert await account.client.names(email="ada@new") == ["Acme"]
    assert await account.client.names(email="ada@old") == []


async def test_a_contact_written_here_survives_a_write_through_an_older_version(account: Account) -> None:
    customer = await account.client.create(older(), version=SECOND)
    cat = success(await account.client.post(path_of(customer), json=contact(CAT, "NONE", name="Cat")), 201)
    flat = await account.client.customer(customer["id"], version=SECOND)
    await account.client.update(customer["id"], flat | {"label": "new"}, version=SECOND)
    assert cat in await listed(account.client, customer)


async def test_each_change_is_recorded_once_and_a_write_of_the_same_never(account: Account, database: Database) -> None:
    customer = await account.client.create(newest())
    created = success(await account.client.post(path_of(customer), json=contact(BEA, "NONE", name="Bea")), 201)
    path = path_of(customer, created)
    success(await account.client.put(path, json=contact(BEA, "STANDARD", name="Bea")))
    before = await records.count(database)
    again = success(await account.client.put(path, json=contact(BEA, "STANDARD", name="Bea")))
    assert await records.count(database) == before
    assert again == (await listed(account.client, customer))[1]
    archived = success(await account.client.post(f"{path}/archive"))

    made, changed, gone = await records.activities(database, "CONTACT")
    assert [each.verb for each in (made, changed, gone)] == ["CREATED", "UPDATED", "ARCHIVED"]
    for each in (made, changed, gone):
        assert each.object == ("CONTACT", created["id"])
        assert each.target == ("CUSTOMER", customer["id"])
    assert (made.changes["email"], made.changes["name"]) == ((None, BEA), (None, "Bea"))
    assert changed.changes.keys() == {"billing_preference", "updated_at"}
    assert changed.changes["billing_preference"] == ("NONE", "STANDARD")
    assert gone.changes.keys() == {"archived_at", "updated_at"}
    assert gone.changes["archived_at"][0] is None
    assert archived["archivedAt"]

    told = await records.events(database, customer["id"])
    assert [(version, kind) for version, kind, _ in told] == [
        (1, "CUSTOMER_CREATED"),
        *((version, "CUSTOMER_UPDATED") for version in (2, 3, 4)),
    ]
    assert [len(content["contacts"]) for _, _, content in told] == [1, 2, 2, 1]
    assert len(await records.activities(database, "CUSTOMER")) == 1


# --- Refusals ---


@pytest.mark.parametrize("version", SERVED)
async def test_all_failing_fields_are_named_at_once(account: Account, version: str) -> None:
    customer = await account.client.create(newest())
    bad = {"name": "n" * 256, "email": "nobody", "billingPreference": "SOMETIMES"}
    for method, path in (("POST", path_of(customer)), ("PUT", path_of(customer, customer["contacts"][0]))):
        answers = {}
        for body in ({}, bad, {"name": 1, "email": "", "billingPreference": None}):
            answers[str(body)] = invalid(await account.client.request(method, path, version=version, json=body))
        fields = ("name", "email", "billingPreference")
        assert list(answers.values()) == [
            dict.fromkeys(fields, "required"),
            dict(zip(fields, ("tooLong", "email", "enum"), strict=True)),
            dict(zip(fields, ("type", "tooShort", "enum"), strict=True)),
        ]
    assert await account.client.customer(customer["id"]) == customer


@pytest.mark.parametrize("version", SERVED)
async def test_include_archived_is_true_or_false(account: Account, version: str) -> None:
    customer = await account.client.create(newest())
    answer = await account.client.get(path_of(customer), version=version, params={"includeArchived": "yes"})
    assert invalid(answer) == {"includeArchived": "type"}


@pytest.mark.parametrize("version", SERVED)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_missing_malformed_or_foreign_customer_is_not_found(
    account: Account, second_account: Account, version: str, method: str, path: str
) -> None:
    """The three answer alike, to the letter, and the foreign customer stays what it was."""
    foreign = await second_account.client.create(newest())
    person = foreign["contacts"][0]["id"]
    answers = [
        await account.client.request(
            method, path.format(customer=customer, id=person), version=version, json=body_for(method, path)
        )
        for customer in (MISSING, "nobody", foreign["id"])
    ]
    refused(answers[0], 404, "notFound")
    assert len({visible(answer) for answer in answers}) == 1
    assert await second_account.client.customer(foreign["id"]) == foreign


@pytest.mark.parametrize("version", SERVED)
@pytest.mark.parametrize(("method", "path"), WITH_ID)
async def test_a_missing_malformed_or_foreign_contact_is_not_found(
    account: Account, second_account: Account, version: str, method: str, path: str
) -> None:
    """Nor is that of another customer of the account."""
    own, other = await account.client.create(newest()), await account.client.create(newest())
    foreign = await second_account.client.create(newest())
    answers = [
        await account.client.request(
            method, path.format(customer=own["id"], id=person), version=version, json=body_for(method, path)
        )
        for person in (MISSING, "nobody", other["contacts"][0]["id"], foreign["contacts"][0]["id"])
    ]
    refused(answers[0], 404, "notFound")
    assert len({visible(answer) for answer in answers}) == 1
    assert await account.client.customer(other["id"]) == other
    assert await second_account.client.customer(foreign["id"]) == foreign


@pytest.mark.parametrize("version", SERVED)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_key_is_needed_that_has_the_scope(
    app: Application, account: Account, database: Database, version: str, method: str, path: str
) -> None:
    url = path.format(customer=MISSING, id=MISSING)
    async with client_of(app, None) as anonymous:
        refused(await anonymous.request(method, url, version=version), 401, "unauthorized")
    scope = Scope.WRITE if method == "GET" else Scope.READ
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({scope}))
    async with client_of(app, key) as limited:
        refused(await limited.request(method, url, version=version), 403, "forbidden")


@pytest.mark.parametrize("version", SERVED)
async def test_a_stale_tag_is_refused(account: Account, version: str) -> None:
    customer = await account.client.create(newest())
    response = await account.client.post(path_of(customer), version=version, json=contact(BEA, "NONE"))
    stale = {"If-Match": response.headers["etag"]}
    path = path_of(customer, success(response, 201))
    response = await account.client.put(path, version=version, json=contact(BEA, "PRIMARY"), headers=stale)
    fresh = {"If-Match": response.headers["etag"]}
    shown = success(response)
    for method, url, body in (("PUT", path, contact(CAT)), ("POST", f"{path}/archive", None)):
        answer = await account.client.request(method, url, version=version, json=body, headers=stale)
        refused(answer, 412, "preconditionFailed")
    assert (await listed(account.client, customer))[1] == shown
    success(await account.client.post(f"{path}/archive", version=version, headers=fresh))


# --- At the same time ---


async def test_of_two_that_archive_the_last_two_primaries_one_is_refused(account: Account) -> None:
    for _ in range(10):
        people = [contact(ADA), contact(BEA), contact(CAT, "STANDARD")]
        customer = await account.client.create(newest(contacts=people))
        answers = await asyncio.gather(
            *(account.client.post(f"{path_of(customer, person)}/archive") for person in customer["contacts"][:2])
        )
        assert sorted(answer.status_code for answer in answers) == [200, 400]
        assert sorted((await preferences(account.client, customer)).values()) == ["PRIMARY", "STANDARD"]


async def test_of_writers_that_want_one_email_one_gets_it(account: Account, database: Database) -> None:
    """The others are told who has it, and each change that was made has a version of its own."""
    customer = await account.client.create(newest())
    wanted = [contact(email, "NONE") for email in (BEA, BEA.upper(), BEA.title(), BEA, CAT)]
    answers = await asyncio.gather(*(account.client.post(path_of(customer), json=body) for body in wanted))
    assert sorted(answer.status_code for answer in answers) == [201, 201, 409, 409, 409]
    for answer in answers:
        if answer.status_code == 409:
            assert [detail["key"] for detail in refused(answer, 409, "conflict")["errors"]] == ["email"]
    assert [version for version, _, _ in await records.events(database, customer["id"])] == [1, 2, 3]
    assert len(await records.activities(database, "CONTACT")) == 2


async def test_a_contact_and_its_customer_written_at_the_same_time(account: Account, database: Database) -> None:
    """Whoever comes second builds on what the first one left: both changes are there."""
    customer = await account.client.create(older(), version=SECOND)
    for number in range(10):
        label, email = f"label {number}", f"p{number}@example.com"
        flat = await account.client.customer(customer["id"], version=SECOND)
        answers = await asyncio.gather(
            account.client.put(f"/customers/{customer['id']}", version=SECOND, json=flat | {"label": label}),
            account.client.post(path_of(customer), json=contact(email, "NONE")),
        )
        assert [answer.status_code for answer in answers] == [200, 201]
        shown = await account.client.customer(customer["id"])
        assert shown["label"] == label
        assert email in {person["email"] for person in shown["contacts"]}
    versions = [version for version, _, _ in await records.events(database, customer["id"])]
    assert versions == list(range(1, 22))


def test_no_version_is_left_out() -> None:
    assert set(SERVED) == set(VERSIONS) - {FIRST}
