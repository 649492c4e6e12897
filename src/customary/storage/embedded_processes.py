"""The processes of an embedded cluster: under whose name they run, how they are started, found and ended.

A process is ours to signal only when it runs a program called `postgres` *and* works in this cluster's directory.
"""

import contextlib
import ctypes
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from customary import lifeline
from customary.errors import SetupError

_libc = ctypes.CDLL(None, use_errno=True)
_UNPRIVILEGED = ("customary", "postgres", "nobody")


class OsUser(msgspec.Struct, frozen=True):
    """The user the database runs as; `switch` says that it is not the user we run as."""

    name: str
    uid: int
    gid: int
    switch: bool


def database_user(cluster: Path | None) -> OsUser:
    """The user to run the database as: the owner of `cluster` if it exists, else ourselves, or as root someone weaker.

    PostgreSQL refuses to run as root. A cluster keeps the user it was made with, whoever is created later.
    Raises SetupError when there is no such user, or when the cluster belongs to somebody else.
    """
    we = os.geteuid()
    if cluster is not None and cluster.exists():
        owner = cluster.stat()
        if owner.st_uid == 0 or we not in (0, owner.st_uid):
            raise SetupError(
                f"The database in {cluster} belongs to the user {_name(owner.st_uid)}, and this is {_name(we)}. "
                "Run as that user or as root, or choose another --data-dir."
            )
        return OsUser(_name(owner.st_uid), owner.st_uid, owner.st_gid, switch=we == 0)
    if we != 0:
        return OsUser(_name(we), we, os.getegid(), switch=False)
    for name in _UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return OsUser(name, entry.pw_uid, entry.pw_gid, switch=True)
    raise SetupError(
        "PostgreSQL does not run as root, and none of the users customary, postgres and nobody exists. "
        "Create one with: useradd --system customary"
    )


def spawn(
    command: Sequence[str | Path],
    *,
    user: OsUser,
    directory: Path,
    death_signal: signal.Signals,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    output: int | IO[bytes] = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start `command` as `user` in `directory`; it gets `death_signal` when the calling *thread* ends.

    So the caller must be a thread that outlives the child. The environment is our own few lines: PGPORT, PGDATA and
    their like would change what the server does. A session of its own keeps a Ctrl-C meant for us away from it.

    What it needs is done by a program that then becomes the command, and not between fork and exec: for that
    `subprocess` waits on a pipe, and a process that is forked meanwhile, as the HTTP server's are, would hold it open.
    """
    user_ids = (user.uid, user.gid) if user.switch else None
    return subprocess.Popen(  # noqa: S603 - the program is ours, by absolute path
        lifeline.command(
            [str(part) for part in command], directory=str(directory), death_signal=death_signal, user=user_ids
        ),
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        stdin=stdin,
        stdout=output,
        stderr=subprocess.STDOUT,
        close_fds=False,  # Python's are closed anyway; to close others takes the pipe
    )


def of_cluster(cluster: Path, user: OsUser) -> frozenset[int]:
    """The process ids of every living `postgres` that works in `cluster`; a zombie is not living."""
    directory = os.path.realpath(cluster)
    with _looking_as(user):
        return frozenset(pid for pid in _all_pids() if _works_in(pid, directory))


def postmaster_pid(cluster: Path) -> int | None:
    """The id in the first line of the cluster's postmaster.pid, which may be stale; None when there is none."""
    lines = pid_file_lines(cluster)
    return int(lines[0]) if lines and lines[0].isdecimal() else None


def pid_file_lines(cluster: Path) -> list[str]:
    """The lines of the cluster's postmaster.pid; the fifth is the socket's directory. Empty without the file."""
    try:
        return (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return []


def reap(cluster: Path, user: OsUser) -> None:
    """End every process of the cluster and return when none is left, after 20 seconds at the most.

    A postmaster is asked first (SIGINT: a fast, clean shutdown). Backends without one never get SIGINT: to
    a checkpointer it means "write the shutdown checkpoint", which is wrong while others still write.
    Raises SetupError when a process survives even SIGKILL, as one stuck in the kernel does.
    """
    for number, timeout_seconds in ((signal.SIGINT, 10.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        found = of_cluster(cluster, user)
        if not found:
            return
        postmaster = postmaster_pid(cluster)
        if number == signal.SIGINT and postmaster not in found:
            continue
        asked = {postmaster} & found if postmaster in found and number != signal.SIGKILL else found
        for pid in asked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if _all_gone(cluster, user, timeout_seconds):
            return
    left = ", ".join(str(pid) for pid in sorted(of_cluster(cluster, user)))
    raise SetupError(
        f"The database processes {left} of an earlier run still work in {cluster} and cannot be ended. "
        "They probably wait for a disk that does not answer; check the disk, or restart the machine."
    )


def _all_gone(cluster: Path, user: OsUser, timeout_seconds: float) -> bool:
    """Whether no process of the cluster is left before the timeout."""
    deadline = time.monotonic() + timeout_seconds
    while of_cluster(cluster, user):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]  # noqa: PTH208 - it lists names only


def _works_in(pid: int, directory: str) -> bool:
    """Whether `pid` runs a program called postgres in `directory`. A process that we may not look at is not ours."""
    try:
        program = str(Path(f"/proc/{pid}/exe").readlink()).removesuffix(" (deleted)")
        return program.endswith("/postgres") and str(Path(f"/proc/{pid}/cwd").readlink()) == directory
    except OSError:
        return False


@contextlib.contextmanager
def _looking_as(user: OsUser) -> Generator[None]:
    """Look at /proc with the file identity of `user`, in this thread only.

    Root in a container usually lacks CAP_SYS_PTRACE and then cannot read where another user's process works;
    that user itself always can. Without this, orphans would stay unseen exactly there.
    """
    if not user.switch:
        yield
        return
    _libc.setfsgid(user.gid)
    _libc.setfsuid(user.uid)
    try:
        yield
    finally:
        _libc.setfsuid(os.geteuid())
        _libc.setfsgid(os.getegid())


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
