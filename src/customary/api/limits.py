"""How many requests a key may make in a minute, counted across all worker processes of a server.

The counts live in a file that the processes share as memory. A place in it is locked by the kernel for the few
microseconds of a decision, and the lock goes with the process that holds it, however that ends.
"""

import contextlib
import fcntl
import mmap
import os
import struct
import tempfile
import time
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from customary.errors import RateLimited

DEFAULT_REQUESTS_PER_MINUTE = 1_500
WINDOW_SECONDS = 60.0

_ENTRY = struct.Struct("=16sdQ")  # client id, start of the window in seconds of the monotonic clock, requests in it
_PLACES = 16_384
_PROBES = 8
_PREFIX = "customary-limits-"
SIZE_BYTES = (_PLACES + _PROBES) * _ENTRY.size


class Decision(Struct, frozen=True):
    """What is left to a key in its window; less than nothing when it has been used up."""

    limit: int
    remaining: int
    reset_seconds: int

    def require_room(self) -> None:
        """Raise `RateLimited` for a request that is one too many."""
        if self.remaining < 0:
            message = f"This key has made its {self.limit} requests of this minute. Wait {self.reset_seconds} s."
            raise RateLimited(message, self.reset_seconds)

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """The RateLimit fields, in the form of the IETF's draft."""
        return (
            (b"ratelimit-policy", f'"default";q={self.limit};w={WINDOW_SECONDS:.0f}'.encode()),
            (b"ratelimit", f'"default";r={max(0, self.remaining)};t={self.reset_seconds}'.encode()),
        )


class Limiter:
    """Counts requests in the file at `path`; without one, for this process alone."""

    def __init__(self, path: Path | None = None) -> None:
        if path is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the limiter
            self._file.truncate(SIZE_BYTES)
        else:
            self._file = path.open("r+b")
        self._memory = mmap.mmap(self._file.fileno(), SIZE_BYTES)

    def close(self) -> None:
        """Let go of the file."""
        self._memory.close()
        self._file.close()

    def take(self, client_id: UUID, limit: int | None) -> Decision:
        """Count one request of this key."""
        most = DEFAULT_REQUESTS_PER_MINUTE if limit is None else limit
        home = client_id.int % _PLACES * _ENTRY.size
        fcntl.lockf(self._file, fcntl.LOCK_EX, _PROBES * _ENTRY.size, home, os.SEEK_SET)
        try:
            started, count = self._count(client_id.bytes, home)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _PROBES * _ENTRY.size, home, os.SEEK_SET)
        reset_seconds = max(1, round(started + WINDOW_SECONDS - time.monotonic()))
        return Decision(most, most - count, reset_seconds)

    def _count(self, key: bytes, home: int) -> tuple[float, int]:
        """The start of this key's window and its requests in it, this one included.

        The first free place near its home is taken; where there is none, the place whose window is the oldest.
        """
        now = time.monotonic()
        oldest, oldest_start = home, float("inf")
        for offset in range(home, home + _PROBES * _ENTRY.size, _ENTRY.size):
            found, started, count = _ENTRY.unpack_from(self._memory, offset)
            if found == key and now - started < WINDOW_SECONDS:
                _ENTRY.pack_into(self._memory, offset, key, started, count + 1)
                return started, count + 1
            if found == key:
                started = -1.0
            if started < oldest_start:
                oldest, oldest_start = offset, started
        _ENTRY.pack_into(self._memory, oldest, key, now, 1)
        return now, 1


def shared_file() -> Path:
    """An empty file for the counts of one server, in memory where the machine offers that; the server removes it.

    The name begins with the server's process id, so that what a killed one left behind is found and removed here.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a file of our own with a name that nobody can guess
    directory = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    for left in directory.glob(f"{_PREFIX}*-*"):
        _remove_if_left_behind(left)
    descriptor, name = tempfile.mkstemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=directory)
    with os.fdopen(descriptor, "r+b") as file:
        file.truncate(SIZE_BYTES)
    return Path(name)


def _remove_if_left_behind(path: Path) -> None:
    owner = path.name.removeprefix(_PREFIX).partition("-")[0]
    with contextlib.suppress(OSError):  # it is another user's, or another server was quicker
        if owner.isdigit() and path.stat().st_uid == os.getuid() and not Path("/proc", owner).exists():
            path.unlink()
