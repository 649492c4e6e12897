"""Users in all versions: made on the command line, read, and deleted once."""

import asyncio
import json as json_module
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from click.testing import CliRunner
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
from customary.cli_users import users_app
from customary.domain.account import Scope
from customary.domain.user import Role
from customary.errors import Conflict, Invalid, SetupError
from customary.operations.users import create_user_as_operator
from customary.storage.database import Database as Pool

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
OLDER = (FIRST, SECOND)
PATH = "/users/{id}"
OPERATIONS = [
    *((version, method, path) for version in VERSIONS for method, path in (("GET", "/users"), ("GET", PATH))),
    *((version, "DELETE", PATH) for version in VERSIONS),
    *((version, "PUT", PATH) for version in OLDER),
]
WITH_ID = [each for each in OPERATIONS if "{" in each[2]]


async def new_user(
    database: Database, account: Account, email: str = "ada@example.com", role: Role = Role.ADMIN
) -> str:
    """The id of a new user."""
    async with owner_connection(database.owner_url) as connection:
        return str((await create_user_as_operator(connection, account.id, email, role)).id)


async def shown(account: Account, user_id: str, version: str = NEWEST) -> Json:
    return success(await account.client.get(f"/users/{user_id}", version=version))


def test_every_published_operation_is_listed_here(published: Callable[[str], Published]) -> None:
    found = {
        (version, method.upper(), path)
        for version in VERSIONS
        for path, methods in published(version).document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/users") and "responses" in operation
    }
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("role", Role)
async def test_a_user_is_shown_as_published(
    account: Account, database: Database, published: Callable[[str], Published], version: str, role: Role
) -> None:
    """With the one role, whose permissions are the published ones; older versions have no roles."""
    user_id = await new_user(database, account, role=role)
    user = await shown(account, user_id, version)
    published(version).check("GET", PATH, 200, user)
    expected = {
        "id": user_id,
        "email": "ada@example.com",
        "sequenceAccountIds": [str(account.id)],
        "state": "active",
    }
    if version == NEWEST:
        assert [each["roleName"] for each in user["roles"]] == [role.value]
        expected["roles"] = user["roles"]
    assert user == expected


@pytest.mark.parametrize("version", VERSIONS)
async def test_users_are_listed_newest_first_page_by_page(
    account: Account, second_account: Account, database: Database, published: Callable[[str], Published], version: str
) -> None:
    """Without the deleted ones and another tenant's."""
    ids = [await new_user(database, account, f"{number}@example.com") for number in range(4)]
    await new_user(database, second_account, "foreign@example.com")
    success(await account.client.delete(f"/users/{ids.pop(1)}"))
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = success(await account.client.get("/users", version=version, params=params))
        published(version).check("GET", "/users", 200, page)
        assert page["pagination"]["totalResultSize"] == 3
        seen += [user["id"] for user in page["items"]]
        assert page["items"] == [await shown(account, user["id"], version) for user in page["items"]]
        if "after" not in page["pagination"]:
            break
        params["after"] = page["pagination"]["after"]
    assert seen == ids[::-1]
    back = success(await account.client.get("/users", version=version, params={"before": page["pagination"]["before"]}))
    assert [user["id"] for user in back["items"]] == seen[:2]


@pytest.mark.parametrize("version", VERSIONS)
async def test_deleting_answers_the_user_once_more(
    account: Account, database: Database, published: Callable[[str], Published], version: str
) -> None:
    """Then nobody finds them, by whatever version or verb, and the deletion is recorded once."""
    user_id = await new_user(database, account)
    before = await shown(account, user_id, version)
    answer = success(await account.client.delete(f"/users/{user_id}", version=version))
    published(version).check("DELETE", PATH, 200, answer)
    assert answer == before | {"state": "deleted"}
    for other, method, path in WITH_ID:
        body = {"sequenceAccountIds": [str(account.id)]} if method == "PUT" else None
        again = await account.client.request(method, path.format(id=user_id), version=other, json=body)
        refused(again, 404, "notFound")
    deletions = [each for each in await records.activities(database, "SEQUENCE_USER") if each.verb == "DELETED"]
    assert [(each.object[1], each.changes.keys()) for each in deletions] == [(user_id, {"deleted_at"})]
    assert (await records.count(database))[1] == 0


