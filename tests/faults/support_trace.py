"""System calls of other processes that are made to fail."""

import re
import shutil
import signal
import subprocess
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.support import until

_TRACE_OTHERS = 1 << 19  # CAP_SYS_PTRACE


def missing() -> str | None:
    """What is not there for making system calls fail; None if nothing."""
    if shutil.which("strace") is None:
        return "needs the Debian package strace"
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", status, re.MULTILINE)
    may_trace = found is not None and int(found.group(1), 16) & _TRACE_OTHERS
    return None if may_trace else "needs root, with the right to trace the processes of others"


NEEDED = pytest.mark.skipif(missing() is not None, reason=str(missing()))


@contextmanager
def failing(calls: str, error: str, pids: Iterable[int]) -> Generator[None]:
    """Let these system calls fail with this error, in these processes and those that they start, while this lasts."""
    watched = [str(pid) for pid in pids]
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}"]
    with subprocess.Popen([*command, *(part for pid in watched for part in ("-p", pid))]) as tracer:
        try:
            until(lambda: all(_is_traced_or_gone(pid) for pid in watched))
            yield
        finally:
            tracer.send_signal(signal.SIGINT)


def _is_traced_or_gone(pid: str) -> bool:
    try:
        return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return True
