"""API keys and the hashes of their secrets.

A key is looked for before anybody knows whose it is, by a function that runs as the tables' owner. The service writes
down when one was used and wraps hashes; everything else is for an operator, over a connection of the owner.
"""

import hashlib
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network
from uuid import UUID

from msgspec import Struct

from customary.domain.account import ApiKey, ApiSecret, Scope
from customary.storage.database import Connection, Record, Tx

MOST_LIVE = 10
_BATCH = 500

_KEY_COLUMNS = (
    "client_id, account_id, name, scopes, created_at, pinned_version, revoked_at, requests_per_minute, expires_at,"
    " last_used_at"
)
_SHOWN = f"{_KEY_COLUMNS}, allowed_addresses::text[] AS allowed_addresses"

FIND_KEY = "SELECT * FROM find_api_key($1)"
NEEDS = "SELECT key_id, secrets, last_used_at FROM api_secrets_by_key() ORDER BY key_id"
# Not written again within a minute, by whichever process: a busy key costs one small write a minute.
TOUCH = """
UPDATE api_keys SET last_used_at = now()
 WHERE account_id = $1 AND client_id = ANY ($2::uuid[])
   AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""
# Only what is still as it was when the secret was shown to be right.
REHASH = """
UPDATE api_key_secrets SET key_id = $4, hash = $5
 WHERE account_id = $1 AND client_id = $2 AND id = $3 AND key_id IS DISTINCT FROM $4
"""
NEXT_PLAIN = f"""
SELECT client_id, id, hash FROM api_key_secrets WHERE account_id = $1 AND key_id IS NULL
 ORDER BY client_id, id LIMIT {_BATCH} FOR UPDATE
"""  # noqa: S608 - a constant
WRAP = """
UPDATE api_key_secrets s SET key_id = $2, hash = n.hash
  FROM unnest($3::uuid[], $4::uuid[], $5::bytea[]) n (client_id, id, hash)
 WHERE s.account_id = $1 AND s.client_id = n.client_id AND s.id = n.id AND s.key_id IS NULL
"""

INSERT_KEY = f"""
INSERT INTO api_keys (account_id, client_id, name, scopes, pinned_version, requests_per_minute, expires_at,
    allowed_addresses, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now()) RETURNING {_SHOWN}
"""  # noqa: S608 - the columns are a constant
ADD_HASH = """
INSERT INTO api_key_secrets (account_id, client_id, id, key_id, hash, created_at)
VALUES ($1, $2, gen_random_uuid(), $3, $4, clock_timestamp())
"""
LIST_KEYS = f"SELECT {_SHOWN} FROM api_keys ORDER BY created_at, client_id"  # noqa: S608 - the columns are a constant
LIST_SECRETS = """
SELECT client_id, id, key_id, hash, created_at, expires_at FROM api_key_secrets
 WHERE expires_at IS NULL OR expires_at > now() ORDER BY created_at, id
"""
LOCK_KEY = f"SELECT {_SHOWN}, now() FROM api_keys WHERE client_id = $1 FOR NO KEY UPDATE"  # noqa: S608 - the columns are a constant
REVOKE_KEY = f"""
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE client_id = $1 RETURNING {_SHOWN}
"""  # noqa: S608 - the columns are a constant
# One that was to end earlier still does; least() passes over null.
EXPIRE_SECRETS = """
UPDATE api_key_secrets SET expires_at = least(expires_at, $3::timestamptz) WHERE account_id = $1 AND client_id = $2
"""
FORGET_SECRETS = f"""
DELETE FROM api_key_secrets
 WHERE account_id = $1 AND client_id = $2
   AND (expires_at <= $3::timestamptz OR id NOT IN (
    SELECT id FROM api_key_secrets WHERE account_id = $1 AND client_id = $2
     ORDER BY created_at DESC, id DESC LIMIT {MOST_LIVE - 1}))
