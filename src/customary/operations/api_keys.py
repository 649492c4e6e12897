"""Making API keys and replacing their secrets, for an operator on the command line."""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec import Struct

from customary.domain import api_secret
from customary.domain.account import ApiKey, KeyState, Scope, state_of
from customary.domain.values import parse_id
from customary.errors import Conflict, Invalid, SetupError
from customary.storage import api_keys
from customary.storage.database import Connection
from customary.storage.secret_keys import KeyRing
from customary.uuid7 import uuid7

LONGEST_OVERLAP = timedelta(days=7)
MOST_ADDRESSES = 100


class Rotation(Struct, frozen=True):
    """A key with its new secret, which is kept nowhere and cannot be shown again, and until when the others open."""

    key: ApiKey
    secret: str
    overlap_ends_at: datetime


async def create_key(  # noqa: PLR0913 - a key has that many properties
    owner: Connection,
    account_id: UUID,
    *,
    ring: KeyRing,
    name: str,
    scopes: frozenset[Scope],
    pinned_version: str | None = None,
    requests_per_minute: int | None = None,
    expires_at: datetime | None = None,
    allowed_addresses: tuple[str, ...] = (),
) -> tuple[ApiKey, str]:
    """Make an API key; answers it with its secret, which is kept nowhere and cannot be shown again.

    `allowed_addresses` are networks as `ipaddress` writes them. Raises `Invalid` for an end that has passed or for too
    many networks, `Unavailable` without a key to hash the secret with.
    """
    if expires_at is not None and expires_at <= await owner.fetchval("SELECT now()"):
        message = f"A key cannot expire at {expires_at:%Y-%m-%d %H:%M %Z}: that has passed."
        raise Invalid(message)
    if len(allowed_addresses) > MOST_ADDRESSES:
        message = f"A key can be bound to at most {MOST_ADDRESSES} networks."
        raise Invalid(message)
    key = ApiKey(
        client_id=uuid7(),
        account_id=account_id,
        name=name,
        scopes=scopes,
        created_at=datetime.now(UTC),
        pinned_version=pinned_version,
        requests_per_minute=requests_per_minute,
        expires_at=expires_at,
        allowed_addresses=allowed_addresses,
    )
    secret = _new_secret()
    async with owner.transaction():
        return await api_keys.insert(owner, key, ring.pepper(api_keys.digest(secret))), secret


async def rotate_key(owner: Connection, client_id: str, overlap: timedelta, ring: KeyRing) -> Rotation:
    """Give a key a new secret; the others open beside it until the overlap ends, unless theirs ends sooner.

    `client_id` is as somebody wrote it. Raises `SetupError` where there is no such key, `Invalid` for an overlap that
    cannot be, `Conflict` for a key that opens nothing any more, `Unavailable` without a key to hash the secret with.
    """
    if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
        message = f"Two secrets can open beside each other for 0 to {LONGEST_OVERLAP.days} days."
        raise Invalid(message)
    secret = _new_secret()
    async with owner.transaction():
        parsed = parse_id(client_id)
        found = None if parsed is None else await api_keys.lock(owner, parsed)
        if found is None:
            raise _no_such_key(client_id)
        key, now = found
        state = state_of(key, now=now)
        if state is not KeyState.ACTIVE:
            message = f"The key {key.client_id} is {state} and stays so. Make another one: customary keys create"
            raise Conflict(message)
        hashed = ring.pepper(api_keys.digest(secret))
        await api_keys.rotate(owner, key, hashed, now=now, overlap=overlap)
    return Rotation(key, secret, now + overlap)


async def revoke_key(owner: Connection, client_id: str) -> ApiKey:
    """End a key and all of its secrets. Raises `SetupError` where there is no such key."""
    parsed = parse_id(client_id)
    key = None if parsed is None else await api_keys.revoke(owner, parsed)
    if key is None:
        raise _no_such_key(client_id)
    return key


def _new_secret() -> str:
    return api_secret.written(secrets.token_bytes(api_secret.RANDOM_BYTES))


def _no_such_key(client_id: str) -> SetupError:
    return SetupError(f"There is no key with the client id '{client_id}'. See: customary keys list")
