"""Who is calling: Basic authentication (RFC 7617) with a key's client id and secret."""

import hmac
from base64 import b64decode
from binascii import Error as Base64Error
from uuid import UUID

from customary.domain.account import ApiKey, Scope
from customary.domain.values import parse_id
from customary.errors import Forbidden, Unauthorized
from customary.operations.accounts import hash_secret
from customary.storage import accounts
from customary.storage.database import Database

_MAXIMUM_HEADER_BYTES = 1024
# Compared with where there is no such key, so that an unknown id takes as long as a wrong secret.
_NOBODYS_HASH = hash_secret("")


async def authenticate(database: Database, headers: list[bytes] | None) -> ApiKey:
    """The key whose credentials the request carries.

    Raises `Unauthorized`, with the same answer whether the header, the id or the secret is wrong.
    """
    client_id, secret = _credentials(headers)
    key = None
    if client_id is not None:
        async with database.without_tenant() as connection:
            key = await accounts.find_key(connection, client_id)
    expected = key.secret_hash if key else _NOBODYS_HASH
    is_right = hmac.compare_digest(hash_secret(secret), expected)
    if key is None or not is_right or key.revoked_at is not None:
        message = (
            "The credentials are missing or wrong. Send the client id and the secret of an API key"
            " by Basic authentication."
        )
        raise Unauthorized(message)
    return key


def require_scope(key: ApiKey, scope: Scope) -> None:
    """Raise `Forbidden` for a key that may not do this."""
    if scope not in key.scopes:
        message = f"This API key has no {scope} scope. Use a key that has it."
        raise Forbidden(message)


def _credentials(headers: list[bytes] | None) -> tuple[UUID | None, str]:
    """The client id and secret; no id where the header is missing, repeated or malformed."""
    if headers is None or len(headers) != 1 or len(headers[0]) > _MAXIMUM_HEADER_BYTES:
        return None, ""
    scheme, _, encoded = headers[0].partition(b" ")
    if scheme.lower() != b"basic":
        return None, ""
    try:
        name, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (Base64Error, ValueError):
        return None, ""
    return (parse_id(name) if colon else None), secret
