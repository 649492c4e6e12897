"""Bytes that are almost HTTP, each with what has to become of them, and the reading of what came back.

A case is a head and a body as they are, without a client library in between. A request of its own, the sentinel, goes
behind each: whether it is answered, and under whose id, says whether both sides still agree on where a request ends.
"""

import base64
import contextlib
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import TypedDict

from msgspec import Struct
from tests.support import bodies

SMUGGLED = "smuggled"
NUMBER = b"@NUM@"  # stands where the number of a run comes, which has as many digits
DEADLINE_SECONDS = 20.0

# Statuses with which a server turns a request away that it cannot or will not read.
REFUSALS = frozenset({400, 408, 411, 413, 414, 417, 431, 501, 505})
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[^\r\n]*\r\n")

HOST = b"Host: customary.example\r\n"
JSON = b"Content-Type: application/json\r\n"


class Verdict(TypedDict, total=False):
    """What a case can say of its outcome; see there."""

    statuses: tuple[int, ...]
    is_last: bool
    is_cut: bool
    is_head: bool


class Case(Struct, frozen=True, kw_only=True):
    """Bytes and their verdict.

    `statuses` are those of the answers in their order; none where it has to be refused: with one of `REFUSALS` or
    without a word, and the connection closed in any case. `is_last` says that the connection ends with the last
    answer. `is_cut` says that the client ends its side, because the body is not complete and would swallow the
    sentinel. `differs` is why a proxy may come to the other verdict, and that nobody is harmed by it; `is_split` that
    it may then take what is in the body for a request that the sender means, and forward it as one.
    """

    name: str
    sent: bytes
    statuses: tuple[int, ...] = ()
    is_last: bool = False
    is_cut: bool = False
    is_head: bool = False
    differs: str = ""
    is_split: bool = False

    def numbered(self, number: int) -> bytes:
        """What is sent in the run of this number."""
        return self.sent.replace(NUMBER, b"%05d" % number)


class Parts:
    """What cases are made of, for one API key. A list or a new customer, whole but for the end of its head."""

    def __init__(self, client_id: str, secret: str) -> None:
        """The key may write."""
        credentials = base64.b64encode(f"{client_id}:{secret}".encode())
        self.authorization = b"Authorization: Basic " + credentials + b"\r\n"
        fields = HOST + self.authorization + b"X-Request-Id: own-" + NUMBER + b"\r\n"
        self.fields = fields
        self.list = b"GET /api/customers?limit=1 HTTP/1.1\r\n" + fields
        self.create = b"POST /api/customers HTTP/1.1\r\n" + fields + JSON
        self.honest = customer("honest")
        # Shows in the answers and among the customers if anybody ever takes it for a request.
        self.smuggled = sized(self.create.replace(b"own-", b"smuggled-"), customer(f"{SMUGGLED} {NUMBER.decode()}"))


def customer(name: str) -> bytes:
    """The body that makes a customer of this name."""
    return json.dumps(bodies.newest(legalName=name), separators=(",", ":")).encode()


def sized(head: bytes, body: bytes) -> bytes:
    """A request with a body of announced length."""
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(body: bytes) -> bytes:
    """A body in one chunk."""
    return b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"


class Answer(Struct, frozen=True):
    """One answer. Names of headers are in lower case."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def request_id(self) -> bytes:
        """The id of the request that it answers, if it says so."""
        return self.headers.get(b"x-request-id", b"")


class Outcome(Struct, frozen=True):
    """What came back on a connection until it ended; `is_hung` if it did not, `rest` is what is no whole answer."""

    own: tuple[Answer, ...]
    has_sentinel: bool
    rest: bytes
    is_hung: bool


def sentinel(number: int) -> bytes:
    """The request that goes behind each case."""
    return (
        b"GET /api/sentinel HTTP/1.1\r\n" + HOST + b"X-Request-Id: sentinel-%05d\r\nConnection: close\r\n\r\n" % number
    )


def exchange(port: int, case: Case, number: int, *, is_ended: bool = False) -> Outcome:
    """Send a case and the sentinel on a connection of their own and read until it ends.

    With `is_ended` the client ends its side in any case, so that it has not to wait for what it left incomplete.
    """
    sent = case.numbered(number) + (b"" if case.is_cut else sentinel(number))
    received, is_hung = send(port, sent, is_cut=case.is_cut or is_ended)
    answers, size = [], 0
    for answer, length in _answers(received, is_head=case.is_head):
        size += length
        if answer.status >= 200:
            answers.append(answer)
    has_sentinel = bool(answers) and answers[-1].request_id == b"sentinel-%05d" % number
    return Outcome(tuple(answers[: len(answers) - has_sentinel]), has_sentinel, received[size:], is_hung)


def send(port: int, sent: bytes, *, is_cut: bool = False) -> tuple[bytes, bool]:
    """Send bytes on a connection of their own; all that comes back, and whether the connection did not end in time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    received = b""
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_SECONDS) as connection:
        with contextlib.suppress(ConnectionError):  # a server may have said enough before it has read all
            connection.sendall(sent)
            if is_cut:
                _end(connection)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < deadline:
                try:
                    piece = connection.recv(65536)
                except TimeoutError:
                    break
                if not piece:
                    return received, False
                received += piece
            return received, True
    return received, False


def _end(connection: socket.socket) -> None:
    """End the client's side, unless there is none any more."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)


def _answers(received: bytes, *, is_head: bool) -> Iterator[tuple[Answer, int]]:
    """The whole answers at the beginning of these bytes, each with its size."""
    position = 0
    while line := _STATUS_LINE.match(received, position):
        end = received.find(b"\r\n\r\n", position)
        if end < 0:
            return
        fields = (field.partition(b":") for field in received[line.end() : end].split(b"\r\n") if field)
        headers = {name.lower(): value.strip() for name, _, value in fields}
        status, start = int(line[1]), end + 4
        has_body = status >= 200 and status not in {204, 304} and not (is_head and position == 0)
        length = int(headers.get(b"content-length", b"0")) if has_body else 0
        if len(received) < start + length:
            return
        yield Answer(status, headers, received[start : start + length]), start + length - position
        position = start + length
