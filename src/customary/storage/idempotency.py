"""Idempotency keys: the claim of a key and the answer under it live and die with the change that they stand for."""

import asyncpg
import msgspec

from customary.errors import Conflict, IdempotencyMismatch
from customary.storage.database import Tx

RETENTION = "30 days"
WAIT_SECONDS = 5.0
_RETRY_AFTER_SECONDS = 1

# Waits for a transaction that holds the same key. One that is past its time is taken over as if it were new.
CLAIM = f"""
INSERT INTO idempotency_keys (account_id, key, fingerprint, created_at) VALUES ($1, $2, $3, now())
ON CONFLICT (account_id, key) DO UPDATE
   SET fingerprint = excluded.fingerprint, created_at = now(), status = NULL, headers = NULL, body = NULL
 WHERE idempotency_keys.created_at < now() - interval '{RETENTION}'
RETURNING true
"""  # noqa: S608 - a constant
FIND = "SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE account_id = $1 AND key = $2"
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


async def claim(tx: Tx, key: str, fingerprint: bytes) -> Kept | None:
    """Take this key for the running request, or find the answer that an equal one got.

    Raises `IdempotencyMismatch` for a key of another request and `Conflict` where one with this key still runs.
    """
    try:
        is_ours = await tx.connection.fetchval(CLAIM, tx.account_id, key, fingerprint)
    except asyncpg.LockNotAvailableError:
        message = "A request with this Idempotency-Key is still running. Send this one again in a moment."
        failure = Conflict(message)
        failure.retry_after_seconds = _RETRY_AFTER_SECONDS
        raise failure from None
    if is_ours:
        await tx.connection.execute(PURGE, tx.account_id)
        return None
    row = await tx.connection.fetchrow(FIND, tx.account_id, key)
    if row["fingerprint"] != fingerprint:
        message = "This Idempotency-Key was used for another request. Use a new key for a new request."
        raise IdempotencyMismatch(message)
    headers = msgspec.json.decode(row["headers"], type=tuple[tuple[str, str], ...])
    return Kept(row["status"], headers, row["body"])


async def keep(tx: Tx, key: str, answer: Kept) -> None:
    """Keep the answer under a key that this transaction claimed."""
    headers = msgspec.json.encode(answer.headers).decode()
    await tx.connection.execute(KEEP, tx.account_id, key, answer.status, headers, answer.body)
