"""If-Match and If-None-Match: a write goes through only if RFC 9110 says that the tag matches."""

import re

from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target, refused

from customary.api import conditions
from customary.errors import PreconditionFailed

_BODY = b'{"id":1}'
_TAG = conditions.etag(_BODY)
# RFC 9110, sections 5.6.1 and 8.8.3: a list of tags, in which empty elements are passed over.
_ENTITY_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_COMMA = re.compile(rb"[ \t]*(?:,[ \t]*)+")


def check(data: bytes) -> None:
    """Ask for a match with headers in which these bytes put the right tag here and there."""
    draw = Draw(data)
    count = 1 + draw.number(2)
    values = [draw.rest() if count == 1 else draw.take(draw.byte()) for _ in range(count)]
    values = [value.replace(b"$", _TAG) for value in values]
    failure = refused(lambda: conditions.require_match(values, _BODY))
    tags = _tags(values)
    if tags is None:
        assert isinstance(failure, PreconditionFailed), f"{values!r} is no condition, and let a write through"
        assert not conditions.is_known(values, _TAG), f"{values!r} is no condition, and kept an answer back"
        return
    strong = tags == [(False, b"*")] or (False, _TAG) in tags
    weak = tags == [(False, b"*")] or _TAG in {tag for _, tag in tags}
    assert (failure is None) is strong, f"{values!r}"
    assert failure is None or isinstance(failure, PreconditionFailed)
    assert conditions.is_known(values, _TAG) is weak, f"{values!r}"


def _tags(values: list[bytes]) -> list[tuple[bool, bytes]] | None:
    """Each tag and whether it is weak; None for what is no list of tags and no star."""
    text = b",".join(values).strip(b" \t")
    if text == b"*":
        return [(False, b"*")]
    found: list[tuple[bool, bytes]] = []
    at = leading.end() if (leading := _COMMA.match(text)) else 0
    while at < len(text):
        tag = _ENTITY_TAG.match(text, at)
        if tag is None:
            return None
        found.append((tag[1] is not None, tag[2]))
        comma = _COMMA.match(text, tag.end())
        if comma is None and tag.end() < len(text):
            return None
        at = comma.end() if comma else len(text)
    return found or None


_SEEDS = (
    b"",
    b"\0*",
    b"\0$",
    b"\0W/$",
    b"\0w/$",
    b'\0"other", $',
    b'\0, W/"other" ,,$ ,',
    b'\0"a$',
    b'\0$"a"',
    b"\0*, $",
    b"\0x$",
    b'\0"a b", $',
    b'\x01\x03"a"\x01$',
    b"\x01\x01*\x01*",
    b'\0"""""""',
)
_WORDS = (b"$", b"W/", b"*", b",", b'"', b'"other"', b" ", b"\t", b"\x0b", b"\xff", b"\\")
TARGET = Target(name="conditions", check=check, seeds=_SEEDS, words=_WORDS)
