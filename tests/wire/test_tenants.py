"""Tenants that have the same names and share connections: each sees its own.

That what is foreign answers like what is missing is tried in `test_tenant_matrix`, in every place of every operation.
"""

import pytest
from tests.support.bodies import newest
from tests.support.clients import VERSIONS, Account, client_of, refused, started, success
from tests.support.cluster import Database

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"


async def test_another_accounts_alias_is_free(account: Account, second_account: Account) -> None:
    foreign = await second_account.client.create(newest(customerAliases=["shared"]))
    own = await account.client.create(newest(customerAliases=["shared", foreign["id"]]))
    for alias in ("shared", foreign["id"]):
        assert success(await account.client.get(f"/customers/by-alias/{alias}"))["id"] == own["id"]
        assert success(await second_account.client.get(f"/customers/by-alias/{alias}"))["id"] == foreign["id"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"includeArchived": "true"},
        {"legalName": "acme"},
        {"email": "ada"},
        {"alias": "theirs"},
        {"sortBy": "legalName"},
    ],
)
async def test_lists_never_show_another_accounts_customers(
    account: Account, second_account: Account, version: str, params: dict[str, str]
) -> None:
    foreign = await second_account.client.create(newest(customerAliases=["theirs"], label="acme"))
    assert await account.client.page(version=version, **params) == {"items": [], "pagination": {"totalResultSize": 0}}
    found = await second_account.client.page(version=version, **params)
    assert [item["id"] for item in found["items"]] == [foreign["id"]]


async def test_another_accounts_labels_are_not_searched(account: Account, second_account: Account) -> None:
    await second_account.client.create(newest(label="secret"))
    assert await account.client.names(label="secret") == []
    assert await second_account.client.names(label="secret") == ["Acme"]


async def test_accounts_that_share_one_connection_stay_apart(
    database: Database, account: Account, second_account: Account
) -> None:
    """It remembers whose rows it showed last, through reads, writes and refusals."""
    async with (
        started(database.service_url, pool_size=1) as app,
        client_of(app, (account.client_id, account.secret)) as first,
        client_of(app, (second_account.client_id, second_account.secret)) as second,
    ):
        for number in range(3):
            for name, client in (("first", first), ("second", second)):
                await client.create(newest(legalName=f"{name} {number}"))
                refused(await client.post("/customers", json=newest(parentId=MISSING)), 400, "validationError")
                assert await client.names() == [f"{name} {earlier}" for earlier in range(number, -1, -1)]
            assert await first.names() == [f"first {earlier}" for earlier in range(number, -1, -1)]
