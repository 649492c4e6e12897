"""The body of a request on its way in: how slow, how large together and how incomplete bodies may be.

The HTTP server waits for a body for ever, and closes the connection on a client that is still sending when it has its
answer, which that client then never reads. Both are decided here.
"""

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any

from msgspec import Struct

from customary.api.http import Receive, Scope
from customary.errors import Invalid, Problem, RequestTimeout, Unavailable
from customary.timeouts import Timeout

MAXIMUM_HELD_BYTES = 64 * 1024 * 1024
SMALL_BYTES = 64 * 1024

# How long and for how much a body is read on that nobody wants, so that the client can send it and read its answer.
_SETTLING_SECONDS = 0.1
_LINGERING_SECONDS = 5.0
_LINGERING_PAUSE_SECONDS = 1.0
_LINGERING_BYTES = 32 * 1024 * 1024


class Patience(Struct, frozen=True):
    """How long a body is waited for: for each next piece of it, and for all of it."""

    pause_seconds: float = 10.0
    total_seconds: float = 30.0


class Room:
    """The memory of one process for bodies that are not small: all requests together hold so much and no more."""

    def __init__(self, most_bytes: int = MAXIMUM_HELD_BYTES) -> None:
        """All of it is free."""
        self._free_bytes = most_bytes

    def take(self, size: int) -> None:
        """Take so many bytes of it. Raises `Unavailable` where there are not so many."""
        if size > self._free_bytes:
            message = "The service is reading as many large bodies as it can hold. Send the request again in a moment."
            raise Unavailable(message)
        self._free_bytes -= size

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self._free_bytes += size


async def _released() -> MutableMapping[str, Any]:
    """What is left to read of a body whose request is over."""
    return {"type": "http.disconnect"}


class Body:
    """The body of one request. Its `receive` stands for the server's, and ends what takes too long."""

    def __init__(self, scope: Scope, receive: Receive, patience: Patience, room: Room) -> None:
        """`scope` and `receive` are what the server gave."""
        headers: dict[bytes, bytes] = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        self._server_receive = receive
        self._patience = patience
        self._room = room
        self._length = int(length[:20]) if length.isdigit() else 0
        self._is_awaited = b"expect" in headers
        self.is_complete = self._length == 0 and b"transfer-encoding" not in headers
        self._is_lost = False
        self._deadline: float | None = None
        self._held_bytes = 0
        self._taken_bytes = 0

    async def receive(self) -> MutableMapping[str, Any]:
        """The next piece, as the server's `receive` gives it.

        Raises `RequestTimeout` for one that does not come, `Invalid` where the rest never will, and `Unavailable`
        where there is no room for it.
        """
        self._is_awaited = False
        now = asyncio.get_running_loop().time()
        if self._deadline is None:
            self._deadline = now + self._patience.total_seconds
        try:
            with Timeout(min(self._patience.pause_seconds, self._deadline - now)):
                message = await self._next()
        except TimeoutError:
            self._is_lost = True
            message = "The body did not come in time. Send all of it without a pause."
            raise RequestTimeout(message) from None
        if self._is_lost:
            message = "The body ended before its announced end, or its chunks are malformed."
            raise Invalid(message, (Problem("", "incomplete", message),))
        self._hold(len(message.get("body", b"")))
        return message

    async def settle(self) -> bool:
        """Read what is left of a small body at once; whether the connection can carry another request."""
        if not (self.is_complete or self._is_lost or self._is_awaited or self._length > SMALL_BYTES):
            await self._discard(SMALL_BYTES, _SETTLING_SECONDS, _SETTLING_SECONDS)
        return self.is_complete

    async def linger(self) -> None:
        """Let a client that is still sending come to its end, or to that of our patience."""
        if not (self.is_complete or self._is_lost):
            await self._discard(_LINGERING_BYTES, _LINGERING_PAUSE_SECONDS, _LINGERING_SECONDS)

    def release(self) -> None:
        """Give back the room that the body took, and let go of the server's end of it.

        The server closes a connection with an unread body only when nobody can read that any more: whoever still held
        this object, such as the traceback of an exception, would hold the connection.
        """
        self._room.give_back(self._taken_bytes)
        self._taken_bytes = 0
        self._server_receive = _released

    async def _next(self) -> MutableMapping[str, Any]:
        message = await self._server_receive()
        self._is_lost = message["type"] == "http.disconnect"
        self.is_complete = not (self._is_lost or message.get("more_body", False))
        return message

    def _hold(self, size: int) -> None:
        """Count these bytes. Those of a small body are free, so that large ones can never keep small ones out."""
        self._held_bytes += size
        wanted = max(0, self._held_bytes - SMALL_BYTES) - self._taken_bytes
        if wanted > 0:
            self._room.take(wanted)
            self._taken_bytes += wanted

    async def _discard(self, most_bytes: int, pause_seconds: float, total_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(total_seconds):
                while most_bytes > 0 and not (self.is_complete or self._is_lost):
                    async with asyncio.timeout(pause_seconds):
                        most_bytes -= len((await self._next()).get("body", b""))
