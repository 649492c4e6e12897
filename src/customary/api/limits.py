"""How many requests a key may make in a minute, and how many wrong secrets for it may come from one address.

Both are counted across all worker processes of a server, in a file that they share as memory. A place in it is locked
by the kernel for the few microseconds of a decision, and the lock goes with the process that holds it, however that
ends. Where nothing can be counted, requests are let through: a limit protects the service, and must not stop it.
"""

import contextlib
import fcntl
import itertools
import mmap
import os
import struct
import tempfile
import time
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import IO
from uuid import UUID

import structlog
from msgspec import Struct

from customary import shared_files
from customary.errors import RateLimited

DEFAULT_REQUESTS_PER_MINUTE = 1_500
FAILURES_PER_MINUTE = 100
WINDOW_SECONDS = 60.0

_ENTRY = struct.Struct("=16sdQ")  # whom it is about, start of the window in seconds of the monotonic clock, the count
_PLACES = 16_384
_PROBES = 8
_TABLE_BYTES = (_PLACES + _PROBES) * _ENTRY.size
_KEYS, _FAILURES = 0, _TABLE_BYTES  # where the two tables begin
_PREFIX = "customary-limits-"
SIZE_BYTES = 2 * _TABLE_BYTES

# Whoever holds a lock lets go in a few microseconds, unless it was stopped in the middle: then everything else in this
# process waits as long as we do, once. It is long enough for a holder that only has to wait for its turn.
_LONGEST_WAIT_SECONDS = 0.5
_QUICK_ATTEMPTS = 20
_PAUSE_SECONDS = 0.0005
_QUIET_SECONDS = 10.0

_log = structlog.get_logger("customary.limits")


@lru_cache(maxsize=1_024)
def _policy(name: str, limit: int) -> bytes:
    return f'"{name}";q={limit};w={WINDOW_SECONDS:.0f}'.encode()


class Decision(Struct, frozen=True):
    """What is left of a limit in its window; less than nothing when it has been used up."""

    limit: int
    remaining: int
    reset_seconds: int
    policy: str = "default"

    @property
    def is_used_up(self) -> bool:
        """Whether this request is one too many."""
        return self.remaining < 0

    def require_room(self) -> None:
        """Raise `RateLimited` for a request that is one too many."""
        if self.is_used_up:
            message = f"This key has made its {self.limit} requests of this minute. Wait {self.reset_seconds} s."
            raise RateLimited(message, self.reset_seconds)

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The RateLimit fields, in the form of the IETF's draft."""
        return (
            (b"ratelimit-policy", _policy(self.policy, self.limit)),
            (b"ratelimit", f'"{self.policy}";r={max(0, self.remaining)};t={self.reset_seconds}'.encode()),
        )


class Limiter:
    """Counts in the file at `path`; without one, or where it cannot be used, for this process alone."""

    def __init__(self, path: Path | None = None) -> None:
        self._wait_seconds = _LONGEST_WAIT_SECONDS
        self._quiet_until = 0.0
        shared = None if path is None else _shared_memory(path)
        self._file, self._memory = shared or _own_memory()

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()
        self._file.close()

    def take(self, client_id: UUID, limit: int | None) -> Decision:
        """Count one request of this key."""
        most = DEFAULT_REQUESTS_PER_MINUTE if limit is None else limit
        started, count = self._count(_KEYS, client_id.bytes, 1)
        return Decision(most, most - count, _seconds_left(started))

    def fail(self, client_id: UUID, address: bytes) -> None:
        """Count one wrong secret for this client id, whether there is such a key or not, from this address."""
        self._count(_FAILURES, _pair(client_id, address), 1)

    def failures(self, client_id: UUID, address: bytes) -> Decision:
        """What is left of the wrong secrets that may come for this client id from this address."""
        started, count = self._count(_FAILURES, _pair(client_id, address), 0)
        return Decision(FAILURES_PER_MINUTE, FAILURES_PER_MINUTE - 1 - count, _seconds_left(started), "failures")

    def _count(self, table: int, key: bytes, step: int) -> tuple[float, int]:
        """The start of this key's window and its count there, this step included; a new window where that fails."""
        now = time.monotonic()
        home = table + int.from_bytes(key[-8:], "big") % _PLACES * _ENTRY.size
        try:
            self._lock(home)
            try:
                return self._count_locked(key, home, step, now)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _PROBES * _ENTRY.size, home, os.SEEK_SET)
        except (OSError, ValueError) as error:
            if now > self._quiet_until:
                self._quiet_until = now + _QUIET_SECONDS
                _log.error("limits_not_counted", error=type(error).__name__)
            return now, step

    def _lock(self, home: int) -> None:
        """Have the places of this home for this process alone. Raises `OSError` where another one does not let go.

        Then the next one does not wait at all, until one succeeds again.
        """
        deadline = time.monotonic() + self._wait_seconds
        for attempt in itertools.count():
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, _PROBES * _ENTRY.size, home, os.SEEK_SET)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    self._wait_seconds = 0.0
                    raise
                time.sleep(0 if attempt < _QUICK_ATTEMPTS else _PAUSE_SECONDS)
            else:
                self._wait_seconds = _LONGEST_WAIT_SECONDS
                return

    def _count_locked(self, key: bytes, home: int, step: int, now: float) -> tuple[float, int]:
        """Count where the key is. Else the first free place takes it, or the place whose window is the oldest."""
        oldest, oldest_start = home, float("inf")
        for offset in range(home, home + _PROBES * _ENTRY.size, _ENTRY.size):
            found, started, count = _ENTRY.unpack_from(self._memory, offset)
            if found == key and now - started < WINDOW_SECONDS:
                if step:
                    _ENTRY.pack_into(self._memory, offset, key, started, count + step)
                return started, count + step
            if found == key:
                started = -1.0
            if started < oldest_start:
                oldest, oldest_start = offset, started
        if step:
            _ENTRY.pack_into(self._memory, oldest, key, now, step)
        return now, step


def _shared_memory(path: Path) -> tuple[IO[bytes], mmap.mmap] | None:
    """The file and what is in it; None where it is gone or was cut, as a process finds it that is started later."""
    with contextlib.ExitStack() as opened:
        try:
            file = opened.enter_context(path.open("r+b"))
            memory = mmap.mmap(file.fileno(), SIZE_BYTES)
        except (OSError, ValueError) as error:
            _log.error("limits_file_not_usable", error=type(error).__name__)
            return None
        opened.pop_all()  # it stays open as long as the limiter
        return file, memory


def _own_memory() -> tuple[IO[bytes], mmap.mmap]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the limiter
    file.truncate(SIZE_BYTES)
    return file, mmap.mmap(file.fileno(), SIZE_BYTES)


def _seconds_left(started: float) -> int:
    return max(1, round(started + WINDOW_SECONDS - time.monotonic()))


def _pair(client_id: UUID, address: bytes) -> bytes:
    return blake2b(client_id.bytes + address, digest_size=16).digest()


def shared_file() -> Path:
    """An empty file for the counts of one server, which the server removes."""
    return shared_files.create(_PREFIX, SIZE_BYTES)
