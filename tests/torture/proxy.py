"""Stands between the service and PostgreSQL and spoils what goes through: commits without an answer, resets, silence.

It reads the protocol just far enough to see a COMMIT pass. What it spoils by chance comes from a seed. It runs in a
thread of its own, so that whoever spoils things need not be asynchronous; its attributes may be set from any thread.
"""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

_LENGTH = struct.Struct("!I")
_PROTOCOL_3 = _LENGTH.pack(196608)
_MOST_AT_ONCE = 65536
_LONGEST_DELAY_SECONDS = 0.02
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Loss(StrEnum):
    """At which moment of a commit the connection breaks: unsent, on its way, or done and not answered."""

    BEFORE = "commit never sent"
    SENT = "commit sent and not waited for"
    ANSWERED = "commit done and its answer lost"


class Proxy:
    """Listens on `port` and passes everything on to `upstream`, a port or the path of a socket, as long as it is well.

    `loss_chance` is how often a COMMIT loses its connection, at a moment out of `losses`. While `is_silent` nothing
    goes through and nothing is closed; while `is_bytewise` each byte goes alone, while `is_slow` everything waits.
    """

    def __init__(self, upstream: int | Path, seed: int) -> None:
        self.loss_chance = 0.0
        self.losses: tuple[Loss, ...] = tuple(Loss)
        self.is_silent = self.is_bytewise = self.is_slow = False
        self.counts: Counter[str] = Counter()
        self.port = 0
        self._upstream = upstream
        self._chance = random.Random(seed)  # noqa: S311 - it chooses faults, and guards nothing
        self._links: set[_Link] = set()
        self._loop: asyncio.AbstractEventLoop
        self._ending: asyncio.Event

    def reset_all(self) -> None:
        """Break every connection to the service with a reset."""
        self._call(self._for_all("reset", lambda link: link.cut(is_reset=True)))

    def half_close_all(self) -> None:
        """Say on every connection to the service that nothing more will come, and go on listening."""
        self._call(self._for_all("half-closed", lambda link: link.half_close()))

    def _call(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _for_all(self, name: str, act: Any) -> None:  # noqa: ANN401 - something done to a link
        for link in list(self._links):
            act(link)
            self.counts[name] += 1

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._upstream, Path):
                above = await asyncio.open_unix_connection(self._upstream)
            else:
                above = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(self, (reader, writer), above)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    def loss(self) -> Loss | None:
        """Whether this COMMIT is to be lost, and when."""
        return self._chance.choice(self.losses) if self._chance.random() < self.loss_chance else None

    async def passing(self) -> None:
        """What whatever goes through has to wait for."""
        while self.is_silent:  # noqa: ASYNC110 - it may be set from another thread
            await asyncio.sleep(0.01)
        if self.is_slow:
            await asyncio.sleep(self._chance.uniform(0, _LONGEST_DELAY_SECONDS))

    async def run(self, listens: threading.Event) -> None:
        """Listen until `end`; what the thread does."""
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._link, "127.0.0.1", 0) as server:
            self.port = server.sockets[0].getsockname()[1]
            listens.set()
            await self._ending.wait()
            server.close()
            everything = asyncio.all_tasks() - {asyncio.current_task()}
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    def end(self) -> None:
        """Break everything off."""
        self._loop.call_soon_threadsafe(self._ending.set)


class _Link:
    """One connection of the service and the one that was made for it to the database."""

    def __init__(self, proxy: Proxy, below: tuple[Any, Any], above: tuple[Any, Any]) -> None:
        self._proxy = proxy
        self._from_service, self._to_service = below
        self._from_database, self._to_database = above
        self._is_answer_lost = False

    async def run(self) -> None:
        """Pass on both ways until one of them ends."""
        ways = [asyncio.create_task(self._ask()), asyncio.create_task(self._answer())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self.cut(is_reset=False)
            self._to_database.close()

    async def _ask(self) -> None:
        """From the service to the database, message by message."""
        waiting, has_begun = b"", False
        with contextlib.suppress(OSError):
            while received := await self._from_service.read(_MOST_AT_ONCE):
                waiting += received
                while (size := _size(waiting, has_begun=has_begun)) is not None and len(waiting) >= size:
                    message, waiting = waiting[:size], waiting[size:]
                    has_begun = has_begun or message[4:8] == _PROTOCOL_3
                    loss = self._proxy.loss() if _is_commit(message) else None
                    if loss is not Loss.BEFORE:
                        self._is_answer_lost = loss is Loss.ANSWERED
                        await self._pass_on(self._to_database, message)
                    if loss is not None:
                        self._proxy.counts[loss] += 1
                    if loss in {Loss.BEFORE, Loss.SENT}:
                        return

    async def _answer(self) -> None:
        """From the database to the service, whatever it is."""
        with contextlib.suppress(OSError):
            while received := await self._from_database.read(_MOST_AT_ONCE):
                if self._is_answer_lost:
                    return
                await self._pass_on(self._to_service, received)

    async def _pass_on(self, writer: asyncio.StreamWriter, content: bytes) -> None:
        await self._proxy.passing()
        if self._proxy.is_bytewise:
            for byte in content:
                writer.write(bytes((byte,)))
                await writer.drain()
            return
        writer.write(content)
        await writer.drain()

    def cut(self, *, is_reset: bool) -> None:
        """End the connection to the service."""
        if is_reset and not self._to_service.is_closing():
            found = self._to_service.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
        self._to_service.transport.abort()

    def half_close(self) -> None:
        """Say to the service that nothing more will come."""
        if self._to_service.can_write_eof() and not self._to_service.is_closing():
            self._to_service.write_eof()


def _size(waiting: bytes, *, has_begun: bool) -> int | None:
    """The length of the first message in these bytes; the first ones of a connection have no type in front."""
    start = 1 if has_begun else 0
    return None if len(waiting) < start + 4 else start + _LENGTH.unpack_from(waiting, start)[0]


def _is_commit(message: bytes) -> bool:
    return message.startswith(b"Q") and message[5:11] == b"COMMIT"


@contextmanager
def running(upstream: int | Path, seed: int) -> Generator[Proxy]:
    """A proxy in front of this database."""
    proxy, listens = Proxy(upstream, seed), threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(proxy.run(listens)), name="proxy", daemon=True)
    thread.start()
    assert listens.wait(10), "the proxy does not listen"
    try:
        yield proxy
    finally:
        proxy.end()
        thread.join(10)
