"""Who has an idempotency key, as the database sees it: one request at a time, and an answer is never written over."""

import asyncio
from uuid import UUID

import pytest
from msgspec import json
from tests.support.clients import owner_connection
from tests.support.cluster import Database as Place
from tests.support.keys import KEYS

from customary.errors import Contended, IdempotencyMismatch
from customary.operations.accounts import create_account
from customary.operations.work import SERVICE
from customary.storage import idempotency
from customary.storage.database import Database

KEY = "order"
FINGERPRINT, OTHER = b"f" * idempotency.FINGERPRINT_BYTES, b"o" * idempotency.FINGERPRINT_BYTES
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'"
ANSWER = idempotency.Kept(201, (("etag", "x"),), b"{}")
MANY, OLD = 4_000, 40
KEYS_OF_BEFORE = """
INSERT INTO idempotency_keys (account_id, key, status, headers, key_id, body, created_at)
SELECT $1, $2 || number, 201, '[]', 'x', '', now() - make_interval(days => $3) FROM generate_series(1, $4) number
"""
# What this transaction has read of the indexes.
ENTRIES_READ = """
SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid))::bigint
  FROM pg_index WHERE indrelid = 'customary.idempotency_keys'::regclass
"""
WHOLE_READINGS = "SELECT pg_stat_get_xact_numscans('customary.idempotency_keys'::regclass)"


async def account_of(place: Place, name: str = "claims") -> UUID:
    async with owner_connection(place.owner_url) as owner:
        return (await create_account(owner, name)).id


async def account_whose_keys_are_news(place: Place) -> UUID:
    """An account with many keys, where the statistics are from when only another one had any."""
    account_id, other_id = await account_of(place), await account_of(place, "another")
    async with owner_connection(place.owner_url) as owner:
        await owner.execute(KEYS_OF_BEFORE, other_id, "new", 1, MANY)
        await owner.execute("ANALYZE idempotency_keys")
        await owner.execute(KEYS_OF_BEFORE, account_id, "new", 1, MANY)
    return account_id


async def answer(pool: Database, account_id: UUID, fingerprint: bytes = FINGERPRINT) -> idempotency.Kept | None:
    """Take part under the key as a request does: what was kept, else None and the answer is kept now."""
    async with pool.transaction(account_id, SERVICE, beginning=idempotency.beginning(account_id, KEY)) as tx:
        kept = await idempotency.claim(tx, KEY, fingerprint)
        if kept is None:
            idempotency.keep(tx, KEY, fingerprint, ANSWER)
        return kept


async def test_the_second_waits_for_the_first_and_gets_its_answer(database: Place) -> None:
    account_id = await account_of(database)
    pool = await Database.open(database.service_url, pool_size=2, keys=KEYS)
    try:
        async with pool.transaction(account_id, SERVICE, beginning=idempotency.beginning(account_id, KEY)) as tx:
            assert await idempotency.claim(tx, KEY, FINGERPRINT) is None
            second = asyncio.create_task(answer(pool, account_id))
            async with owner_connection(database.owner_url) as watcher:
                while not await watcher.fetchval(WAITING):
                    assert not second.done(), "it did not wait"
            idempotency.keep(tx, KEY, FINGERPRINT, ANSWER)
        assert await second == ANSWER
    finally:
        pool.close()


async def undone(pool: Database, account_id: UUID) -> None:
    """A request that fails when all is done but its commit."""
    async with pool.transaction(account_id, SERVICE, beginning=idempotency.beginning(account_id, KEY)) as tx:
        assert await idempotency.claim(tx, KEY, FINGERPRINT) is None
        idempotency.keep(tx, KEY, FINGERPRINT, ANSWER)
        await tx.connection.flush()
        raise LookupError


async def overtaken(place: Place, pool: Database, account_id: UUID) -> None:
    """A request that looked for an answer just before another one gave it, and had the lock just after."""
    async with pool.transaction(account_id, SERVICE, beginning=idempotency.beginning(account_id, KEY)) as tx:
        assert await idempotency.claim(tx, KEY, OTHER) is None
        await answer_without_lock(place, account_id)
        idempotency.keep(tx, KEY, OTHER, ANSWER)


async def answer_without_lock(place: Place, account_id: UUID) -> None:
    """Keep an answer as a request does whose lock is gone with its transaction by now."""
    key_id, body = KEYS.encrypt(FINGERPRINT + ANSWER.body, idempotency.context(account_id, KEY))
    async with owner_connection(place.owner_url) as owner:
        await owner.execute(
            "INSERT INTO idempotency_keys (account_id, key, status, headers, key_id, body, created_at)"
            " VALUES ($1, $2, $3, $4, $5, $6, now())",
            *(account_id, KEY, ANSWER.status, json.encode(ANSWER.headers).decode(), key_id, body),
        )