"""  # noqa: S608 - a constant


class Found(Struct, frozen=True):
    """What a look-up came to: a key with its secrets that have not ended, at the database's time `now`.

    Where there is no such key it has the same shape, and `is_known` is false.
    """

    key: ApiKey
    secrets: tuple[ApiSecret, ...]
    now: datetime
    is_known: bool


class Need(Struct, frozen=True):
    """How many secrets that still open something need one of the secret keys, and when one of them last did.

    The key is None for those that are hashed without any.
    """

    key_id: str | None
    secrets: int
    last_used_at: datetime | None


def digest(secret: str) -> bytes:
    """What is made of a secret before anything else. It has 256 random bits: a fast hash is as good as a slow one."""
    return hashlib.sha256(secret.encode()).digest()


async def find(connection: Connection, client_id: UUID) -> Found:
    """The key with this client id in any account, or what stands in for one that does not exist."""
    rows = await connection.fetch(FIND_KEY, client_id)
    secrets = tuple(
        ApiSecret(
            id=row["secret_id"],
            key_id=row["key_id"],
            hash=row["hash"],
            created_at=row["secret_created_at"],
            expires_at=row["secret_expires_at"],
        )
        for row in rows
        if row["secret_id"] is not None
    )
    return Found(_key_from_row(rows[0]), secrets, rows[0]["now"], rows[0]["is_known"])


async def needs(connection: Connection) -> list[Need]:
    """What each of the secret keys is needed for, over all accounts."""
    return [Need(**row) for row in await connection.fetch(NEEDS)]


async def touch(tx: Tx, client_ids: list[UUID]) -> None:
    """Write down that these keys were used just now, unless that was written within the last minute."""
    await tx.connection.execute(TOUCH, tx.account_id, client_ids)


async def rehash(tx: Tx, client_id: UUID, secret_id: UUID, secret_digest: bytes) -> None:
    """Keep this secret under the first of the secret keys from now on. Raises `Unavailable` without one."""
    key_id, hashed = tx.keys.pepper(secret_digest)
    await tx.connection.execute(REHASH, tx.account_id, client_id, secret_id, key_id, hashed)


async def wrap_plain(tx: Tx) -> int:
    """Hash the next of this account's secrets that are without a pepper; how many those were."""
    rows = await tx.connection.fetch(NEXT_PLAIN, tx.account_id)
    hashes = [tx.keys.pepper(row["hash"])[1] for row in rows]
    ids = [row["client_id"] for row in rows], [row["id"] for row in rows]
    await tx.connection.execute(WRAP, tx.account_id, tx.keys.first, *ids, hashes)
    return len(rows)


async def insert(owner: Connection, key: ApiKey, hashed: tuple[str, bytes]) -> ApiKey:
    """Store a new key with its first secret: the id of a secret key, and the hash. The database's clock says when."""
    row = await owner.fetchrow(
        INSERT_KEY,
        key.account_id,
        key.client_id,
        key.name,
        sorted(scope.value for scope in key.scopes),
        key.pinned_version,
        key.requests_per_minute,
        key.expires_at,
        [_network(text) for text in key.allowed_addresses],
    )
    await owner.execute(ADD_HASH, key.account_id, key.client_id, *hashed)
    return _key_from_row(row)


async def lock(owner: Connection, client_id: UUID) -> tuple[ApiKey, datetime] | None:
    """This key, locked until the transaction ends, and the time of its start. None where there is no such key."""
    row = await owner.fetchrow(LOCK_KEY, client_id)
    return None if row is None else (_key_from_row(row), row["now"])


async def rotate(
    owner: Connection, key: ApiKey, hashed: tuple[str, bytes], *, now: datetime, overlap: timedelta
) -> None:
    """Store a new secret; the others open beside it until the overlap ends, unless theirs ends sooner.

    The key must be locked. Where ten would be live, the oldest ends now: a rotation is never refused. Those that have
    ended are removed.
    """
    await owner.execute(EXPIRE_SECRETS, key.account_id, key.client_id, now + overlap)
    await owner.execute(FORGET_SECRETS, key.account_id, key.client_id, now)
    await owner.execute(ADD_HASH, key.account_id, key.client_id, *hashed)


async def revoke(owner: Connection, client_id: UUID) -> ApiKey | None:
    """Revoke this key, with all of its secrets; the first revocation's time stays. None where there is no such key."""
    row = await owner.fetchrow(REVOKE_KEY, client_id)
    return None if row is None else _key_from_row(row)


async def all_keys(owner: Connection) -> list[ApiKey]:
    """Every key of every account, oldest first."""
    return [_key_from_row(row) for row in await owner.fetch(LIST_KEYS)]


async def live_secrets(owner: Connection) -> dict[UUID, list[ApiSecret]]:
    """The secrets of every key that have not ended, oldest first, by client id."""
    found: dict[UUID, list[ApiSecret]] = {}
    for row in await owner.fetch(LIST_SECRETS):
        values = dict(row)
        found.setdefault(values.pop("client_id"), []).append(ApiSecret(**values))
    return found


def _network(text: str) -> IPv4Network | IPv6Network:
    return IPv6Network(text) if ":" in text else IPv4Network(text)


def _key_from_row(row: Record) -> ApiKey:
    return ApiKey(
        client_id=row["client_id"],
        account_id=row["account_id"],
        name=row["name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        created_at=row["created_at"],
        pinned_version=row["pinned_version"],
        revoked_at=row["revoked_at"],
        requests_per_minute=row["requests_per_minute"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        allowed_addresses=tuple(row["allowed_addresses"]),
    )
