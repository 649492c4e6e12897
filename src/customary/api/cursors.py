"""Page cursors: opaque to clients, signed, good only for the list that made them, and for thirty days."""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

import msgspec

from customary.domain.page import Position
from customary.errors import Invalid, Problem

GOOD_FOR_DAYS = 30
_SIGNATURE_BYTES = 16

# The day it was written, counted from 1970, and the position.
_Payload: TypeAlias = tuple[int, str | None, UUID, bool]
_decode = msgspec.json.Decoder(_Payload).decode


class Cursors(msgspec.Struct, frozen=True):
    """Writes and reads the cursors of one list: `list_key` names tenant, list, filters and order.

    `today` is counted in days from 1970: whole days, so that the same page has the same cursors all day long.
    """

    secret: bytes
    list_key: bytes
    value_type: type[datetime] | type[str]
    today: int

    def write(self, position: Position) -> str:
        """The cursor for this position."""
        payload = msgspec.json.encode((self.today, position.value, position.id, position.is_past))
        return _text(self._sign(payload) + payload)

    def read(self, name: str, text: str) -> Position:
        """The position in the cursor that a caller sent as parameter `name`.

        Raises `Invalid` for one that is malformed, too old, or was made for another sort, filter or tenant; which of
        them is not told apart, because all that a caller can do is start again.
        """
        position = self._position(text)
        if position is None:
            message = (
                f"The cursor in '{name}' was not made for this list, or is older than {GOOD_FOR_DAYS} days."
                " Start again without it."
            )
            raise Invalid(message, (Problem(name, "cursor", message),))
        return position

    def _position(self, text: str) -> Position | None:
        """What a cursor says; None for one that this list did not write, to the letter, or did long ago.

        One of tomorrow is as good as any: another machine's clock may be ahead.
        """
        try:
            raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        except (Base64Error, ValueError):
            return None
        signature, payload = raw[:_SIGNATURE_BYTES], raw[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._sign(payload)) or _text(raw) != text:
            return None
        try:
            day, value, row_id, is_past = _decode(payload)
            position = Position(None if value is None else msgspec.convert(value, self.value_type), row_id, is_past)
        except (msgspec.MsgspecError, ValueError):  # signed here by a release that wrote cursors in another form
            return None
        return position if self.today - day <= GOOD_FOR_DAYS else None

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self.secret, self.list_key + b"\0" + payload, "sha256")[:_SIGNATURE_BYTES]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
