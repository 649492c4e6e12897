"""Many clients of one service at once, over sockets of their own: as little of HTTP as it takes to count answers."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from tests.faults.support import Key, succeeded


class Seen(Struct, frozen=True):
    """One answer: its status, whether it says when to try again, when it was asked for and how long it took.

    A status of None is that the connection ended instead.
    """

    status: int | None
    has_retry_after: bool
    at: float
    seconds: float


class Client:
    """One connection that is kept for the next request. It is opened again when the server closed it."""

    def __init__(self, port: int, key: Key | None = None) -> None:
        self._port = port
        self._head = "Host: 127.0.0.1\r\n"
        if key is not None:
            encoded = base64.b64encode(f"{key.client_id}:{key.secret}".encode()).decode()
            self._head += f"Authorization: Basic {encoded}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> Seen:
        """What a GET of this path is answered."""
        return await self._ask(f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode())

    async def post(self, path: str, body: bytes, more: str = "") -> Seen:
        """What a POST of this JSON is answered."""
        head = f"{self._head}{more}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return await self._ask(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask(self, request: bytes) -> Seen:
        at = time.monotonic()
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
        except (OSError, EOFError, asyncio.IncompleteReadError):
            self.close()
            return Seen(None, has_retry_after=False, at=at, seconds=time.monotonic() - at)
        if b"connection: close" in head:
            self.close()
        return Seen(int(head.split(b" ", 2)[1]), b"\r\nretry-after:" in head, at, time.monotonic() - at)


def unlimited_key(data_dir: Path) -> Key:
    """A key with as many requests a minute as there can be, of the account that the first start made."""
    arguments = ("--account", "default", "--requests-per-minute", "1000000", "--data-dir", data_dir, "--json")
    made = json.loads(succeeded("keys", "create", *arguments))
    return Key(made["clientId"], made["clientSecret"])


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def ended(tasks: "Sequence[asyncio.Task[None]]") -> None:
    """Break these off and wait until they are over."""
    for task in tasks:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*tasks, return_exceptions=True)
