"""Where the figures are read: a port of its own that gives out one page, and knows nothing else of HTTP than that.

It runs in a thread of the process that starts all others. That one forks while the thread works, so nothing here takes
a lock that a forked process needs: it resolves no names, imports nothing and logs nothing.
"""

import asyncio
import contextlib
import errno
import re
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from multiprocessing.util import register_after_fork
from pathlib import Path

from customary.errors import SetupError
from customary.metrics import memory
from customary.metrics.page import Page

PATH = b"/metrics"
_PORT_WAIT_SECONDS = 5.0
_POLL_SECONDS = 0.05
_LARGEST_HEAD_BYTES = 8 * 1024
_LONGEST_EXCHANGE_SECONDS = 5.0
_MOST_READERS = 16

_REQUEST = re.compile(rb"([!-~]+) ([!-~]+) HTTP/1\.[01]")
_PLAIN = "text/plain; charset=utf-8"
_REASONS = {200: b"OK", 400: b"Bad Request", 404: b"Not Found", 405: b"Method Not Allowed"}


@contextmanager
def offered(host: str, port: int | None) -> Generator[Path]:
    """The file in which the processes of one server measure, read at this address for the length of the block.

    Without a port it is only measured. Raises `SetupError` for an address that cannot be listened on.
    """
    with contextlib.ExitStack() as opened:
        listening = None if port is None else opened.enter_context(_listening(host, port))
        path = memory.shared_file()
        opened.callback(path.unlink, missing_ok=True)
        if listening is not None:
            shared = memory.Memory(path)
            opened.callback(shared.close)
            opened.enter_context(_answering(listening, Page(shared)))
        yield path


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens; an earlier server's port is waited for a moment."""
    deadline = time.monotonic() + _PORT_WAIT_SECONDS
    while True:
        try:
            made = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                message = (
                    f"The metrics cannot be offered at {host}, port {port}: {error.strerror}."
                    " Stop what is there, or give another address with --metrics-host or --metrics-port."
                )
                raise SetupError(message) from None
        else:
            register_after_fork(made, socket.socket.close)  # a worker must not hold the port of a server that is gone
            return made
        time.sleep(_POLL_SECONDS)


@contextmanager
def _answering(listening: socket.socket, page: Page) -> Generator[None]:
    loop, ending = asyncio.new_event_loop(), asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(_serve(listening, page, ending)), name="metrics")
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ending.set)
        thread.join()
        loop.close()


async def _serve(listening: socket.socket, page: Page, ending: asyncio.Event) -> None:
    places = asyncio.Semaphore(_MOST_READERS)

    async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if places.locked():
            writer.transport.abort()
            return
        with contextlib.suppress(OSError, asyncio.LimitOverrunError, asyncio.IncompleteReadError, TimeoutError):
            async with places, asyncio.timeout(_LONGEST_EXCHANGE_SECONDS):
                writer.write(_answer(await reader.readuntil(b"\r\n\r\n"), page))
                writer.write_eof()  # so that its end is seen although a process that was forked meanwhile has it open
                await writer.drain()
                await reader.read(_LARGEST_HEAD_BYTES)  # until the other end has closed it, too
        writer.transport.abort()

    server = await asyncio.start_server(exchange, sock=listening, limit=_LARGEST_HEAD_BYTES)
    try:
        await ending.wait()
    finally:
        server.close()


def _answer(head: bytes, page: Page) -> bytes:
    request, *headers = head.split(b"\r\n")
    found = _REQUEST.fullmatch(request)
    if found is None:
        return _written(b"GET", 400, _PLAIN, b"This is not a request.\n")
    method, path = found[1], found[2].partition(b"?")[0]
    if path != PATH:
        return _written(method, 404, _PLAIN, b"There is nothing here but /metrics.\n")
    if method not in {b"GET", b"HEAD"}:
        return _written(method, 405, _PLAIN, b"This can only be read.\n", b"allow: GET, HEAD\r\n")
    accept = b",".join(line.partition(b":")[2] for line in headers if line[:7].lower() == b"accept:")
    return _written(method, 200, *page.written(accept.decode("latin-1")))


def _written(method: bytes, status: int, media_type: str, body: bytes, more: bytes = b"") -> bytes:
    head = (
        b"HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %d\r\ncache-control: no-store\r\n"
        b"connection: close\r\n%s\r\n"
    )
    filled = head % (status, _REASONS[status], media_type.encode(), len(body), more)
    return filled if method == b"HEAD" else filled + body
