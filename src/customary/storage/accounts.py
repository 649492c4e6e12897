"""Accounts and their API keys.

Everything but `find_key` runs for an operator on the command line, over a connection of the tables' owner.
"""

from uuid import UUID

from customary.domain.account import Account, ApiKey, Scope
from customary.storage.database import Connection, Record

_KEY_COLUMNS = (
    "client_id, account_id, name, scopes, secret_hash, created_at, pinned_version, revoked_at, requests_per_minute"
)

INSERT_ACCOUNT = "INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, now()) RETURNING id, name, created_at"
LIST_ACCOUNTS = "SELECT id, name, created_at FROM accounts ORDER BY created_at, id"
GET_ACCOUNT = "SELECT id, name, created_at FROM accounts WHERE name = $1 OR id::text = $1"
INSERT_KEY = f"""
INSERT INTO api_keys (account_id, client_id, name, scopes, secret_hash, pinned_version, requests_per_minute,
    created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now()) RETURNING {_KEY_COLUMNS}
"""  # noqa: S608 - the columns are a constant
LIST_KEYS = f"SELECT {_KEY_COLUMNS} FROM api_keys ORDER BY created_at, client_id"  # noqa: S608 - the columns are a constant
REVOKE_KEY = f"""
UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE client_id = $1 RETURNING {_KEY_COLUMNS}
"""  # noqa: S608 - the columns are a constant
FIND_KEY = f"SELECT {_KEY_COLUMNS} FROM find_api_key($1)"  # noqa: S608 - the columns are a constant


async def find_key(connection: Connection, client_id: UUID) -> ApiKey | None:
    """The key with this client id in any account, revoked ones included."""
    row = await connection.fetchrow(FIND_KEY, client_id)
    return None if row is None else _key_from_row(row)


async def create(connection: Connection, account_id: UUID, name: str) -> Account:
    """Store a new account. A name that is taken raises `asyncpg.UniqueViolationError`."""
    return _account_from_row(await connection.fetchrow(INSERT_ACCOUNT, account_id, name))


async def all_accounts(connection: Connection) -> list[Account]:
    """Every account, oldest first."""
    return [_account_from_row(row) for row in await connection.fetch(LIST_ACCOUNTS)]


async def get(connection: Connection, name_or_id: str) -> Account | None:
    """The account with this name or id."""
    row = await connection.fetchrow(GET_ACCOUNT, name_or_id)
    return None if row is None else _account_from_row(row)


async def insert_key(connection: Connection, key: ApiKey) -> ApiKey:
    """Store a new key; the database's clock says when."""
    scopes = sorted(scope.value for scope in key.scopes)
    row = await connection.fetchrow(
        INSERT_KEY,
        key.account_id,
        key.client_id,
        key.name,
        scopes,
        key.secret_hash,
        key.pinned_version,
        key.requests_per_minute,
    )
    return _key_from_row(row)


async def all_keys(connection: Connection) -> list[ApiKey]:
    """Every key of every account, oldest first."""
    return [_key_from_row(row) for row in await connection.fetch(LIST_KEYS)]


async def revoke_key(connection: Connection, client_id: UUID) -> ApiKey | None:
    """Revoke this key; the first revocation's time stays. None where there is no such key."""
    row = await connection.fetchrow(REVOKE_KEY, client_id)
    return None if row is None else _key_from_row(row)


def _account_from_row(row: Record) -> Account:
    return Account(row["id"], row["name"], row["created_at"])


def _key_from_row(row: Record) -> ApiKey:
    return ApiKey(
        client_id=row["client_id"],
        account_id=row["account_id"],
        name=row["name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        secret_hash=row["secret_hash"],
        created_at=row["created_at"],
        pinned_version=row["pinned_version"],
        revoked_at=row["revoked_at"],
        requests_per_minute=row["requests_per_minute"],
    )
