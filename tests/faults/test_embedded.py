"""The embedded database as a server and its commands meet it: first start, restart, settings, roles, lock, stop."""

import asyncio
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from customary.errors import SetupError
from customary.storage import embedded, embedded_lock, embedded_places
from customary.storage.embedded import Addresses
from customary.storage.embedded_processes import database_user, of_cluster

CREATE = "CREATE TABLE t (n int)"
CANARY = "canary-7f3a-someone@example.org"
BUSY = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1e12%' AND pid <> pg_backend_pid()"


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that does not exist yet, where the database's user can enter; every test has its own."""
    with tempfile.TemporaryDirectory(prefix="customary-test-") as parent:
        Path(parent).chmod(0o755)
        yield Path(parent) / "data"


def query(url: str, *statements: str) -> Any:  # noqa: ANN401 - whatever the last statement returns
    """Run the statements over one connection; the last one's first value."""

    async def ask() -> Any:  # noqa: ANN401 - whatever the last statement returns
        connection = await asyncpg.connect(url, timeout=10)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(ask())


def processes(data_dir: Path) -> frozenset[int]:
    cluster = embedded.describe(data_dir).cluster
    return of_cluster(cluster, database_user(cluster)) if cluster else frozenset()


def test_first_start_answers_and_a_later_start_has_the_data(data_dir: Path) -> None:
    """The first start makes a cluster that both roles reach; a row is still there after stop and start."""
    with embedded.start(data_dir, holder="server") as database:
        assert (
            query(database.addresses.owner_url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (7) RETURNING n") == 7
        )
        assert query(database.addresses.service_url, "SELECT current_user") == "customary_service"
    with embedded.start(data_dir, holder="server") as database:
        assert query(database.addresses.owner_url, "SELECT n FROM t") == 7


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("password_encryption", "scram-sha-256"),
        ("server_encoding", "UTF8"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        ("logging_collector", "on"),
        ("log_min_error_statement", "panic"),
        ("log_parameter_max_length_on_error", "0"),
        ("jit", "off"),
        ("restart_after_crash", "on"),
    ],
)
def test_setting(shared: Addresses, setting: str, expected: str) -> None:
    """The running server itself reports the settings that the promises rest on."""
    assert query(shared.owner_url, f"SELECT current_setting('{setting}')") == expected


@pytest.fixture(scope="module")
def shared() -> Iterator[Addresses]:
    """One cluster for the tests that only look."""
    with tempfile.TemporaryDirectory(prefix="customary-test-") as parent:
        Path(parent).chmod(0o755)
        with embedded.start(Path(parent) / "data", holder="server") as database:
            yield database.addresses


def test_locale_is_builtin_c_utf8(shared: Addresses) -> None:
    """Sorting does not depend on the C library, whose updates would corrupt indexes."""
    sql = "SELECT datlocprovider::text || ' ' || datlocale FROM pg_database WHERE datname = 'customary'"
    assert query(shared.owner_url, sql) == "b C.UTF-8"


def test_a_wrong_or_missing_password_is_refused(shared: Addresses) -> None:
    """Reaching the socket is not enough: every role has to prove itself by SCRAM."""
    _, rest = shared.owner_url.split("@")
    for who in ("customary_owner:wrong", "customary_owner", "customary_admin:"):
        with pytest.raises(asyncpg.InvalidPasswordError):
            query(f"postgresql://{who}@{rest}", "SELECT 1")


