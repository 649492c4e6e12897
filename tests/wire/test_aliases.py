"""Aliases: unique in an account, archived customers' included, and the customer's own id among them."""

import asyncio

import pytest
from tests.support.bodies import newest, of
from tests.support.clients import FIRST, NEWEST, SECOND, VERSIONS, Account, Client, Json, refused, success

UNKNOWN = "0185a142-54ff-7ce5-846a-fc188432da6e"


async def values(client: Client, customer_id: str) -> list[str]:
    items = success(await client.get(f"/customers/{customer_id}/aliases"))["items"]
    return [item["value"] for item in items]


@pytest.mark.parametrize("version", VERSIONS)
async def test_aliases_are_listed_oldest_first(account: Account, version: str) -> None:
    customer = await account.client.create(of(version, customerAliases=["b", "a"]), version=version)
    items = success(await account.client.get(f"/customers/{customer['id']}/aliases", version=version))["items"]
    assert items == [
        {
            "id": item["id"],
            "sequenceAccountId": str(account.id),
            "customerId": customer["id"],
            "value": value,
            "createdAt": customer["createdAt"],
        }
        for item, value in zip(items, ["b", "a"], strict=True)
    ]
    assert len({item["id"] for item in items}) == 2


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_customer_is_found_by_any_alias_and_by_its_id(account: Account, version: str) -> None:
    customer = await account.client.create(of(version, customerAliases=["one", "TWO"]), version=version)
    for alias in ("one", "TWO", customer["id"], customer["id"].upper()):
        found = success(await account.client.get(f"/customers/by-alias/{alias}", version=version))
        assert found["id"] == customer["id"]
    for alias in ("two", "on", "one%20", UNKNOWN, "nothing"):
        refused(await account.client.get(f"/customers/by-alias/{alias}", version=version), 404, "notFound")


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_by_alias_answers_the_customer_as_the_older_version_shows_it(account: Account, version: str) -> None:
    customer = await account.client.create(of(version, customerAliases=["one"]), version=version)
    assert success(await account.client.get("/customers/by-alias/one", version=version)) == customer


async def test_by_alias_answers_the_flat_shape_in_the_newest_version_too(account: Account) -> None:
    links = [{"service": "Sphere", "id": "s"}, {"service": "Xero", "id": "x"}]
    customer = await account.client.create(newest(customerAliases=["one"], integrationIds=links))
    found = success(await account.client.get("/customers/by-alias/one", version=NEWEST))
    flat = await account.client.customer(customer["id"], version=SECOND)
    assert found == flat | {"integrationIds": customer["integrationIds"]}
    assert {"contacts", "status", "organizations"} & found.keys() == set()


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_taken_alias_is_a_conflict_that_names_the_holder_and_the_way_out(
    account: Account, version: str
) -> None:
    holder = await account.client.create(newest(legalName="Holder", customerAliases=["taken"]))
    [alias] = success(await account.client.get(f"/customers/{holder['id']}/aliases"))["items"]
    body = of(version, customerAliases=["free", "taken"])
    error = refused(await account.client.post("/customers", version=version, json=body), 409, "conflict")
    for part in ("taken", holder["id"], "Holder", f"DELETE /customer-aliases/{alias['id']}"):
        assert part in error["message"]
    assert [detail["key"] for detail in error["errors"]] == ["customerAliases[1]"]
    assert (await account.client.page())["pagination"]["totalResultSize"] == 1
    refused(await account.client.get("/customers/by-alias/free"), 404, "notFound")


async def test_a_refused_update_changes_nothing(account: Account) -> None:
    await account.client.create(newest(customerAliases=["taken"]))
    other = await account.client.create(newest(customerAliases=["own"]))
    body = newest(legalName="New", customerAliases=["new", "taken"])
    refused(await account.client.put(f"/customers/{other['id']}", json=body), 409, "conflict")
    assert await account.client.customer(other["id"]) == other
    assert await values(account.client, other["id"]) == ["own"]


