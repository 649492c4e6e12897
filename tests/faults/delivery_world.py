"""A tenant that changes its customers, recipients that behave in every way there is, and a clock that can be moved.

The database's clock is the only one that deliveries go by, and a test lets time go by in moving everything that waits
into the past.
"""

import asyncio
import contextlib
import itertools
import json
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from msgspec import Struct
from tests.support import bodies
from tests.support.clients import FIRST, NEWEST, Account, new_account, started, success
from tests.support.cluster import Cluster
from tests.support.cluster import Database as Made
from tests.support.keys import KEYS
from tests.support.receivers import GOOD, Exchange, receiving

from customary.storage.database import Database
from customary.storage.schema import SEARCH_PATH

POLICIES = "/notifications/policies"
FAILING = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops"
GONE = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"1000\r\n" + b"x" * 4096 + b"\r\n"
# Those that in the end take everything, and those that never do.
WELL = ("healthy", "flaky", "healing", "endless")
BAD = ("hanging", "dripping", "gone")

# One statement for each table: together they would lock in another order than a worker does, and wait for each other.
# The lanes are last: what is claimed in between would stay behind. A living worker's leases are left alone where it
# says so: its work is over in no time, whatever hours go by.
_ADVANCE = (
    """UPDATE jobs SET due_at = due_at - $1::interval, queued_at = queued_at - $1::interval,
              created_at = created_at - $1::interval
        WHERE finished_at IS NULL AND (lease IS NULL OR due_at <= now() OR NOT $2)""",
    "UPDATE endpoints SET failing_since = failing_since - $1::interval WHERE failing_since IS NOT NULL",
    "UPDATE lanes SET opens_at = opens_at - $1::interval WHERE opens_at < 'infinity'",
)
_BUSY_BACKENDS = """
SELECT count(*) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND state <> 'idle' AND pid <> pg_backend_pid()
"""


class Arrival(Struct, frozen=True, kw_only=True):
    """A whole request that a recipient got; `is_taken` says that it was answered with success."""

    url: str
    message_id: str
    event_id: str
    customer_id: str
    version: int
    body: bytes
    is_taken: bool
    at: float


class Recipients:
    """Receivers of every kind, each for all policies, with what arrived at them."""

    def __init__(self, seed: int) -> None:
        self.arrivals: list[Arrival] = []
        self.urls: dict[str, str] = {}
        self.are_healed = False
        self.refused_customers: set[str] = set()
        self.on_refused: Callable[[], None] = lambda: None
        self.meanwhile = asyncio.Event()
        self._chance = random.Random(seed)  # noqa: S311 - it chooses faults, and guards nothing

    @asynccontextmanager
    async def open(self, kinds: Sequence[str]) -> AsyncGenerator[None]:
        """Let them listen."""
        async with AsyncExitStack() as stack:
            for kind in kinds:
                receiver = await stack.enter_async_context(receiving(getattr(self, f"_{kind}")))
                self.urls[kind] = receiver.url(f"/{kind}")
            yield

    def of(self, kinds: Sequence[str], policy: str) -> list[str]:
        """The URLs of these kinds for this policy."""
        return [f"{self.urls[kind]}/{policy}" for kind in kinds]

    def taken(self, kind: str) -> list[Arrival]:
        """What was answered with success by this kind, in the order of arrival."""
        return [each for each in self.arrivals if f"/{kind}/" in each.url and each.is_taken]

    def _note(self, exchange: Exchange, *, is_taken: bool) -> Arrival:
        headers = exchange.headers()
        path = exchange.head.split(b" ", 2)[1].decode()
        arrival = Arrival(
            url=f"http://{headers['host']}{path}",
            message_id=headers["webhook-id"],
            event_id=headers["customary-event-id"],
            customer_id=json.loads(exchange.body)["resourceId"],
            version=int(headers["customary-resource-version"]),
            body=exchange.body,
            is_taken=is_taken,
            at=time.time(),
        )
        self.arrivals.append(arrival)
        return arrival

    async def _answer(self, exchange: Exchange, *, is_taken: bool) -> None:
        self._note(exchange, is_taken=is_taken)
        await exchange.send(GOOD if is_taken else FAILING)

    async def _healthy(self, exchange: Exchange) -> None:
        await self._answer(exchange, is_taken=True)

    async def _flaky(self, exchange: Exchange) -> None:
        await self._answer(exchange, is_taken=self._chance.random() < 0.6)

    async def _healing(self, exchange: Exchange) -> None:
        await self._answer(exchange, is_taken=self.are_healed)

    async def _picky(self, exchange: Exchange) -> None:
        """It takes all but what is about certain customers."""
        is_taken = json.loads(exchange.body)["resourceId"] not in self.refused_customers
        if not is_taken:
            self.on_refused()
        await self._answer(exchange, is_taken=is_taken)

    async def _hanging(self, exchange: Exchange) -> None:
        self._note(exchange, is_taken=False)
        await exchange.reader.read()

    async def _waiting(self, exchange: Exchange) -> None:
        """It takes everything, but answers only when a test says so."""
        self._note(exchange, is_taken=True)
        await self.meanwhile.wait()
        await exchange.send(GOOD)

    async def _dripping(self, exchange: Exchange) -> None:
        """It says yes, and then one byte a second: nobody waits for the end of that."""
        self._note(exchange, is_taken=False)
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3600\r\n\r\n")
        for _ in range(3600):
            await exchange.send(b"x", pause_seconds=1)

    async def _endless(self, exchange: Exchange) -> None:
        """It says yes, and does not come to an end: nobody reads that, and it counts as a yes."""
        self._note(exchange, is_taken=True)
        await exchange.send(ENDLESS)
        while True:
            await exchange.send(CHUNK)

    async def _gone(self, exchange: Exchange) -> None:
        if self.are_healed:
            await self._answer(exchange, is_taken=True)
            return
        self._note(exchange, is_taken=False)
        await exchange.send(GONE)


