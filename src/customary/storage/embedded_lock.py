"""Who holds a data directory: one process at a time, by a lock that the kernel drops when that process dies."""

import fcntl
import os
import time
from pathlib import Path

import msgspec

from customary.errors import SetupError

COMMAND = "command"
PATIENCE_SECONDS = 30.0
_open_locks: set[int] = set()


class Holder(msgspec.Struct, frozen=True):
    """The process that holds a data directory, and what it is: `command` for a short one."""

    pid: int
    holder: str


class Lock:
    """A held lock on one data directory."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor
        _open_locks.add(descriptor)

    def release(self) -> None:
        """Let the directory go; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            _open_locks.discard(descriptor)
            os.close(descriptor)


def try_take(data_dir: Path, holder: str) -> Lock | None:
    """Take the lock now, or return None when another process has it."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(data_dir / "lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(Holder(os.getpid(), holder)), 0)
    return Lock(descriptor)


def current_holder(data_dir: Path) -> Holder | None:
    """Who wrote its name into the lock last; None in the moment between taking and writing. Not proof of a lock."""
    try:
        return msgspec.json.decode((data_dir / "lock").read_bytes(), type=Holder)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def take(data_dir: Path, holder: str) -> Lock:
    """Take the lock, waiting up to 30 seconds for a short command. Raises SetupError when a server has it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (lock := try_take(data_dir, holder)) is None:
        other = current_holder(data_dir)
        if (other is not None and other.holder != COMMAND) or time.monotonic() > deadline:
            raise held(data_dir, other)
        time.sleep(0.05)
    return lock


def held(data_dir: Path, other: Holder | None) -> SetupError:
    """The sentence for an operator whose data directory is in use."""
    who = f"the {other.holder} with process id {other.pid}" if other else "another process"
    return SetupError(
        f"The data directory {data_dir} is in use by {who}. "
        "Stop that one first, or choose another directory and port with --data-dir and --port."
    )


def _forget_in_child() -> None:
    """A forked child shares the lock's open file: it would keep the directory locked after our death."""
    for descriptor in _open_locks:
        os.close(descriptor)
    _open_locks.clear()


os.register_at_fork(after_in_child=_forget_in_child)
