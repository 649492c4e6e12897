"""From a database of before, with API keys whose secrets are hashed without a pepper, to one that has no such hash."""

import hashlib
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio
from tests.support.bodies import newest
from tests.support.clients import client_of, owner_connection, refused, started, success
from tests.support.cluster import Database
from tests.support.keys import KEYS
from tests.support.migrations import go_back_to

from customary.api.writes import fingerprint
from customary.errors import IdempotencyMismatch
from customary.operations.encryption import encrypt_plain
from customary.operations.work import SERVICE
from customary.storage import idempotency, migrate, schema
from customary.storage.database import Database as Pool

SECRET = "csk_abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOP"
REVOKED = "csk_revoked-before"
KEPT = b'{"id":"kept"}'
FINGERPRINT = hashlib.sha256(b"a request of before").digest()


@pytest_asyncio.fixture
async def before(database: Database) -> AsyncIterator[Database]:
    """A database at version 0010."""
    await go_back_to(database, "0010")
    yield database


async def old_key(owner: "asyncpg.Connection[asyncpg.Record]", account_id: UUID, secret: str, *, revoked: bool) -> str:
    client_id = uuid4()
    await owner.execute(
        "INSERT INTO api_keys (account_id, client_id, name, scopes, secret_hash, pinned_version, created_at,"
        " requests_per_minute, revoked_at)"
        " VALUES ($1, $2, 'old', '{read,write}', $3, '2024-05-09', now(), 700, CASE WHEN $4 THEN now() END)",
        account_id,
        client_id,
        hashlib.sha256(secret.encode()).digest(),
        revoked,
    )
    return str(client_id)


async def old_account(owner: "asyncpg.Connection[asyncpg.Record]") -> UUID:
    account_id = uuid4()
    await owner.execute(
        "INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, now())", account_id, str(account_id)
    )
    return account_id


async def test_keys_of_before_open_as_they_did_and_no_hash_is_left_without_a_pepper(before: Database) -> None:
    """Their pin, limit and revocation stay; the first start wraps the hashes, however many there are."""
    async with owner_connection(before.owner_url) as owner:
        account_id, large = await old_account(owner), await old_account(owner)
        client_id = await old_key(owner, account_id, SECRET, revoked=False)
        revoked_id = await old_key(owner, account_id, REVOKED, revoked=True)
        for number in range(510):
            await old_key(owner, large, f"csk_{number}", revoked=False)
        last = await old_key(owner, large, SECRET + "-last", revoked=False)
    assert await migrate.migrate(before.owner_url) == "0010"
    assert await schema.current(before.owner_url) == schema.HEAD
    pool = await Pool.open(before.service_url, pool_size=1, keys=KEYS)
    try:
        assert await encrypt_plain(pool) == 513
        assert await encrypt_plain(pool) == 0
    finally:
        pool.close()
    async with owner_connection(before.owner_url) as owner:
        rows = await owner.fetch("SELECT key_id, hash FROM api_key_secrets")
        columns = await owner.fetch("SELECT attname FROM pg_attribute WHERE attrelid = 'api_keys'::regclass")
    assert {row["key_id"] for row in rows} == {"k-test"}
    assert not {row["hash"] for row in rows} & {hashlib.sha256(each.encode()).digest() for each in (SECRET, REVOKED)}
    assert "secret_hash" not in {row["attname"] for row in columns}
    async with started(before.service_url) as app:
        async with client_of(app, (client_id, SECRET)) as client:
            answer = await client.get("/customers")
            success(answer)
            assert answer.headers["sequence-version"].startswith("2024-05-09")
            assert answer.headers["ratelimit-policy"] == '"default";q=700;w=60'
        async with client_of(app, (last, SECRET + "-last")) as client:
            success(await client.get("/customers"))
        async with client_of(app, (revoked_id, REVOKED)) as client:
            refused(await client.get("/customers"), 401, "unauthorized")


async def test_a_request_that_was_answered_before_is_answered_again_and_no_other_under_its_key(
    before: Database,
) -> None:
    """The fingerprints of before stay as they are until their time is over; new ones are encrypted."""
    async with owner_connection(before.owner_url) as owner:
        account_id = await old_account(owner)
        client_id = await old_key(owner, account_id, SECRET, revoked=False)
        body = KEYS.encrypt(KEPT, idempotency.context(account_id, "old"))[1]
        await owner.execute(
            "INSERT INTO idempotency_keys (account_id, key, fingerprint, status, headers, key_id, body, created_at)"
            " VALUES ($1, 'old', $2, 201, '[]', 'k-test', $3, now())",
            account_id,
            FINGERPRINT,
            body,
        )
    await migrate.migrate(before.owner_url)
    pool = await Pool.open(before.service_url, pool_size=1, keys=KEYS)
    try:
        beginning = idempotency.beginning(account_id, "old")
        async with pool.transaction(account_id, SERVICE, beginning=beginning) as tx:
            kept = await idempotency.claim(tx, "old", FINGERPRINT)
            assert kept is not None
            assert (kept.status, kept.body) == (201, KEPT)
            with pytest.raises(IdempotencyMismatch):
                await idempotency.claim(tx, "old", hashlib.sha256(b"another").digest())
    finally:
        pool.close()
    async with started(before.service_url) as app, client_of(app, (client_id, SECRET)) as client:
        content = httpx.Request("POST", "http://x", json=newest(label="a PIN: 1234")).read()
        headers = {"Idempotency-Key": "new", "Content-Type": "application/json", "Sequence-Version": "2024-07-30"}
        first = await client.post("/customers", content=content, headers=headers)
        again = await client.post("/customers", content=content, headers=headers)
        assert (first.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replayed"] == "true"
    guess = fingerprint("POST", ("customers",), b"", "2024-07-30", content)
    async with owner_connection(before.owner_url) as owner:
        [row] = await owner.fetch("SELECT fingerprint, body FROM idempotency_keys WHERE key = 'new'")
        plaintext = KEYS.decrypt("k-test", row["body"], idempotency.context(account_id, "new"))
    assert row["fingerprint"] is None
    assert guess not in row["body"]
    assert plaintext == guess + first.content


async def test_an_old_key_past_its_time_is_taken_over_in_the_new_form(before: Database) -> None:
    async with owner_connection(before.owner_url) as owner:
        account_id = await old_account(owner)
        await owner.execute(
            "INSERT INTO idempotency_keys (account_id, key, fingerprint, status, headers, key_id, body, created_at)"
            " VALUES ($1, 'old', $2, 201, '[]', 'k-test', 'x', now() - interval '31 days')",
            account_id,
            FINGERPRINT,
        )
    await migrate.migrate(before.owner_url)
    pool = await Pool.open(before.service_url, pool_size=1, keys=KEYS)
    try:
        beginning = idempotency.beginning(account_id, "old")
        async with pool.transaction(account_id, SERVICE, beginning=beginning) as tx:
            assert await idempotency.claim(tx, "old", b"n" * 32) is None
            idempotency.keep(tx, "old", b"n" * 32, idempotency.Kept(200, (), b"{}"))
        async with pool.transaction(account_id, SERVICE, beginning=beginning) as tx:
            assert await idempotency.claim(tx, "old", b"n" * 32) == idempotency.Kept(200, (), b"{}")
            with pytest.raises(IdempotencyMismatch):
                await idempotency.claim(tx, "old", FINGERPRINT)
    finally:
        pool.close()
