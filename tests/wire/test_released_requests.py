"""Nothing of a request outlives its answer: whoever held the server's end of it would hold the client's connection."""

import gc
import json
import weakref
from collections.abc import MutableMapping
from typing import Any

import pytest
from tests.support import asgi
from tests.support.bodies import newest
from tests.support.clients import Account

from customary.api.guard import MAXIMUM_BODY_BYTES
from customary.app import Application

JSON = (b"content-type", b"application/json")
HOST = (b"host", b"customary.example")


class Connection:
    """One request as the server holds it: its pieces, and then the end of the connection."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.status = 0

    async def receive(self) -> MutableMapping[str, Any]:
        if not self._pieces:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self._pieces.pop(0), "more_body": True}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.status = message.get("status", self.status)


@pytest.mark.parametrize(
    ("status", "headers", "size"),
    [
        (400, [(b"host", b"a b"), JSON], 10),
        (431, [HOST, JSON, (b"x", b"y" * 17_000)], 10),
        (401, [HOST, JSON], 10),
        (415, [HOST, (b"content-type", b"text/plain")], 10),
        (413, [HOST, JSON], MAXIMUM_BODY_BYTES + 10),
        (400, [HOST, JSON], 10),
    ],
)
async def test_a_request_that_is_refused_is_let_go_of(
    app: Application, account: Account, status: int, headers: list[tuple[bytes, bytes]], size: int
) -> None:
    """At once, and not when the garbage is next collected."""
    body = json.dumps(newest()).encode()
    connection = Connection(body + b" " * size)
    length = (b"content-length", b"%d" % (len(body) + size + 1))
    authorization = [] if status == 401 else [asgi.basic(account)]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "raw_path": b"/api/customers",
        "path": "/api/customers",
        "query_string": b"",
        "headers": [*headers, *authorization, length],
    }
    gc.collect()
    gc.disable()
    try:
        await app(scope, connection.receive, connection.send)
        assert connection.status == status
        held = weakref.ref(connection)
        del connection
        assert held() is None
    finally:
        gc.enable()
