"""Aliases one by one: created, labelled, deleted and listed across all customers of an account."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.support import records
from tests.support.bodies import newest
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
from customary.storage import aliases

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
PATH = "/customer-aliases"
OPERATIONS = [("GET", PATH), ("POST", PATH), ("PUT", f"{PATH}/{{id}}"), ("DELETE", f"{PATH}/{{id}}")]


def body_of(account: Account, version: str, customer: Json, value: str = "crm-1", **more: str) -> Json:
    """An alias as this version creates it."""
    body = {"customerId": customer["id"], "value": value, **more}
    return body if version == NEWEST else {"sequenceAccountId": str(account.id), **body}


async def add(client: Client, customer: Json, value: str, **more: str) -> Json:
    body = {"customerId": customer["id"], "value": value, **more}
    return success(await client.post(PATH, version=NEWEST, json=body), 201)


async def page(client: Client, *, version: str = NEWEST, **params: str) -> Json:
    return success(await client.get(PATH, version=version, params=params))


async def values(client: Client, **params: str) -> list[str]:
    return [item["value"] for item in (await page(client, **params))["items"]]


def visible(response: httpx.Response) -> tuple[int, bytes]:
    return response.status_code, response.content


# --- As published ---


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_published_examples_are_accepted_kept_and_answered_as_published(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    """The times that the older examples send have no effect."""
    document = published(version)
    customer = await account.client.create(newest())
    body = document.example("POST", PATH) | {"customerId": customer["id"]}
    if version != NEWEST:
        body["sequenceAccountId"] = str(account.id)
    response = await account.client.post(PATH, version=version, json=body)
    created = success(response, document.success("POST", PATH))
    document.check("POST", PATH, response.status_code, created)
    assert created == {
        "id": created["id"],
        "sequenceAccountId": str(account.id),
        "customerId": customer["id"],
        "value": body["value"],
        "createdAt": created["createdAt"],
        "label": body["label"],
    }
    found = success(await account.client.get(f"/customers/by-alias/{body['value']}", version=version))
    assert found["id"] == customer["id"]

    path = f"{PATH}/{created['id']}"
    body = document.example("PUT", f"{PATH}/{{id}}") | {"label": "another"}
    response = await account.client.put(path, version=version, json=body)
    labelled = success(response, document.success("PUT", f"{PATH}/{{id}}"))
    document.check("PUT", f"{PATH}/{{id}}", response.status_code, labelled)
    assert labelled == created | {"label": "another"}

    response = await account.client.get(PATH, version=version)
    answer = success(response, document.success("GET", PATH))
    document.check("GET", PATH, response.status_code, answer)
    assert answer == {"items": [labelled], "pagination": {"totalResultSize": 1}}

    response = await account.client.delete(path, version=version)
    deleted = success(response, document.success("DELETE", f"{PATH}/{{id}}"))
    document.check("DELETE", f"{PATH}/{{id}}", response.status_code, deleted)
    assert deleted == labelled | {"deletedAt": deleted["deletedAt"]}
    assert deleted["deletedAt"] > created["createdAt"]


# --- Creating ---


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_the_older_versions_name_the_account_which_has_to_be_the_keys_own(
    account: Account, second_account: Account, version: str
) -> None:
    customer = await account.client.create(newest())
    body = body_of(account, version, customer)
    for foreign in (str(second_account.id), MISSING, "mine"):
        answer = await account.client.post(PATH, version=version, json=body | {"sequenceAccountId": foreign})
        refused(answer, 403, "forbidden")
    assert await values(account.client) == []
    upper = body | {"sequenceAccountId": str(account.id).upper()}
    success(await account.client.post(PATH, version=version, json=upper), 201)


@pytest.mark.parametrize("version", VERSIONS)
async def test_all_failing_fields_are_named_at_once(account: Account, version: str) -> None:
    required = {"customerId": "required", "value": "required"}
    if version != NEWEST:
        required["sequenceAccountId"] = "required"
    assert invalid(await account.client.post(PATH, version=version, json={})) == required
    body = {"sequenceAccountId": str(account.id), "customerId": 1, "value": "", "label": "l" * 256}
    answer = await account.client.post(PATH, version=version, json=body)
    assert invalid(answer) == {"customerId": "type", "value": "tooShort", "label": "tooLong"}
    body |= {"customerId": MISSING, "value": "v" * 256, "label": None}
    answer = await account.client.post(PATH, version=version, json=body)
    assert invalid(answer) == {"value": "tooLong", "label": "type"}
    alias = await add(account.client, await account.client.create(newest()), "one")
    answer = await account.client.put(f"{PATH}/{alias['id']}", version=version, json={"label": ["x"]})
    assert invalid(answer) == {"label": "type"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_customer_that_does_not_exist_is_named(account: Account, second_account: Account, version: str) -> None:
    """Another account's customer is one that does not exist, and is not touched."""
    foreign = await second_account.client.create(newest())
    for customer_id in (MISSING, "nobody", foreign["id"]):
        body = body_of(account, version, {"id": customer_id})
        answer = await account.client.post(PATH, version=version, json=body)
        assert invalid(answer) == {"customerId": "unknownCustomer"}
        assert answer.json()["error"]["message"] == f"There is no customer {customer_id} in this account."
    assert await second_account.client.customer(foreign["id"]) == foreign


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_taken_value_names_who_has_it_and_how_to_free_it(account: Account, version: str) -> None:
    holder = await account.client.create(newest(legalName="Holder"))
    other = await account.client.create(newest())
    alias = await add(account.client, holder, "taken")
    for customer in (other, holder):
        body = body_of(account, version, customer, "taken")
        error = refused(await account.client.post(PATH, version=version, json=body), 409, "conflict")
        assert [(detail["key"], detail["code"]) for detail in error["errors"]] == [("value", "aliasTaken")]
        for part in ("taken", holder["id"], "Holder", f"DELETE {PATH}/{alias['id']},"):
            assert part in error["message"]
    assert await values(account.client) == ["taken"]
    assert (await account.client.customer(other["id"])) == other

    success(await account.client.delete(f"{PATH}/{alias['id']}", version=version))
    success(await account.client.post(PATH, version=version, json=body_of(account, version, other, "taken")), 201)


