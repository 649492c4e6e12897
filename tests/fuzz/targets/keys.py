"""The header Idempotency-Key: 1 to 255 visible ASCII characters, in quotes or not, given once; or it is refused."""

import re

from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target, refused

from customary.api import writes
from customary.errors import Invalid

_PLAIN = re.compile(rb"[!-~]{1,255}")
_QUOTED = re.compile(rb'"([!-~]{1,255})"')


def check(data: bytes) -> None:
    """Read one header as it is, or several."""
    draw = Draw(data)
    count = draw.number(3)
    values = [draw.rest()] if count == 0 else [draw.take(draw.byte()) for _ in range(count)]
    found: list[str | None] = []
    failure = refused(lambda: found.append(writes.idempotency_key(values)))
    expected = _expected(values)
    if expected is None:
        assert isinstance(failure, Invalid), f"{values!r} is no key and was read as {found}"
        assert [each.key for each in failure.problems] == ["Idempotency-Key"]
    else:
        assert found == [expected.decode()], f"{values!r} was read as {found or failure}"


def _expected(values: list[bytes]) -> bytes | None:
    if len(values) != 1:
        return None
    text = values[0].strip(b" \t")  # what RFC 9110 has around a header's value, and no other white space
    quoted = _QUOTED.fullmatch(text)
    if quoted is not None:
        return quoted[1]
    return text if _PLAIN.fullmatch(text) and text != b'""' else None


_SEEDS = (
    b"",
    b"\0order-4711",
    b'\0"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    b"\0 x\t",
    b'\0""',
    b'\0"',
    b"\0\xa0key\x85",
    b"\0na\xefve key",
    b"\0" + b"x" * 255,
    b"\0" + b"x" * 256,
    b'\0"' + b"x" * 255 + b'"',
    b"\x02\x03one\x03two",
    b"\x01\x03one",
)
_WORDS = (b'"', b'""', b" ", b"\t", b"\x0b", b"\x1c", b"\x85", b"\xa0", b"\0", b"\\", b",", b"x" * 250)
TARGET = Target(name="keys", check=check, seeds=_SEEDS, words=_WORDS)
