"""Bytes in: refuses by size, depth and encoding before anything parses them.

Parsers answer these bytes with whatever they have for a defect, or pass them on to a database that cannot store them.
"""

import json
import re
from typing import Any, cast

import msgspec

from customary.api.http import Request
from customary.errors import Invalid, PayloadTooLarge, Problem, UnsupportedMediaType

MAXIMUM_BODY_BYTES = 1024 * 1024
MAXIMUM_DEPTH = 64

JSON_TYPES = (b"application/json",)
MERGE_PATCH_TYPES = (*JSON_TYPES, b"application/merge-patch+json")

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_decode = msgspec.json.Decoder().decode


async def read_body(request: Request, media_types: tuple[bytes, ...] = JSON_TYPES) -> bytes:
    """The bytes of a body that says it is JSON of one of these types.

    Raises `UnsupportedMediaType` or `PayloadTooLarge`.
    """
    _require_json(request, media_types)
    return await _read_chunks(request)


def parse_json(body: bytes) -> object:
    """The JSON value in these bytes. Raises `Invalid` for what RFC 8259 or this service does not allow."""
    if not body:
        raise _invalid("empty", "The body is empty; a JSON object was expected.")
    if body.count(b"{") + body.count(b"[") > MAXIMUM_DEPTH and _depth(body) > MAXIMUM_DEPTH:
        raise _invalid("depth", f"The JSON is nested more than {MAXIMUM_DEPTH} levels deep.")
    try:
        body.decode()
        value = _decode(body)
        json.loads(body, object_pairs_hook=_refuse_duplicates)
    except UnicodeDecodeError:
        raise _invalid("encoding", "The body is not UTF-8.") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise _invalid("json", f"The body is not JSON that can be read: {error}.") from None
    if b"\\u0000" in body and _has_nul(value):
        raise _invalid("nul", "The body contains the character U+0000, which cannot be stored.")
    return value


def _require_json(request: Request, media_types: tuple[bytes, ...]) -> None:
    if request.header(b"content-encoding") not in {None, b"identity"}:
        message = "Compressed request bodies are not read. Send the body as it is, without Content-Encoding."
        raise UnsupportedMediaType(message)
    media_type, _, parameters = (request.header(b"content-type") or b"").partition(b";")
    charset = parameters.strip().lower().replace(b'"', b"")
    if media_type.strip().lower() not in media_types or charset not in {b"", b"charset=utf-8"}:
        named = " or ".join(each.decode() for each in media_types)
        message = f"The body must be JSON in UTF-8: send it with the header Content-Type: {named}."
        raise UnsupportedMediaType(message)


async def _read_chunks(request: Request) -> bytes:
    declared = request.header(b"content-length")
    if declared is not None and declared.isdigit() and int(declared[:20]) > MAXIMUM_BODY_BYTES:
        raise _too_large()
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


def _depth(body: bytes) -> int:
    depth = deepest = 0
    for byte in _STRING.sub(b"", body):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    """Two values for one key: which one a parser keeps is an accident, so neither is taken."""
    names = {name for name, _ in pairs}
    if len(names) < len(pairs):
        message = "a key stands twice in the same object"
        raise ValueError(message)


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, list):
        return any(map(_has_nul, cast("list[object]", value)))
    if isinstance(value, dict):
        return any(_has_nul(key) or _has_nul(item) for key, item in cast("dict[str, object]", value).items())
    return False


def _invalid(code: str, message: str) -> Invalid:
    return Invalid(message, (Problem("", code, message),))
