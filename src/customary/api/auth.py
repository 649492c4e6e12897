"""Who is calling: Basic authentication (RFC 7617) with a key's client id and secret.

Whether a client id is known or not, a wrong secret costs the same work and gets the same answer. What was found right
is remembered for half a second, so that a busy key does not ask the database with every request and a revoked one is
refused everywhere within a second.
"""

import hmac
import secrets
import time
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Sequence
from hashlib import blake2b
from ipaddress import IPv6Address
from typing import NoReturn
from uuid import UUID

from msgspec import Struct

from customary.api.client_address import client_address
from customary.api.http import Request
from customary.api.limits import Decision, Limiter
from customary.connectors.addresses import Address, Network, is_listed, parse_networks
from customary.domain.account import ApiKey, ApiSecret, KeyState, Scope, state_of
from customary.domain.values import parse_id
from customary.errors import Forbidden, RateLimited, Unauthorized, Undecryptable
from customary.operations.key_uses import KeyUses
from customary.storage import api_keys
from customary.storage.api_keys import Found
from customary.storage.database import Database

REMEMBERED_SECONDS = 0.5
MOST_REMEMBERED = 4_096
_MAXIMUM_HEADER_BYTES = 1024
_HALF_IPV6_BYTES = 8
_MARK_BYTES = 32
# Compared where the key of a secret is missing: it equals no hash, whatever stands in the database.
_NO_HASH = secrets.token_bytes(32)


class Credentials(Struct, frozen=True):
    """What a request says of its sender. `header` is None where it is missing, repeated or too long.

    `mark` stands for the header among those that were right, so that neither it nor the secret in it is kept.
    """

    header: bytes | None
    mark: bytes
    address: Address | None

    @property
    def place(self) -> bytes:
        """Where it comes from, as failures are counted: of IPv6 the network that one subscriber has."""
        if self.address is None:
            return b""
        return self.address.packed[: _HALF_IPV6_BYTES if isinstance(self.address, IPv6Address) else None]


class _Remembered(Struct, frozen=True):
    """A key that was opened by one secret: until when that need not be looked up again, by the monotonic clock."""

    key: ApiKey
    networks: tuple[Network, ...]
    until: float