class World:
    """An account, its customers and its policies, and the database under it as its administrator sees it."""

    def __init__(
        self,
        admin: Any,  # noqa: ANN401 - asyncpg's connection
        made: Made,
        account: Account,
        database: Database,
        recipients: Recipients,
        seed: int,
    ) -> None:
        self.admin = admin
        self.url = made.service_url
        self.account = account
        self.database = database
        self.recipients = recipients
        self.policies: dict[str, str] = {}
        self.advanced = timedelta()
        self._chance = random.Random(seed)  # noqa: S311 - it chooses faults, and guards nothing
        self._customers: list[str] = []
        self._numbers = itertools.count(1)

    async def add_policy(self, name: str, kinds: Sequence[str], *, is_ordered: bool = False) -> str:
        """A policy about everything that posts to these kinds of recipients; ordered ones in the newest version."""
        body = {"name": name, "channel": "WEBHOOK", "recipients": self.recipients.of(kinds, name)}
        version = NEWEST if is_ordered else FIRST
        answer = success(await self.account.client.post(POLICIES, version=version, json=body), 201)
        self.policies[name] = answer["id"]
        if is_ordered:
            path = f"{POLICIES}/{answer['id']}/delivery-settings"
            success(await self.account.client.put(path, version=NEWEST, json={"isOrdered": True}))
        return answer["id"]

    async def delete_policy(self, name: str) -> None:
        """Remove a policy while its deliveries are on their way."""
        success(await self.account.client.delete(f"{POLICIES}/{self.policies.pop(name)}", version=NEWEST))

    async def recipients_of(self, name: str) -> list[Any]:
        """How the recipients of a policy do, as the API shows it."""
        path = f"{POLICIES}/{self.policies[name]}/recipients"
        return success(await self.account.client.get(path, version=NEWEST))["items"]

    async def resume(self, name: str, kind: str) -> None:
        """Ask for a recipient of a policy to be spoken to again."""
        path = f"{POLICIES}/{self.policies[name]}/recipients/resume"
        (recipient,) = self.recipients.of([kind], name)
        success(await self.account.client.post(path, version=NEWEST, json={"recipient": recipient}))

    async def create(self) -> str:
        """A new customer."""
        name = f"Customer {next(self._numbers)}"
        customer = await self.account.client.create(bodies.newest(legalName=name))
        self._customers.append(customer["id"])
        return customer["id"]

    async def update(self, customer_id: str) -> None:
        """Change a customer."""
        name = f"Customer {next(self._numbers)}"
        await self.account.client.update(customer_id, bodies.newest(legalName=name))

    async def write(self, count: int) -> None:
        """So many random changes: customers are made, changed and archived."""
        for _ in range(count):
            chance = self._chance.random()
            if not self._customers or chance < 0.3:
                await self.create()
            elif chance < 0.9:
                await self.update(self._chance.choice(self._customers))
            else:
                customer_id = self._customers.pop(self._chance.randrange(len(self._customers)))
                await self.account.client.archive(customer_id)

    async def advance(self, by: timedelta, *, spares_leased: bool = False) -> None:
        """Let time go by for everything that waits."""
        self.advanced += by
        left = list(_ADVANCE)
        while left:
            # Many rows at once can meet a worker that changes many rows at once in another order; then one of both has
            # to begin again.
            with contextlib.suppress(asyncpg.DeadlockDetectedError):
                await self.admin.execute(left[0], by, *([spares_leased] if "$2" in left[0] else []))
                del left[0]

    async def until_settled(self, timeout_seconds: float = 20) -> None:
        """Wait until the database has done what those who were killed had asked of it."""
        async with asyncio.timeout(timeout_seconds):
            while await self.admin.fetchval(_BUSY_BACKENDS):  # noqa: ASYNC110 - a database tells nobody when it is done
                await asyncio.sleep(0.01)

    async def until(self, condition: str, *arguments: object, timeout_seconds: float = 30) -> None:
        """Poll until this question to the database is answered with yes."""
        async with asyncio.timeout(timeout_seconds):
            while not await self.admin.fetchval(f"SELECT {condition}", *arguments):  # noqa: ASYNC110 - a database tells nobody when it is done
                await asyncio.sleep(0.02)


@asynccontextmanager
async def world(cluster: Cluster, made: Made, kinds: Sequence[str], seed: int) -> AsyncGenerator[World]:
    """A tenant on this database, with recipients of these kinds that listen; policies are for a test to add."""
    recipients = Recipients(seed)
    url = urlunsplit(urlsplit(cluster.admin_url)._replace(path=f"/{made.name}"))
    admin = await asyncpg.connect(url, server_settings={"search_path": SEARCH_PATH})
    database = await Database.open(made.service_url, pool_size=2, keys=KEYS)
    try:
        async with (
            recipients.open(kinds),
            started(made.service_url) as app,
            new_account(app, made.owner_url, "t") as account,
        ):
            yield World(admin, made, account, database, recipients, seed)
    finally:
        database.close()
        await admin.close()