async def test_a_value_that_an_archived_customer_has_says_so(account: Account) -> None:
    """What is archived cannot be changed, so that the way to the value is longer."""
    holder = await account.client.create(newest(legalName="Holder"))
    alias = await add(account.client, holder, "taken")
    await account.client.archive(holder["id"])
    other = await account.client.create(newest())
    body = body_of(account, NEWEST, other, "taken")
    for path, sent in ((PATH, body), ("/customers", newest(customerAliases=["taken"]))):
        message = refused(await account.client.post(path, json=sent), 409, "conflict")["message"]
        for part in (
            f"POST /customers/{holder['id']}/unarchive and DELETE {PATH}/{alias['id']},",
            "which is archived",
        ):
            assert part in message


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_id_of_a_customer_is_no_alias_of_any(account: Account, version: str) -> None:
    """Its own has it already and always; another one's is taken, in any case of its letters."""
    customer = await account.client.create(newest())
    other = await account.client.create(newest(legalName="Other"))
    for value, part in (
        (customer["id"], "already"),
        (customer["id"].upper(), "already"),
        (other["id"], "'Other'"),
        (other["id"].upper(), "'Other'"),
    ):
        body = body_of(account, version, customer, value)
        error = refused(await account.client.post(PATH, version=version, json=body), 409, "conflict")
        assert part in error["message"]
        assert [detail["key"] for detail in error["errors"]] == ["value"]
    assert await values(account.client) == []
    body = body_of(account, version, customer, MISSING)
    success(await account.client.post(PATH, version=version, json=body), 201)


