"""Basic authentication and scopes: who is let in, and that a refusal tells nothing."""

import base64
import hashlib
import hmac

import httpx
import pytest
from tests.support.bodies import newest
from tests.support.clients import NEWEST, Account, client_of, new_key, owner_connection, refused, success
from tests.support.cluster import Database
from tests.support.keys import TEXT

from customary.app import Application
from customary.domain.account import Scope

UNKNOWN = "0185a142-54ff-7ce5-846a-fc188432da6e"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def answer_to(app: Application, *values: str | bytes) -> httpx.Response:
    async with client_of(app, None) as client:
        headers = [(b"Authorization", value if isinstance(value, bytes) else value.encode()) for value in values]
        return await client.get("/customers", headers=headers)


def assert_unauthorized(response: httpx.Response) -> None:
    refused(response, 401, "unauthorized")
    assert response.headers["www-authenticate"].startswith("Basic ")


async def test_a_key_opens_its_account(app: Application, account: Account) -> None:
    success(await answer_to(app, f"Basic {encoded(f'{account.client_id}:{account.secret}')}"))


@pytest.mark.parametrize("scheme", ["basic", "BASIC", "bAsIc"])
async def test_the_scheme_has_any_case(app: Application, account: Account, scheme: str) -> None:
    success(await answer_to(app, f"{scheme} {encoded(f'{account.client_id}:{account.secret}')}"))


async def test_the_client_id_has_any_case(app: Application, account: Account) -> None:
    success(await answer_to(app, f"Basic {encoded(f'{account.client_id.upper()}:{account.secret}')}"))


async def test_without_credentials_nothing_is_answered(app: Application, account: Account) -> None:
    assert_unauthorized(await answer_to(app))


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic",
        "Basic ",
        "Basic !!!",
        "Basic YQ",
        b"Basic \xff\xfe",
        f"Basic {base64.b64encode(bytes([255, 254])).decode()}",
        f"Basic {encoded('no colon')}",
        f"Basic {encoded(':')}",
        f"Basic {encoded('::')}",
        f"Basic {encoded(UNKNOWN)}",
        f"Basic {encoded(UNKNOWN + ':')}",
        f"Basic {encoded('x' * 2000 + ':y')}",
        f"Basic {encoded('nobody:nothing')}",
        f"Basic {encoded(UNKNOWN + ':' + chr(0))}",
        f"Bearer {encoded(UNKNOWN + ':x')}",
        "Digest username=x",
    ],
)
async def test_malformed_credentials_are_401(app: Application, account: Account, value: str | bytes) -> None:
    assert_unauthorized(await answer_to(app, value))


async def test_two_authorizations_are_401(app: Application, account: Account) -> None:
    right = f"Basic {encoded(f'{account.client_id}:{account.secret}')}"
    assert_unauthorized(await answer_to(app, right, right))


async def test_the_secret_has_to_be_whole(app: Application, account: Account) -> None:
    right = account.secret
    for secret in (right[:-1], f"{right}x", right.swapcase(), "", f" {right}", f"{right}:", f":{right}"):
        assert_unauthorized(await answer_to(app, f"Basic {encoded(f'{account.client_id}:{secret}')}"))


async def test_a_wrong_id_and_a_wrong_secret_get_the_same_answer(app: Application, account: Account) -> None:
    wrong_id = await answer_to(app, f"Basic {encoded(f'{UNKNOWN}:{account.secret}')}")
    wrong_secret = await answer_to(app, f"Basic {encoded(f'{account.client_id}:wrong')}")
    missing = await answer_to(app)
    answers = [(each.status_code, each.content, without_request_id(each)) for each in (wrong_id, wrong_secret, missing)]
    assert answers[0] == answers[1] == answers[2]
    assert_unauthorized(wrong_id)


def without_request_id(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in response.headers.raw if name.lower() != b"x-request-id"]


async def test_the_key_of_another_account_does_not_fit_the_secret(
    app: Application, account: Account, second_account: Account
) -> None:
    assert_unauthorized(await answer_to(app, f"Basic {encoded(f'{account.client_id}:{second_account.secret}')}"))


async def test_a_key_that_reads_cannot_write(app: Application, account: Account, database: Database) -> None:
    customer = await account.client.create(newest())
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({Scope.READ}))
    async with client_of(app, key) as reader:
        success(await reader.get("/customers"))
        success(await reader.get(f"/customers/{customer['id']}"))
        refused(await reader.post("/customers", json=newest()), 403, "forbidden")
        refused(await reader.put(f"/customers/{customer['id']}", json=newest()), 403, "forbidden")
        refused(await reader.post(f"/customers/{customer['id']}/archive", version=NEWEST), 403, "forbidden")
        refused(await reader.delete(f"/customers/{customer['id']}", version="2024-01-01"), 403, "forbidden")
    assert await account.client.customer(customer["id"]) == customer
    assert (await account.client.page())["pagination"]["totalResultSize"] == 1


async def test_a_key_that_writes_cannot_read(app: Application, account: Account, database: Database) -> None:
    async with owner_connection(database.owner_url) as connection:
        key = await new_key(connection, account.id, scopes=frozenset({Scope.WRITE}))
    async with client_of(app, key) as writer:
        success(await writer.post("/customers", json=newest()), 201)
        refused(await writer.get("/customers"), 403, "forbidden")


async def test_a_secret_is_kept_only_as_a_hash_that_needs_the_key(account: Account, database: Database) -> None:
    """HMAC-SHA-256 under a key derived from the secret key; nothing that could be computed from the secret alone."""
    async with owner_connection(database.owner_url) as connection:
        [secret] = await connection.fetch("SELECT key_id, hash FROM api_key_secrets")
        stored = await connection.fetch(
            "SELECT to_jsonb(k)::text || to_jsonb(s)::text FROM api_keys k, api_key_secrets s"
        )
    digest = hashlib.sha256(account.secret.encode()).digest()
    # HKDF-Expand (RFC 5869) to one block: HMAC of the label and the number of the block.
    raw = base64.b64decode(TEXT.partition(":")[2])
    pepper = hmac.digest(raw, b"customary: secrets of API keys" + b"\1", "sha256")
    assert (secret["key_id"], secret["hash"]) == ("k-test", hmac.digest(pepper, digest, "sha256"))
    for form in (account.secret, digest.hex(), account.secret.encode().hex(), account.secret[4:20]):
        assert form not in stored[0][0]
