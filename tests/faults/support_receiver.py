"""A receiver of webhooks in threads of its own, for tests that wait for programs."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct
from tests.faults.support import until


class Received(Struct, frozen=True):
    """A request as it came: header names in lower case, the body as it was sent, and when by the monotonic clock."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def content(self) -> dict[str, Any]:
        """The body as JSON."""
        return json.loads(self.body)


class Receiver:
    """A server on the loopback interface that keeps what is posted to it, and answers with `status` and `headers`.

    It answers as long as `is_open` is set.
    """

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        self.is_open = threading.Event()
        self.is_open.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """Keep it and answer."""
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.requests.append(Received(self.path, headers, body, time.monotonic()))
                outer.is_open.wait(30)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that is overridden
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hooks?of=listen"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self.is_open.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def await_requests(self, count: int) -> list[Received]:
        """The requests once there are so many."""
        until(lambda: len(self.requests) >= count)
        return list(self.requests)
