"""What clients asked and what they were told, and what the database says: the material that `checker` compares.

Pure: nothing here starts a process or opens a connection. How a test of its own uses it:

    journal = Journal(path)                     # one for each process, a file that only it writes
    journal.begin(Attempt(id="a-1", ...))       # before a request; `id` goes into its header X-Request-Id
    journal.sync()                              # now it is on the disk, and the request may be sent
    journal.end(Answer(id="a-1", ...))          # after it; the next `sync` puts it on the disk
    history = History.read([path, ...])         # afterwards, however those who wrote it ended
    stored = await gather(owner, account_id)    # from `gathering`, once everything is calm
    found = check(history, stored)              # from `checker`; `found.problems` is empty, or has sentences

Three things let the checker tell apart what happened: each attempt has an id of its own, which the activity log of the
service keeps; each write leaves a text of its own in the customer, its `mark`; and an answer is OK (it said yes), FAIL
(it said no: this attempt changed nothing and never will) or INFO (nobody knows, such as 503, a reset or a timeout).
Times are `time.monotonic()`, which all processes of a machine share.

`workload` and `client` have clients that write such journals; they can be started by themselves (see `clients`).
"""

import hashlib
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct


class Kind(StrEnum):
    """What an attempt is."""

    CREATE = "create"
    UPDATE = "update"
    CONTACT = "contact"
    ALIAS = "alias"
    ARCHIVE = "archive"
    JOIN = "join"
    READ = "read"
    LIST = "list"
    FEED = "feed"

    @property
    def is_write(self) -> bool:
        """Whether it is to change something."""
        return self not in {Kind.READ, Kind.LIST, Kind.FEED}


class Outcome(StrEnum):
    """What its sender knows of an attempt."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


class Attempt(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="attempt"):
    """One request, as it is sent.

    `customer` is whom it is about where that is known, `request` a digest of verb, path and body, `mark` the text that
    the write leaves in the customer. Of a JOIN, `mark` is the organisation's id, or nothing where it is a new one.
    """

    id: str
    session: str
    kind: Kind
    at: float
    customer: str = ""
    mark: str = ""
    request: str = ""
    key: str | None = None
    if_match: str | None = None


class Answer(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="answer"):
    """What became of an attempt.

    `seen` are the customers that it showed, each with what stands for its state: `tag_of` what a READ or a write
    answered, `item_tag_of` each item of a LIST, the version of each event of a FEED. `customer` is the one that a
    CREATE made. `oldest` is when the last item of a LIST was made, where there may be more behind it.
    """

    id: str
    outcome: Outcome
    at: float
    status: int | None = None
    etag: str | None = None
    body: str = ""
    customer: str = ""
    is_replay: bool = False
    has_retry_after: bool = False
    seen: tuple[tuple[str, str], ...] = ()
    oldest: float = 0.0


Line: TypeAlias = Attempt | Answer
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def digest(content: bytes) -> str:
    """A short stand-in for bytes that are to be compared later."""
    return hashlib.blake2b(content, digest_size=12).hexdigest()


def tag_of(customer: Mapping[str, Any]) -> str:
    """What stands for the state of a customer as a GET shows it.

    Without its organisations: they show their members, who come and go without a change of all others.
    """
    return _tag(customer, without=frozenset({"organizations"}))


def item_tag_of(customer: Mapping[str, Any]) -> str:
    """The same for an item of a list with `include=contacts`, which has no status."""
    return _tag(customer, without=frozenset({"organizations", "status"}))


def _tag(customer: Mapping[str, Any], *, without: frozenset[str]) -> str:
    shown = {name: value for name, value in customer.items() if name not in without}
    return digest(msgspec.json.encode(shown, order="deterministic"))


def time_of(text: str) -> float:
    """The time in a body, in seconds."""
    return datetime.fromisoformat(text).timestamp()


class Journal:
    """The file in which one process writes what it asks before it asks, and what it was told."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._waiting: list[bytes] = []

    def begin(self, attempt: Attempt) -> None:
        """Note what is about to be sent; call `sync` before it is."""
        self._waiting.append(_encode(attempt))

    def end(self, answer: Answer) -> None:
        """Note what became of it. It is on the disk before anything else is sent, since that takes a `sync`."""
        self._waiting.append(_encode(answer))

    def sync(self) -> None:
        """Put everything on the disk. Returns when it is there."""
        if self._waiting:
            os.write(self._file, b"\n".join([*self._waiting, b""]))
            self._waiting.clear()
            os.fdatasync(self._file)

    def close(self) -> None:
        """Put the rest on the disk and let the file go."""
        self.sync()
        os.close(self._file)


class History(Struct, frozen=True):
    """All attempts of a run by id, in the order of their beginning, with the answer to each."""

    attempts: dict[str, Attempt]
    answers: dict[str, Answer]

    @classmethod
    def of(cls, lines: Iterable[Line]) -> "History":
        """Put these together. An attempt without an answer is one whose outcome nobody knows."""
        attempts: list[Attempt] = []
        answers: dict[str, Answer] = {}
        for line in lines:
            if isinstance(line, Attempt):
                attempts.append(line)
            else:
                answers[line.id] = line
        ordered = {attempt.id: attempt for attempt in sorted(attempts, key=lambda each: each.at)}
        assert len(ordered) == len(attempts), "two attempts have the same id"
        assert answers.keys() <= ordered.keys(), "an answer to something that nobody asked"
        nobody_knows = {
            name: Answer(id=name, outcome=Outcome.INFO, at=float("inf")) for name in ordered.keys() - answers.keys()
        }
        return cls(ordered, answers | nobody_knows)

    @classmethod
    def read(cls, paths: Sequence[Path]) -> "History":
        """The journals in these files. A last line that was cut short was not written when something was sent."""
        return cls.of(_decode(line) for path in paths for line in path.read_bytes().split(b"\n")[:-1])


class Version(Struct, frozen=True, kw_only=True):
    """A customer after one of its changes, as the event of that change has it.

    `transaction` is the one that made it. `etag` is what a GET had then, unless an organisation has changed since;
    `tag` and `item_tag` are as in an answer, `text` has all of it, and `created_at` is when the customer was made.
    `copies` are the values of the fields that every write fills with the same text.
    """

    customer: str
    number: int
    transaction: int
    etag: str
    tag: str
    item_tag: str
    text: str
    created_at: float
    is_archived: bool = False
    copies: tuple[str, ...] = ()


class Change(Struct, frozen=True, kw_only=True):
    """An entry of the activity log: the attempt that changed something, and the transaction that did it."""

    request_id: str
    transaction: int


class Stored(Struct, frozen=True, kw_only=True):
    """What is in the database in the end, and what the API shows of it.

    `customers` has the number of each customer's present version; `feed` are all events in their order, with the
    number of each as text; `listed` is what walking through all pages of the list shows, with `item_tag_of` each.
    """

    versions: list[Version]
    changes: list[Change]
    customers: dict[str, int]
    feed: list[tuple[str, str]]
    listed: list[tuple[str, str]]


def now() -> float:
    """The time of the journals."""
    return time.monotonic()