def test_service_role_is_bound(shared: Addresses) -> None:
    """The service's role is no superuser, bypasses no policy, creates nothing, and the owner may act as it."""
    sql = """SELECT rolcanlogin AND NOT (rolsuper OR rolbypassrls OR rolcreatedb OR rolcreaterole OR rolreplication)
             FROM pg_roles WHERE rolname = 'customary_service'"""
    assert query(shared.owner_url, sql)
    assert query(shared.owner_url, "SET ROLE customary_service", "SELECT current_user") == "customary_service"
    for statement in ("CREATE TABLE x ()", "CREATE SCHEMA x", "CREATE TEMP TABLE x ()"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            query(shared.service_url, statement)


def test_owner_has_what_migrations_need(shared: Addresses) -> None:
    """The owner is no superuser, and creates trusted extensions such as pg_trgm all the same."""
    assert query(
        shared.owner_url, "SELECT NOT rolsuper AND NOT rolbypassrls FROM pg_roles WHERE rolname = current_user"
    )
    sql = "SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm'"
    assert query(shared.owner_url, "CREATE EXTENSION pg_trgm", sql) == 1


def test_passwords_and_socket_are_closed_to_others(data_dir: Path) -> None:
    """Passwords are readable by us only, the socket's directory by the database's user only."""
    with embedded.start(data_dir, holder="server"):
        home = embedded_places.find_home(data_dir)
        assert home is not None
        assert stat.S_IMODE(home.passwords.stat().st_mode) == 0o600
        assert stat.S_IMODE((home.path / "socket").stat().st_mode) == 0o700
        assert stat.S_IMODE(home.cluster.stat().st_mode) == 0o700


def test_no_personal_data_in_the_servers_log(data_dir: Path) -> None:
    """Neither a violated key nor a malformed value shows up in the log, which otherwise quotes both."""
    with embedded.start(data_dir, holder="server") as database:
        url = database.addresses.owner_url
        insert = f"INSERT INTO t VALUES ('{CANARY}')"  # noqa: S608 - there is no stranger's text in it
        query(url, "CREATE TABLE t (email text PRIMARY KEY)", insert)
        for statement in (insert, f"SELECT '{CANARY}'::uuid", f'TABLE "{CANARY}"'):
            with pytest.raises(asyncpg.PostgresError):
                query(url, statement)
        log_dir = embedded.describe(data_dir).log_dir
    assert log_dir is not None
    written = [path.read_text() for path in (*log_dir.iterdir(), log_dir.parent / "start.log")]
    assert any(written)
    assert not any(CANARY in text for text in written)


def test_second_start_is_refused_with_a_sentence(data_dir: Path) -> None:
    """A second server on one data directory says who holds it, and what to do; the first one goes on."""
    with embedded.start(data_dir, holder="server") as database:
        with pytest.raises(SetupError) as refused:
            embedded.start(data_dir, holder="server")
        for part in (str(data_dir), "server", str(os.getpid()), "--data-dir", "--port"):
            assert part in str(refused.value)
        assert query(database.addresses.owner_url, "SELECT 1") == 1


def test_running_uses_the_servers_cluster(data_dir: Path) -> None:
    """A command on a data directory with a server uses that server's cluster, and leaves it running."""
    with embedded.start(data_dir, holder="server") as database:
        before = embedded.describe(data_dir).postmaster_pid
        with embedded.running(data_dir) as found:
            assert found == database.addresses
            assert query(found.owner_url, "SELECT 1") == 1
        assert embedded.describe(data_dir).postmaster_pid == before
        assert query(database.addresses.owner_url, "SELECT 1") == 1


def test_running_without_a_server_starts_and_stops_one(data_dir: Path) -> None:
    """A command on its own has a cluster for as long as it lasts, and what it wrote is kept."""
    with embedded.running(data_dir) as found:
        query(found.owner_url, "CREATE TABLE t (n int)", "SELECT 1")
    assert not processes(data_dir)
    with embedded.running(data_dir) as found:
        assert query(found.owner_url, "SELECT count(*) FROM t") == 0


def test_start_waits_for_a_short_command(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server waits for a command that holds the directory; one that never ends is named when patience does."""
    monkeypatch.setattr(embedded_lock, "PATIENCE_SECONDS", 0.3)
    with embedded.running(data_dir), pytest.raises(SetupError, match="in use by the command"):
        embedded.start(data_dir, holder="server")
    embedded.start(data_dir, holder="server").stop()


def test_stop_leaves_no_process_and_is_idempotent(data_dir: Path) -> None:
    """After stop nothing of the cluster runs; a second stop does nothing; the directory can be used at once."""
    database = embedded.start(data_dir, holder="server")
    assert processes(data_dir)
    database.stop()
    database.stop()
    assert not processes(data_dir)
    assert embedded.describe(data_dir).postmaster_pid is None


def test_a_late_stop_leaves_the_next_holders_cluster_alone(data_dir: Path) -> None:
    """Once stopped, stopping again does not touch the cluster that somebody started there since."""
    first = embedded.start(data_dir, holder="server")
    first.stop()
    with embedded.start(data_dir, holder="server") as second:
        first.stop()
        assert query(second.addresses.owner_url, "SELECT 1") == 1


def test_stop_ends_a_busy_backend(data_dir: Path) -> None:
    """A query that is running does not keep the cluster from stopping."""

    async def stop_under_load() -> None:
        connection = await asyncpg.connect(database.addresses.owner_url)
        work = asyncio.create_task(connection.execute("SELECT count(*) FROM generate_series(1, 1e12::bigint)"))
        while not await asyncio.to_thread(query, database.addresses.owner_url, BUSY):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
        await asyncio.to_thread(database.stop)
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await work

    database = embedded.start(data_dir, holder="server")
    asyncio.run(asyncio.wait_for(stop_under_load(), 20))
    assert not processes(data_dir)


def test_a_path_too_long_for_a_socket_works(data_dir: Path) -> None:
    """A socket's path may have 107 bytes; a data directory may have more, with commas and spaces in it."""
    deep = data_dir / ("a, b" + "x" * 90) / ("é" * 60)
    assert len(os.fsencode(deep)) > 150
    with embedded.start(deep, holder="server") as database:
        with embedded.running(deep) as found:
            assert query(found.owner_url, "SELECT 1") == 1
        first = database.addresses.owner_url.split("host=")[1]
    with embedded.start(deep, holder="server") as database:
        assert database.addresses.owner_url.split("host=")[1] == first
    home = embedded_places.find_home(deep)
    assert home is not None
    Path(home.socket_record.read_text()).rmdir()


def test_a_short_path_with_a_quote_works(data_dir: Path) -> None:
    """The setting for the socket's directory is a quoted list, which a quote in the path must not break."""
    with embedded.start(data_dir / 'a "b', holder="server") as database:
        assert query(database.addresses.owner_url, "SELECT 1") == 1


def test_a_cluster_of_another_major_version_is_refused(data_dir: Path) -> None:
    """A release that ships another PostgreSQL says what to do, and does not touch the cluster."""
    embedded.start(data_dir, holder="server").stop()
    cluster = embedded.describe(data_dir).cluster
    assert cluster is not None
    (cluster / "PG_VERSION").write_text("17\n")
    with pytest.raises(SetupError, match=r"PostgreSQL 17.*--data-dir"):
        embedded.start(data_dir, holder="server")


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    """When the server ends early, the error has its own last words; the directory is free again afterwards."""
    embedded.start(data_dir, holder="server").stop()
    cluster = embedded.describe(data_dir).cluster
    assert cluster is not None
    (cluster / "postgresql.conf").write_text("no_such_setting = 1\n")
    for _ in range(2):
        with pytest.raises(SetupError, match="no_such_setting"):
            embedded.start(data_dir, holder="server")


def test_lost_passwords_are_named(data_dir: Path) -> None:
    """Without its passwords a cluster is not replaced by an empty one: the operator learns which file is missing."""
    embedded.start(data_dir, holder="server").stop()
    home = embedded_places.find_home(data_dir)
    assert home is not None
    home.passwords.unlink()
    with pytest.raises(SetupError, match=r"passwords\.json"):
        embedded.start(data_dir, holder="server")
