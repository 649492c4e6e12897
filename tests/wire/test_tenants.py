"""Tenants: what belongs to another account answers exactly like what does not exist."""

import httpx
import pytest
from tests.support.bodies import newest, of
from tests.support.clients import NEWEST, VERSIONS, Account, client_of, refused, started, success
from tests.support.cluster import Database

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"


def visible(response: httpx.Response) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """All of an answer but its request id and how many requests the key has left."""
    headers = [each for each in response.headers.raw if each[0].lower() not in {b"x-request-id", b"ratelimit"}]
    return response.status_code, response.content, headers


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_accounts_customer_answers_like_a_missing_one(
    account: Account, second_account: Account, version: str
) -> None:
    foreign = (await second_account.client.create(newest(customerAliases=["theirs"])))["id"]
    before = await second_account.client.customer(foreign)
    requests = [
        ("GET", "/customers/{id}", None),
        ("GET", "/customers/{id}/aliases", None),
        ("GET", "/customers/by-alias/{id}", None),
        ("PUT", "/customers/{id}", of(version, legalName="Mine now")),
        *([("POST", "/customers/{id}/archive", None)] if version == NEWEST else []),
        *([("PUT", "/customers/{id}/archive", None), ("DELETE", "/customers/{id}", None)] if version != NEWEST else []),
    ]
    for method, path, body in requests:
        theirs = await account.client.request(method, path.format(id=foreign), version=version, json=body)
        missing = await account.client.request(method, path.format(id=MISSING), version=version, json=body)
        assert theirs.status_code == 404
        assert visible(theirs) == visible(missing)
    assert await second_account.client.customer(foreign) == before


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_accounts_alias_answers_like_a_missing_one(
    account: Account, second_account: Account, version: str
) -> None:
    await second_account.client.create(newest(customerAliases=["theirs"]))
    theirs = await account.client.get("/customers/by-alias/theirs", version=version)
    missing = await account.client.get("/customers/by-alias/nobodys", version=version)
    assert theirs.status_code == 404
    assert visible(theirs) == visible(missing)


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
