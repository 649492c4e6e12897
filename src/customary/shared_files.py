"""Files that the processes of one server share as memory: made by the server, and removed by it or by a later one."""

import contextlib
import os
import tempfile
from pathlib import Path


def create(prefix: str, size_bytes: int) -> Path:
    """An empty file of this size, in memory where the machine offers that; whoever asked for it removes it.

    The name begins with `prefix` and the process id, so that what a killed process left behind is found and removed
    here.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a file of our own with a name that nobody can guess
    directory = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
    for left in directory.glob(f"{prefix}*-*"):
        _remove_if_left_behind(left, prefix)
    descriptor, name = tempfile.mkstemp(prefix=f"{prefix}{os.getpid()}-", dir=directory)
    with os.fdopen(descriptor, "r+b") as file:
        file.truncate(size_bytes)
    return Path(name)


def _remove_if_left_behind(path: Path, prefix: str) -> None:
    owner = path.name.removeprefix(prefix).partition("-")[0]
    with contextlib.suppress(OSError):  # it is another user's, or another server was quicker
        if owner.isdigit() and path.stat().st_uid == os.getuid() and not Path("/proc", owner).exists():
            path.unlink()