async def test_values_are_kept_to_the_letter(account: Account) -> None:
    customer = await account.client.create(newest())
    wanted = [
        "a",
        "A",
        "é",
        "e\N{COMBINING ACUTE ACCENT}",
        " a",
        "a ",
        "👩‍👩‍👧",
        "\N{RIGHT-TO-LEFT MARK}x",
        "%_\\",
        "v" * 255,
    ]
    for value in wanted:
        assert (await add(account.client, customer, value, label=value))["value"] == value
    assert await values(account.client, limit="100") == wanted[::-1]
    for value in wanted:
        [found] = (await page(account.client, value=value))["items"]
        assert (found["value"], found["label"]) == (value, value)


async def test_a_customer_has_at_most_a_hundred_aliases(account: Account) -> None:
    customer = await account.client.create(newest(customerAliases=[f"alias {number}" for number in range(100)]))
    body = {"customerId": customer["id"], "value": "one more"}
    assert invalid(await account.client.post(PATH, json=body)) == {"customerId": "tooMany"}
    [some, *_] = (await page(account.client))["items"]
    success(await account.client.delete(f"{PATH}/{some['id']}"))
    success(await account.client.post(PATH, json=body), 201)


# --- Labelling and deleting ---


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_label_comes_goes_and_survives_other_writes(account: Account, version: str) -> None:
    customer = await account.client.create(newest(customerAliases=["one", "two"]))
    [two, one] = (await page(account.client))["items"]
    assert "label" not in one
    path = f"{PATH}/{one['id']}"
    assert success(await account.client.put(path, version=version, json={"label": "CRM"})) == one | {"label": "CRM"}
    await account.client.update(customer["id"], newest(customerAliases=["three", "one"]))
    assert [item.get("label") for item in (await page(account.client))["items"]] == [None, "CRM"]
    shown = success(await account.client.get(f"/customers/{customer['id']}/aliases", version=version))["items"]
    assert [item["value"] for item in shown] == ["one", "three"]
    assert "label" not in shown[0]
    assert success(await account.client.put(path, version=version, json={"value": "not this"})) == one
    refused(await account.client.put(f"{PATH}/{two['id']}", version=version, json={}), 404, "notFound")


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_was_deleted_is_gone_and_free(account: Account, version: str) -> None:
    customer = await account.client.create(newest(customerAliases=["one", "two"]))
    [_, one] = (await page(account.client))["items"]
    path = f"{PATH}/{one['id']}"
    success(await account.client.delete(path, version=version))
    for answer in (
        await account.client.delete(path, version=version),
        await account.client.put(path, version=version, json={"label": "x"}),
        await account.client.get("/customers/by-alias/one", version=version),
    ):
        refused(answer, 404, "notFound")
    assert await values(account.client) == ["two"]
    shown = success(await account.client.get(f"/customers/{customer['id']}/aliases"))["items"]
    assert [item["value"] for item in shown] == ["two"]
    again = await account.client.create(newest(customerAliases=["one"]))
    assert success(await account.client.get("/customers/by-alias/one", version=version))["id"] == again["id"]


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_aliases_of_an_archived_customer_stay_and_cannot_be_changed(account: Account, version: str) -> None:
    customer = await account.client.create(newest(customerAliases=["one"]))
    [one] = (await page(account.client))["items"]
    await account.client.archive(customer["id"])
    before = await account.client.customer(customer["id"])
    path = f"{PATH}/{one['id']}"
    for answer in (
        await account.client.post(PATH, version=version, json=body_of(account, version, customer, "two")),
        await account.client.put(path, version=version, json={"label": "x"}),
        await account.client.put(path, version=version, json={}),
        await account.client.delete(path, version=version),
    ):
        assert customer["id"] in refused(answer, 409, "conflict")["message"]
    assert (await page(account.client, version=version))["items"] == [one]
    assert await account.client.customer(customer["id"]) == before