async def test_all_taken_aliases_are_named_at_once(account: Account) -> None:
    await account.client.create(newest(customerAliases=["a"]))
    await account.client.create(newest(customerAliases=["b"]))
    error = refused(
        await account.client.post("/customers", json=newest(customerAliases=["a", "c", "b"])), 409, "conflict"
    )
    assert [detail["key"] for detail in error["errors"]] == ["customerAliases[0]", "customerAliases[2]"]


async def test_the_id_of_another_customer_is_a_taken_alias(account: Account) -> None:
    holder = await account.client.create(newest(legalName="Holder"))
    other = await account.client.create(newest())
    for alias in (holder["id"], holder["id"].upper()):
        error = refused(await account.client.post("/customers", json=newest(customerAliases=[alias])), 409, "conflict")
        assert holder["id"] in error["message"]
        assert "Holder" in error["message"]
        refused(
            await account.client.put(f"/customers/{other['id']}", json=newest(customerAliases=[alias])), 409, "conflict"
        )


async def test_an_id_that_nobody_has_is_a_free_alias(account: Account) -> None:
    customer = await account.client.create(newest(customerAliases=[UNKNOWN]))
    assert success(await account.client.get(f"/customers/by-alias/{UNKNOWN}"))["id"] == customer["id"]


async def test_a_customers_own_id_adds_nothing(account: Account) -> None:
    customer = await account.client.create(newest())
    await account.client.update(customer["id"], newest(customerAliases=["a", customer["id"]]))
    assert await values(account.client, customer["id"]) == ["a"]


async def test_an_alias_twice_in_a_request_is_one_alias(account: Account) -> None:
    customer = await account.client.create(newest(customerAliases=["a", "a"]))
    assert await values(account.client, customer["id"]) == ["a"]


async def test_the_alias_of_an_archived_customer_stays_taken(account: Account) -> None:
    holder = await account.client.create(newest(legalName="Holder", customerAliases=["taken"]))
    await account.client.archive(holder["id"])
    error = refused(await account.client.post("/customers", json=newest(customerAliases=["taken"])), 409, "conflict")
    assert holder["id"] in error["message"]
    assert success(await account.client.get("/customers/by-alias/taken"))["id"] == holder["id"]


async def test_an_alias_that_an_update_leaves_out_is_free(account: Account) -> None:
    first = await account.client.create(newest(customerAliases=["a", "b"]))
    await account.client.update(first["id"], newest(customerAliases=["b"]))
    second = await account.client.create(newest(customerAliases=["a"]))
    assert success(await account.client.get("/customers/by-alias/a"))["id"] == second["id"]


async def test_aliases_that_stay_keep_their_id(account: Account) -> None:
    customer = await account.client.create(newest(customerAliases=["a", "b"]))
    before = success(await account.client.get(f"/customers/{customer['id']}/aliases"))["items"]
    await account.client.update(customer["id"], newest(customerAliases=["c", "b"]))
    after = success(await account.client.get(f"/customers/{customer['id']}/aliases"))["items"]
    assert [item["value"] for item in after] == ["b", "c"]
    assert after[0] == before[1]


async def test_aliases_that_differ_in_case_or_form_are_different(account: Account) -> None:
    aliases = ["a", "A", "é", "e\N{COMBINING ACUTE ACCENT}", " a", "a "]
    for alias in aliases:
        await account.client.create(newest(legalName=alias, customerAliases=[alias]))
    for alias in aliases:
        assert await account.client.names(alias=alias) == [alias]


async def test_of_two_creates_with_one_alias_exactly_one_succeeds(account: Account) -> None:
    body = newest(customerAliases=["wanted"])
    answers = await asyncio.gather(*(account.client.post("/customers", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    [winner] = (await account.client.page())["items"]
    for answer in answers:
        if answer.status_code == 409:
            assert winner["id"] in refused(answer, 409, "conflict")["message"]


async def test_two_creates_that_want_the_same_aliases_in_opposite_order(account: Account) -> None:
    """They must not wait for each other in a circle."""

    async def post(aliases: list[str]) -> Json:
        return await account.client.post("/customers", json=newest(customerAliases=aliases))

    for number in range(10):
        aliases = [f"{number}-{letter}" for letter in range(60)]
        answers = await asyncio.gather(post(aliases), post(aliases[::-1]))
        assert sorted(answer.status_code for answer in answers) == [201, 409]
