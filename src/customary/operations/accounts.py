"""Making accounts and API keys, for an operator on the command line."""

import hashlib
import secrets
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
from uuid_utils.compat import uuid7

from customary.domain.account import Account, ApiKey, Scope
from customary.errors import Conflict, Invalid, SetupError
from customary.storage import accounts
from customary.storage.database import Connection

SECRET_PREFIX = "csk_"  # noqa: S105 - it marks a secret in a leaked file, it is none
_SECRET_BYTES = 32
_MAXIMUM_NAME_LENGTH = 255


async def create_account(connection: Connection, name: str) -> Account:
    """Make a tenant. Raises `Invalid` for an empty or too long name, `Conflict` for a name that is taken."""
    if not name.strip() or len(name) > _MAXIMUM_NAME_LENGTH:
        message = f"An account needs a name of 1 to {_MAXIMUM_NAME_LENGTH} characters."
        raise Invalid(message)
    try:
        return await accounts.create(connection, uuid7(), name)
    except asyncpg.UniqueViolationError:
        message = f"There is an account named '{name}' already."
        raise Conflict(message) from None


async def find_account(owner: Connection, name_or_id: str) -> Account:
    """The account with this name or id. Raises `SetupError`, saying where to look, where there is none."""
    found = await accounts.get(owner, name_or_id)
    if found is None:
        message = f"There is no account '{name_or_id}'. See: customary accounts list"
        raise SetupError(message)
    return found


async def create_key(
    connection: Connection,
    account_id: UUID,
    *,
    name: str,
    scopes: frozenset[Scope],
    pinned_version: str | None,
    requests_per_minute: int | None = None,
) -> tuple[ApiKey, str]:
    """Make an API key; answers it with its secret, which is kept nowhere and cannot be shown again."""
    secret = SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    key = ApiKey(
        client_id=uuid7(),
        account_id=account_id,
        name=name,
        scopes=scopes,
        secret_hash=hash_secret(secret),
        created_at=datetime.now(UTC),
        pinned_version=pinned_version,
        requests_per_minute=requests_per_minute,
    )
    return await accounts.insert_key(connection, key), secret


def hash_secret(secret: str) -> bytes:
    """What is kept of a secret. It has 256 random bits, so a fast hash is as good as a slow one."""
    return hashlib.sha256(secret.encode()).digest()