async def test_each_change_is_recorded_once_and_a_write_of_the_same_never(account: Account, database: Database) -> None:
    customer = await account.client.create(newest())
    alias = await add(account.client, customer, "one")
    path = f"{PATH}/{alias['id']}"
    success(await account.client.put(path, json={"label": "CRM"}))
    shown = await account.client.customer(customer["id"])
    before = await records.count(database)
    success(await account.client.put(path, json={"label": "CRM"}))
    refused(await account.client.post(PATH, json={"customerId": customer["id"], "value": "one"}), 409, "conflict")
    assert await records.count(database) == before
    assert await account.client.customer(customer["id"]) == shown
    deleted = success(await account.client.delete(path))
    assert (await account.client.customer(customer["id"]))["updatedAt"] == deleted["deletedAt"]
    assert customer["updatedAt"] < shown["updatedAt"] < deleted["deletedAt"]

    made, changed, gone = await records.activities(database, "CUSTOMER_ALIAS")
    assert [each.verb for each in (made, changed, gone)] == ["CREATED", "UPDATED", "DELETED"]
    for each in (made, changed, gone):
        assert each.object == ("CUSTOMER_ALIAS", alias["id"])
        assert each.target == ("CUSTOMER", customer["id"])
    assert made.changes["value"] == (None, "one")
    assert changed.changes == {"label": (None, "CRM")}
    assert (gone.changes["value"], gone.changes["label"]) == (("one", None), ("CRM", None))

    told = await records.events(database, customer["id"])
    assert [(version, kind) for version, kind, _ in told] == [
        (1, "CUSTOMER_CREATED"),
        *((version, "CUSTOMER_UPDATED") for version in (2, 3, 4)),
    ]
    assert [[(each["value"], each["label"]) for each in content["aliases"]] for _, _, content in told] == [
        [],
        [("one", None)],
        [("one", "CRM")],
        [],
    ]
    assert len(await records.activities(database, "CUSTOMER")) == 1


# --- Refusals ---


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_missing_malformed_or_foreign_alias_is_not_found(
    account: Account, second_account: Account, version: str, method: str
) -> None:
    """The three answer alike, to the letter, and the foreign alias stays what it was."""
    foreign = await add(second_account.client, await second_account.client.create(newest()), "theirs")
    body = {"label": "mine"} if method == "PUT" else None
    answers = [
        await account.client.request(method, f"{PATH}/{alias_id}", version=version, json=body)
        for alias_id in (MISSING, "nothing", foreign["id"])
    ]
    refused(answers[0], 404, "notFound")
    assert len({visible(answer) for answer in answers}) == 1
    assert (await page(second_account.client))["items"] == [foreign]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_a_key_is_needed_that_has_the_scope(
    app: Application, account: Account, database: Database, version: str, method: str, path: str
) -> None:
    url = path.format(id=MISSING)
    async with client_of(app, None) as anonymous:
        refused(await anonymous.request(method, url, version=version), 401, "unauthorized")
    scope = Scope.WRITE if method == "GET" else Scope.READ
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({scope}))
    async with client_of(app, key) as limited:
        refused(await limited.request(method, url, version=version), 403, "forbidden")


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stale_tag_is_refused(account: Account, version: str) -> None:
    customer = await account.client.create(newest())
    response = await account.client.post(PATH, version=version, json=body_of(account, version, customer))
    stale = {"If-Match": response.headers["etag"]}
    path = f"{PATH}/{success(response, 201)['id']}"
    response = await account.client.put(path, version=version, json={"label": "one"}, headers=stale)
    fresh = {"If-Match": response.headers["etag"]}
    shown = success(response)
    for method, body in (("PUT", {"label": "two"}), ("DELETE", None)):
        answer = await account.client.request(method, path, version=version, json=body, headers=stale)
        refused(answer, 412, "preconditionFailed")
    assert (await page(account.client))["items"] == [shown]
    success(await account.client.delete(path, version=version, headers=fresh))


