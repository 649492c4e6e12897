"""A receiver of webhooks that costs next to nothing: it answers 200 at once and notes what came where, and when.

    python -m bench.receiver COUNT

It listens on so many ports of the loopback interface and prints them as one line of JSON. `GET /taken` answers what has
come since it was asked last: port, customer and time of each webhook, by the clock that all processes of a machine
share. `GET /count` answers how many that are. It ends with its standard input.
"""

import asyncio
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import cast

import httpx
import uvloop
from msgspec import Struct

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_OK_AND_END = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH, _CLOSE = b"\r\ncontent-length: ", b"\r\nconnection: close\r\n"
_CUSTOMER = b'"resourceId":"'
_LENGTH_OF_ID = 36
_BACKLOG = 128

Arrival = tuple[int, str, float]


class Taken(Struct):
    """What came since somebody asked: port, customer, and seconds of the monotonic clock."""

    arrivals: list[Arrival]


class _Conversation(asyncio.Protocol):
    """One connection, over which one request may follow another."""

    transport: asyncio.Transport

    def __init__(self, port: int, taken: Taken) -> None:
        self._port, self._taken = port, taken
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(_END_OF_HEAD)) >= 0:
            head, begin = self._waiting[: end + 2].lower(), end + len(_END_OF_HEAD)
            at = head.find(_LENGTH)
            size = 0 if at < 0 else int(head[at + len(_LENGTH) : head.index(b"\r", at + 2)])
            if len(self._waiting) < begin + size:
                return
            body, self._waiting = self._waiting[begin : begin + size], self._waiting[begin + size :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get "):
            self.transport.write(self._told(head))
            return
        at = body.find(_CUSTOMER) + len(_CUSTOMER)
        self._taken.arrivals.append((self._port, body[at : at + _LENGTH_OF_ID].decode(), time.monotonic()))
        is_last = _CLOSE in head
        self.transport.write(_OK_AND_END if is_last else _OK)
        if is_last:
            self.transport.close()

    def _told(self, head: bytes) -> bytes:
        told = json.dumps(len(self._taken.arrivals))
        if head.startswith(b"get /taken "):
            told, self._taken.arrivals = json.dumps(self._taken.arrivals), []
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told.encode())


class Receiver:
    """The receiver as whoever measures has it."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ports = tuple(ports)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", trust_env=False, timeout=60)

    @property
    def urls(self) -> list[str]:
        """One for each port."""
        return [f"http://127.0.0.1:{port}/hooks" for port in self.ports]

    def count(self) -> int:
        """How many webhooks have come since `taken` was asked."""
        return self._client.get("/count").json()

    def taken(self) -> list[Arrival]:
        """The webhooks that have come since this was asked last."""
        return [(port, customer_id, at) for port, customer_id, at in self._client.get("/taken").json()]


@contextmanager
def receiving(count: int) -> Generator[Receiver]:
    """A receiver with so many ports, in a process of its own, for the length of the block."""
    process = subprocess.Popen(  # noqa: S603 - the arguments are ours
        [sys.executable, "-m", "bench.receiver", str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    try:
        yield Receiver(json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait(30)


def once_each(arrivals: Sequence[Arrival], expected: set[tuple[int, str]]) -> None:
    """Raise `SystemExit` unless exactly these arrived, each once."""
    seen = Counter((port, customer_id) for port, customer_id, _ in arrivals)
    twice = sum(1 for count in seen.values() if count > 1)
    lost, strange = len(expected - seen.keys()), len(seen.keys() - expected)
    if twice or lost or strange:
        message = f"Of {len(expected)} deliveries {lost} are lost, {twice} came twice, and {strange} are unknown."
        raise SystemExit(message)


async def _serve(count: int) -> None:
    loop = asyncio.get_running_loop()
    taken, ports = Taken([]), list[int]()
    for _ in range(count):
        listening = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        ports.append(listening.getsockname()[1])
        await loop.create_server(partial(_Conversation, ports[-1], taken), sock=listening)
    sys.stdout.write(json.dumps(ports) + "\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
