"""A client that notes in a journal what it asks before it asks, and what it was told, over one connection at a time.

It is its own HTTP, in a few lines: one that retries by itself, or that takes an answer cut short for a whole one, would
hide what is looked for here.
"""

import asyncio
import base64
import itertools
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct
from tests.torture.history import Answer, Attempt, Journal, Kind, Outcome, digest, item_tag_of, now, tag_of, time_of

Body: TypeAlias = dict[str, Any]
Shown: TypeAlias = Any  # the JSON of an answer
Known: TypeAlias = Any  # more of an Attempt: `customer`, `mark`, `key` or `if_match`

# Longer than the service takes to give up on a database that does not answer.
PATIENCE_SECONDS = 12.0
# As long as it may take to start everything again, on a machine that others use as well.
_LONGEST_ABSENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.02
_MOST_BYTES = 4 * 1024 * 1024
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Where(Struct, frozen=True):
    """An account of a service."""

    port: int
    client_id: str
    secret: str


class Told(Struct, frozen=True):
    """An answer as it came, with the note of it. `body` is None where none came, or one that is no JSON."""

    answer: Answer
    body: Shown = None

    @property
    def is_known(self) -> bool:
        """Whether the request was dealt with: the same one under the same key would be told the same."""
        return self.answer.outcome is not Outcome.INFO and not self.answer.has_retry_after


class Reply(Struct, frozen=True):
    """One answer of HTTP, complete."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Connection:
    """One connection to the service, made again when it is wanted and gone."""

    def __init__(self, where: Where) -> None:
        credentials = base64.b64encode(f"{where.client_id}:{where.secret}".encode())
        self._port = where.port
        self._head = b"Host: localhost\r\nAuthorization: Basic %s\r\nSequence-Version: 2024-07-30\r\n" % credentials
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> None:
        """Connect, however long nobody is there. Raises `OSError` where nobody comes."""
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        deadline = now() + _LONGEST_ABSENCE_SECONDS
        while self._streams is None:
            try:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=_MOST_BYTES)
            except OSError:
                if now() > deadline:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)

    async def request(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        """Send a request and read the answer. Raises `OSError`, `EOFError` or `TimeoutError` where there is none."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await self._exchange(method, path, body, headers)
        except (OSError, EOFError, ValueError):
            self.close()
            raise

    async def _exchange(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Reply:
        assert self._streams is not None, "open it first"
        reader, writer = self._streams
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
        if body:
            lines += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body)
        writer.write(f"{method} /api{path} HTTP/1.1\r\n".encode() + self._head + lines + b"\r\n" + body)
        head = await reader.readuntil(b"\r\n\r\n")
        status, *rest = head[:-4].split(b"\r\n")
        pairs = (line.partition(b":") for line in rest)
        answered = {name.lower(): value.strip() for name, _, value in pairs}
        content = await reader.readexactly(int(answered[b"content-length"]))
        if answered.get(b"connection") == b"close":
            self.close()
        return Reply(int(status.split(b" ", 2)[1]), answered, content)

    def close(self) -> None:
        """Let the connection go."""
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


class Asker:
    """Asks under one name, which is a session: one thing after another."""

    def __init__(self, where: Where, journal: Journal, session: str) -> None:
        self.session = session
        self._connection = Connection(where)
        self._journal = journal
        self._numbers = itertools.count(1)

    async def ask(self, kind: Kind, method: str, path: str, body: Body | None = None, **known: Known) -> Told:
        """Ask once, as soon as somebody takes the connection. What can be seen of the answer is in the note of it."""
        await self._connection.open()
        content = b"" if body is None else _encode(body)
        request = digest(f"{method} {path} ".encode() + content)
        attempt_id = f"{self.session}-{next(self._numbers)}"
        attempt = Attempt(id=attempt_id, session=self.session, kind=kind, at=now(), request=request, **known)
        self._journal.begin(attempt)
        headers = {"X-Request-Id": attempt.id}
        if attempt.key is not None:
            headers["Idempotency-Key"] = attempt.key
        if attempt.if_match is not None:
            headers["If-Match"] = attempt.if_match
        await self._synced()
        try:
            reply = await self._connection.request(method, path, content, headers)
        except (OSError, EOFError):
            told = Told(Answer(id=attempt.id, outcome=Outcome.INFO, at=now()))
        else:
            told = _told(attempt, reply, now())
        self._journal.end(told.answer)
        return told

    async def _synced(self) -> None:
        """Return when what was noted is on the disk: all who ask at the same moment wait for it together."""
        await asyncio.sleep(0)
        self._journal.sync()

    def close(self) -> None:
        """Let the connection go."""
        self._connection.close()


def _told(attempt: Attempt, reply: Reply, at: float) -> Told:
    """What this reply says, as a note."""
    etag = reply.headers.get(b"etag")
    answer = Answer(
        id=attempt.id,
        outcome=_outcome(reply),
        at=at,
        status=reply.status,
        etag=etag.decode() if etag else None,
        body=digest(reply.body),
        is_replay=b"idempotent-replayed" in reply.headers,
        has_retry_after=b"retry-after" in reply.headers,
    )
    if answer.outcome is not Outcome.OK:
        return Told(answer)
    body = _decode(reply.body)
    return Told(msgspec.structs.replace(answer, **_seen(attempt.kind, body)), body)


def _outcome(reply: Reply) -> Outcome:
    """A 5xx may come after the change was made; nothing else that is no success does."""
    if reply.status >= 500:
        return Outcome.INFO
    return Outcome.OK if reply.status in {200, 201} else Outcome.FAIL


def _seen(kind: Kind, body: Shown) -> dict[str, Any]:
    """What a body shows of customers."""
    match kind:
        case Kind.CREATE:
            return {"customer": body["id"], "seen": ((body["id"], tag_of(body)),)}
        case Kind.READ | Kind.UPDATE | Kind.ARCHIVE:
            return {"seen": ((body["id"], tag_of(body)),)}
        case Kind.LIST:
            items = body["items"]
            has_more = body["pagination"].get("after") is not None
            oldest = time_of(items[-1]["createdAt"]) if has_more else 0.0
            return {"seen": tuple((item["id"], item_tag_of(item)) for item in items), "oldest": oldest}
        case Kind.FEED:
            return {"seen": tuple((item["resourceId"], str(item["resourceVersion"])) for item in body["items"])}
        case Kind.CONTACT | Kind.ALIAS | Kind.JOIN:
            return {}