# --- Lists ---


@pytest.mark.parametrize("version", VERSIONS)
async def test_pages_hold_every_alias_once_newest_first(account: Account, version: str) -> None:
    customers = [await account.client.create(newest()) for _ in range(2)]
    for number in range(5):
        await add(account.client, customers[number % 2], f"alias {number}")
    await account.client.archive(customers[1]["id"])
    expected = [f"alias {number}" for number in (4, 3, 2, 1, 0)]
    first = await page(account.client, version=version, limit="2")
    assert first["pagination"].keys() == {"after", "totalResultSize"}
    seen, cursor = [first], first["pagination"].get("after")
    while cursor:
        seen.append(await page(account.client, version=version, limit="2", after=cursor))
        cursor = seen[-1]["pagination"].get("after")
    assert [item["value"] for each in seen for item in each["items"]] == expected
    assert {each["pagination"]["totalResultSize"] for each in seen} == {5}
    back = await page(account.client, version=version, limit="2", before=seen[1]["pagination"]["before"])
    assert back == first


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_list_that_cannot_be_is_refused(account: Account, second_account: Account, version: str) -> None:
    for client in (account.client, second_account.client):
        customer = await client.create(newest(customerAliases=["one", "two"]))
        assert customer
    foreign = (await page(second_account.client, version=version, limit="1"))["pagination"]["after"]
    own = (await page(account.client, version=version, limit="1"))["pagination"]["after"]
    for params, key in (
        ({"limit": "0"}, {"limit": "range"}),
        ({"limit": "101"}, {"limit": "range"}),
        ({"limit": "x"}, {"limit": "type"}),
        ({"after": "nonsense"}, {"after": "cursor"}),
        ({"after": foreign}, {"after": "cursor"}),
        ({"after": own, "before": own}, {"after": "cursor", "before": "cursor"}),
    ):
        assert invalid(await account.client.get(PATH, version=version, params=params)) == key
    customers = (await account.client.page(version=version, limit=1, includeArchived="true"))["pagination"]
    assert customers == {"totalResultSize": 1}


async def test_the_value_filter_is_exact(account: Account) -> None:
    customer = await account.client.create(newest(customerAliases=["one", "ONE", "one more"]))
    assert (await page(account.client, value="one"))["pagination"] == {"totalResultSize": 1}
    assert await values(account.client, value="one") == ["one"]
    for nothing in ("on", "One", customer["id"], "%"):
        assert await page(account.client, value=nothing) == {"items": [], "pagination": {"totalResultSize": 0}}
    assert invalid(await account.client.get(PATH, params={"value": ""})) == {"value": "tooShort"}
    cursor = (await page(account.client, limit="1"))["pagination"]["after"]
    answer = await account.client.get(PATH, params={"value": "one", "after": cursor})
    assert invalid(answer) == {"after": "cursor"}


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_the_older_versions_do_not_know_the_filter(account: Account, version: str) -> None:
    await account.client.create(newest(customerAliases=["one", "two"]))
    assert (await page(account.client, version=version, value="one"))["pagination"] == {"totalResultSize": 2}


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_accounts_aliases_are_neither_listed_nor_taken(
    account: Account, second_account: Account, version: str
) -> None:
    foreign = await second_account.client.create(newest(customerAliases=["shared"]))
    empty = {"items": [], "pagination": {"totalResultSize": 0}}
    assert await page(account.client, version=version) == empty
    assert await page(account.client, value="shared") == empty
    own = await account.client.create(newest())
    for value in ("shared", foreign["id"]):
        body = body_of(account, version, own, value)
        success(await account.client.post(PATH, version=version, json=body), 201)
    assert await values(second_account.client) == ["shared"]


# --- At the same time ---


