"""Recipients of webhooks on the loopback interface, good and bad ones, over real sockets."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from msgspec import Struct

Behaviour = Callable[["Exchange"], Awaitable[None]]
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Exchange(Struct):
    """One connection to a receiver, and the request that came over it."""

    head: bytes
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *parts: bytes, pause_seconds: float = 0) -> None:
        """Send these parts with a pause before each."""
        for part in parts:
            await asyncio.sleep(pause_seconds)
            self.writer.write(part)
            await self.writer.drain()

    def headers(self) -> dict[str, str]:
        """The headers of the request, their names in small letters."""
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}


class Receiver(Struct, kw_only=True):
    """A server that behaves as a test says. `connections` counts all, `exchanges` has the requests that came whole."""

    port: int
    exchanges: list[Exchange]
    ended: list[BaseException | None]
    connections: int = 0
    scheme: str = "http"

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        """Where it is."""
        return f"{self.scheme}://{host}:{self.port}{path}"

    def told(self, path: str | None = None) -> list[tuple[str, dict[str, Any]]]:
        """The `webhook-id` and the body of each webhook that came, in order; with a path, of those that came there."""
        return [
            (exchange.headers()["webhook-id"], json.loads(exchange.body))
            for exchange in self.exchanges
            if path is None or exchange.head.startswith(f"POST {path} ".encode())
        ]


def answering(*parts: bytes, pause_seconds: float = 0) -> Behaviour:
    """Answer every request with these bytes and hang up."""

    async def behave(exchange: Exchange) -> None:
        await exchange.send(*parts, pause_seconds=pause_seconds)

    return behave


def answer(status: int, body: bytes = b"", **headers: str) -> bytes:
    """An answer as it goes over the wire; a header's name has `_` where it has a dash."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    head = "\r\n".join((f"HTTP/1.1 {status} Status", f"Content-Length: {len(body)}", *lines))
    return f"{head}\r\n\r\n".encode() + body


class InTurn:
    """A behaviour that a test can change while it goes on: one answer after another, the last one from then on."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)

    async def __call__(self, exchange: Exchange) -> None:
        """Answer as it is this request's turn."""
        await exchange.send(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


async def silent(exchange: Exchange) -> None:
    """Say nothing until the sender has gone."""
    await exchange.reader.read()


@asynccontextmanager
async def receiving(
    behave: Behaviour | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    host: str = "127.0.0.1",
    reads_request: bool = True,
) -> AsyncGenerator[Receiver]:
    """A receiver that answers 200, or does something else with each request."""
    receiver = Receiver(port=0, exchanges=[], ended=[], scheme="https" if tls else "http")
    behave = behave or answering(GOOD)
    conversations: set[asyncio.Task[Any]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        receiver.connections += 1
        ended = None
        try:
            exchange = Exchange(b"", b"", reader, writer)
            if reads_request:
                exchange.head = await reader.readuntil(b"\r\n\r\n")
                exchange.body = await reader.readexactly(int(exchange.headers().get("content-length", 0)))
                receiver.exchanges.append(exchange)
            await behave(exchange)
        except (OSError, EOFError, asyncio.CancelledError) as error:
            ended = error
        finally:
            receiver.ended.append(ended)
            if ended is None:
                writer.close()
            else:
                writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        conversation = asyncio.create_task(converse(reader, writer))
        conversations.add(conversation)
        conversation.add_done_callback(conversations.discard)

    server = await asyncio.start_server(begin, host, 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for conversation in tuple(conversations):
            conversation.cancel()
        await until(lambda: not conversations)


async def until(condition: Callable[[], object], timeout_seconds: float = 10) -> None:
    """Poll until the condition holds."""
    async with asyncio.timeout(timeout_seconds):
        while not condition():  # noqa: ASYNC110 - a condition over sockets and files has no event
            await asyncio.sleep(0.005)
