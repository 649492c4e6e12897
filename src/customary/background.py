"""Keeps one background worker running beside a server: another process, started again whenever it ends."""

import os
import signal
import subprocess
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
        keeper.stop()
        thread.join()


class _Keeper:
    """Starts the process again when it ends, after a pause that grows while it keeps ending."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Keep it running; returns when it was stopped and is gone. The kernel ends it with this very thread."""
        pause = _FIRST_PAUSE_SECONDS
        while process := self._start():
            try:
                status = process.wait()
            except BaseException:
                process.kill()
                raise
            if self._ending.is_set():
                return
            _log.error("worker_ended", status=status)
            self._ending.wait(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    def stop(self) -> None:
        """Let it end what it does, or kill it after a while."""
        with self._lock:
            self._ending.set()
            process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    def _start(self) -> "subprocess.Popen[bytes] | None":
        """Start it, unless it is to end. In a session of its own it is spared what a terminal sends to all."""
        with self._lock:
            if self._ending.is_set():
                return None
            environment = {**os.environ, TIED_TO: str(os.getpid())}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "customary.cli", "worker"], env=environment, start_new_session=True
            )
            return self._process
