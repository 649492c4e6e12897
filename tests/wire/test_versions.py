"""The gate: which version answers, and that every answer says so."""

import pytest
from tests.support import asgi
from tests.support.bodies import newest, of
from tests.support.clients import (
    FIRST,
    NEWEST,
    SECOND,
    VERSIONS,
    Account,
    client_of,
    new_key,
    owner_connection,
    refused,
    success,
)
from tests.support.cluster import Database

from customary.app import Application

UNKNOWN = "No matching API version found. Please make sure the specified API version is valid."
MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"


@pytest.mark.parametrize("version", VERSIONS)
async def test_the_version_that_is_named_answers(account: Account, version: str) -> None:
    await account.client.create(newest())
    response = await account.client.get("/customers", version=version)
    assert response.headers["sequence-version"] == version
    item = success(response)["items"][0]
    marks = {"sequenceAccountId": FIRST, "billingEmails": SECOND, "organizations": NEWEST}
    assert next(known for field, known in marks.items() if field in item) == version


@pytest.mark.parametrize("name", [b"Sequence-Version", b"sequence-version", b"SEQUENCE-VERSION"])
async def test_the_header_has_any_case(app: Application, account: Account, name: bytes) -> None:
    headers = [asgi.basic(account), (name, FIRST.encode())]
    answer = await asgi.send(app, "GET", b"/api/customers", headers=headers)
    assert (answer.status, answer.headers["sequence-version"]) == (200, FIRST)


async def test_white_space_around_the_version_does_not_count(account: Account) -> None:
    response = await account.client.get("/customers", headers={"Sequence-Version": f" {FIRST} "})
    assert (response.status_code, response.headers["sequence-version"]) == (200, FIRST)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2024-01-02",
        "latest",
        "2024-01-01,2024-01-01",
        "20240101",
        "2024-01-01x",
        "\N{LATIN SMALL LETTER E WITH ACUTE}",
    ],
)
async def test_an_unknown_version_is_refused_by_the_newest(account: Account, value: str) -> None:
    headers = [(b"Sequence-Version", value.encode())]
    response = await account.client.get("/customers", headers=headers)
    assert refused(response, 400, "UnrecognisedApiVersion")["message"] == UNKNOWN
    assert response.headers["sequence-version"] == NEWEST


async def test_an_unknown_version_is_refused_before_the_key_is_looked_at(app: Application) -> None:
    async with client_of(app, None) as anonymous:
        refused(await anonymous.get("/customers", version="x"), 400, "UnrecognisedApiVersion")


async def test_different_versions_at_once_are_refused(account: Account) -> None:
    headers = [("Sequence-Version", FIRST), ("Sequence-Version", SECOND)]
    refused(await account.client.get("/customers", headers=headers), 400, "UnrecognisedApiVersion")


async def test_the_same_version_twice_is_that_version(account: Account) -> None:
    headers = [("Sequence-Version", FIRST), ("Sequence-Version", FIRST)]
    response = await account.client.get("/customers", headers=headers)
    assert (response.status_code, response.headers["sequence-version"]) == (200, FIRST)


async def test_without_the_header_the_newest_version_answers(account: Account) -> None:
    response = await account.client.get("/customers")
    assert (response.status_code, response.headers["sequence-version"]) == (200, NEWEST)


async def test_without_the_header_a_pinned_key_gets_its_version(
    app: Application, account: Account, database: Database
) -> None:
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, pinned_version=SECOND)
    async with client_of(app, key) as pinned:
        response = await pinned.post("/customers", json=of(SECOND))
        assert response.headers["sequence-version"] == SECOND
        assert "billingEmails" in success(response, 201)
        missing = await pinned.get(f"/customers/{MISSING}")
        assert (missing.status_code, missing.headers["sequence-version"]) == (404, SECOND)


async def test_the_header_wins_over_the_pin(app: Application, account: Account, database: Database) -> None:
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, pinned_version=SECOND)
    async with client_of(app, key) as pinned:
        response = await pinned.get("/customers", version=NEWEST)
        assert (response.status_code, response.headers["sequence-version"]) == (200, NEWEST)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/customers", 200),
        ("GET", "/customers?limit=0", 400),
        ("POST", "/customers", 415),
        ("GET", f"/customers/{MISSING}", 404),
        ("GET", "/nothing", 404),
        ("GET", "/", 404),
        ("GET", "/customers/", 404),
        ("PATCH", "/customers", 405),
        ("GET", "/customers/%ff", 404),
        ("GET", "/%00", 404),
    ],
)
async def test_every_answer_says_which_version_it_is(
    account: Account, version: str, method: str, path: str, status: int
) -> None:
    response = await account.client.request(method, path, version=version)
    assert (response.status_code, response.headers.get("sequence-version")) == (status, version)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_refused_key_is_told_the_version_too(app: Application, version: str) -> None:
    async with client_of(app, None) as anonymous:
        response = await anonymous.get("/customers", version=version)
        assert (response.status_code, response.headers["sequence-version"]) == (401, version)


@pytest.mark.parametrize(
    "path", ["/nothing", "/", "", "/customers/", "/customers//", "/customers/x/y", "/Customers", "/customers/%ff"]
)
async def test_a_path_that_does_not_exist_is_404_in_the_envelope(account: Account, path: str) -> None:
    refused(await account.client.get(path), 404, "notFound")


@pytest.mark.parametrize(
    ("version", "method", "path", "allowed"),
    [
        (NEWEST, "DELETE", f"/customers/{MISSING}", "GET, PUT"),
        (NEWEST, "PUT", f"/customers/{MISSING}/archive", "POST"),
        (FIRST, "POST", f"/customers/{MISSING}/archive", "PUT"),
        (SECOND, "POST", f"/customers/{MISSING}/archive", "PUT"),
        (FIRST, "PATCH", f"/customers/{MISSING}", "DELETE, GET, PUT"),
        (SECOND, "POST", f"/customers/{MISSING}", "DELETE, GET, PUT"),
        (FIRST, "DELETE", "/customers", "GET, POST"),
        (FIRST, "OPTIONS", "/customers", "GET, POST"),
        (NEWEST, "POST", "/customers/by-alias/x", "GET"),
    ],
)
async def test_a_verb_that_a_version_does_not_have_is_405_and_names_those_it_has(
    account: Account, version: str, method: str, path: str, allowed: str
) -> None:
    response = await account.client.request(method, path, version=version)
    refused(response, 405, "methodNotAllowed")
    found = response.headers["allow"]
    assert method not in found.split(", ")
    if version == NEWEST:  # it may have more than was published
        assert set(allowed.split(", ")) <= set(found.split(", "))
    else:
        assert found == allowed


async def test_a_request_id_comes_back(account: Account) -> None:
    for given in ("a", "A.b_c-9", "x" * 64):
        response = await account.client.get("/customers", headers={"X-Request-Id": given})
        assert response.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\N{LATIN SMALL LETTER E WITH ACUTE}", 'a"b', "a/b"])
async def test_another_request_id_is_made_where_the_given_one_is_no_plain_one(account: Account, given: str) -> None:
    first = await account.client.get("/customers", headers=[(b"X-Request-Id", given.encode())])
    second = await account.client.get("/nothing", headers=[(b"X-Request-Id", given.encode())])
    made = {first.headers["x-request-id"], second.headers["x-request-id"]}
    assert len(made) == 2
    assert given not in made
    assert all(len(each) == 36 for each in made)
