"""Paths: each version finds the operation that is published under a path, with the values that stand in it."""

import re
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target, refused

from customary.api.endpoint import Endpoint
from customary.api.http import request_from
from customary.api.versions import LIVE
from customary.errors import MethodNotAllowed, NotFound

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "get", "")


async def _nothing() -> MutableMapping[str, Any]:
    message = "a path needs no body"
    raise AssertionError(message)


def check(data: bytes) -> None:
    """Look for a path of any bytes, or for a published one with values of any bytes."""
    draw = Draw(data)
    version = draw.choice(tuple(LIVE.values()))
    method = draw.choice(_METHODS)
    if draw.one_in(3):
        path = re.sub(r"\{\w+\}", "%", draw.choice(version.endpoints).path).encode()
        path = path.replace(b"%", draw.rest().replace(b"/", b"%2f"))
    else:
        path = draw.rest()
    scope = {"type": "http", "method": method, "raw_path": path, "path": "", "query_string": b"", "headers": []}
    request = request_from(scope, _nothing)
    assert list(request.segments) == _segments(path)
    found: list[tuple[Endpoint, dict[str, str]]] = []
    failure = refused(lambda: found.append(version.router.find(method, request.segments)))
    expected = [each for each in version.endpoints if _fits(each.path, request.segments)]
    if not found:
        assert isinstance(failure, MethodNotAllowed if expected else NotFound), path
        return
    endpoint, values = found[0]
    assert endpoint in expected
    assert endpoint.method == method
    assert endpoint.path.strip("/").format(**values) == "/".join(request.segments)


def _segments(path: bytes) -> list[str]:
    """What stands between the slashes; nothing for what is no text that can be stored."""
    found: list[str] = []
    for part in path.split(b"?")[0].split(b"/")[1:]:
        text = unquote_to_bytes(part)
        try:
            found.append("" if b"\0" in text else text.decode("utf-8"))
        except UnicodeDecodeError:
            found.append("")
    return found


def _fits(template: str, segments: tuple[str, ...]) -> bool:
    parts = template.strip("/").split("/")
    return len(parts) == len(segments) and all(
        bool(segment) if part.startswith("{") else part == segment
        for part, segment in zip(parts, segments, strict=True)
    )


_SEEDS = (
    b"",
    b"\0\0\0/customers",
    b"\0\0\0/customers/by-alias/a%2Fb",
    b"\x01\x02\0/customers/x%20y/archive",
    b"\x02\x03\0/customers/%ff",
    b"\x02\0\0//customers",
    b"\x02\0\0/customers/",
    b"\x02\0\0/customers/%00",
    b"\x02\0\0/customers/../users?x=/y",
    b"\x02\0\xff\x05a%2fb",
    b"\x02\x04\xff\x10%e2%80%ae",
    b"\x02\0\0/" + b"a/" * 300,
)
_WORDS = (b"/", b"//", b"%2f", b"%00", b"%ff", b"%", b"..", b"?", b"customers", b"by-alias", b"{id}", b"\\", b";")
TARGET = Target(name="paths", check=check, seeds=_SEEDS, words=_WORDS)
