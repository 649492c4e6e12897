"""The header of Basic authentication: what RFC 7617 reads in it is read, and everything else is nobody."""

import binascii
import re
from uuid import UUID

from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target

from customary.api import auth

_LONGEST = 1024
# RFC 7617 has spaces alone between the two; other white space around them makes nobody somebody else.
_HEADER = re.compile(rb"[bB][aA][sS][iI][cC] [ \t\n\r\x0b\x0c]*([A-Za-z0-9+/]+={0,2})[ \t\n\r\x0b\x0c]*")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def check(data: bytes) -> None:
    """Read headers as they are, or what these bytes put into a header of the right form."""
    draw = Draw(data)
    kind = draw.number(3)
    if kind == 0:
        headers = [draw.rest()]
    elif kind == 1:
        headers = [b"Basic " + binascii.b2a_base64(draw.rest(), newline=False)]
    else:
        count = draw.number(3)
        headers = [draw.take(draw.byte()) for _ in range(count)]
    found, secret = auth._basic(auth._only(headers))
    expected = _expected(headers)
    if expected is None:
        assert found is None, "somebody was recognised in a header that names nobody"
    else:
        assert (found, secret) == expected


def _expected(headers: list[bytes]) -> tuple[UUID, str] | None:
    if len(headers) != 1 or len(headers[0]) > _LONGEST:
        return None
    form = _HEADER.fullmatch(headers[0])
    if form is None:
        return None
    letters = form[1].rstrip(b"=")
    # Too much padding is passed over, as the library does; too little is not.
    if len(form[1]) < len(letters) + -len(letters) % 4:
        return None
    try:
        text = binascii.a2b_base64(letters + b"=" * (-len(letters) % 4)).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None
    name, colon, secret = text.partition(":")
    return (UUID(name), secret) if colon and _ID.fullmatch(name) else None


_ID_TEXT = b"01a1facc-35ad-7467-ab73-16626f891b76"
_HEADER_TEXT = b"Basic " + binascii.b2a_base64(_ID_TEXT + b":secret", newline=False)
_SEEDS = (
    b"",
    b"\x02\x02" + (bytes([len(_HEADER_TEXT)]) + _HEADER_TEXT) * 2,
    b"\x02\x01" + bytes([len(_HEADER_TEXT)]) + _HEADER_TEXT,
    b"\x01" + _ID_TEXT,
    b"\0" + _HEADER_TEXT,
    b"\0" + _HEADER_TEXT.replace(b"Basic ", b"basic  ") + b"\t",
    b"\0Bearer token",
    b"\0Basic " + b"A" * 2000,
    b"\x01" + _ID_TEXT + b":secret",
    b"\x01" + _ID_TEXT.upper() + b":a:b:\xc3\xbc",
    b"\x01{" + _ID_TEXT + b"}:",
    b"\x01" + _ID_TEXT + b":\xff",
    b"\x02\x02\x09Basic QTpC\x09Basic QTpC",
    b"\x02\x01\x0aBasic QTpC",
)
_WORDS = (b"=", b"==", b":", b"Basic ", b" ", b"\t", b"\x0b", b"\xa0", b"-", b"\0", b"urn:uuid:", b"\xef\xbc\x90")
TARGET = Target(name="credentials", check=check, seeds=_SEEDS, words=_WORDS)
