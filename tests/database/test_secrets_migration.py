"""From a database of before, where secrets stand as they are, to one in which nobody finds any."""

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import asyncpg
import pytest_asyncio
from tests.support.clients import owner_connection
from tests.support.cluster import Database
from tests.support.keys import KEYS, live_secrets
from tests.support.migrations import go_back_to

from customary.operations.encryption import encrypt_plain
from customary.operations.work import SERVICE
from customary.storage import migrate, schema
from customary.storage.database import Database as Pool
from customary.storage.idempotency import beginning, claim

SECRET = "a secret of before é"
BODY = b'{"webhookSecret":"a secret of before"}'


@pytest_asyncio.fixture
async def before(database: Database) -> AsyncIterator[Database]:
    """A database at version 0009."""
    await go_back_to(database, "0009")
    yield database


async def old_account(owner: "asyncpg.Connection[asyncpg.Record]", policies: int) -> tuple[UUID, list[UUID]]:
    """An account with this many webhooks, one e-mail policy and two kept answers; its id and the webhooks' ids."""
    account_id, ids = uuid4(), [uuid4() for _ in range(policies)]
    await owner.execute(
        "INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, now())", account_id, str(account_id)
    )
    insert = (
        "INSERT INTO notification_policies (account_id, id, name, channel, recipients, api_version, webhook_secret,"
        " created_at) VALUES ($1, $2, 'p', $3, '{x}', '2024-07-30', $4, now())"
    )
    for policy_id in ids:
        await owner.execute(insert, account_id, policy_id, "WEBHOOK", SECRET)
    await owner.execute(insert, account_id, uuid4(), "EMAIL", None)
    for key in ("one", "two"):
        await owner.execute(
            "INSERT INTO idempotency_keys (account_id, key, fingerprint, status, headers, body, created_at)"
            " VALUES ($1, $2, 'f', 201, '[]', $3, now())",
            account_id,
            key,
            BODY,
        )
    return account_id, ids


async def test_secrets_of_before_sign_on_and_are_encrypted_by_the_service(before: Database) -> None:
    async with owner_connection(before.owner_url) as owner:
        accounts = [await old_account(owner, 700), await old_account(owner, 1), await old_account(owner, 0)]
    assert await migrate.migrate(before.owner_url) == "0009"
    assert await schema.current(before.owner_url) == schema.HEAD
    for account_id, ids in accounts:
        for policy_id in ids[:3]:
            assert await live_secrets(before, account_id, str(policy_id)) == (SECRET,)
    pool = await Pool.open(before.service_url, pool_size=1, keys=KEYS)
    try:
        assert await encrypt_plain(pool) == 701 + 6
        assert await encrypt_plain(pool) == 0
        for account_id, ids in accounts:
            for policy_id in ids[-3:]:
                assert await live_secrets(before, account_id, str(policy_id)) == (SECRET,)
            async with pool.transaction(account_id, SERVICE, beginning=beginning(account_id, "two")) as tx:
                kept = await claim(tx, "two", b"f")
                assert kept is not None
                assert (kept.status, kept.body) == (201, BODY)
    finally:
        pool.close()
    async with owner_connection(before.owner_url) as owner:
        assert await owner.fetchval("SELECT count(*) FROM policy_secrets WHERE key_id = 'k-test'") == 701
        assert await owner.fetchval("SELECT count(*) FROM policy_secrets") == 701
        stored = await owner.fetch("SELECT ciphertext FROM policy_secrets UNION ALL SELECT body FROM idempotency_keys")
    assert len(stored) == 707
    assert not any(b"secret of before" in row[0] for row in stored)
