"""An application in this process on a PostgreSQL server to which things are done, and clients of it."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
from msgspec import Struct
from tests.faults.support_postgresql import Server
from tests.support import bodies
from tests.support.clients import new_account, started

from customary.app import Application
from customary.storage.database import Database

LONGEST_SECONDS = 10


class Answer(Struct, frozen=True):
    """What a request got, and after how long."""

    status: int
    body: Any
    headers: httpx.Headers
    seconds: float

    @property
    def message(self) -> str:
        """What a refusal says."""
        return self.body["error"]["message"]


class World(Struct):
    """A migrated database, the application on it, and an account's key."""

    server: Server
    url: str
    app: Application
    account_id: UUID
    http: httpx.AsyncClient
    _names: int = 0

    @property
    def name(self) -> str:
        """The name of the database."""
        return self.url.rpartition("/")[2]

    @property
    def database(self) -> Database:
        """The application's own pool."""
        assert self.app._services is not None
        return self.app._services.database

    async def ask(self, method: str, path: str, **more: Any) -> Answer:  # noqa: ANN401 - of httpx
        """The answer to a request, which has to keep what is promised of all answers."""
        began = time.monotonic()
        response = await self.http.request(method, f"/api{path}", **more)
        answer = Answer(response.status_code, response.json(), response.headers, time.monotonic() - began)
        assert answer.seconds < LONGEST_SECONDS
        assert response.status_code < 500 or response.status_code == 503, answer
        assert response.headers["x-request-id"]
        if response.status_code == 503:
            assert answer.body["error"]["type"] == "unavailable"
            assert int(response.headers["retry-after"]) > 0
        return answer

    async def create(self, name: str, key: str | None = None) -> Answer:
        """Create a customer, under an idempotency key if one is given."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return await self.ask("POST", "/customers", json=bodies.newest(legalName=name), headers=headers)

    async def read(self) -> Answer:
        """A page of customers."""
        return await self.ask("GET", "/customers", params={"limit": 1})

    async def readiness(self) -> tuple[int, str]:
        """What /readyz says."""
        response = await self.http.get("/readyz")
        return response.status_code, response.json().get("reason", "")

    async def stored(self, prefix: str) -> list[str]:
        """The names of the customers that begin like this, as the database has them."""
        statement = (
            f"SELECT array_agg(legal_name ORDER BY 1) FROM customary.customers WHERE legal_name LIKE '{prefix}%'"  # noqa: S608 - a constant
        )
        found: Any = await self.server.run(statement, database=self.name)
        return found or []

    async def run(self, *statements: str) -> Any:  # noqa: ANN401 - whatever it answers
        """What the last of these statements answers to the administrator, in this database."""
        return await self.server.run(*statements, database=self.name)

    async def set(self, setting: str, value: str | None) -> None:
        """Change a setting of the whole server; None is its default."""
        change = f"ALTER SYSTEM SET {setting} = {value}" if value is not None else f"ALTER SYSTEM RESET {setting}"
        await self.server.run(change, "SELECT pg_reload_conf()")

    async def well(self, timeout_seconds: float = 10) -> float:
        """Wait until reading and writing work; the seconds that it took."""
        began = time.monotonic()

        async def works() -> bool:
            self._names += 1
            return ((await self.create(f"well {self._names}")).status, (await self.read()).status) == (201, 200)

        await until(works, timeout_seconds)
        return time.monotonic() - began


@asynccontextmanager
async def world(server: Server, url: str, pool_size: int = 4) -> AsyncGenerator[World]:
    """The application on this database of the server."""
    async with started(url, pool_size) as app, new_account(app, url, "of the test") as account:
        transport = httpx.ASGITransport(app=app)
        auth = (account.client_id, account.secret)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://customary.example", auth=auth, trust_env=False
        ) as http:
            yield World(server, url, app, account.id, http)


@asynccontextmanager
async def creating(place: World, prefix: str, count: int = 6) -> AsyncGenerator[list[str]]:
    """Clients that create one customer after another, each under a key of its own until it is there.

    Yields the names of those that were answered by 201. At the end all must be there, once each.
    """
    created: list[str] = []
    ending = asyncio.Event()

    async def work(number: int) -> None:
        made = 0
        while not ending.is_set():
            made += 1
            name = f"{prefix} {number} {made}"
            while True:
                answer = await place.create(name, key=name.replace(" ", "-"))
                if answer.status == 201:
                    break
                await asyncio.sleep(0.05)
            created.append(name)
            await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(work(number)) for number in range(count)]
    try:
        yield created
    finally:
        ending.set()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
    assert sorted(created) == sorted(await place.stored(prefix))


async def until(condition: Callable[[], Any], timeout_seconds: float = 10) -> Any:  # noqa: ANN401 - whatever it returns
    """Poll until what this coroutine answers is true; the answer."""
    deadline = time.monotonic() + timeout_seconds
    while not (found := await condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)
    return found
