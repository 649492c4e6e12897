"""Keeps one background worker running beside a server: another process, started again whenever it ends."""

import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

import structlog

TIED_TO = "CUSTOMARY_TIED_TO"
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_STOP_SECONDS = 15.0

_log = structlog.get_logger("customary.background")


@contextmanager
def worker() -> Generator[None]:
    """A process that runs `customary worker` with this one's environment, for the length of the block."""
    keeper = _Keeper()
    thread = threading.Thread(target=keeper.run, name="background worker")
    thread.start()
    try:
        yield
    finally:
        keeper.ask_to_end()
        thread.join(_STOP_SECONDS)
        keeper.kill()
        thread.join()


class _Keeper:
    """Starts the process again when it ends, after a pause that grows while it keeps ending."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._pid: int | None = None  # only while it is ours to signal: a reaped one can be anybody's

    def run(self) -> None:
        """Keep it running; returns when it was asked to end and is gone. The kernel ends it with this very thread."""
        pause = _FIRST_PAUSE_SECONDS
        while (pid := self._start()) is not None:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            with self._lock:
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                self._pid = None
            if self._ending.is_set():
                return
            _log.error("worker_ended", status=status)
            self._ending.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def ask_to_end(self) -> None:
        """Let it finish what it does; it is not started again."""
        self._ending.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it if it is still there."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with self._lock:
            if self._pid is not None:
                os.kill(self._pid, number)

    def _start(self) -> int | None:
        """Start it, unless it is to end. In a session of its own it is spared what a terminal sends to all.

        Not by `subprocess`, which waits on a pipe until the program runs: a process that the server forks meanwhile
        would hold that pipe open, and the wait would not end before it.
        """
        command = [sys.executable, "-m", "customary.cli", "worker"]
        environment = {**os.environ, TIED_TO: str(os.getpid())}
        with self._lock:
            if not self._ending.is_set():
                self._pid = os.posix_spawn(command[0], command, environment, setsid=True)
            return self._pid