class Authenticator:
    """Lets in whoever has a key, for one process."""

    def __init__(
        self,
        database: Database,
        limiter: Limiter,
        uses: KeyUses,
        *,
        trusted_proxies: Sequence[Network] = (),
        remembered_seconds: float = REMEMBERED_SECONDS,
    ) -> None:
        self._database, self._limiter, self._uses = database, limiter, uses
        self._trusted = trusted_proxies
        self._remembered_seconds = remembered_seconds
        self._remembered: dict[bytes, _Remembered] = {}
        self._marking_key = secrets.token_bytes(_MARK_BYTES)

    def credentials(self, request: Request) -> Credentials:
        """What this request says of its sender."""
        header = _only(request.headers.get(b"authorization", ()))
        mark = blake2b(header or b"", digest_size=_MARK_BYTES, key=self._marking_key).digest()
        return Credentials(header, mark, client_address(request, self._trusted))

    def too_many_failures(self, credentials: Credentials) -> Decision | None:
        """What is left to somebody who sent too many wrong secrets for this client id; None as long as there is room.

        Counted for each client id and address, so that nobody elsewhere is shut out; and a secret that was right in
        this process before is not stopped by what somebody else sends from the same place.
        """
        if credentials.mark in self._remembered:
            return None
        client_id, _ = _basic(credentials.header)
        if client_id is None:
            return None
        decision = self._limiter.failures(client_id, credentials.place)
        return None if decision.remaining >= 0 else decision

    async def authenticate(self, credentials: Credentials) -> ApiKey:
        """The key that these credentials open.

        Raises `Unauthorized`, with the same answer whatever is wrong: the header, the id, the secret, its time, or the
        address that it comes from. Raises `Undecryptable` instead while there are secrets that cannot be checked here.
        """
        remembered = self._remembered.get(credentials.mark)
        if remembered is None or remembered.until <= time.monotonic():
            remembered = await self._look_up(credentials)
        if remembered.networks and not _is_in(credentials.address, remembered.networks):
            self._refuse(remembered.key.client_id, credentials)
        return remembered.key

    async def _look_up(self, credentials: Credentials) -> _Remembered:
        client_id, text = _basic(credentials.header)
        if client_id is None:
            raise Unauthorized(_REFUSAL)
        digest = api_keys.digest(text)
        asked_at = time.monotonic()
        async with self._database.without_tenant() as connection:
            found = await api_keys.find(connection, client_id)
        secret = self._matching(found, digest)
        self._remembered.pop(credentials.mark, None)
        if secret is None or not found.is_known or state_of(found.key, now=found.now) is not KeyState.ACTIVE:
            self._refuse(client_id, credentials)
        self._uses.note(found, secret, digest)
        networks = parse_networks(",".join(found.key.allowed_addresses))
        ends = [end for end in (found.key.expires_at, secret.expires_at) if end is not None]
        seconds = min([self._remembered_seconds, *((end - found.now).total_seconds() for end in ends)])
        remembered = _Remembered(found.key, networks, asked_at + seconds)
        self._remember(credentials.mark, remembered)
        return remembered

    def _matching(self, found: Found, digest: bytes) -> ApiSecret | None:
        """The secret of this key that was presented. Where there is no such key, the work is that for one secret."""
        presented: dict[str | None, bytes] = {None: digest, **self._database.keys.pepper_with_each(digest)}
        matching, is_unclear = None, any(each.key_id not in presented for each in found.secrets)
        for secret in found.secrets:
            if hmac.compare_digest(presented.get(secret.key_id, _NO_HASH), secret.hash):
                matching = secret
        if matching is None and is_unclear and found.is_known:
            self._uses.lacks_keys = True
        return matching

    def _remember(self, mark: bytes, remembered: _Remembered) -> None:
        """Keep it behind all others. An old one stays there, as a secret that was right once, until there are many."""
        if len(self._remembered) >= MOST_REMEMBERED:
            del self._remembered[next(iter(self._remembered))]
        self._remembered[mark] = remembered

    def _refuse(self, client_id: UUID, credentials: Credentials) -> NoReturn:
        self._limiter.fail(client_id, credentials.place)
        if self._uses.lacks_keys:
            raise Undecryptable(_UNDECIDED)
        raise Unauthorized(_REFUSAL)


_REFUSAL = (
    "The credentials are missing or wrong. Send the client id and the secret of an API key by Basic authentication."
)
_UNDECIDED = (
    "These credentials cannot be checked now: this service was not given one of the keys that secrets are hashed with."
    " Its operator has to add that key again."
)


def put_off(decision: Decision) -> NoReturn:
    """Raise `RateLimited` for somebody who sent too many wrong secrets."""
    message = (
        f"More than {decision.limit} wrong secrets for this client id came from your address within a minute."
        f" Wait {decision.reset_seconds} s."
    )
    raise RateLimited(message, decision.reset_seconds)


def require_scope(key: ApiKey, scope: Scope) -> None:
    """Raise `Forbidden` for a key that may not do this."""
    if scope not in key.scopes:
        message = f"This API key has no {scope} scope. Use a key that has it."
        raise Forbidden(message)


def _is_in(address: Address | None, networks: Sequence[Network]) -> bool:
    return address is not None and is_listed(address, networks)


def _only(headers: Sequence[bytes]) -> bytes | None:
    """The header, where there is one of a length that is read."""
    return headers[0] if len(headers) == 1 and len(headers[0]) <= _MAXIMUM_HEADER_BYTES else None


def _basic(header: bytes | None) -> tuple[UUID | None, str]:
    """The client id and secret; no id where there is no header or one that is malformed."""
    scheme, _, encoded = (header or b"").partition(b" ")
    if scheme.lower() != b"basic":
        return None, ""
    try:
        name, colon, secret = b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (Base64Error, ValueError):
        return None, ""
    return (parse_id(name) if colon else None), secret