async def test_of_customers_that_want_one_value_one_gets_it(account: Account, database: Database) -> None:
    for number in range(5):
        customers = [await account.client.create(newest()) for _ in range(4)]
        bodies = [{"customerId": customer["id"], "value": f"wanted {number}"} for customer in customers]
        answers = await asyncio.gather(*(account.client.post(PATH, json=body) for body in bodies))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
        [winner] = [answer.json()["customerId"] for answer in answers if answer.status_code == 201]
        for answer in answers:
            if answer.status_code == 409:
                assert winner in refused(answer, 409, "conflict")["message"]
    assert len(await records.activities(database, "CUSTOMER_ALIAS")) == 5


async def test_one_customers_aliases_stay_within_their_number(account: Account) -> None:
    customer = await account.client.create(newest(customerAliases=[f"alias {number}" for number in range(98)]))
    answers = await asyncio.gather(
        *(account.client.post(PATH, json={"customerId": customer["id"], "value": f"new {n}"}) for n in range(4))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 201, 400, 400]


async def test_what_is_freed_and_wanted_at_once_ends_with_one_holder_or_none(account: Account) -> None:
    """Who wants it either gets it or is told who has it; it is never promised and not kept."""
    for number in range(10):
        holder, other = await account.client.create(newest()), await account.client.create(newest())
        alias = await add(account.client, holder, f"value {number}")
        deletion, creation = await asyncio.gather(
            account.client.delete(f"{PATH}/{alias['id']}"),
            account.client.post("/customers", json=newest(legalName="New", customerAliases=[f"value {number}"])),
        )
        success(deletion)
        assert creation.status_code in {201, 409}
        found = await account.client.get(f"/customers/by-alias/value {number}")
        if creation.status_code == 201:
            assert success(found)["id"] == creation.json()["id"]
        else:
            assert holder["id"] in refused(creation, 409, "conflict")["message"]
            refused(found, 404, "notFound")
        await account.client.archive(other["id"])


async def test_a_value_that_is_freed_while_its_holder_is_looked_for_is_taken(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first attempt finds it neither free nor held, and is made again."""
    holder, other = await account.client.create(newest()), await account.client.create(newest())
    alias = await add(account.client, holder, "wanted")
    look_for, looked = aliases.holders, list[int]()

    async def free_first(*arguments: Any) -> Any:  # noqa: ANN401 - whatever it takes and answers
        looked.append(1)
        if len(looked) == 1:
            success(await account.client.delete(f"{PATH}/{alias['id']}"))
        return await look_for(*arguments)

    monkeypatch.setattr(aliases, "holders", free_first)
    taken = await add(account.client, other, "wanted")
    assert looked == [1]
    assert success(await account.client.get("/customers/by-alias/wanted"))["id"] == taken["customerId"] == other["id"]


async def test_of_those_who_delete_an_alias_one_does(account: Account, database: Database) -> None:
    customer = await account.client.create(newest(customerAliases=["one"]))
    [one] = (await page(account.client))["items"]
    answers = await asyncio.gather(*(account.client.delete(f"{PATH}/{one['id']}") for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 404, 404, 404]
    assert [version for version, _, _ in await records.events(database, customer["id"])] == [1, 2]
    assert len(await records.activities(database, "CUSTOMER_ALIAS")) == 1


async def test_labels_given_at_the_same_time_are_all_kept(account: Account, database: Database) -> None:
    customer = await account.client.create(newest(customerAliases=["a", "b", "c", "d"]))
    items = (await page(account.client))["items"]
    for number in range(3):
        answers = await asyncio.gather(
            *(account.client.put(f"{PATH}/{item['id']}", json={"label": f"{item['value']} {number}"}) for item in items)
        )
        assert {answer.status_code for answer in answers} == {200}
    told = await records.events(database, customer["id"])
    assert [version for version, _, _ in told] == list(range(1, 14))
    assert {each["label"] for each in told[-1][2]["aliases"]} == {"a 2", "b 2", "c 2", "d 2"}
