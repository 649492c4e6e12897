"""A PostgreSQL for one run of the tests, and a fresh, migrated database in it for each test."""

import json
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from msgspec import Struct

from customary.storage import embedded
from customary.storage.embedded import Addresses
from customary.storage.migrate import migrate

_MEMORY = Path("/dev/shm")  # noqa: S108 - a place in memory, where only a directory of our own is used
_NEEDED_BYTES = 2 * 1024**3
_TEMPLATE = "template_customary"


class Cluster(Struct, frozen=True):
    """The server, as its three roles reach it, and where its log is."""

    admin_url: str
    addresses: Addresses
    log_dir: Path


class Database(Struct, frozen=True):
    """One migrated database, as the tables' owner and as the service reach it."""

    name: str
    owner_url: str
    service_url: str


@contextmanager
def running() -> Generator[Cluster]:
    """A server of its own, in memory where there is room: copying the template then takes milliseconds."""
    with tempfile.TemporaryDirectory(prefix="customary-tests-", dir=_parent()) as parent:
        Path(parent).chmod(0o755)  # the database's user has to pass when root runs the tests
        with embedded.start(Path(parent) / "data", holder="tests") as server:
            passwords = json.loads(next(Path(parent).rglob("passwords.json")).read_text(encoding="utf-8"))
            admin = f"customary_admin:{quote(passwords['admin'], safe='')}"
            admin_url = urlsplit(server.addresses.owner_url)._replace(netloc=f"{admin}@", path="/postgres")
            log_dir = embedded.describe(Path(parent) / "data").log_dir
            assert log_dir is not None
            yield Cluster(urlunsplit(admin_url), server.addresses, log_dir)


def _parent() -> Path | None:
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _NEEDED_BYTES
    return _MEMORY if has_room else None


class Databases:
    """Makes databases from a migrated template and removes them, over one connection of the administrator."""

    def __init__(self, cluster: Cluster, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._cluster = cluster
        self._connection = connection
        self._made = 0

    @classmethod
    @asynccontextmanager
    async def of(cls, cluster: Cluster) -> AsyncGenerator["Databases"]:
        """Migrate the template, which every database is then a copy of."""
        connection = await asyncpg.connect(cluster.admin_url)
        try:
            await connection.execute(f"CREATE DATABASE {_TEMPLATE} OWNER customary_owner")
            await migrate(_with_database(cluster.addresses.owner_url, _TEMPLATE))
            yield cls(cluster, connection)
        finally:
            await connection.close()

    @asynccontextmanager
    async def fresh(self) -> AsyncGenerator[Database]:
        """A copy of the template, for one test."""
        self._made += 1
        name = f"test_{self._made}"
        await self._connection.execute(
            f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} OWNER customary_owner STRATEGY file_copy"
        )
        addresses = self._cluster.addresses
        try:
            yield Database(name, _with_database(addresses.owner_url, name), _with_database(addresses.service_url, name))
        finally:
            await self._connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
