"""A PostgreSQL on the disk, with all that makes its commits durable, which is killed in every way and started again."""

import contextlib
import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.support import free_port, until
from tests.faults.support_postgresql import unprivileged

from customary.storage import embedded_places
from customary.storage.embedded_processes import OsUser, of_cluster, pid_file_lines, postmaster_pid, reap, spawn


class Postgresql:
    """One server on a port of the loopback interface, which stays the same however often it is killed."""

    def __init__(self, directory: Path, user: OsUser, password: str) -> None:
        self.port = free_port()
        self.data = directory / "data"
        self._directory, self._user, self._password = directory, user, password
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, port: int | None = None) -> str:
        """The URL of the administrator; another port is that of what stands before the server."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{port or self.port}/postgres"

    def start(self) -> None:
        """Start it once nothing of an earlier life is left, and wait until it lets somebody in."""
        self.stop()
        with contextlib.suppress(FileNotFoundError):
            (self.data / "postmaster.pid").unlink()
        settings = ("listen_addresses=127.0.0.1", f"port={self.port}", "unix_socket_directories=", "fsync=on")
        command = [embedded_places.binaries(self._user) / "postgres", "-D", self.data]
        with (self._directory / "log").open("ab") as output:
            self._process = spawn(
                [*command, *(part for each in settings for part in ("-c", each))],
                user=self._user,
                directory=self._directory,
                death_signal=signal.SIGQUIT,
                output=output,
            )
        until(self.is_ready, 60)

    def is_ready(self) -> bool:
        """Whether the postmaster lives and takes connections: it writes so into the eighth line of its file."""
        if self._process is None or self._process.poll() is not None:
            return False
        lines = pid_file_lines(self.data)
        return len(lines) >= 8 and lines[7].strip() == "ready" and lines[0] == str(self._process.pid)

    def processes(self) -> frozenset[int]:
        """All of its processes."""
        return of_cluster(self.data, self._user)

    def postmaster(self) -> int:
        """The process that starts all others."""
        pid = postmaster_pid(self.data)
        assert pid is not None
        return pid

    def stop(self) -> None:
        """End it."""
        reap(self.data, self._user)
        if self._process is not None:
            self._process.wait(20)


def kill_all(pids: frozenset[int], first: int | None = None) -> None:
    """Kill these processes, the one that would start others in their place before them."""
    for pid in ([first] if first is not None else []) + sorted(pids - {first}):
        with contextlib.suppress(ProcessLookupError):  # PostgreSQL has processes that come and go.
            os.kill(pid, signal.SIGKILL)


@contextmanager
def running() -> Generator[Postgresql]:
    """A fresh server whose data are on the disk: in memory there is nothing to lose."""
    user, password = unprivileged(), secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="customary-torture-") as parent:
        Path(parent).chmod(0o755)
        directory = Path(parent) / "server"
        directory.mkdir(mode=0o700)
        secret = directory / "password"
        secret.write_text(password)
        if user.switch:
            os.chown(directory, user.uid, user.gid)
            os.chown(secret, user.uid, user.gid)
        server = Postgresql(directory, user, password)
        options = (
            "-U",
            "postgres",
            f"--pwfile={secret}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        )
        made = spawn(
            [embedded_places.binaries(user) / "initdb", "-D", server.data, *options],
            user=user,
            directory=directory,
            death_signal=signal.SIGKILL,
        )
        output, _ = made.communicate(timeout=120)
        assert made.returncode == 0, output.decode()
        try:
            server.start()
            yield server
        finally:
            server.stop()
