"""What is measured: `customary serve` with its embedded PostgreSQL, and over the same database the floor.

The database is kept between runs, under `build/bench` in the checkout unless another directory is named: making a
million customers takes minutes.
"""

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import httpx
from msgspec import Struct
from tests.faults.support import Service, free_port, serving

from bench import dataset
from bench.dataset import DataSet
from customary import keyring
from customary.domain.account import Scope
from customary.operations.api_keys import create_key
from customary.settings import PREFIX, Settings
from customary.storage import embedded, schema
from customary.storage.database import Connection
from customary.storage.migrate import migrate
from customary.storage.secret_keys import parse

DIRECTORY = Path(__file__).parent.parent / "build" / "bench"
_UNLIMITED = 1_000_000_000
_START_SECONDS = 60.0


class Site(Struct, frozen=True):
    """A running service, the URL of the tables' owner, the data sets by size, and what a key of each is sent as."""

    service: Service
    owner_url: str
    sets: dict[int, DataSet]
    authorizations: dict[int, str]

    def headers(self, size: int, version: str | None = None) -> list[tuple[str, str]]:
        """The headers of a request to the account of this size, in this version or the newest one."""
        named = [] if version is None else [("Sequence-Version", version)]
        return [("Authorization", self.authorizations[size]), *named]


@contextmanager
def prepared(directory: Path, sizes: Iterable[int]) -> Generator[Site]:
    """A service over a database with these data sets, and a new key for each, for the length of the block."""
    data_dir = directory / "data"
    directory.mkdir(parents=True, exist_ok=True)
    sets, authorizations = _filled(data_dir, tuple(sizes))
    with serving(data_dir, "--workers", "1") as service, embedded.running(data_dir) as addresses:
        yield Site(service, addresses.owner_url, sets, authorizations)


def _filled(data_dir: Path, sizes: tuple[int, ...]) -> tuple[dict[int, DataSet], dict[int, str]]:
    with embedded.start(data_dir, holder="bench") as cluster:
        owner_url = cluster.addresses.owner_url
        asyncio.run(migrate(owner_url))
        secret_keys = keyring.prepare(Settings(data_dir=data_dir), cluster.addresses.service_url)
        return asyncio.run(_fill(owner_url, sizes, secret_keys))


async def _fill(url: str, sizes: tuple[int, ...], secret_keys: str) -> tuple[dict[int, DataSet], dict[int, str]]:
    async with schema.connection(url) as owner:
        sets = await dataset.ensure(owner, sizes)
        return sets, {size: await _key(owner, each, secret_keys) for size, each in sets.items()}


async def _key(owner: Connection, account: DataSet, secret_keys: str) -> str:
    key, secret = await create_key(
        owner,
        account.account_id,
        ring=parse(secret_keys),
        name="bench",
        scopes=frozenset(Scope),
        requests_per_minute=_UNLIMITED,
    )
    return "Basic " + base64.b64encode(f"{key.client_id}:{secret}".encode()).decode()


@contextmanager
def floor(site: Site, work: str, size: int) -> Generator[str]:
    """The floor for one kind of work with the customers of one data set; the URL that it answers at."""
    port = free_port()
    given = {
        **{name: value for name, value in os.environ.items() if not name.startswith((PREFIX, "PG"))},
        "FLOOR_DATABASE_URL": site.owner_url,
        "FLOOR_WORK": work,
        "FLOOR_ACCOUNT": str(site.sets[size].account_id),
        "FLOOR_POOL_SIZE": str(Settings().pool_size),
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 - the arguments are ours
            [sys.executable, "-m", "bench.serve_floor", str(port)],
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        try:
            _await(f"http://127.0.0.1:{port}/ready")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _await(url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.02)
    message = f"Nothing answers at {url}."
    raise SystemExit(message)
