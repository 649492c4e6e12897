"""Client processes: started on an account, counted while they work, and ended when they know what became of things.

For a test of other faults:

    tenant = asyncio.run(new_tenant(owner_url, "a name"))
    with clients(tenant.where(port), directory, seed=1) as running:
        ...                                 # whatever is to happen to the service meanwhile
        history = running.end()             # when the service is well again
    found = check(history, gathered(tenant, port))
    assert found.problems == []
"""

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO
from uuid import UUID

import httpx
import msgspec
from msgspec import Struct
from tests.faults.support import environment
from tests.support.clients import NEWEST, new_key, owner_connection
from tests.torture import workload
from tests.torture.client import Where
from tests.torture.gathering import gather
from tests.torture.history import History, Stored
from tests.torture.workload import Load

from customary.operations.accounts import create_account

_ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 120.0


class Shape(Struct, frozen=True, kw_only=True):
    """How many sessions of which kind one process has; see `workload.Load`."""

    mixed: int = 0
    racing: int = 0
    contending: int = 0
    follows: bool = False


# Four who do everything and one who follows the feed; eight to a key; sixteen to a version.
USUAL = (Shape(mixed=4, follows=True), Shape(racing=1), Shape(contending=1))


class Tenant(Struct, frozen=True):
    """An account of its own for one run, with a key whose rate limit is out of the way."""

    id: UUID
    client_id: str
    secret: str
    owner_url: str

    def where(self, port: int) -> Where:
        """The account at a service that listens on this port."""
        return Where(port, self.client_id, self.secret)

    async def gather(self, port: int) -> Stored:
        """What the database says of this account, and what the service at this port shows of it."""
        async with owner_connection(self.owner_url) as owner, self._api(port) as api:
            return await gather(owner, self.id, api)

    @asynccontextmanager
    async def _api(self, port: int) -> AsyncGenerator[httpx.AsyncClient]:
        auth, headers = (self.client_id, self.secret), {"Sequence-Version": NEWEST}
        base_url = f"http://127.0.0.1:{port}/api"
        async with httpx.AsyncClient(
            base_url=base_url, auth=auth, headers=headers, timeout=30, trust_env=False
        ) as client:
            yield client


async def new_tenant(owner_url: str, name: str) -> Tenant:
    """A new account with a key, made over a connection of the tables' owner."""
    async with owner_connection(owner_url) as connection:
        account = await create_account(connection, name)
        client_id, secret = await new_key(connection, account.id)
    return Tenant(account.id, client_id, secret, owner_url)


class Clients:
    """Processes that run `workload` until they are told to end."""

    def __init__(self, where: Where, directory: Path, seed: int, shapes: Sequence[Shape]) -> None:
        self._journals: list[Path] = []
        self._done: dict[int, Counter[str]] = {}
        self._errors = (directory / "clients.log").open("ab")
        self._processes: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        for number, shape in enumerate(shapes):
            name = f"c{number}"
            journal = directory / f"journal-{seed}-{name}"
            load = Load(where=where, journal=str(journal), seed=seed, name=name, **msgspec.structs.asdict(shape))
            self._journals.append(journal)
            self._start(number, load)

    def _start(self, number: int, load: Load) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", workload.__name__, msgspec.json.encode(load).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=_ROOT,
            env=environment(),
            start_new_session=True,
        )
        self._processes.append(process)
        assert process.stdout is not None
        listener = threading.Thread(target=self._listen, args=(number, process.stdout), daemon=True)
        listener.start()
        self._threads.append(listener)

    def _listen(self, number: int, output: IO[bytes]) -> None:
        for line in output:
            self._done[number] = Counter(msgspec.json.decode(line, type=dict[str, int]))

    def done(self) -> Counter[str]:
        """How much they have done so far, by kind."""
        return sum(list(self._done.values()), Counter())

    def require_alive(self) -> None:
        """Fail if one of them has ended by itself."""
        for process in self._processes:
            assert process.poll() is None, f"a client ended by itself: see {self._errors.name}"

    def end(self) -> History:
        """Let them find out what became of what they have asked, end, and answer what they have noted."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            assert process.wait(_PATIENCE_SECONDS) == 0, f"a client ended with an error: see {self._errors.name}"
        for thread in self._threads:
            thread.join(10)
        return History.read(self._journals)

    def close(self) -> None:
        """End what still runs."""
        for process in self._processes:
            process.kill()
            process.wait(10)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
        self._errors.close()


@contextmanager
def clients(where: Where, directory: Path, *, seed: int, shapes: Sequence[Shape] = USUAL) -> Generator[Clients]:
    """Clients that work on this account; their journals and what went wrong with them are left in `directory`."""
    running = Clients(where, directory, seed, shapes)
    try:
        yield running
    finally:
        running.close()


def gathered(tenant: Tenant, port: int) -> Stored:
    """`Tenant.gather`, for those who are not asynchronous."""
    return asyncio.run(tenant.gather(port))
