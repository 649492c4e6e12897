"""Tax registrations in the two versions that have them, with the published examples and everything that is refused."""

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
VERSIONS = (FIRST, NEWEST)
OPERATIONS = (
    ("GET", "/tax-registrations"),
    ("POST", "/tax-registrations"),
    ("GET", "/tax-registrations/for-merchant/{id}"),
    ("GET", "/tax-registrations/for-customer/{id}"),
    ("GET", "/tax-registrations/{id}"),
    ("PUT", "/tax-registrations/{id}"),
    ("DELETE", "/tax-registrations/{id}"),
)


def body(**changes: object) -> Json:
    return {"taxIdentifier": "GB980780684", "country": "GB"} | changes


async def registered(account: Account, *, version: str = NEWEST, **changes: object) -> Json:
    """A registration as the version answers it, of the merchant unless the changes name somebody."""
    if not changes.keys() & {"customerId", "merchantId"}:
        changes["merchantId"] = str(account.id)
    return success(await account.client.post("/tax-registrations", version=version, json=body(**changes)), 201)


async def shown(account: Account, registration_id: str, version: str = NEWEST) -> Json:
    return success(await account.client.get(f"/tax-registrations/{registration_id}", version=version))


async def customer_id(account: Account, **changes: object) -> str:
    return (await account.client.create(newest(**changes)))["id"]


async def example(account: Account, document: Published, method: str, path: str) -> Json:
    """The published example, its customer and its merchant ones of this account."""
    return document.example(method, path) | {"customerId": await customer_id(account), "merchantId": str(account.id)}


