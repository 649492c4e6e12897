"""PostgreSQL servers that an operator would have: the ones installed on this machine, and the wheel's."""

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import asyncpg
from msgspec import Struct
from msgspec.structs import replace
from tests.faults.support import free_port, until
from tests.support import canaries

from customary.storage import embedded_places
from customary.storage.embedded_processes import OsUser, spawn
from customary.storage.migrate import migrate
from customary.storage.schema import SERVICE_ROLE

_MEMORY = Path("/dev/shm")  # noqa: S108 - a place in memory, where only a directory of our own is used


def unprivileged() -> OsUser:
    """Who runs the database: ourselves, or as root somebody else, since PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return OsUser(pwd.getpwuid(os.geteuid()).pw_name, os.geteuid(), os.getegid(), switch=False)
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = known.get("postgres") or known["nobody"]
    return OsUser(entry.pw_name, entry.pw_uid, entry.pw_gid, switch=True)


def majors() -> list[int]:
    """The major versions that can be started here, of those that Customary runs on."""
    debian = {int(path.parent.name) for path in Path("/usr/lib/postgresql").glob("[0-9]*/bin") if _is_whole(path)}
    return sorted({major for major in debian if 15 <= major <= 18} | {18})


def _is_whole(directory: Path) -> bool:
    return all((directory / program).exists() for program in ("initdb", "postgres"))


def _binaries(major: int, user: OsUser) -> Path:
    debian = Path(f"/usr/lib/postgresql/{major}/bin")
    return debian if _is_whole(debian) else embedded_places.binaries(user)


class Place(Struct, frozen=True):
    """Where and how a server runs, if not in memory, on the loopback interface and with what is set for tests.

    `parent` is the directory that it gets one of its own in, `wal` that of its log, `settings` come after all others;
    `through` is the command that starts it, and `by_root` says that this one needs to be root, and sees to the user.
    """

    address: str = "127.0.0.1"
    parent: Path | None = None
    wal: Path | None = None
    settings: tuple[str, ...] = ()
    through: tuple[str, ...] = ()
    by_root: bool = False


class Server(Struct):
    """One PostgreSQL server on a port of the loopback interface, or where its place is."""

    major: int
    port: int
    password: str
    _command: list[str | Path]
    _directory: Path
    _user: OsUser
    address: str = "127.0.0.1"
    _process: subprocess.Popen[bytes] | None = None
    _made: int = 0

    def url(self, database: str = "postgres", role: str = "postgres", password: str | None = None) -> str:
        """The URL of this database for this role; without a password the administrator's."""
        secret = quote(password or self.password, safe="")
        return f"postgresql://{role}:{secret}@{self.address}:{self.port}/{database}"

    async def run(self, *statements: str, database: str = "postgres") -> object:
        """What the last of these statements answers to the administrator."""
        connection = await asyncpg.connect(self.url(database), timeout=10)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    async def database(self, *attributes: str, owner: bool = True, name: str | None = None) -> tuple[str, str]:
        """A new database, and a new login role with these attributes: its owner, or one that may only connect.

        Answers the role's URL and its name.
        """
        self._made += 1
        role, database = f"role_{self._made}", name or f"database_{self._made}"
        await self.run(f"CREATE ROLE {role} LOGIN PASSWORD 'of {role}' {' '.join(attributes)}", "SELECT 1")
        await self.run(f'CREATE DATABASE "{database}"' + (f" OWNER {role}" if owner else ""), "SELECT 1")
        return self.url(quote(database), role, f"of {role}"), role

    async def let_serve(self, role: str) -> None:
        """Do what an administrator does for an owner without rights."""
        if not await self.run(f"SELECT count(*) FROM pg_roles WHERE rolname = '{SERVICE_ROLE}'"):  # noqa: S608 - a constant
            await self.run(f"CREATE ROLE {SERVICE_ROLE} NOLOGIN", "SELECT 1")
        await self.run(f"GRANT {SERVICE_ROLE} TO {role}", "SELECT 1")

    async def migrated(self) -> str:
        """The URL of a new database that is ready, for its ordinary owner."""
        url, role = await self.database()
        await self.let_serve(role)
        await migrate(url)
        return url

    def start(self) -> None:
        """Start it and wait until it lets somebody in."""
        with (self._directory / "log").open("ab") as output:
            self._process = spawn(
                self._command,
                user=self._user,
                directory=self._directory,
                death_signal=signal.SIGQUIT,
                output=output,
            )
        until(self._answers)

    @property
    def pid(self) -> int:
        """The id of its first process."""
        assert self._process is not None
        return self._process.pid

    @property
    def data(self) -> Path:
        """The directory of its data."""
        return self._directory / "data"

    @property
    def log(self) -> str:
        """What it said so far."""
        return (self._directory / "log").read_text(encoding="utf-8", errors="replace")

    def has_ended(self) -> bool:
        """Whether it is over, by itself or not."""
        return self._process is None or self._process.poll() is not None

    def stop(self) -> None:
        """Stop it as a crash would, which is the fastest way."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        # With the port in its fifth line, the file says in its eighth whether the server takes connections.
        pid_file = self._directory / "data" / "postmaster.pid"
        lines = pid_file.read_text(encoding="utf-8").splitlines() if pid_file.exists() else []
        return len(lines) >= 8 and lines[7].strip() == "ready" and lines[0] == str(self._process.pid)


@contextmanager
def running(major: int, place: Place = Place()) -> Generator[Server]:  # noqa: B008 - it is frozen
    """A fresh server of this major version."""
    user, password = unprivileged(), secrets.token_hex(8)
    binaries = _binaries(major, user)
    room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 1024**3
    above = place.parent or (_MEMORY if room else None)
    with tempfile.TemporaryDirectory(prefix="customary-postgresql-", dir=above) as parent:
        Path(parent).chmod(0o755)
        directory = Path(parent) / "server"
        directory.mkdir(mode=0o700)
        secret = directory / "password"
        secret.write_text(password)
        if user.switch:
            os.chown(directory, user.uid, user.gid)
            os.chown(secret, user.uid, user.gid)
        data, port = directory / "data", free_port()
        options = [f"--pwfile={secret}", *([f"--waldir={place.wal}"] if place.wal else [])]
        _initdb([binaries / "initdb", "-D", data, "-U", "postgres", *options], directory, user)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet scram-sha-256\n")
        settings = (f"listen_addresses={place.address}", f"port={port}", "unix_socket_directories=")
        settings += ("max_connections=100", *place.settings)
        command = [*_found(place.through), binaries / "postgres", "-D", data]
        command += [part for each in settings for part in ("-c", each)]
        starter = replace(user, switch=user.switch and not place.by_root)
        server = Server(major, port, password, command, directory, starter, place.address)
        try:
            server.start()
            yield server
        finally:
            server.stop()
            canaries.WATCH.read(directory / "log")


def _found(command: tuple[str, ...]) -> list[str | Path]:
    """A command with the whole path of its program, or no command."""
    program = shutil.which(command[0], path="/usr/sbin:/usr/bin:/sbin:/bin") if command else None
    return [program, *command[1:]] if program else []


def _initdb(command: list[str | Path], directory: Path, user: OsUser) -> None:
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    made = spawn([*command, *options], user=user, directory=directory, death_signal=signal.SIGKILL)
    output, _ = made.communicate(timeout=60)
    assert made.returncode == 0, output.decode()


def what_to_run(sentence: str) -> str:
    """The statements that a refusal tells an administrator to run."""
    found = re.search(r"administrator run:? (.*;)", sentence)
    assert found, sentence
    return found.group(1)
