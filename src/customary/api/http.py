"""Requests and answers as ASGI gives and takes them, without a framework in between.

A dictionary and a few slices: the router, the limits and the errors of this API are its own, so a framework's would
only be worked around (`docs/decisions/0002-own-http-layer.md` has the measurements).
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from customary.crashpoint import crashpoint, is_armed
from customary.errors import Invalid, Problem

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = b"application/json"
_ON_ITS_WAY_SECONDS = 0.05  # what is sent leaves the process a moment later


class Request(Struct, frozen=True):
    """One request before anything of it is trusted. Header names are lower case; a repeated header keeps all values.

    `peer` is the address at the other end of the connection, which may be a proxy's; None where that has none.
    """

    method: str
    segments: tuple[str, ...]
    query_string: bytes
    headers: dict[bytes, list[bytes]]
    receive: Receive
    peer: str | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first value of this header."""
        values = self.headers.get(name)
        return values[0] if values else None


class Response(Struct, frozen=True):
    """One answer, complete."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content_type: bytes = JSON


def request_from(scope: Scope, receive: Receive) -> Request:
    """The request in an ASGI scope."""
    headers: dict[bytes, list[bytes]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name.lower(), []).append(value)
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    peer: tuple[str, int] | None = scope.get("client")
    return Request(
        scope["method"], _segments(raw_path), scope["query_string"], headers, receive, peer[0] if peer else None
    )


def _segments(raw_path: bytes) -> tuple[str, ...]:
    """The parts of a path, each decoded by itself so that `%2F` stays inside one.

    One that is not UTF-8 or has U+0000 becomes the empty text, which no path has: nothing is found there.
    """
    path = raw_path.partition(b"?")[0]
    if b"%" not in path and b"\0" not in path and path.isascii():
        return tuple(path.decode().split("/")[1:])  # the usual one, in one go
    return tuple(_segment(segment) for segment in path.split(b"/")[1:])


def _segment(encoded: bytes) -> str:
    try:
        text = (unquote_to_bytes(encoded) if b"%" in encoded else encoded).decode()
    except UnicodeDecodeError:
        return ""
    return "" if "\0" in text else text


def query_parameters(query_string: bytes) -> dict[str, list[str]]:
    """The parameters of a query, each with all its values. Raises `Invalid` for what is not UTF-8 or has U+0000."""
    parameters: dict[str, list[str]] = {}
    for pair in query_string.split(b"&"):
        if not pair:
            continue
        name, _, value = pair.partition(b"=")
        parameters.setdefault(_query_text(name), []).append(_query_text(value))
    return parameters


def _query_text(encoded: bytes) -> str:
    try:
        text = unquote_to_bytes(encoded.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        message = "The query is not UTF-8 after percent-decoding."
        raise Invalid(message, (Problem("", "encoding", message),)) from None
    if "\0" in text:
        message = "The query contains the character U+0000, which cannot be stored or searched for."
        raise Invalid(message, (Problem("", "nul", message),))
    return text


async def send_response(
    send: Send, response: Response, headers: Iterable[tuple[bytes, bytes]] = (), *, is_of_write: bool = False
) -> None:
    """Send an answer with these headers added; one `is_of_write` has a place to die in."""
    length = str(len(response.body)).encode()
    all_headers = [(b"content-type", response.content_type), (b"content-length", length), *response.headers, *headers]
    await send({"type": "http.response.start", "status": response.status, "headers": all_headers})
    if is_of_write:
        await _halfway(send, response.body)
    await send({"type": "http.response.body", "body": response.body})


async def _halfway(send: Send, body: bytes) -> None:
    """A place to die at, with half of the body sent; nothing happens here otherwise."""
    if is_armed("answer.half_sent"):
        await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
        await asyncio.sleep(_ON_ITS_WAY_SECONDS)
    crashpoint("answer.half_sent")
