"""Page cursors: opaque to clients, signed, and good only for the list that made them."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import datetime
from uuid import UUID

import msgspec

from customary.domain.page import Position
from customary.errors import Invalid, Problem

_SIGNATURE_BYTES = 16


class Cursors(msgspec.Struct, frozen=True):
    """Writes and reads the cursors of one list: `list_key` names tenant, list, filters and order."""

    secret: bytes
    list_key: bytes
    value_type: type[datetime] | type[str]

    def write(self, position: Position) -> str:
        """The cursor for this position."""
        payload = msgspec.json.encode((position.value, position.id, position.is_past))
        return _text(self._sign(payload) + payload)

    def read(self, name: str, text: str) -> Position:
        """The position in the cursor that a caller sent as parameter `name`.

        Raises `Invalid` for one that is malformed or was made for another sort, filter or tenant; which of them is
        not told apart, because all that a caller can do is start again.
        """
        payload = self._payload(text)
        if payload is None:
            message = f"The cursor in '{name}' was not made for this list. Start again without it."
            raise Invalid(message, (Problem(name, "cursor", message),))
        value, row_id, is_past = msgspec.json.decode(payload, type=tuple[str | None, UUID, bool])
        return Position(None if value is None else msgspec.convert(value, self.value_type), row_id, is_past)

    def _payload(self, text: str) -> bytes | None:
        """What a cursor says; None for one that this list did not write, to the letter."""
        try:
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (Base64Error, ValueError):
            return None
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        is_ours = hmac.compare_digest(signature, self._sign(payload)) and _text(raw) == text
        return payload if is_ours else None

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self.secret, self.list_key + b"\0" + payload, "sha256")[:_SIGNATURE_BYTES]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
