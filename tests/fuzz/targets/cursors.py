"""Page cursors: each reads what it wrote, to the letter and in its time; every other text is refused like the next."""

import hmac
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from uuid import UUID

from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target, refused

from customary.api.cursors import GOOD_FOR_DAYS, Cursors
from customary.domain.page import Position
from customary.errors import Invalid

_SECRETS = (b"secret", b"secreu", b"old secret")
_LISTS = (b'["a","customers",true]', b'["a","customers",false]', b'["b","customers",true]')
_TODAY = 20_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# More than any text that is no time, up to the year 9999.
_MOST_MICROSECONDS = 253_370_764_800_000_000


def check(data: bytes) -> None:
    """Read a text, a changed cursor, another list's cursor, or a payload that another release may have signed."""
    draw = Draw(data)
    kind = draw.number(3)
    if kind == 0:
        _refuses(_cursors(draw, 0, 0, 0), draw.rest().decode("utf-8", "surrogateescape"))
    elif kind == 1:
        _reads_its_own_alone(draw)
    elif kind == 2:
        _reads_only_its_list(draw)
    else:
        payload = draw.rest()
        signature = hmac.digest(_SECRETS[0], _LISTS[0] + b"\0" + payload, "sha256")[:16]
        text = urlsafe_b64encode(signature + payload).decode().rstrip("=")
        refused(lambda: _cursors(Draw(data[-1:]), 0, 0, 0).read("after", text))


def _cursors(draw: Draw, secret: int, name: int, days: int) -> Cursors:
    return Cursors(_SECRETS[secret], _LISTS[name], datetime if draw.one_in(2) else str, _TODAY + days)


def _position(draw: Draw, value_type: type) -> Position:
    if draw.one_in(5):
        value = None
    elif value_type is str:
        value = draw.text()
    else:
        value = _EPOCH + timedelta(microseconds=draw.number(_MOST_MICROSECONDS))
    return Position(value, UUID(bytes=draw.take(16).rjust(16, b"\0")), draw.one_in(3))


def _reads_its_own_alone(draw: Draw) -> None:
    cursors = _cursors(draw, 0, 0, 0)
    position = _position(draw, cursors.value_type)
    text = cursors.write(position)
    assert cursors.read("after", text) == position
    at = draw.number(len(text))
    changed = text[:at] + draw.text(3) + text[at + draw.number(3) :]
    if changed != text:
        _refuses(cursors, changed)


def _reads_only_its_list(draw: Draw) -> None:
    secret, name, days = draw.number(len(_SECRETS) - 1), draw.number(len(_LISTS) - 1), draw.number(80) - 40
    cursors = _cursors(draw, 0, 0, 0)
    position = _position(draw, cursors.value_type)
    text = Cursors(_SECRETS[secret], _LISTS[name], cursors.value_type, _TODAY - days).write(position)
    if secret == name == 0 and days <= GOOD_FOR_DAYS:
        assert cursors.read("before", text) == position
    else:
        _refuses(cursors, text)


def _refuses(cursors: Cursors, text: str) -> None:
    failure = refused(lambda: cursors.read("before", text))
    assert isinstance(failure, Invalid), "a cursor was taken that was never written"
    assert [(each.key, each.code) for each in failure.problems] == [("before", "cursor")]


_SEEDS = (
    b"",
    b"\0MDE4NDUyNjYtNmQ2NC03N2M4LTlhZGYtNDQ4N2Q5NGQxNDU3",
    b"\0\x01" + b"A" * 43,
    b"\x01\0\0\x06M\xc3\xbcller" + bytes(range(16)) + b"\xff\x05\x01A\x01",
    b"\x01\xff\0" + bytes(8) + bytes(range(16)) + b"\0\x11\x01=\0",
    b"\x01\0\xff" + bytes(range(16)) + b"\0\x11\x01=\0",
    b"\x02\0\0\x28\0\0\x05value" + bytes(16),
    b"\x02\0\0\x46\0\0\x05value" + bytes(16),
    b"\x02\0\0\x47\0\0\x05value" + bytes(16),
    b"\x02\x01\0\x28\0\0\x05value" + bytes(16),
    b"\x02\0\x02\x10\0\0\x05value" + bytes(16),
    b'\x03[20000,"a","00000000-0000-0000-0000-000000000001",false]',
    b'\x03[20000,"2024-01-01T00:00:00Z","00000000-0000-0000-0000-000000000001",false]\x01',
)
_WORDS = (b"=", b"==", b"-", b"_", b"AAAA", b"null", b"\xff", b"9" * 30, b"false", b'["')
TARGET = Target(name="cursors", check=check, seeds=_SEEDS, words=_WORDS)
