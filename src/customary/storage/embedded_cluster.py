"""One PostgreSQL cluster as files: made whole or not at all, with its roles, passwords and settings."""

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import msgspec

from customary.errors import SetupError
from customary.storage.embedded_places import SOCKET, Home, sync_directory, write_private
from customary.storage.embedded_processes import OsUser, reap, spawn

MAJOR = "18"
_INITDB_TIMEOUT_SECONDS = 300.0
_FRESH = "cluster.new-"
_SETTINGS = {
    "port": "5432",
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "jit": "off",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "restart_after_crash": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "on",
    # One file per day of the week, emptied when its day comes round: seven days are kept.
    "log_filename": "postgresql-%a.log",
    "log_file_mode": "0600",
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_min_messages": "warning",
    # No personal data: no statements, no parameters, and no DETAIL lines, which quote the values of a violated key.
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_error_verbosity": "terse",
    "cluster_name": "customary",
}


class Addresses(msgspec.Struct, frozen=True):
    """How to reach the cluster: `postgresql://` addresses of the tables' owner and of the service's own role."""

    owner_url: str
    service_url: str


class _Passwords(msgspec.Struct, frozen=True):
    admin: str
    owner: str
    service: str


def server_command(binaries: Path, home: Home, sockets: Path) -> list[str]:
    """The command line of the server. Settings given here win over the cluster's files, so no file need be edited."""
    quoted = '"' + str(sockets).replace('"', '""') + '"'  # The setting is a list: a comma would end the path.
    settings = _SETTINGS | {"unix_socket_directories": quoted, "log_directory": str(home.log_dir)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(binaries / "postgres"), "-D", str(home.cluster), *options]


def addresses(home: Home, sockets: Path) -> Addresses:
    """The addresses over the socket in `sockets`. Raises SetupError when the passwords are lost."""
    try:
        known = msgspec.json.decode(home.passwords.read_bytes(), type=_Passwords)
    except (FileNotFoundError, msgspec.DecodeError) as error:
        raise SetupError(
            f"The database in {home.cluster} is there, but its passwords in {home.passwords} are missing or damaged. "
            "Put that file back from a backup."
        ) from error

    def url(role: str, password: str) -> str:
        return f"postgresql://{role}:{quote(password, safe='')}@/customary?host={quote(str(sockets), safe='')}"

    return Addresses(url("customary_owner", known.owner), url("customary_service", known.service))


def ensure(home: Home, binaries: Path, user: OsUser) -> None:
    """Make the cluster unless it is there.

    Everything, roles included, happens in a directory beside it; one rename then makes it the cluster. So a crash at
    any moment leaves either no cluster or a complete one. The passwords are stored before anything knows them.
    Raises SetupError when PostgreSQL's tools fail, or when the cluster was made by another major version.
    """
    for leftover in home.path.glob(f"{_FRESH}*"):
        reap(leftover, user)
        shutil.rmtree(leftover)
    if home.cluster.exists():
        _check_version(home.cluster)
        return
    passwords = _passwords(home)
    fresh = home.path / f"{_FRESH}{secrets.token_hex(4)}"
    fresh.mkdir(mode=0o700)
    if user.switch:
        os.chown(fresh, user.uid, user.gid)
    _initdb(fresh, binaries, user, passwords.admin)
    _create_roles(fresh, binaries, user, passwords)
    fresh.rename(home.cluster)
    sync_directory(home.path)


def _check_version(cluster: Path) -> None:
    try:
        found = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise SetupError(f"{cluster} is not a database: PG_VERSION is missing. Restore it from a backup.") from None
    if found != MAJOR:
        raise SetupError(
            f"The database in {cluster} was made by PostgreSQL {found}, and this release runs {MAJOR}. "
            "Dump it with the release that made it and restore it into a new --data-dir."
        )


def _passwords(home: Home) -> _Passwords:
    """Those of an interrupted first start, or new ones of 256 random bits each."""
    if home.passwords.exists():
        return msgspec.json.decode(home.passwords.read_bytes(), type=_Passwords)
    made = _Passwords(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    write_private(home.passwords, msgspec.json.encode(made))
    return made


def _initdb(fresh: Path, binaries: Path, user: OsUser, password: str) -> None:
    command = (
        binaries / "initdb",
        f"--pgdata={fresh}",
        "--username=customary_admin",
        "--pwfile=/dev/stdin",
        "--auth=scram-sha-256",
        "--data-checksums",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
    )
    _run(command, fresh.parent, user, f"{password}\n")


def _create_roles(fresh: Path, binaries: Path, user: OsUser, passwords: _Passwords) -> None:
    """Create roles and database in single-user mode, where no other process can meet a half-made cluster.

    Statements end with their line there. ERROR messages of the two roles stay out of the server's log, since
    some quote what a customer sent; the client gets them all the same.
    """
    service_password = f"PASSWORD '{passwords.service}'"
    statements = (
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"CREATE ROLE customary_owner LOGIN NOSUPERUSER PASSWORD '{passwords.owner}'",
        f"CREATE ROLE customary_service LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE {service_password}",
        "GRANT customary_service TO customary_owner",
        "ALTER ROLE customary_owner SET log_min_messages = log",
        "ALTER ROLE customary_service SET log_min_messages = log",
        "CREATE DATABASE customary OWNER customary_owner",
        "REVOKE ALL ON DATABASE customary FROM PUBLIC",
        "GRANT CONNECT ON DATABASE customary TO customary_service",
    )
    command = [binaries / "postgres", "--single", "-D", fresh]
    for setting in ("exit_on_error=on", "log_min_error_statement=panic", "timezone=UTC", "log_timezone=UTC"):
        command += ["-c", setting]
    _run((*command, "template1"), fresh.parent, user, "".join(f"{statement};\n" for statement in statements))


def _run(command: Sequence[Path | str], directory: Path, user: OsUser, text: str) -> None:
    """Run one of PostgreSQL's tools to its end, `text` on its standard input. Raises SetupError when it fails."""
    reading, writing = os.pipe()
    os.write(writing, text.encode())  # It fits into the pipe's buffer, so this does not wait for a reader.
    os.close(writing)
    try:
        if user.switch:
            os.fchown(reading, user.uid, user.gid)  # initdb opens /dev/stdin by name, as that user.
        child = spawn(command, user=user, directory=directory, death_signal=signal.SIGKILL, stdin=reading)
    finally:
        os.close(reading)
    try:
        output, _ = child.communicate(timeout=_INITDB_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        output = b"It took longer than five minutes."
        child.kill()
        child.wait()
    if child.returncode != 0:
        raise SetupError(
            f"The first set-up of the database in {directory} failed in {Path(command[0]).name}: {last_lines(output)} "
            "Correct the cause and start again; nothing has to be cleaned up."
        )


def last_lines(output: bytes, count: int = 8) -> str:
    """The last lines of what a server or tool said, as one line."""
    return " | ".join(line.strip() for line in output.decode(errors="replace").splitlines()[-count:] if line.strip())


def sweep(cluster: Path, sockets: Path) -> None:
    """Remove what names a dead postmaster. Call it only when `of_cluster` finds no process.

    PostgreSQL trusts a lock file whose process id is alive again as any process of this user, or is a zombie that
    nobody collects; both are usual in containers, where the same small numbers return.
    """
    for stale in (cluster / "postmaster.pid", sockets / SOCKET, sockets / f"{SOCKET}.lock"):
        stale.unlink(missing_ok=True)
