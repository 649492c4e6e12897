"""The memory in which the processes of one server measure, each in a place of its own that nobody else writes to.

A place says itself what is in it: entries, each with a key and some numbers behind it. They are written one after
another, and an entry counts from the moment at which the place's end moves behind it; so a process can be killed at any
time. Its place is taken by the next one, which counts on where it stopped: however many die, nothing that was counted
is lost, and there are no more places than processes at one time.

Whoever has a place holds a lock of the kernel on it, which is gone with its process.
"""

import contextlib
import fcntl
import math
import mmap
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple, TypeAlias

import structlog

from customary import shared_files

PLACES = 192  # at most 64 processes answer, each may be about to be replaced, and one works in the background
PLACE_BYTES = 512 * 1024
_PREFIX = "customary-metrics-"
_WORD_BYTES = 8
_ENTRY = struct.Struct("=HHI")  # the bytes of the key, the numbers behind it, whether they are momentary
_END, _OWNER, _FIRST = 0, 1, 2  # words of a place: where its entries end, the owner's process id, the first entry

Numbers: TypeAlias = "memoryview[float]"

_log = structlog.get_logger("customary.metrics")


class Entry(NamedTuple):
    """Some numbers of a place: what they are called, the word at which they begin, and how many there are."""

    key: bytes
    at: int
    length: int
    is_momentary: bool


class Place:
    """What one process writes to."""

    def __init__(self, part: memoryview) -> None:
        """What is in it already is counted on, but for what was true of the moment."""
        self._part = part
        self._words = part.cast("Q")
        self._values = part.cast("d")
        self._words[_END] = max(self._words[_END], _FIRST)
        self._words[_OWNER] = os.getpid()
        self._found: dict[bytes, int] = {}
        for entry in _entries(part):
            self._found[entry.key] = entry.at
            if entry.is_momentary:
                for word in range(entry.at, entry.at + entry.length):
                    self._values[word] = math.nan

    def numbers(self, key: bytes, count: int, *, is_momentary: bool = False) -> tuple[Numbers, int]:
        """Where the `count` numbers of this key are; they begin as zeros.

        Where the place is full they are somewhere that nobody reads.
        """
        at = self._found.get(key)
        if at is None:
            at = self._append(key, count, is_momentary=is_momentary)
        if at is None:
            return memoryview(bytearray(count * _WORD_BYTES)).cast("d"), 0
        if is_momentary:
            for word in range(at, at + count):
                if math.isnan(self._values[word]):
                    self._values[word] = 0.0
        return self._values, at

    def leave(self) -> None:
        """Let the next one have it."""
        self._words[_OWNER] = 0

    def _append(self, key: bytes, count: int, *, is_momentary: bool) -> int | None:
        position = self._words[_END]
        at = position + 1 + _words_of(key)
        if at + count > len(self._words):
            _log.error("metrics_place_full", count=len(self._found))
            return None
        start = position * _WORD_BYTES
        _ENTRY.pack_into(self._part, start, len(key), count, is_momentary)
        self._part[start + _WORD_BYTES : start + _WORD_BYTES + len(key)] = key
        for word in range(at, at + count):
            self._values[word] = 0.0  # somebody may have been killed here
        self._words[_END] = at + count
        self._found[key] = at
        return at


class Memory:
    """The file at `path`, in this process. Raises `OSError` or `ValueError` where it cannot be used."""

    def __init__(self, path: Path) -> None:
        """It stays open for as long as this process measures: closing it anywhere in it would undo all of its locks."""
        with contextlib.ExitStack() as opened:
            self._file: IO[bytes] = opened.enter_context(path.open("r+b"))
            self._bytes = memoryview(mmap.mmap(self._file.fileno(), PLACES * PLACE_BYTES))
            opened.pop_all()

    def close(self) -> None:
        """Give up the locks. What is mapped stays for those who still write to it."""
        self._file.close()

    def claim(self) -> Place:
        """A place for this process. Raises `OSError` where there is none, or no memory for it."""
        for number in range(PLACES):
            if self._part(number).cast("Q")[_OWNER] != os.getpid() and self._lock(number):
                if sys.platform == "linux":
                    # Where memory runs out this says so; a page that cannot be had later would kill the process.
                    os.posix_fallocate(self._file.fileno(), number * PLACE_BYTES, PLACE_BYTES)
                return Place(self._part(number))
        message = "All places are taken."
        raise OSError(message)

    def read(self) -> Iterator[tuple[bytes, list[float]]]:
        """Every key with its numbers, once for each place that has it; what is momentary only of those that live.

        The first place is taken first, so behind one that nobody had yet there is nothing; to look there would take
        memory.
        """
        for number in range(PLACES):
            part = self._part(number)
            if not part.cast("Q")[_END]:
                return
            is_alive, values = self._is_alive(number), part.cast("d")
            for entry in _entries(part):
                if is_alive or not entry.is_momentary:
                    yield entry.key, list(values[entry.at : entry.at + entry.length])

    def _part(self, number: int) -> memoryview:
        return self._bytes[number * PLACE_BYTES : (number + 1) * PLACE_BYTES]

    def _is_alive(self, number: int) -> bool:
        """Whether somebody has this place: nobody does if it can be locked, for a moment. Its own are never refused."""
        if self._part(number).cast("Q")[_OWNER] == os.getpid():
            return True
        if not self._lock(number):
            return True
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, number * PLACE_BYTES, os.SEEK_SET)
        return False

    def _lock(self, number: int) -> bool:
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number * PLACE_BYTES, os.SEEK_SET)
        except (BlockingIOError, PermissionError):  # as the system likes to say it
            return False
        return True


def own_place() -> Place:
    """A place that nobody but this process knows."""
    return Place(memoryview(mmap.mmap(-1, PLACE_BYTES)))


def shared_file() -> Path:
    """An empty file for the processes of one server, which the server removes; it takes memory where it is used."""
    return shared_files.create(_PREFIX, PLACES * PLACE_BYTES)


def _entries(part: memoryview) -> Iterator[Entry]:
    position, end = _FIRST, part.cast("Q")[_END]
    while position < end:
        start = position * _WORD_BYTES
        key_bytes, length, is_momentary = _ENTRY.unpack_from(part, start)
        key = bytes(part[start + _WORD_BYTES : start + _WORD_BYTES + key_bytes])
        at = position + 1 + _words_of(key)
        yield Entry(key, at, length, bool(is_momentary))
        position = at + length


def _words_of(key: bytes) -> int:
    return -(-len(key) // _WORD_BYTES)
