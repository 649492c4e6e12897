"""Custom property keys: each one that a customer of the account has, once, whoever else has it too."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.support.bodies import newest, older
from tests.support.clients import FIRST, SECOND, Account, Client, client_of, new_key, owner_connection, refused, success
from tests.support.cluster import Database
from tests.support.published import Published

from customary.app import Application
from customary.domain.account import Scope
from customary.storage.custom_properties import KEYS
from customary.storage.database import Database as Pool
from customary.storage.migrations.versions import m0003_contacts

PATH = "/customer-custom-property-keys"


async def keys(client: Client) -> list[str]:
    return success(await client.get(PATH))["items"]


async def test_the_keys_of_all_customers_are_answered_as_published(
    account: Account, published: Callable[[str], Published]
) -> None:
    document = published("2024-07-30")
    response = await account.client.get(PATH)
    assert success(response, document.success("GET", PATH)) == {"items": []}
    await account.client.create(newest(customProperties={"tier": "1", "region": "north"}))
    await account.client.create(newest(customProperties={"tier": "2", "Tier": "", "ä": "", "😀": "", "\uffff": ""}))
    await account.client.create(newest())
    response = await account.client.get(PATH)
    answer = success(response)
    document.check("GET", PATH, response.status_code, answer)
    assert answer["items"] == ["Tier", "region", "tier", "ä", "\uffff", "😀"]
    assert answer["items"] == sorted(answer["items"])


async def test_a_key_is_there_as_long_as_a_customer_has_it(account: Account) -> None:
    first = await account.client.create(newest(customProperties={"a": "1", "b": "1"}))
    second = await account.client.create(newest(customProperties={"b": "2"}))
    await account.client.update(first["id"], newest(customProperties={"a": "changed", "c": "1"}))
    assert await keys(account.client) == ["a", "b", "c"]
    await account.client.update(second["id"], newest(customProperties={}))
    assert await keys(account.client) == ["a", "c"]
    await account.client.update(first["id"], newest(label="left out"))
    await account.client.update(first["id"], older(), version=SECOND)
    assert await keys(account.client) == ["a", "c"]
    await account.client.archive(first["id"])
    assert await keys(account.client) == ["a", "c"]


async def test_customers_that_were_there_before_are_counted(
    account: Account, second_account: Account, database: Database
) -> None:
    """The migration finds the same keys for the customers of all accounts as the changes that made them."""
    await account.client.create(newest(customProperties={"a": "1", "b": "1"}))
    await second_account.client.create(newest(customProperties={"b": "1"}))
    every = "SELECT * FROM custom_property_keys ORDER BY account_id, key, customer_id"
    async with owner_connection(database.owner_url) as owner:
        before = await owner.fetch(every)
        await owner.execute("TRUNCATE custom_property_keys")
        await owner.execute(m0003_contacts.FILL)
        assert len(before) == 3
        assert await owner.fetch(every) == before


async def test_what_was_refused_leaves_no_key(account: Account) -> None:
    await account.client.create(newest(customerAliases=["taken"]))
    body = newest(customerAliases=["taken"], customProperties={"lost": "1"})
    refused(await account.client.post("/customers", json=body), 409, "conflict")
    assert await keys(account.client) == []


async def test_another_accounts_keys_are_not_seen(account: Account, second_account: Account) -> None:
    await second_account.client.create(newest(customProperties={"theirs": "1", "shared": "1"}))
    await account.client.create(newest(customProperties={"own": "1", "shared": "1"}))
    assert await keys(account.client) == ["own", "shared"]
    assert await keys(second_account.client) == ["shared", "theirs"]


@pytest.mark.parametrize("version", [FIRST, SECOND])
async def test_the_older_versions_do_not_have_it(account: Account, version: str) -> None:
    refused(await account.client.get(PATH, version=version), 404, "notFound")


async def test_a_key_is_needed_that_may_read(app: Application, account: Account, database: Database) -> None:
    async with client_of(app, None) as anonymous:
        refused(await anonymous.get(PATH), 401, "unauthorized")
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({Scope.WRITE}))
    async with client_of(app, key) as limited:
        refused(await limited.get(PATH), 403, "forbidden")


async def test_customers_who_share_a_key_are_written_at_the_same_time(account: Account) -> None:
    customers = [await account.client.create(newest()) for _ in range(4)]
    for properties in ({"a": "1", "b": "1"}, {"b": "2", "a": "2"}, {}):
        answers = await asyncio.gather(
            *(
                account.client.put(f"/customers/{customer['id']}", json=newest(customProperties=properties))
                for customer in customers
            )
        )
        assert {answer.status_code for answer in answers} == {200}
        assert await keys(account.client) == sorted(properties)


def read_rows(plan: dict[str, Any]) -> float:
    """How many rows the scans of a plan answered or threw away."""
    own = 0.0
    if "Scan" in plan["Node Type"] and plan["Node Type"] not in {"CTE Scan", "WorkTable Scan"}:
        own = (plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)) * plan["Actual Loops"]
    return own + sum(read_rows(part) for part in plan.get("Plans", ()))


async def test_reading_them_does_not_grow_with_the_customers(account: Account, database: Database) -> None:
    """Three keys of three thousand customers are found by reading three rows, also behind the policies."""
    await account.client.create(newest(customProperties={"a": "", "b": "", "c": ""}))
    async with owner_connection(database.owner_url) as owner:
        columns = [
            row["attname"]
            for row in await owner.fetch(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attnum > 0"
                " AND NOT attisdropped AND attname <> 'id' AND attgenerated = ''"
            )
        ]
        named = ", ".join(columns)
        await owner.execute(
            f"INSERT INTO customers (id, {named}) SELECT gen_random_uuid(), {named}"  # noqa: S608 - columns of ours
            " FROM customers, generate_series(1, 3000)"
        )
        await owner.execute("ANALYZE custom_property_keys")
        assert await owner.fetchval("SELECT count(*) FROM custom_property_keys") == 9003
    pool = await Pool.open(database.service_url, pool_size=1)
    try:
        async with pool.reading(account.id) as bound:
            [explained] = await bound.connection.fetchrow(f"EXPLAIN (ANALYZE, FORMAT JSON) {KEYS}", account.id)
    finally:
        pool.close()
    assert await keys(account.client) == ["a", "b", "c"]
    assert 3 <= read_rows(json.loads(explained)[0]["Plan"]) <= 6
