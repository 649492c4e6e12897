"""What an account tells of its company, in all versions; another tenant's account does not exist for a key."""

from collections.abc import Callable
from uuid import UUID

import asyncpg
import pytest
from tests.support import records
from tests.support.clients import (
    FIRST,
    NEWEST,
    SECOND,
    VERSIONS,
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
from customary.storage.database import Database as Pool

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
OLDER = (FIRST, SECOND)
PATH = "/sequence-accounts/{id}"
OPERATIONS = [
    (version, method, path)
    for version in VERSIONS
    for method, path in (("GET", "/sequence-accounts"), ("GET", PATH), ("PUT", PATH))
]
WITH_ID = [each for each in OPERATIONS if "{" in each[2]]
COMPANY = {
    "companyName": "Fernhill Ltd",
    "companyNumber": "09284417",
    "country": "IE",
    "sendCustomerNotifications": True,
    "alertEmailAddresses": ["ops@example.com"],
}


async def shown(account: Account, version: str = NEWEST) -> Json:
    return success(await account.client.get(f"/sequence-accounts/{account.id}", version=version))


async def update(account: Account, body: Json, version: str = NEWEST) -> Json:
    return success(await account.client.put(f"/sequence-accounts/{account.id}", version=version, json=body))


def test_every_published_operation_is_listed_here(published: Callable[[str], Published]) -> None:
    found = {
        (version, method.upper(), path)
        for version in VERSIONS
        for path, methods in published(version).document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/sequence-accounts") and "responses" in operation
    }
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_new_account_says_what_is_known(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    """The company is called like the account until somebody says otherwise, and nothing is sent unasked."""
    answer = await shown(account, version)
    published(version).check("GET", PATH, 200, answer)
    assert answer == {
        "id": str(account.id),
        "createdAt": answer["createdAt"],
        "sequenceOrganisationId": answer["sequenceOrganisationId"],
        "companyName": "first",
        "companyNumber": "",
        "country": "GB",
        "sendCustomerNotifications": False,
        "alertEmailAddresses": [],
    }


async def test_each_account_has_an_organisation_of_its_own(account: Account, second_account: Account) -> None:
    """Its id is a UUID of version 7 made now, like all ids."""
    first, second = [UUID((await shown(each))["sequenceOrganisationId"]) for each in (account, second_account)]
    assert (first.version, second.version) == (7, 7)
    assert (first.variant, second.variant) == (account.id.variant, account.id.variant)
    assert first != second
    assert abs((first.int >> 80) - (account.id.int >> 80)) < 600_000


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_list_holds_the_own_account_alone(
    account: Account, second_account: Account, published: Callable[[str], Published], version: str
) -> None:
    page = success(await account.client.get("/sequence-accounts", version=version, params={"limit": 1}))
    published(version).check("GET", "/sequence-accounts", 200, page)
    assert page == {"items": [await shown(account, version)], "pagination": {"totalResultSize": 1}}
    assert page["items"][0]["id"] != str(second_account.id)


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_published_update_is_accepted_and_kept(
    account: Account, published: Callable[[str], Published], version: str
) -> None:
    before = await shown(account, version)
    body = published(version).example("PUT", PATH)
    answer = await update(account, body, version)
    published(version).check("PUT", PATH, 200, answer)
    assert answer == before | body
    for other in VERSIONS:
        assert await shown(account, other) == answer


@pytest.mark.parametrize("version", OLDER)
async def test_an_older_version_changes_the_alert_addresses_and_nothing_else(account: Account, version: str) -> None:
    newest = await update(account, COMPANY)
    body = {"alertEmailAddresses": [], "companyName": "Ignored", "country": "FR", "id": MISSING}
    assert await update(account, body, version) == newest | {"alertEmailAddresses": []}


@pytest.mark.parametrize("field", COMPANY)
@pytest.mark.parametrize("left_out", [True, False])
async def test_what_is_left_out_or_null_stays(account: Account, field: str, *, left_out: bool) -> None:
    await update(account, COMPANY)
    others = {
        "companyName": "Other",
        "companyNumber": "",
        "country": "DE",
        "sendCustomerNotifications": False,
        "alertEmailAddresses": ["a@example.com", "b@example.com"],
    }
    kept = {name: value for name, value in others.items() if name != field}
    answer = await update(account, kept if left_out else kept | {field: None})
    assert {name: answer[name] for name in COMPANY} == others | {field: COMPANY[field]}


async def test_an_address_given_twice_counts_once(account: Account) -> None:
    addresses = ["Ops@example.com", "b@example.com", "ops@EXAMPLE.com"]
    answer = await update(account, {"alertEmailAddresses": addresses})
    assert answer["alertEmailAddresses"] == addresses[:2]


async def test_a_change_is_recorded_once_with_what_changed(account: Account, database: Database) -> None:
    before = await shown(account)
    await update(account, {"companyName": "Fernhill Ltd", "country": before["country"]})
    assert await records.activities(database, "SEQUENCE_ACCOUNT") == [
        records.Recorded(
            "UPDATED", ("SEQUENCE_ACCOUNT", str(account.id)), None, {"company_name": ("first", "Fernhill Ltd")}
        )
    ]
    assert await records.count(database) == (1, 0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_write_that_changes_nothing_records_nothing(account: Account, database: Database, version: str) -> None:
    before = await update(account, COMPANY)
    counted = await records.count(database)
    body = COMPANY if version == NEWEST else {"alertEmailAddresses": COMPANY["alertEmailAddresses"]}
    assert await update(account, body, version) == before
    assert await records.count(database) == counted == (1, 0)


async def test_all_that_is_wrong_is_said_at_once(account: Account) -> None:
    before = await shown(account)
    body = {
        "companyName": " ",
        "companyNumber": "1" * 256,
        "country": "UK",
        "sendCustomerNotifications": "yes",
        "alertEmailAddresses": ["ops@example.com", "nobody", None],
    }
    assert invalid(await account.client.put(f"/sequence-accounts/{account.id}", json=body)) == {
        "companyName": "blank",
        "companyNumber": "tooLong",
        "country": "enum",
        "sendCustomerNotifications": "type",
        "alertEmailAddresses[1]": "email",
        "alertEmailAddresses[2]": "type",
    }
    assert await shown(account) == before


@pytest.mark.parametrize("version", OLDER)
@pytest.mark.parametrize(
    ("body", "code"),
    [({}, "required"), ({"alertEmailAddresses": None}, "type"), ({"alertEmailAddresses": "a"}, "type")],
)
async def test_an_older_version_needs_the_alert_addresses(
    account: Account, version: str, body: Json, code: str
) -> None:
    path = f"/sequence-accounts/{account.id}"
    assert invalid(await account.client.put(path, version=version, json=body)) == {"alertEmailAddresses": code}


@pytest.mark.parametrize(("version", "method", "path"), WITH_ID)
async def test_any_other_account_is_answered_like_one_that_does_not_exist(
    account: Account, second_account: Account, version: str, method: str, path: str
) -> None:
    before = await shown(second_account)
    body = {"alertEmailAddresses": ["thief@example.com"]} if method == "PUT" else None
    errors = [
        refused(await account.client.request(method, path.format(id=each), version=version, json=body), 404, "notFound")
        for each in (MISSING, second_account.id, "nonsense", f"{{{account.id}}}")
    ]
    assert all(error == errors[0] for error in errors)
    assert await shown(second_account) == before


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stale_tag_is_refused(account: Account, version: str) -> None:
    path = f"/sequence-accounts/{account.id}"
    tag = (await account.client.get(path, version=version)).headers["etag"]
    body = {"alertEmailAddresses": ["a@example.com"]}
    changed = await account.client.put(path, version=version, json=body, headers={"If-Match": tag})
    assert changed.headers["etag"] == (await account.client.get(path, version=version)).headers["etag"]
    body = {"alertEmailAddresses": ["b@example.com"]}
    answer = await account.client.put(path, version=version, json=body, headers={"If-Match": tag})
    refused(answer, 412, "preconditionFailed")
    assert (await shown(account))["alertEmailAddresses"] == ["a@example.com"]


@pytest.mark.parametrize("params", [{"limit": 0}, {"limit": 101}, {"after": "x"}, {"after": "x", "before": "y"}])
async def test_a_page_that_cannot_be_is_refused(account: Account, params: Json) -> None:
    assert invalid(await account.client.get("/sequence-accounts", params=params)).keys() <= params.keys()


@pytest.mark.parametrize(("version", "method", "path"), OPERATIONS)
async def test_without_a_key_or_its_scope_nothing_is_answered(
    app: Application, account: Account, database: Database, version: str, method: str, path: str
) -> None:
    scope = Scope.WRITE if method == "GET" else Scope.READ
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({scope}))
    url = path.format(id=account.id)
    async with client_of(app, None) as anonymous, client_of(app, key) as limited:
        refused(await anonymous.request(method, url, version=version), 401, "unauthorized")
        refused(await limited.request(method, url, version=version), 403, "forbidden")


@pytest.mark.parametrize("column", ["name", "id", "created_at", "sequence_organisation_id"])
async def test_the_service_cannot_change_what_only_an_operator_may(
    account: Account, database: Database, column: str
) -> None:
    pool = await Pool.open(database.service_url, pool_size=1)
    try:
        async with pool.reading(account.id) as reading:
            await reading.connection.execute("UPDATE accounts SET company_name = company_name")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reading.connection.execute(f"UPDATE accounts SET {column} = {column}")  # noqa: S608 - constants
    finally:
        pool.close()
