"""Idempotency keys: the claim of a key and the answer under it live and die with the change that they stand for.

The bodies of answers are encrypted, all of them: that to creating a notification policy shows its secret. With each of
them goes the fingerprint of its request, a hash from which what was sent could be guessed.
"""

from uuid import UUID

import asyncpg
import msgspec

from customary.errors import Conflict, IdempotencyMismatch, Undecryptable
from customary.storage.database import Tx

RETENTION = "30 days"
WAIT_SECONDS = 5.0
FINGERPRINT_BYTES = 32
_RETRY_AFTER_SECONDS = 1

# Waits for a transaction that holds the same key. One that is past its time is taken over as if it were new. The id of
# the key that will encrypt the answer is there from the start: it is indexed, so keeping the answer changes no index.
# Only rows of before have a fingerprint of their own.
CLAIM = f"""
INSERT INTO idempotency_keys (account_id, key, key_id, created_at) VALUES ($1, $2, $3, now())
ON CONFLICT (account_id, key) DO UPDATE
   SET fingerprint = NULL, key_id = excluded.key_id, created_at = now(), status = NULL, headers = NULL, body = NULL
 WHERE idempotency_keys.created_at < now() - interval '{RETENTION}'
RETURNING true
"""  # noqa: S608 - a constant
FIND = "SELECT fingerprint, status, headers, key_id, body FROM idempotency_keys WHERE account_id = $1 AND key = $2"
KEEP = "UPDATE idempotency_keys SET status = $3, headers = $4, body = $5 WHERE account_id = $1 AND key = $2"
# A few with each claim, so that no key outlives its time by much while the account is in use.
PURGE = f"""
DELETE FROM idempotency_keys
 WHERE account_id = $1 AND key IN (
    SELECT key FROM idempotency_keys
     WHERE account_id = $1 AND created_at < now() - interval '{RETENTION}'
     ORDER BY created_at LIMIT 3 FOR UPDATE SKIP LOCKED)
"""  # noqa: S608 - a constant


class Kept(msgspec.Struct, frozen=True):
    """The first answer under a key."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def context(account_id: UUID, key: str) -> str:
    """What the answer under this key is bound to when it is encrypted."""
    return f"kept answer/{account_id}/{key}"


async def claim(tx: Tx, key: str, fingerprint: bytes) -> Kept | None:
    """Take this key for the running request, or find the answer that an equal one got.

    Raises `IdempotencyMismatch` for a key of another request, and `Conflict` where one with this key still runs or its
    answer can no longer be read; `Unavailable` without a key to encrypt with.
    """
    try:
        is_ours = await tx.connection.fetchval(CLAIM, tx.account_id, key, tx.keys.first)
    except asyncpg.LockNotAvailableError:
        message = "A request with this Idempotency-Key is still running. Send this one again in a moment."
        failure = Conflict(message)
        failure.retry_after_seconds = _RETRY_AFTER_SECONDS
        raise failure from None
    if is_ours:
        tx.connection.later(PURGE, tx.account_id)
        return None
    row = await tx.connection.fetchrow(FIND, tx.account_id, key)
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


def keep(tx: Tx, key: str, fingerprint: bytes, answer: Kept) -> None:
    """Keep the answer to the request with this fingerprint under a key that this transaction claimed."""
    headers = msgspec.json.encode(answer.headers).decode()
    _, body = tx.keys.encrypt(fingerprint + answer.body, context(tx.account_id, key))
    tx.connection.later(KEEP, tx.account_id, key, answer.status, headers, body)