async def records(database: Database) -> list[dict[str, Any]]:
    """Every entry about a tax registration, oldest first."""
    async with owner_connection(database.owner_url) as connection:
        rows = await connection.fetch(
            "SELECT verb, object_id::text, target_type, target_id::text, api_version, changes::text"
            "  FROM activity_logs WHERE object_type = 'TAX_REGISTRATION' ORDER BY id"
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


@pytest.mark.parametrize("version", VERSIONS)
def test_every_published_operation_is_listed_here(published: Callable[[str], Published], version: str) -> None:
    found = {
        (method.upper(), path)
        for path, methods in published(version).document["paths"].items()
        for method in methods
        if path.startswith("/tax-registrations") and isinstance(methods[method], dict)
    }
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_published_create_is_accepted_and_kept(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    """It names a customer and the merchant at once, and a state of another country."""
    document = published(version)
    sent = await example(account, document, "POST", "/tax-registrations")
    response = await account.client.post("/tax-registrations", version=version, json=sent)
    answer = success(response, document.success("POST", "/tax-registrations"))
    document.check("POST", "/tax-registrations", response.status_code, answer)
    assert answer == sent | {"id": answer["id"], "sequenceAccountId": str(account.id)} | (
        {"validation": "INVALID"} if version == NEWEST else {}
    )
    assert await shown(account, answer["id"], version) == answer
    for other in VERSIONS:
        published(other).check("GET", "/tax-registrations/{id}", 200, await shown(account, answer["id"], other))


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_published_update_is_accepted_and_kept(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    document = published(version)
    before = await registered(account)
    sent = await example(account, document, "PUT", "/tax-registrations/{id}")
    response = await account.client.put(f"/tax-registrations/{before['id']}", version=version, json=sent)
    answer = success(response, document.success("PUT", "/tax-registrations/{id}"))
    document.check("PUT", "/tax-registrations/{id}", response.status_code, answer)
    assert sent.items() <= answer.items()
    assert answer["id"] == before["id"]
    assert await shown(account, answer["id"], version) == answer


@pytest.mark.parametrize("version", VERSIONS)
async def test_operations_without_a_body_answer_as_published(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    document = published(version)
    customer = await customer_id(account)
    own = await registered(account, version=version, state="CA")
    theirs = await registered(account, version=version, customerId=customer, state="NY", country="US")
    both = await registered(account, version=version, customerId=customer, merchantId=str(account.id))
    for path, argument, expected, hidden in (
        ("/tax-registrations", "", [both, theirs, own], ""),
        ("/tax-registrations/for-merchant/{id}", account.id, [both, own], "customerId"),
        ("/tax-registrations/for-customer/{id}", customer, [both, theirs], "merchantId"),
    ):
        answer = success(await account.client.get(path.format(id=argument), version=version))
        document.check("GET", path, 200, answer)
        assert answer["pagination"] == {"totalResultSize": len(expected)}
        shown_there = [{name: each[name] for name in each if name != hidden} for each in expected]
        assert answer["items"] == shown_there
    for method in ("GET", "DELETE"):
        answer = success(await account.client.request(method, f"/tax-registrations/{own['id']}", version=version))
        document.check(method, "/tax-registrations/{id}", 200, answer)
        assert answer == own
    refused(await account.client.get(f"/tax-registrations/{own['id']}", version=version), 404, "notFound")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_the_version_in_between_has_no_tax_registrations(account: Account, method: str, path: str) -> None:
    answer = await account.client.request(method, path.format(id=account.id), version=SECOND, json=None)
    refused(answer, 404, "notFound")


@pytest.mark.parametrize(
    ("number", "country", "validation"),
    [("GB980780684", "GB", "VALID"), ("GB123456789", "GB", "INVALID"), ("whatever", "XK", "UNKNOWN")],
)
async def test_the_newest_version_says_whether_the_number_is_well_formed(
    account: Account, number: str, country: str, validation: str
) -> None:
    """A verdict, and never a refusal; the first version was published without it."""
    customer = await customer_id(account)
    made = await registered(account, taxIdentifier=number, country=country, customerId=customer)
    assert made["validation"] == validation
    assert (await shown(account, made["id"]))["validation"] == validation
    [listed] = success(await account.client.get(f"/tax-registrations/for-customer/{customer}"))["items"]
    assert listed["validation"] == validation
    assert "validation" not in await shown(account, made["id"], FIRST)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_least_that_a_registration_needs(account: Account, version: str) -> None:
    answer = await registered(account, version=version, merchantId=str(account.id).upper())
    expected = body(id=answer["id"], sequenceAccountId=str(account.id), merchantId=str(account.id))
    assert answer == expected | ({"validation": "VALID"} if version == NEWEST else {})


async def test_null_says_in_the_newest_version_that_there_is_nothing(account: Account) -> None:
    """Its schemas allow it; what is not there is left out of the answer."""
    answer = await registered(account, customerId=None, merchantId=str(account.id), state=None)
    assert not {"customerId", "state"} & answer.keys()
    customer = await customer_id(account)
    sent = body(customerId=customer, merchantId=None, state=None)
    answer = success(await account.client.put(f"/tax-registrations/{answer['id']}", json=sent))
    assert answer["customerId"] == customer
    assert "merchantId" not in answer


async def test_null_is_nothing_that_the_first_version_knows(account: Account) -> None:
    sent = body(customerId=None, merchantId=str(account.id), state=None)
    answer = invalid(await account.client.post("/tax-registrations", version=FIRST, json=sent))
    assert answer == {"customerId": "type", "state": "type"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_all_wrong_fields_are_named_at_once(account: Account, version: str) -> None:
    registration = await registered(account)
    sent = {"taxIdentifier": "", "customerId": 1, "merchantId": [], "country": "UK", "state": "XX"}
    expected = {
        "taxIdentifier": "tooShort",
        "customerId": "type",
        "merchantId": "type",
        "country": "enum",
        "state": "enum",
    }
    assert invalid(await account.client.post("/tax-registrations", version=version, json=sent)) == expected
    path = f"/tax-registrations/{registration['id']}"
    assert invalid(await account.client.put(path, version=version, json=sent)) == expected
    assert invalid(await account.client.post("/tax-registrations", version=version, json={})) == {
        "taxIdentifier": "required",
        "country": "required",
    }


@pytest.mark.parametrize("version", VERSIONS)
async def test_everything_that_needs_a_look_is_named_at_once(account: Account, version: str) -> None:
    registration = await registered(account)
    sent = body(country="US", state="ON", merchantId=MISSING, customerId=MISSING)
    expected = {"state": "state", "merchantId": "merchant", "customerId": "customer"}
    assert invalid(await account.client.post("/tax-registrations", version=version, json=sent)) == expected
    path = f"/tax-registrations/{registration['id']}"
    assert invalid(await account.client.put(path, version=version, json=sent)) == expected
    assert await shown(account, registration["id"]) == registration


@pytest.mark.parametrize(
    ("number", "code"), [("x" * 256, "tooLong"), (" \t", "blank"), (5, "type"), (None, "type"), (["1"], "type")]
)
async def test_a_number_has_a_shape(account: Account, number: object, code: str) -> None:
    sent = body(taxIdentifier=number, merchantId=str(account.id))
    assert invalid(await account.client.post("/tax-registrations", json=sent)) == {"taxIdentifier": code}


async def test_a_number_is_kept_as_it_comes(account: Account) -> None:
    for number in ("x" * 255, " gb 980 ", "１２３", "'; DROP TABLE tax_registrations; --", "👩‍👩‍👧‍👦"):
        assert (await shown(account, (await registered(account, taxIdentifier=number))["id"]))[
            "taxIdentifier"
        ] == number


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_new_registration_of_nobody_is_refused(account: Account, database: Database, version: str) -> None:
    sent = body() if version == FIRST else body(customerId=None)
    answer = invalid(await account.client.post("/tax-registrations", version=version, json=sent))
    assert answer == {"customerId": "required", "merchantId": "required"}
    assert await records(database) == []


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_update_that_names_nobody_leaves_it_with_whom_it_is(account: Account, version: str) -> None:
    customer = await customer_id(account)
    made = await registered(account, customerId=customer, merchantId=str(account.id))
    path = f"/tax-registrations/{made['id']}"
    answer = success(await account.client.put(path, version=version, json=body(taxIdentifier="2")))
    assert (answer["customerId"], answer["merchantId"]) == (customer, str(account.id))
    assert answer["taxIdentifier"] == "2"
    answer = success(await account.client.put(path, version=version, json=body(customerId=customer)))
    assert "merchantId" not in answer


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wrong", [MISSING, "nobody", ""])
async def test_unknown_owners_are_refused(
    account: Account, second_account: Account, database: Database, version: str, wrong: str
) -> None:
    foreign = await customer_id(second_account)
    for sent, expected in (
        (body(customerId=wrong), {"customerId": "customer"}),
        (body(customerId=foreign), {"customerId": "customer"}),
        (body(merchantId=wrong), {"merchantId": "merchant"}),
        (body(merchantId=str(second_account.id)), {"merchantId": "merchant"}),
    ):
        assert invalid(await account.client.post("/tax-registrations", version=version, json=sent)) == expected
    assert await records(database) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("country", "state"), [("US", "NY"), ("CA", "QC"), ("US", None), ("CA", None), ("GB", "CA")])
async def test_a_state_is_optional_everywhere(account: Account, version: str, country: str, state: str | None) -> None:
    changes = {} if state is None else {"state": state}
    answer = await registered(account, version=version, country=country, **changes)
    assert answer.get("state") == state


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_state_that_is_left_out_is_cleared(account: Account, version: str) -> None:
    made = await registered(account, country="US", state="NY")
    path = f"/tax-registrations/{made['id']}"
    answer = success(await account.client.put(path, version=version, json=body(country="US")))
    assert "state" not in answer


@pytest.mark.parametrize("state", ["NT", "NU", "YT"])
async def test_a_state_that_the_first_version_cannot_name_survives_its_writes(account: Account, state: str) -> None:
    made = await registered(account, country="CA", state=state)
    path = f"/tax-registrations/{made['id']}"
    seen = await shown(account, made["id"], FIRST)
    assert "state" not in seen
    sent = {key: seen[key] for key in ("taxIdentifier", "country", "merchantId")}
    success(await account.client.put(path, version=FIRST, json=sent | {"taxIdentifier": "2"}))
    assert (await shown(account, made["id"]))["state"] == state
    assert invalid(await account.client.put(path, version=FIRST, json=sent | {"state": state})) == {"state": "enum"}
    assert success(await account.client.put(path, version=FIRST, json=sent | {"state": "ON"}))["state"] == "ON"
    assert (await shown(account, made["id"]))["state"] == "ON"


@pytest.mark.parametrize("version", VERSIONS)
async def test_one_activity_for_each_change_and_no_event(account: Account, database: Database, version: str) -> None:
    """Customers do not show their registrations, so nobody is told that one changed."""
    first, second = await customer_id(account), await customer_id(account)
    told = await events(database)
    made = await registered(account, version=version, customerId=first)
    path = f"/tax-registrations/{made['id']}"
    for owner in (second, second, second):
        success(await account.client.put(path, version=version, json=body(customerId=owner)))
    success(await account.client.put(path, version=version, json=body()))
    success(await account.client.put(path, version=version, json=body(merchantId=str(account.id))))
    success(await account.client.delete(path, version=version))
    entries = await records(database)
    assert [(each["verb"], each["target_id"]) for each in entries] == [
        ("CREATED", first),
        ("UPDATED", second),
        ("UPDATED", second),
        ("DELETED", None),
    ]
    assert {each["target_type"] for each in entries} == {"CUSTOMER", None}
    assert {each["object_id"] for each in entries} == {made["id"]}
    assert {each["api_version"] for each in entries} == {version}
    assert first in entries[1]["changes"]
    assert second in entries[1]["changes"]
    assert "tax_identifier" not in entries[1]["changes"]
    assert "GB980780684" in entries[0]["changes"]
    assert "GB980780684" in entries[3]["changes"]
    assert await events(database) == told
    for owner in (first, second):
        customer = await account.client.customer(owner)
        assert customer["updatedAt"] == customer["createdAt"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_archived_customers_registrations_can_only_be_read(
    account: Account, database: Database, version: str
) -> None:
    customer, other = await customer_id(account), await customer_id(account)
    made = await registered(account, version=version, customerId=customer)
    elsewhere = await registered(account, version=version, customerId=other)
    await account.client.archive(customer)
    before = await records(database)
    client, path = account.client, f"/tax-registrations/{made['id']}"
    named = body(customerId=customer)
    refused(await client.post("/tax-registrations", version=version, json=named), 409, "conflict")
    refused(await client.put(path, version=version, json=body()), 409, "conflict")
    refused(await client.put(path, version=version, json=body(customerId=other)), 409, "conflict")
    refused(await client.put(path, version=version, json=body(merchantId=str(account.id))), 409, "conflict")
    refused(await client.put(f"/tax-registrations/{elsewhere['id']}", version=version, json=named), 409, "conflict")
    refused(await client.delete(path, version=version), 409, "conflict")
    assert await shown(account, made["id"], version) == made
    listed = success(await client.get(f"/tax-registrations/for-customer/{customer}", version=version))
    assert [each["id"] for each in listed["items"]] == [made["id"]]
    assert await records(database) == before


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stale_tag_is_refused(account: Account, version: str) -> None:
    made = await registered(account)
    path = f"/tax-registrations/{made['id']}"
    stale = (await account.client.get(path, version=version)).headers["etag"]
    sent = body(taxIdentifier="2")
    changed = await account.client.put(path, version=version, json=sent, headers={"If-Match": stale})
    fresh = changed.headers["etag"]
    assert success(changed)["taxIdentifier"] == "2"
    sent = body(taxIdentifier="3")
    answer = await account.client.put(path, version=version, json=sent, headers={"If-Match": stale})
    refused(answer, 412, "preconditionFailed")
    answer = await account.client.delete(path, version=version, headers={"If-Match": stale})
    refused(answer, 412, "preconditionFailed")
    assert (await shown(account, made["id"]))["taxIdentifier"] == "2"
    success(await account.client.delete(path, version=version, headers={"If-Match": fresh}))


@pytest.mark.parametrize("version", VERSIONS)
async def test_malformed_missing_and_foreign_ids_answer_alike(
    account: Account, second_account: Account, version: str
) -> None:
    theirs = await registered(second_account)
    for method in ("GET", "PUT", "DELETE"):
        sent = body() if method == "PUT" else None
        answers = [
            await account.client.request(method, f"/tax-registrations/{each}", version=version, json=sent)
            for each in (theirs["id"], MISSING, "nothing", theirs["id"].replace("-", ""))
        ]
        refused(answers[0], 404, "notFound")
        assert len({str(visible(answer)) for answer in answers}) == 1
    assert await shown(second_account, theirs["id"]) == theirs


@pytest.mark.parametrize("version", VERSIONS)
async def test_lists_of_foreign_owners_answer_like_those_of_missing_ones(
    account: Account, second_account: Account, version: str
) -> None:
    foreign = await customer_id(second_account)
    await registered(second_account, customerId=foreign, merchantId=str(second_account.id))
    for owner, theirs in (("customer", foreign), ("merchant", str(second_account.id))):
        answers = [
            await account.client.get(f"/tax-registrations/for-{owner}/{each}", version=version)
            for each in (theirs, MISSING, "nothing")
        ]
        refused(answers[0], 404, "notFound")
        assert len({str(visible(answer)) for answer in answers}) == 1
    empty = {"items": [], "pagination": {"totalResultSize": 0}}
    assert success(await account.client.get("/tax-registrations", version=version)) == empty
    assert success(await account.client.get(f"/tax-registrations/for-merchant/{account.id}", version=version)) == empty


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("owner", ["", "/for-customer/{customer}", "/for-merchant/{merchant}"])
async def test_lists_are_walked_both_ways(account: Account, version: str, owner: str) -> None:
    customer = await customer_id(account)
    made = [(await registered(account, customerId=customer, merchantId=str(account.id)))["id"] for _ in range(5)]
    path = "/tax-registrations" + owner.format(customer=customer, merchant=account.id)
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = success(await account.client.get(path, version=version, params=params))
        assert page["pagination"]["totalResultSize"] == 5
        seen += [each["id"] for each in page["items"]]
        if "after" not in page["pagination"]:
            break
        params["after"] = page["pagination"]["after"]
    assert seen == made[::-1]
    params = {"limit": 2, "before": page["pagination"]["before"]}
    page = success(await account.client.get(path, version=version, params=params))
    assert [each["id"] for each in page["items"]] == made[::-1][2:4]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_page_holds_twenty_unless_asked_otherwise(account: Account, version: str) -> None:
    await asyncio.gather(*(registered(account, taxIdentifier=str(number)) for number in range(21)))
    page = success(await account.client.get("/tax-registrations", version=version))
    assert len(page["items"]) == 20
    page = success(await account.client.get("/tax-registrations", version=version, params={"limit": 100}))
    assert len(page["items"]) == 21


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "params",
    [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"after": "x"}, {"before": ""}, {"after": "x", "before": "y"}],
)
async def test_a_bad_page_is_refused(account: Account, version: str, params: Json) -> None:
    for owner in ("", f"/for-merchant/{account.id}", f"/for-customer/{await customer_id(account)}"):
        answer = await account.client.get(f"/tax-registrations{owner}", version=version, params=params)
        assert invalid(answer).keys() == params.keys()


async def test_a_cursor_is_good_for_its_own_list_only(account: Account, second_account: Account) -> None:
    customer = await customer_id(account)
    for _ in range(2):
        await registered(account, customerId=customer, merchantId=str(account.id))
    page = success(await account.client.get("/tax-registrations", params={"limit": 1}))
    params = {"after": page["pagination"]["after"]}
    for path in (f"/for-merchant/{account.id}", f"/for-customer/{customer}"):
        refused(await account.client.get(f"/tax-registrations{path}", params=params), 400, "validationError")
    refused(await second_account.client.get("/tax-registrations", params=params), 400, "validationError")
    assert len(success(await account.client.get("/tax-registrations", params=params))["items"]) == 1


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_without_a_key_nothing_is_answered(app: Application, version: str, method: str, path: str) -> None:
    async with client_of(app, None) as anonymous:
        refused(await anonymous.request(method, path.format(id=MISSING), version=version), 401, "unauthorized")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_key_without_the_scope_is_forbidden(
    app: Application, account: Account, database: Database, version: str
) -> None:
    for method, path in OPERATIONS:
        scope = Scope.WRITE if method == "GET" else Scope.READ
        async with owner_connection(database.owner_url) as connection:
            key = await new_key(connection, account.id, scopes=frozenset({scope}))
        async with client_of(app, key) as limited:
            refused(await limited.request(method, path.format(id=MISSING), version=version), 403, "forbidden")


async def test_two_moves_that_cross_both_succeed(account: Account) -> None:
    """Two registrations change customers at the same time; neither request waits for the other in a circle."""
    first, second = await customer_id(account), await customer_id(account)
    one, two = await registered(account, customerId=first), await registered(account, customerId=second)
    for _ in range(10):
        answers = await asyncio.gather(
            account.client.put(f"/tax-registrations/{one['id']}", json=body(customerId=second)),
            account.client.put(f"/tax-registrations/{two['id']}", json=body(customerId=first)),
        )
        assert [success(answer)["customerId"] for answer in answers] == [second, first]
        first, second = second, first


async def test_a_registration_deleted_twice_at_once_is_deleted_once(account: Account, database: Database) -> None:
    made = await registered(account)
    answers = await asyncio.gather(*(account.client.delete(f"/tax-registrations/{made['id']}") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert [each["verb"] for each in await records(database)] == ["CREATED", "DELETED"]
