"""Idempotency keys: the claim of a key and the answer under it live and die with the change that they stand for.

The bodies of answers are encrypted, all of them: that to creating a notification policy shows its secret. With each of
them goes the fingerprint of its request, a hash from which what was sent could be guessed.
"""

import random
from uuid import UUID

import asyncpg
import msgspec

from customary.errors import Conflict, Contended, IdempotencyMismatch, Undecryptable
from customary.storage.database import Beginning, Database, Record, Tx

RETENTION = "30 days"
WAIT_SECONDS = 5.0
FINGERPRINT_BYTES = 32
_RETRY_AFTER_SECONDS = 1
_CLAIMS_FOR_ONE_PURGE = 16

# Whoever holds the lock of a key is the one request under it that runs. It is gone with the transaction, however that
# ends. What was committed between this statement's look at the table and its lock is met by KEEP.
_LOCK = "hashtextextended($1::uuid::text || $2, 3)"
_FOUND = "k.fingerprint, k.status, k.headers, k.key_id, k.body"
_KEPT = f"idempotency_keys k WHERE k.account_id = $1 AND k.key = $2 AND k.created_at >= now() - interval '{RETENTION}'"
# For several requests at once: one without a key has NULL there, and learns the time. The limit keeps the planner from
# joining all keys that the account has.
LOOK = f"""
SELECT asked.number, now() AS now, {_FOUND} FROM unnest($2::text[]) WITH ORDINALITY asked (key, number)
  LEFT JOIN LATERAL (SELECT * FROM {_KEPT.replace("$2", "asked.key")} LIMIT 1) k ON true
"""  # noqa: S608 - constants
CLAIM = f"""
SELECT now() AS now, set_config('lock_timeout', $3, true), pg_try_advisory_xact_lock({_LOCK}) AS is_ours, {_FOUND}
  FROM (SELECT) nothing LEFT JOIN LATERAL (SELECT * FROM {_KEPT}) k ON true
"""  # noqa: S608 - constants
AWAIT_TURN = f"SELECT pg_advisory_xact_lock({_LOCK})"
FIND = f"SELECT {_FOUND} FROM {_KEPT}"  # noqa: S608 - constants
# A key that is past its time is taken over as if it were new. Only rows of before have a fingerprint of their own. The
# lock is the transaction's already, unless this is all there is of it.
KEEP = f"""
INSERT INTO idempotency_keys (account_id, key, status, headers, key_id, body, created_at)
SELECT $1, $2, $3, $4, $5, $6, now() WHERE pg_try_advisory_xact_lock({_LOCK})
ON CONFLICT (account_id, key) DO UPDATE
   SET fingerprint = NULL, status = excluded.status, headers = excluded.headers, key_id = excluded.key_id,
       body = excluded.body, created_at = now()
 WHERE idempotency_keys.created_at < now() - interval '{RETENTION}'
RETURNING true AS value
"""  # noqa: S608 - a constant
# More than are made in the meantime, now and then, so that no key outlives its time by much while the account is in
# use. The upper end of their times is for the planner: with statistics from when the account had few keys, it takes
# reading all of them for as cheap as looking for these.
PURGE = f"""
WITH old AS MATERIALIZED (
    SELECT key, created_at FROM idempotency_keys
     WHERE account_id = $1 AND key <> $2 AND created_at < now() - interval '{RETENTION}'
     ORDER BY created_at LIMIT {3 * _CLAIMS_FOR_ONE_PURGE} FOR UPDATE SKIP LOCKED)
DELETE FROM idempotency_keys
 WHERE account_id = $1 AND key = ANY (ARRAY(SELECT key FROM old)) AND created_at <= (SELECT max(created_at) FROM old)
"""  # noqa: S608 - a constant


class Kept(msgspec.Struct, frozen=True):
    """The first answer under a key."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def context(account_id: UUID, key: str) -> str:
    """What the answer under this key is bound to when it is encrypted."""
    return f"kept answer/{account_id}/{key}"


def beginning(account_id: UUID, key: str) -> Beginning:
    """How a transaction begins whose request has this key: `claim` goes by what it answers."""
    return Beginning(CLAIM, (account_id, key, f"{WAIT_SECONDS * 1000:.0f}"))


async def claim(tx: Tx, key: str, fingerprint: bytes) -> Kept | None:
    """Take this key for the running request, or find the answer that an equal one got.

    The transaction is one with the key's `beginning`. Raises `IdempotencyMismatch` for a key of another request, and
    `Conflict` where one with this key still runs or its answer can no longer be read; `Unavailable` without a key to
    encrypt with.
    """
    return _kept(tx, key, fingerprint, tx.first if tx.first["is_ours"] else await _found_in_turn(tx, key))


async def look(database: Database, account_id: UUID, key: str | None) -> Record:
    """What a write begins with that claims its key together with its answer: `found` goes by it."""
    return await database.ask_together(account_id, LOOK, key)


def found(tx: Tx, key: str, fingerprint: bytes) -> Kept | None:
    """The answer that an equal request got, if there is one. The key is not claimed. Raises what `claim` raises."""
    return _kept(tx, key, fingerprint, tx.first)


def _kept(tx: Tx, key: str, fingerprint: bytes, row: Record) -> Kept | None:
    if row is None or row["status"] is None:
        if random.randrange(_CLAIMS_FOR_ONE_PURGE) == 0:  # noqa: S311 - nothing depends on its being unpredictable
            tx.connection.later(PURGE, tx.account_id, key)
        return None
    try:
        body = tx.keys.decrypt(row["key_id"], row["body"], context(tx.account_id, key))
    except Undecryptable as error:
        message = (
            "The request with this Idempotency-Key was answered before, and that answer cannot be read any more."
            f" Look at what it changed, and use a new key for a new request. For the operator: {error.message}"
        )
        raise Conflict(message) from None
    kept_fingerprint = row["fingerprint"]
    if kept_fingerprint is None:
        kept_fingerprint, body = body[:FINGERPRINT_BYTES], body[FINGERPRINT_BYTES:]
    if kept_fingerprint != fingerprint:
        message = "This Idempotency-Key was used for another request. Use a new key for a new request."
        raise IdempotencyMismatch(message)
    headers = msgspec.json.decode(row["headers"], type=tuple[tuple[str, str], ...])
    return Kept(row["status"], headers, body)


async def _found_in_turn(tx: Tx, key: str) -> Record:
    """What is kept under this key once the request under it that runs now is over; None where that left nothing."""
    try:
        await tx.connection.execute(AWAIT_TURN, tx.account_id, key)
    except asyncpg.LockNotAvailableError:
        message = "A request with this Idempotency-Key is still running. Send this one again in a moment."
        failure = Conflict(message)
        failure.retry_after_seconds = _RETRY_AFTER_SECONDS
        raise failure from None
    return await tx.connection.fetchrow(FIND, tx.account_id, key)


def keep(tx: Tx, key: str, fingerprint: bytes, answer: Kept) -> None:
    """Keep the answer to the request with this fingerprint under a key that this transaction claimed.

    It is sent with whatever else the transaction adds, and raises `Contended` then where the key was given an answer
    in the moment of the claim: another attempt finds that.
    """
    headers = msgspec.json.encode(answer.headers).decode()
    key_id, body = tx.keys.encrypt(fingerprint + answer.body, context(tx.account_id, key))
    tx.connection.later(KEEP, tx.account_id, key, answer.status, headers, key_id, body, told=_require_kept, expected=1)


async def _require_kept(kept: list[bool]) -> None:
    if not kept:
        message = "Another request with this Idempotency-Key was answered a moment ago. Send this one again."
        raise Contended(message)