async def test_the_second_is_the_first_where_that_was_undone(database: Place) -> None:
    account_id = await account_of(database)
    pool = await Database.open(database.service_url, pool_size=2, keys=KEYS)
    try:
        with pytest.raises(LookupError):
            await undone(pool, account_id)
        assert await answer(pool, account_id) is None
        assert await answer(pool, account_id) == ANSWER
        with pytest.raises(IdempotencyMismatch):
            await answer(pool, account_id, OTHER)
    finally:
        pool.close()


async def test_an_answer_that_came_in_the_moment_of_the_claim_is_kept(database: Place) -> None:
    """Between looking for an answer and having the lock there is a moment: what came then is met at the end."""
    account_id = await account_of(database)
    pool = await Database.open(database.service_url, pool_size=2, keys=KEYS)
    try:
        with pytest.raises(Contended):
            await overtaken(database, pool, account_id)
        assert await answer(pool, account_id) == ANSWER
    finally:
        pool.close()


async def test_keys_do_not_wait_for_other_keys(database: Place) -> None:
    """Nor for the same key of another account."""
    account_id, other_id = await account_of(database), await account_of(database, "another")
    pool = await Database.open(database.service_url, pool_size=2, keys=KEYS)
    try:
        async with pool.transaction(account_id, SERVICE, beginning=idempotency.beginning(account_id, "first")) as tx:
            assert tx.first["is_ours"]
            assert await answer(pool, account_id) is None
            async with pool.transaction(other_id, SERVICE, beginning=idempotency.beginning(other_id, "first")) as same:
                assert same.first["is_ours"]
    finally:
        pool.close()


async def test_old_keys_are_removed_without_a_look_at_the_others(database: Place) -> None:
    """Also while statistics are from when the account had no keys, which make reading all of them look cheap."""
    account_id = await account_whose_keys_are_news(database)
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(KEYS_OF_BEFORE, account_id, "old", 31, OLD)
    pool = await Database.open(database.service_url, pool_size=1, keys=KEYS)
    try:
        async with pool.transaction(account_id, SERVICE) as tx:
            await tx.connection.execute(idempotency.PURGE, account_id, KEY)
            assert await tx.connection.fetchval(ENTRIES_READ) < 4 * OLD
            left = "SELECT count(*) FROM idempotency_keys WHERE account_id = $1"
            assert await tx.connection.fetchval(left, account_id) == MANY
    finally:
        pool.close()


async def test_keys_are_looked_for_as_one_and_each_finds_its_own(database: Place) -> None:
    """Those of one account, none of what another one has under the same key; without a key there is the time."""
    account_id, other_id = await account_of(database), await account_of(database, "another")
    pool = await Database.open(database.service_url, pool_size=2, keys=KEYS)
    try:
        assert await answer(pool, account_id) is None
        mine, unknown, none, others = await asyncio.gather(
            idempotency.look(pool, account_id, KEY),
            idempotency.look(pool, account_id, "unknown"),
            idempotency.look(pool, account_id, None),
            idempotency.look(pool, other_id, KEY),
        )
        assert [row["status"] for row in (mine, unknown, none, others)] == [ANSWER.status, None, None, None]
        assert mine["now"] == unknown["now"] == none["now"], "they were not asked as one"
        async with pool.adding(account_id, SERVICE, mine) as tx:
            assert idempotency.found(tx, KEY, FINGERPRINT) == ANSWER
            with pytest.raises(IdempotencyMismatch):
                idempotency.found(tx, KEY, OTHER)
    finally:
        pool.close()


async def test_keys_are_looked_for_without_a_look_at_the_others(database: Place) -> None:
    """Also while statistics are from when the account had no keys."""
    account_id = await account_whose_keys_are_news(database)
    pool = await Database.open(database.service_url, pool_size=1, keys=KEYS)
    wanted = [f"new{number}" for number in range(1, 51)]
    try:
        async with pool.transaction(account_id, SERVICE) as tx:
            rows = await tx.connection.fetch(idempotency.LOOK, account_id, [*wanted, "unknown", None])
            assert [row["status"] for row in rows] == [201] * len(wanted) + [None, None]
            assert await tx.connection.fetchval(ENTRIES_READ) < 2 * len(wanted)
            assert await tx.connection.fetchval(WHOLE_READINGS) == 0
    finally:
        pool.close()
