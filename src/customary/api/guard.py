"""Bytes in: refuses by size, depth and encoding before anything parses them.

Parsers answer these bytes with whatever they have for a defect, or pass them on to a database that cannot store them.
"""

import json
from collections import Counter
from math import isinf
from typing import Any, TypeAlias

import msgspec

from customary.api.http import Request
from customary.crashpoint import crashpoint
from customary.errors import Invalid, PayloadTooLarge, Problem, UnsupportedMediaType

MAXIMUM_BODY_BYTES = 1024 * 1024
MAXIMUM_DEPTH = 64
MAXIMUM_VALUES = 20_000

JSON_TYPES = (b"application/json",)
MERGE_PATCH_TYPES = (*JSON_TYPES, b"application/merge-patch+json")

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_CONTAINERS = (dict, list)
_SHOWN_KEYS = 3
_SHOWN_CHARACTERS = 100
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _fraction(text: str) -> float:
    """Python's own reading: msgspec's takes up to 60 microseconds for a number, and a body has room for thousands."""
    number = float(text)
    if isinf(number):
        message = "a number is out of range"
        raise ValueError(message)
    return number


_decode = msgspec.json.Decoder(float_hook=_fraction).decode
_encode = msgspec.json.Encoder().encode


async def read_body(request: Request, media_types: tuple[bytes, ...] = JSON_TYPES) -> bytes:
    """The bytes of a body that says it is JSON of one of these types.

    Raises `UnsupportedMediaType`, `PayloadTooLarge`, and what the request's `receive` raises.
    """
    _require_json(request, media_types)
    return await _read_chunks(request)


def parse_json(body: bytes) -> object:
    """The JSON value in these bytes. Raises `Invalid` for what RFC 8259 or this service does not allow.

    It blocks whoever else this process serves, so its time is bounded by a few passes over the bytes, and by the
    number of values.
    """
    if not body:
        raise _invalid("empty", "The body is empty; a JSON object was expected.")
    try:
        body.decode()
    except UnicodeDecodeError:
        raise _invalid("encoding", "The body is not UTF-8.") from None
    skeleton = _skeleton(body)
    _require_bounds(skeleton)
    try:
        value: Json = _decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        raise _invalid("json", f"The body is not JSON that can be read: {error}.") from None
    if isinstance(value, dict | list) and _may_repeat_keys(body, value) and _keys(value) != skeleton.count(b":"):
        named = ", ".join(f"'{key[:_SHOWN_CHARACTERS]}'" for key in _repeated_keys(body))
        raise _invalid("json", f"The JSON has a key that stands twice in the same object: {named}. Send each once.")
    if b"\\u0000" in body and _has_nul(value):
        raise _invalid("nul", "The body contains the character U+0000, which cannot be stored.")
    return value


def _require_json(request: Request, media_types: tuple[bytes, ...]) -> None:
    if any(coding.lower() != b"identity" for coding in request.headers.get(b"content-encoding", ())):
        message = "Compressed request bodies are not read. Send the body as it is, without Content-Encoding."
        raise UnsupportedMediaType(message)
    given = request.headers.get(b"content-type", [])
    media_type, _, parameters = (given[0] if len(given) == 1 else b"").partition(b";")
    charset = parameters.strip().lower().replace(b'"', b"")
    if media_type.strip().lower() not in media_types or charset not in {b"", b"charset=utf-8"}:
        named = " or ".join(each.decode() for each in media_types)
        message = f"The body must be JSON in UTF-8: send it with the header Content-Type: {named}."
        raise UnsupportedMediaType(message)


async def _read_chunks(request: Request) -> bytes:
    declared = request.header(b"content-length")
    if declared is not None and declared.isdigit() and int(declared[:20]) > MAXIMUM_BODY_BYTES:
        raise _too_large()
    crashpoint("request.before_body")
    chunks: list[bytes] = []
    size, is_complete = 0, False
    while not is_complete:
        message = await request.receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > MAXIMUM_BODY_BYTES:
            raise _too_large()
        chunks.append(chunk)
        is_complete = not message.get("more_body", False)
    return b"".join(chunks)


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than {MAXIMUM_BODY_BYTES} bytes, the most that is read.")


def _skeleton(body: bytes) -> bytes:
    """The JSON without its texts, as far as a parser comes: behind its first mistake it may be anything.

    Raises `Invalid` for more texts than values may be.
    """
    if b"\\" in body:
        # First the pairs of backslashes, so that one that is left belongs to the quote behind it.
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if body.count(b'"') > 4 * MAXIMUM_VALUES:  # each value with a key, each of the two with two quotes
        raise _too_many()
    return b"".join(body.split(b'"')[::2])


def _require_bounds(skeleton: bytes) -> None:
    """Raise `Invalid` for too many values and for too deep a nesting."""
    opened = skeleton.count(b"[") + skeleton.count(b"{")
    if opened + skeleton.count(b",") > MAXIMUM_VALUES:
        raise _too_many()
    if opened > MAXIMUM_DEPTH and _is_too_deep(skeleton):
        raise _invalid("depth", f"The JSON is nested more than {MAXIMUM_DEPTH} levels deep.")


def _is_too_deep(skeleton: bytes) -> bool:
    depth = 0
    for bracket in skeleton.translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if not 0 <= depth <= MAXIMUM_DEPTH:
            return depth > 0
    return False


def _may_repeat_keys(body: bytes, value: Json) -> bool:
    """Whether a key may be missing in this value of a body. Counting quotes takes a tenth of counting keys.

    Without a backslash no text has a quote in it, so as many quotes are as many texts: none was left out.
    """
    return b"\\" in body or body.count(b'"') != _encode(value).count(b'"')


def _keys(value: dict[str, Json] | list[Json]) -> int:
    """How many keys the objects in this value have. A key that stood twice is there once."""
    count, waiting = 0, [value]
    for each in waiting:  # which grows meanwhile
        members = each
        if isinstance(each, dict):
            count += len(each)
            members = each.values()
        waiting.extend([member for member in members if isinstance(member, _CONTAINERS)])
    return count


def _repeated_keys(body: bytes) -> list[str]:
    """The keys that stand twice. Which of their values a parser keeps is an accident, so neither is taken."""
    repeated: list[str] = []

    def note(pairs: list[tuple[str, Any]]) -> None:
        repeated.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)

    json.loads(body, object_pairs_hook=note)
    return repeated[:_SHOWN_KEYS]


def _has_nul(value: Json) -> bool:
    match value:
        case str():
            return "\0" in value
        case list():
            return any(map(_has_nul, value))
        case dict():
            return any(map(_has_nul, value)) or any(map(_has_nul, value.values()))
        case _:
            return False


def _too_many() -> Invalid:
    return _invalid("values", f"The JSON has more than {MAXIMUM_VALUES} values, the most that are read.")


def _invalid(code: str, message: str) -> Invalid:
    return Invalid(message, (Problem("", code, message),))
