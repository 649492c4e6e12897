"""Requests that no client library would send: bytes as they are, chunk by chunk."""

import base64
from collections.abc import Iterable, MutableMapping
from typing import Any

from msgspec import Struct
from tests.support.clients import Account

from customary.app import Application


class Answer(Struct, frozen=True):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


def basic(account: Account) -> tuple[bytes, bytes]:
    """The header that authenticates this account's key."""
    encoded = base64.b64encode(f"{account.client_id}:{account.secret}".encode())
    return b"authorization", b"Basic " + encoded


async def send(
    app: Application,
    method: str,
    raw_path: bytes,
    *,
    query: bytes = b"",
    headers: Iterable[tuple[bytes, bytes]] = (),
    chunks: Iterable[bytes] = (b"",),
    is_cut: bool = False,
) -> Answer:
    """The answer to these bytes. Reading more of the body than there is fails the test.

    A `Host` is added where the headers have none. With `is_cut` the client is gone after the last chunk.
    """
    events: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if is_cut:
        events.append({"type": "http.disconnect"})
    else:
        events[-1]["more_body"] = False
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        assert events, "the application read on after the end of the body"
        return events.pop(0)

    async def take(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    headers = list(headers)
    if not any(name == b"host" for name, _ in headers):
        headers.append((b"host", b"customary.example"))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "raw_path": raw_path,
        "path": raw_path.decode("latin-1"),
        "query_string": query,
        "headers": headers,
    }
    await app(scope, receive, take)
    names = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], names, b"".join(message.get("body", b"") for message in sent[1:]))
