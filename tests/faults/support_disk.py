"""A disk of its own for a database, in memory, which can be full."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from msgspec import Struct

_BLOCK = bytes(64 * 1024)


class Disk(Struct, frozen=True):
    """A disk that is mounted on `path`."""

    path: Path

    def fill(self) -> None:
        """Leave no room on it."""
        ballast = os.open(self._ballast, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        try:
            with contextlib.suppress(OSError):
                while True:
                    os.write(ballast, _BLOCK)
        finally:
            os.close(ballast)
        assert shutil.disk_usage(self.path).free == 0

    def clear(self) -> None:
        """Give back the room."""
        self._ballast.unlink()

    @property
    def _ballast(self) -> Path:
        return self.path / "ballast"


@contextmanager
def disk(size_megabytes: int) -> Generator[Disk]:
    """A new disk of this size; whoever runs a database can enter it."""
    with tempfile.TemporaryDirectory(prefix="customary-disk-") as parent:
        Path(parent).chmod(0o755)
        path = Path(parent) / "disk"
        path.mkdir(mode=0o755)
        options = f"size={size_megabytes}m,mode=755"
        _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path))
        try:
            yield Disk(path)
        finally:
            _run("umount", "--lazy", str(path))


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


@cache
def missing() -> str | None:
    """What is not there for a disk of our own; None if nothing."""
    if os.geteuid() != 0:
        return "needs root, for a disk of its own"
    try:
        with disk(1):
            return None
    except AssertionError:
        return "needs a machine on which root may mount a disk"


NEEDED = pytest.mark.skipif(missing() is not None, reason=str(missing()))
