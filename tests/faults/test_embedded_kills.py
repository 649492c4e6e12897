"""The embedded database under kill -9: of the process that holds it, of the postmaster, of the first set-up."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from customary.storage import embedded
from customary.storage.embedded_processes import database_user, of_cluster

HOLDER = """
import pathlib, sys, time
from customary.storage import embedded
database = embedded.start(pathlib.Path(sys.argv[1]), holder="server")
sys.stdout.write(database.addresses.owner_url + "\\n")
sys.stdout.flush()
time.sleep(600)
"""

FORK = """
import os
worker = os.fork()
if worker == 0:
    database.stop()
    time.sleep(600)
sys.stdout.write(f"{worker}\\n")
sys.stdout.flush()
time.sleep(600)
"""
CLIENT = """
import asyncio, asyncpg, sys
async def compute():
    await (await asyncpg.connect(sys.argv[1])).execute(sys.argv[2])
asyncio.run(compute())
"""
# A backend that computes does not notice the death of its postmaster.
ENDLESS = "DO $$ BEGIN LOOP END LOOP; END $$"


# What a test started and did not end itself, because it failed on the way.
_children: list[subprocess.Popen[str]] = []


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that does not exist yet, where the database's user can enter; nothing runs in it afterwards."""
    with tempfile.TemporaryDirectory(prefix="customary-test-") as parent:
        Path(parent).chmod(0o755)
        yield Path(parent) / "data"
        while _children:
            kill(_children.pop())
        until(lambda: not processes(Path(parent) / "data"))


def until(condition: Callable[[], Any], timeout_seconds: float = 30) -> Any:  # noqa: ANN401 - whatever the condition returns
    """Poll until the condition holds; what it returned."""
    deadline = time.monotonic() + timeout_seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)
    return found


def query(url: str, *statements: str) -> Any:  # noqa: ANN401 - whatever the last statement returns
    """Run the statements over one connection; the last one's first value."""

    async def ask() -> Any:  # noqa: ANN401 - whatever the last statement returns
        connection = await asyncpg.connect(url, timeout=10)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            connection.terminate()

    return asyncio.run(ask())


def answers(url: str) -> bool:
    try:
        return query(url, "SELECT 1") == 1
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def processes(data_dir: Path) -> frozenset[int]:
    cluster = embedded.describe(data_dir).cluster
    return of_cluster(cluster, database_user(cluster)) if cluster else frozenset()