async def test_of_many_deletions_at_once_one_succeeds(account: Account, database: Database) -> None:
    user_id = await new_user(database, account)
    answers = await asyncio.gather(*(account.client.delete(f"/users/{user_id}") for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200, *[404] * 7]
    assert len(await records.activities(database, "SEQUENCE_USER")) == 2


@pytest.mark.parametrize("version", OLDER)
async def test_the_published_update_is_accepted(
    account: Account, database: Database, published: Callable[[str], Published], version: str
) -> None:
    """A user has the account of the key and no other, so nothing changes and nothing is recorded."""
    user_id = await new_user(database, account)
    counted = await records.count(database)
    body = published(version).example("PUT", PATH)
    body["sequenceAccountIds"] = [str(account.id).upper() for _ in body["sequenceAccountIds"]]
    answer = success(await account.client.put(f"/users/{user_id}", version=version, json=body), 201)
    published(version).check("PUT", PATH, 201, answer)
    assert answer == {"id": user_id, "sequenceAccountIds": [str(account.id)]}
    assert await records.count(database) == counted


@pytest.mark.parametrize("version", OLDER)
async def test_no_access_to_another_account_can_be_given(
    account: Account, second_account: Account, database: Database, version: str
) -> None:
    """Nor is it told whether there is such an account."""
    path = f"/users/{await new_user(database, account)}"
    errors = [
        refused(
            await account.client.put(path, version=version, json={"sequenceAccountIds": [str(account.id), foreign]}),
            403,
            "forbidden",
        )
        for foreign in (str(second_account.id), MISSING, "nonsense")
    ]
    assert all(error == errors[0] for error in errors)
    assert [detail["key"] for detail in errors[0]["errors"]] == ["sequenceAccountIds[1]"]


@pytest.mark.parametrize("version", OLDER)
@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, {"sequenceAccountIds": "required"}),
        ({"sequenceAccountIds": None}, {"sequenceAccountIds": "type"}),
        ({"sequenceAccountIds": []}, {"sequenceAccountIds": "tooFew"}),
        ({"sequenceAccountIds": [1, None]}, {"sequenceAccountIds[0]": "type", "sequenceAccountIds[1]": "type"}),
    ],
)
async def test_an_update_that_cannot_be_is_refused(
    account: Account, database: Database, version: str, body: Json, problems: Json
) -> None:
    path = f"/users/{await new_user(database, account)}"
    assert invalid(await account.client.put(path, version=version, json=body)) == problems


@pytest.mark.parametrize(("version", "method", "path"), WITH_ID)
async def test_another_tenants_user_is_answered_like_one_that_does_not_exist(
    account: Account, second_account: Account, database: Database, version: str, method: str, path: str
) -> None:
    foreign = await new_user(database, second_account)
    body = {"sequenceAccountIds": [str(account.id)]} if method == "PUT" else None
    errors = [
        refused(await account.client.request(method, path.format(id=each), version=version, json=body), 404, "notFound")
        for each in (MISSING, foreign, "nonsense")
    ]
    assert all(error == errors[0] for error in errors)
    assert (await shown(second_account, foreign))["state"] == "active"


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_stale_tag_is_refused(account: Account, database: Database, version: str) -> None:
    path = f"/users/{await new_user(database, account)}"
    answer = await account.client.delete(path, version=version, headers={"If-Match": '"stale"'})
    refused(answer, 412, "preconditionFailed")
    tag = (await account.client.get(path, version=version)).headers["etag"]
    success(await account.client.delete(path, version=version, headers={"If-Match": tag}))


@pytest.mark.parametrize(("version", "method", "path"), OPERATIONS)
async def test_without_a_key_or_its_scope_nothing_is_answered(
    app: Application, account: Account, database: Database, version: str, method: str, path: str
) -> None:
    scope = Scope.WRITE if method == "GET" else Scope.READ
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({scope}))
    url = path.format(id=MISSING)
    async with client_of(app, None) as anonymous, client_of(app, key) as limited:
        refused(await anonymous.request(method, url, version=version), 401, "unauthorized")
        refused(await limited.request(method, url, version=version), 403, "forbidden")


