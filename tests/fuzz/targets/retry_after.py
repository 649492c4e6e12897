"""Retry-After in the answer of a recipient: seconds, a date, or nothing; never more than a week and never a failure."""

import re
from datetime import UTC, datetime
from email.utils import format_datetime

from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target

from customary.connectors.webhook import LONGEST_RETRY_AFTER_SECONDS, retry_after

_NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
_SECONDS = re.compile(r"[0-9]+")
_MOST = 20_000_000_000
_MOST_DIGITS = 1000  # Python reads no more than a few thousand


def check(data: bytes) -> None:
    """Read a text as it is, a number of seconds, or a date in the form that RFC 9110 prefers."""
    draw = Draw(data)
    kind = draw.number(2)
    if kind == 0:
        text = draw.rest().decode("utf-8", "surrogateescape")
        _is_sound(text)
        if _SECONDS.fullmatch(text) and len(text) <= _MOST_DIGITS:
            _is(text, int(text))
    elif kind == 1:
        seconds = draw.number(_MOST)
        _is(f"{seconds:0{draw.number(40)}}", seconds)
    else:
        seconds = draw.number(_MOST)
        moment = datetime.fromtimestamp(seconds, UTC)
        _is(format_datetime(moment, usegmt=True), (moment - _NOW).total_seconds())


def _is(text: str, seconds: float) -> None:
    expected = min(seconds, LONGEST_RETRY_AFTER_SECONDS) if seconds > 0 else None
    assert retry_after(text, _NOW) == expected, text
    _is_sound(text)


def _is_sound(text: str) -> None:
    found = retry_after(text, _NOW)
    assert found is None or 0 < found <= LONGEST_RETRY_AFTER_SECONDS, text


_SEEDS = (
    b"",
    b"\x00120",
    b"\x000",
    b"\x00-1",
    b"\x001e9",
    b"\x00Wed, 21 Oct 2026 07:28:00 GMT",
    b"\x00Wednesday, 21-Oct-26 07:28:00 GMT",
    b"\x00Wed Oct 21 07:28:00 2026",
    b"\x00Fri, 31 Dec 9999 23:59:59 -2359",
    b"\x00Mon, 01 Jan 0001 00:00:00 +2359",
    "\x00١٢٣".encode(),
    b"\x00" + b"9" * 5000,
    b"\x01\0\0\0\x78\0\x05",
    b"\x02\0\x6a\0\0\0",
)
_WORDS = (b"GMT", b"+9999", b"-0000", b":", b",", b" ", b"99999", b"\xff", b"Feb 30", b"(", b"0", b"Oct", b"24:00:00")
TARGET = Target(name="retry_after", check=check, seeds=_SEEDS, words=_WORDS)
