"""The secrets that sign what notification policies send: encrypted, and several at once while one is replaced."""

from datetime import timedelta
from uuid import UUID

from customary.storage.database import Reading, Tx

MOST_LIVE = 10

INSERT = """
INSERT INTO policy_secrets (account_id, policy_id, id, key_id, ciphertext, created_at)
VALUES ($1, $2, gen_random_uuid(), $3, $4, clock_timestamp())
"""
# The time of the database's clock, and not that of a transaction's start: whoever waited for a lock comes later.
LIVE = """
SELECT key_id, ciphertext FROM policy_secrets
 WHERE account_id = $1 AND policy_id = $2 AND (expires_at IS NULL OR expires_at > now())
 ORDER BY created_at, id
"""
# One that was to end earlier still does; least() passes over null.
EXPIRE = """
UPDATE policy_secrets SET expires_at = least(expires_at, $3::timestamptz) WHERE account_id = $1 AND policy_id = $2
"""
FORGET = f"""
DELETE FROM policy_secrets
 WHERE account_id = $1 AND policy_id = $2
   AND (expires_at <= $3::timestamptz OR id NOT IN (
    SELECT id FROM policy_secrets WHERE account_id = $1 AND policy_id = $2
     ORDER BY created_at DESC, id DESC LIMIT {MOST_LIVE - 1}))
"""  # noqa: S608 - a constant


def context(account_id: UUID, policy_id: UUID) -> str:
    """What a secret of this policy is bound to when it is encrypted."""
    return f"webhook secret/{account_id}/{policy_id}"


async def insert(tx: Tx, policy_id: UUID, secret: str) -> None:
    """Store a secret, from now on the newest of this policy. Raises `Unavailable` without a key to encrypt it."""
    key_id, ciphertext = tx.keys.encrypt(secret.encode(), context(tx.account_id, policy_id))
    await tx.connection.execute(INSERT, tx.account_id, policy_id, key_id, ciphertext)


async def live(reading: Reading, policy_id: UUID) -> tuple[str, ...]:
    """The secrets that sign for this policy now, oldest first; none for e-mail. Raises `Undecryptable`."""
    rows = await reading.connection.fetch(LIVE, reading.account_id, policy_id)
    bound_to = context(reading.account_id, policy_id)
    return tuple(reading.keys.decrypt(row["key_id"], row["ciphertext"], bound_to).decode() for row in rows)


async def rotate(tx: Tx, policy_id: UUID, secret: str, overlap: timedelta) -> None:
    """Store a new secret; the others sign beside it until the overlap ends, unless theirs ends sooner.

    The policy must be locked. Where ten would be live, the oldest ends now: a rotation is never refused. Those that
    have ended are removed. Raises `Unavailable` without a key to encrypt it.
    """
    await tx.connection.execute(EXPIRE, tx.account_id, policy_id, tx.now + overlap)
    await tx.connection.execute(FORGET, tx.account_id, policy_id, tx.now)
    await insert(tx, policy_id, secret)