# --- Making users ---


async def test_an_email_is_used_once_among_the_users_of_an_account(
    account: Account, second_account: Account, database: Database
) -> None:
    """Ignoring case; another account may have it, and so may this one once its user is deleted."""
    first = await new_user(database, account, "Ada@example.com")
    with pytest.raises(Conflict):
        await new_user(database, account, "ada@EXAMPLE.com")
    await new_user(database, second_account, "Ada@example.com")
    success(await account.client.delete(f"/users/{first}"))
    second = await new_user(database, account, "ada@EXAMPLE.com")
    assert (await shown(account, second))["email"] == "ada@EXAMPLE.com"


@pytest.mark.parametrize("email", ["", "nobody", "a@b@c", "a@" + "b" * 255 + ".com", "a b@example.com"])
async def test_a_user_needs_an_email_address(account: Account, database: Database, email: str) -> None:
    with pytest.raises(Invalid):
        await new_user(database, account, email)
    assert await records.count(database) == (0, 0)


async def test_making_a_user_is_recorded_as_an_operators_doing(account: Account, database: Database) -> None:
    user_id = await new_user(database, account, role=Role.SALES_USER)
    [made] = success(await account.client.get("/activity-logs"))["items"]
    assert (made["origin"], made["activityType"]) == ("CLI", "SEQUENCE_USER_CREATED")
    assert "apiVersion" not in made
    [item] = made["activityLogItems"]
    assert item["activityLogActor"] == {"id": item["activityLogActor"]["id"], "entityType": "OPERATOR"}
    assert item["activityLogObject"]["entityId"] == user_id
    assert {"field": "role", "after": "salesUser"} in item["metadata"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM users",
        "TRUNCATE users",
        "UPDATE users SET role = 'admin'",
        "UPDATE users SET email = 'x'",
        "INSERT INTO users SELECT * FROM users",
    ],
)
async def test_the_service_may_take_access_and_nothing_else(
    account: Account, database: Database, statement: str
) -> None:
    pool = await Pool.open(database.service_url, pool_size=1)
    try:
        async with pool.reading(account.id) as reading:
            await reading.connection.execute("UPDATE users SET deleted_at = now()")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await reading.connection.execute(statement)
    finally:
        pool.close()


async def run(database: Database, *arguments: str) -> str:
    """What a command prints, on this database."""

    def with_owner(_data_dir: Path | None, _url: str | None, use: Callable[..., Any]) -> Any:  # noqa: ANN401 - anything
        async def on_connection() -> Any:  # noqa: ANN401 - anything
            async with owner_connection(database.owner_url) as connection:
                return await use(connection)

        return asyncio.run(on_connection())

    def print_json(document: object) -> None:
        print(json_module.dumps(document))  # noqa: T201 - it is what a command does

    def print_table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        print(heads, rows)  # noqa: T201 - it is what a command does

    app = users_app(with_owner, print_json, print_table)
    result = await asyncio.to_thread(CliRunner().invoke, app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


async def test_the_command_line_makes_and_lists_users(
    account: Account, second_account: Account, database: Database
) -> None:
    made = json_module.loads(
        await run(database, "create", "ada@example.com", "--account", "first", "--role", "financeUser", "--json")
    )
    assert UUID(made["id"]).version == 7
    assert (made["email"], made["role"], made["accountId"]) == ("ada@example.com", "financeUser", str(account.id))
    assert (await shown(account, made["id"]))["roles"][0]["roleName"] == "financeUser"
    said = await run(database, "create", "bo@example.com", "--account", str(second_account.id), "--role", "admin")
    assert "bo@example.com" in said
    assert "second" in said
    everybody = json_module.loads(await run(database, "list", "--json"))
    assert [each["email"] for each in everybody] == ["ada@example.com", "bo@example.com"]
    assert everybody[0] == made
    assert json_module.loads(await run(database, "list", "--account", "first", "--json")) == [made]
    assert "ada@example.com" in await run(database, "list")


async def test_the_command_line_names_an_account_that_does_not_exist(account: Account, database: Database) -> None:
    with pytest.raises(SetupError, match="nobody"):
        await run(database, "create", "ada@example.com", "--account", "nobody", "--role", "admin")
