"""Two PostgreSQL servers of which one follows the other, and takes its place when that is gone.

Nothing is acknowledged before both have it. That is what a cluster manager does, but for the decision when.
"""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from tests.faults.support import free_port, until
from tests.faults.support_postgresql import unprivileged

from customary.storage import embedded_places
from customary.storage.embedded_processes import OsUser, of_cluster, pid_file_lines, spawn
from customary.storage.migrate import migrate
from customary.storage.schema import SERVICE_ROLE

_SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "wal_keep_size=256MB", "max_connections=100")
# Whoever follows has everything from then on.
_AWAIT_FOLLOWER = """
DO $$ BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync') LOOP
        PERFORM pg_sleep(0.01);
        PERFORM pg_stat_clear_snapshot();
    END LOOP;
END $$
"""


class Node:
    """One of the two servers, on a port that it keeps."""

    def __init__(self, directory: Path, user: OsUser, password: str) -> None:
        self.port, self.data = free_port(), directory / "data"
        self._directory, self._user, self._password = directory, user, password
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the administrator."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/postgres"

    def make(self) -> None:
        """Make it, as the first of the two."""
        secret = self._directory / "password"
        secret.write_text(self._password)
        secret.chmod(0o644)
        self._run(
            "initdb", "-D", self.data, "-U", "postgres", f"--pwfile={secret}", "--auth=scram-sha-256", "-E", "UTF8"
        )

    def follow(self, other: "Node") -> None:
        """Throw away what it has, copy the other one, and follow it from then on."""
        shutil.rmtree(self.data, ignore_errors=True)
        self._run("pg_basebackup", "-d", other.url, "-D", self.data, "-X", "stream", "-R", "-c", "fast")
        self.start()

    def start(self) -> None:
        """Start it and wait until it lets somebody in."""
        command = [embedded_places.binaries(self._user) / "postgres", "-D", self.data, "-c", f"port={self.port}"]
        command += [part for each in _SETTINGS for part in ("-c", each)]
        with (self._directory / "log").open("ab") as output:
            self._process = spawn(
                command, user=self._user, directory=self._directory, death_signal=signal.SIGQUIT, output=output
            )
        until(self._answers)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()[-2000:]
        lines = pid_file_lines(self.data)
        is_in = len(lines) >= 8 and lines[7].strip() in {"ready", "standby"}
        return is_in and lines[0] == str(self._process.pid)

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [embedded_places.binaries(self._user) / program, *arguments]
        made = spawn(command, user=self._user, directory=self._directory, death_signal=signal.SIGKILL)
        output, _ = made.communicate(timeout=120)
        assert made.returncode == 0, output.decode()

    def ask(self, *statements: str) -> Any:  # noqa: ANN401 - whatever the last statement answers
        """What the last of these statements answers to the administrator."""

        async def run() -> Any:  # noqa: ANN401 - as above
            connection = await asyncpg.connect(self.url, timeout=5)
            try:
                for statement in statements[:-1]:
                    await connection.execute(statement)
                return await connection.fetchval(statements[-1])
            finally:
                connection.terminate()

        return asyncio.run(run())

    def signal(self, number: int) -> None:
        """Send this signal to all of its processes, to the one that would start others first."""
        assert self._process is not None
        pids = of_cluster(self.data, self._user) - {self._process.pid}
        for pid in (self._process.pid, *pids):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def ask_to_end(self) -> None:
        """Let it end in an orderly way, which sends everything to whoever follows it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """Be sure that nothing of it is left."""
        if self._process is not None:
            self.signal(signal.SIGKILL)
            self._process.wait(20)
            until(lambda: not of_cluster(self.data, self._user))


class Pair:
    """The two servers: the one that takes writes, and the one that follows."""

    def __init__(self, first: Node, second: Node) -> None:
        self.primary, self.standby = first, second

    def join(self) -> None:
        """Let the second one follow the first, and nothing be acknowledged that it does not have."""
        self.standby.kill()
        self.standby.follow(self.primary)
        self.primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()")
        self.primary.ask(_AWAIT_FOLLOWER, "SELECT true")

    def promote(self) -> float:
        """Put the one that follows in the place of the other; when it took writes."""
        assert self.standby.ask("SELECT pg_promote()")
        promoted_at = time.monotonic()
        self.primary, self.standby = self.standby, self.primary
        # It has nobody who follows it yet, and would wait for that one.
        self.primary.ask("ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")
        return promoted_at

    def database(self) -> str:
        """The URL of a new database that is ready, at both servers, for its ordinary owner."""
        login = "CREATE ROLE keeper LOGIN PASSWORD 'kept'"
        let = (f"CREATE ROLE {SERVICE_ROLE} NOLOGIN", f"GRANT {SERVICE_ROLE} TO keeper")
        self.primary.ask(login, *let, "CREATE DATABASE kept OWNER keeper", "SELECT true")
        url = f"postgresql://keeper:kept@127.0.0.1:{self.primary.port}/kept"
        asyncio.run(migrate(url))
        hosts = f"keeper:kept@127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return urlunsplit(urlsplit(url)._replace(netloc=hosts, query="target_session_attrs=read-write"))


@contextmanager
def pair() -> Generator[Pair]:
    """Two servers, of which the second one does not follow yet."""
    user, password = unprivileged(), secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="customary-failover-") as parent:
        Path(parent).chmod(0o755)
        nodes: list[Node] = []
        for name in ("first", "second"):
            directory = Path(parent) / name
            directory.mkdir(mode=0o700)
            if user.switch:
                os.chown(directory, user.uid, user.gid)
            nodes.append(Node(directory, user, password))
        try:
            nodes[0].make()
            nodes[0].start()
            yield Pair(*nodes)
        finally:
            for node in nodes:
                node.kill()