def spawn(source: str, *arguments: str) -> subprocess.Popen[str]:
    """Another interpreter that runs `source`; ended with the test at the latest."""
    command = [sys.executable, "-c", source, *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    _children.append(child)
    return child


def hold(data_dir: Path) -> subprocess.Popen[str]:
    """Another process that starts the cluster and holds it until it is killed."""
    return spawn(HOLDER, str(data_dir))


def kill(child: subprocess.Popen[str]) -> None:
    child.kill()
    child.wait()
    if child.stdout:
        child.stdout.close()


def address(child: subprocess.Popen[str]) -> str:
    """The address that the holder printed when its cluster answered."""
    assert child.stdout
    url = child.stdout.readline().strip()
    assert url, "the holder ended before the cluster answered"
    return url


def postmaster(data_dir: Path) -> int:
    pid = embedded.describe(data_dir).postmaster_pid
    assert pid is not None
    return pid


def busy_backend(url: str) -> subprocess.Popen[str]:
    """A client in another process whose backend computes without end; returns when it does."""
    client = spawn(CLIENT, url, ENDLESS)
    sql = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
    until(lambda: query(url, sql))
    return client


def test_kill_of_the_holder_and_start_twenty_times(data_dir: Path) -> None:
    """A kill -9 of the server followed at once by a start works every time, and no committed row is lost."""
    for n in range(20):
        child, insert = hold(data_dir), f"INSERT INTO t SELECT {n}"
        query(address(child), "CREATE TABLE IF NOT EXISTS t (n int)", insert)
        kill(child)
    with embedded.start(data_dir, holder="server") as database:
        assert query(database.addresses.owner_url, "SELECT array_agg(n ORDER BY n) FROM t") == list(range(20))
    assert not processes(data_dir)


def test_a_forked_child_does_not_keep_the_lock(data_dir: Path) -> None:
    """A worker that a killed server had forked does not keep the data directory locked, nor stop the cluster."""
    child = spawn(HOLDER.replace("time.sleep(600)", FORK), str(data_dir))
    url = address(child)
    assert child.stdout
    worker = int(child.stdout.readline())
    try:
        assert answers(url)
        child.kill()
        child.wait()
        embedded.start(data_dir, holder="server").stop()
        os.kill(worker, 0)
    finally:
        os.kill(worker, signal.SIGKILL)
        kill(child)


def test_starts_at_the_same_moment(data_dir: Path) -> None:
    """Of servers that start at once on one new data directory, one runs and the others end with an error."""
    children = [hold(data_dir) for _ in range(3)]
    urls = [child.stdout.readline().strip() for child in children if child.stdout]
    with embedded.running(data_dir) as found:
        assert [url for url in urls if url] == [found.owner_url]
    for child in children:
        kill(child)


def test_the_cluster_ends_with_its_holder(data_dir: Path) -> None:
    """Nobody has to start again for the orphans of a killed server to go: the kernel tells the postmaster."""
    child = hold(data_dir)
    address(child)
    assert processes(data_dir)
    kill(child)
    until(lambda: not processes(data_dir))


def test_holder_and_postmaster_killed_with_a_busy_backend(data_dir: Path) -> None:
    """A backend that survives everything else does not refuse the next start, as its shared memory otherwise would."""
    child = hold(data_dir)
    url = address(child)
    query(url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (7) RETURNING n")
    client = busy_backend(url)
    os.kill(child.pid, signal.SIGSTOP)  # So that its monitor does not mend what is broken next.
    os.kill(postmaster(data_dir), signal.SIGKILL)
    kill(child)
    assert processes(data_dir), "the busy backend is what this test is about"
    with embedded.start(data_dir, holder="server") as database:
        assert query(database.addresses.owner_url, "SELECT n FROM t") == 7
    assert client.wait(10) != 0


def test_every_process_of_the_cluster_killed(data_dir: Path) -> None:
    """A kill -9 of the server and of all of PostgreSQL is a crash to recover from, with every committed row."""
    child = hold(data_dir)
    url = address(child)
    query(url, "CREATE TABLE t (n int)", "INSERT INTO t SELECT generate_series(1, 10000)", "SELECT 1")
    os.kill(child.pid, signal.SIGSTOP)
    for pid in processes(data_dir):
        with contextlib.suppress(ProcessLookupError):  # PostgreSQL has processes that come and go.
            os.kill(pid, signal.SIGKILL)
    kill(child)
    with embedded.start(data_dir, holder="server") as database:
        assert query(database.addresses.owner_url, "SELECT count(*) FROM t") == 10000


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with a busy backend"])
def test_a_killed_postmaster_is_started_again(data_dir: Path, *, busy: bool) -> None:
    """While we hold the cluster, a killed postmaster comes back by itself, under the same address."""
    with embedded.start(data_dir, holder="server") as database:
        url, before = database.addresses.owner_url, postmaster(data_dir)
        client = busy_backend(url) if busy else None
        os.kill(before, signal.SIGKILL)
        until(lambda: embedded.describe(data_dir).postmaster_pid not in (None, before) and answers(url))
    if client is not None:
        client.wait(10)
    assert not processes(data_dir)


def test_a_postmaster_that_keeps_dying_is_never_given_up(
    data_dir: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some restarts within a minute it is started less often, which is logged loudly, but always again.

    Whoever stops the cluster does not wait for that.
    """
    monkeypatch.setattr(embedded, "_RESTARTS", 2)
    monkeypatch.setattr(embedded, "_PAUSE_SECONDS", 0.2)
    with embedded.start(data_dir, holder="server") as database:
        for ended in range(1, 5):
            os.kill(until(lambda: embedded.describe(data_dir).postmaster_pid), signal.SIGKILL)
            until(lambda ended=ended: caplog.text.count("starting it again") == ended)
            until(lambda: answers(database.addresses.owner_url))
        assert caplog.text.count("PostgreSQL ended 3 times within a minute; the next start is in 0.2 seconds") == 2
        monkeypatch.setattr(embedded, "_PAUSE_SECONDS", 600.0)
        os.kill(postmaster(data_dir), signal.SIGKILL)
        until(lambda: "the next start is in 600 seconds" in caplog.text)
    assert not processes(data_dir)


def test_a_killed_backend_does_not_end_the_cluster(data_dir: Path) -> None:
    """PostgreSQL restarts its own children; the postmaster stays the same."""
    with embedded.start(data_dir, holder="server") as database:
        url, before = database.addresses.owner_url, postmaster(data_dir)
        client = busy_backend(url)
        sql = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        os.kill(query(url, sql), signal.SIGKILL)
        client.wait(10)
        until(lambda: answers(url))
        assert postmaster(data_dir) == before


@pytest.mark.parametrize("after_seconds", [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.9])
def test_killed_first_start_is_completed_by_the_next(data_dir: Path, after_seconds: float) -> None:
    """A kill -9 at any moment of the first start leaves something that the next start completes or makes again."""
    child = hold(data_dir)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(after_seconds)
    kill(child)
    with embedded.start(data_dir, holder="server") as database:
        assert query(database.addresses.service_url, "SELECT current_user") == "customary_service"
        home = embedded.describe(data_dir).cluster
        assert home is not None
        assert not list(home.parent.glob("cluster.new-*"))


def test_other_clusters_are_left_alone(data_dir: Path) -> None:
    """Reaping ends the processes of one cluster only: another one beside it does not notice."""
    with embedded.start(data_dir / "one", holder="server") as one:
        before = embedded.describe(data_dir / "one").postmaster_pid
        embedded.start(data_dir / "two", holder="server").stop()
        assert answers(one.addresses.owner_url)
        assert before is not None
        assert embedded.describe(data_dir / "one").postmaster_pid == before


def test_a_stale_pid_file_of_a_living_process_is_no_obstacle(data_dir: Path) -> None:
    """After a crash in a container the old process id often belongs to somebody else; the start goes on."""
    embedded.start(data_dir, holder="server").stop()
    cluster = embedded.describe(data_dir).cluster
    assert cluster is not None
    child = hold(data_dir)
    address(child)
    lines = (cluster / "postmaster.pid").read_text()
    kill(child)
    until(lambda: not processes(data_dir))
    (cluster / "postmaster.pid").write_text(f"{os.getpid()}\n" + lines.split("\n", 1)[1])
    (cluster.parent / "socket" / ".s.PGSQL.5432.lock").write_text(f"{os.getpid()}\n")
    embedded.start(data_dir, holder="server").stop()
