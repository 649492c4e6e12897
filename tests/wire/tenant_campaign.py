"""Two accounts do everything at once over few connections, with each other's ids: nothing of one reaches the other.

`python -m tests.wire.tenant_campaign [--requests 100000] [--seed 1]`. Every text that an account sends has a number of
its own, and every id that it is shown is its own. Each byte that the other one gets is searched for both: answers with
their headers, and the webhooks that come meanwhile. What an account itself has sent of the other's does not count, so
it sends only a few of them.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import msgspec
from msgspec import Struct, field
from tests.support import canaries
from tests.support import cluster as clusters
from tests.support.clients import NEWEST, VERSIONS, new_account, owner_connection, started, success
from tests.support.cluster import Database, Databases
from tests.support.estates import NOBODYS, populated
from tests.support.places import Draft, draft, places
from tests.support.receivers import GOOD, Exchange, receiving
from tests.support.tenants import Dice, Operation, Tenant, tokens
from tests.support.workers import working

from customary.api.versions import LIVE
from customary.app import Application
from customary.domain import example

REQUESTS = 100_000
SEED = 1
AT_ONCE = 16
# Far fewer than there are requests at a time, so that each connection serves both accounts in turn.
CONNECTIONS = 3
SAMPLES = 1000
_TRIES = 5
_RARE = {"DELETE": 0.3}


class Outcome(Struct):
    """What came of a campaign. A crossing is something of one account in what the other one got."""

    requests: int = 0
    foreign: int = 0
    cancelled: int = 0
    webhooks: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])
    accepted: set[str] = field(default_factory=set[str])
    crossings: list[str] = field(default_factory=list[str])
    unsent_percent: float = 0
    milliseconds: dict[str, float] = field(default_factory=dict[str, float])


class Campaign:
    """Makes requests of both accounts, and searches all that they get."""

    def __init__(self, app: Application, tenants: tuple[Tenant, Tenant]) -> None:
        self._app, self._tenants = app, tenants
        self.outcome = Outcome()
        self._operations = [
            Operation(endpoint, draft(version, endpoint), places(version, endpoint))
            for version in VERSIONS
            for endpoint in LIVE[version].endpoints
        ]
        self._weights = [_RARE.get(each.endpoint.method, 1.0) for each in self._operations]
        # What both are shown and neither owns: the operator, and the example that a test of a policy is about.
        self._common = NOBODYS | tokens(msgspec.json.encode(example.customer()).decode())

    async def run(self, requests: int, seed: int) -> None:
        """Make so many requests, several at a time."""
        left = iter(range(requests))
        await asyncio.gather(*(self._work(left, random.Random(f"{seed}-{n}")) for n in range(AT_ONCE)))  # noqa: S311 - to repeat it
        sent = sum(len(other.owned & tenant.sent) for tenant, other in self._pairs())
        self.outcome.unsent_percent = 100 - 100 * sent / sum(len(tenant.owned) for tenant in self._tenants)
        for tenant, other in self._pairs():
            for exchange in tenant.receiver.exchanges:
                self._search(tenant, other, "a webhook", exchange.head.decode() + exchange.body.decode())
                self.outcome.webhooks += 1
            # What one was shown before the other was told that it is his.
            for token in (tenant.owned & other.owned) - self._common - tenant.sent - other.sent:
                self.outcome.crossings.append(f"both accounts were shown {token}")

    async def measure(self, samples: int) -> None:
        """How long a foreign id takes and how long a missing one does, by turns."""
        tenant, other = self._tenants
        operation = next(each for each in self._operations if each.name == f"{NEWEST} GET /customers/{{id}}")
        path = other.known[NEWEST].path(operation.endpoint.operation_id, 0)
        assert path is not None
        missing = {"id": path["id"][:-4] + ("0000" if path["id"][-4:] != "0000" else "1111")}
        taken: dict[str, list[float]] = {"foreign": [], "missing": []}
        for _ in range(samples):
            for name, values in (("foreign", path), ("missing", missing)):
                began = time.perf_counter()
                answer = await Draft(NEWEST, operation.endpoint, path=values).send(self._app, tenant.account)
                taken[name].append((time.perf_counter() - began) * 1000)
                assert answer.status == 404
        self.outcome.milliseconds = {name: statistics.median(each) for name, each in taken.items()}

    def _pairs(self) -> Iterator[tuple[Tenant, Tenant]]:
        first, second = self._tenants
        yield from ((first, second), (second, first))

    async def _work(self, left: Iterator[int], dice: random.Random) -> None:
        for _ in left:
            tenant, other = dice.choice(tuple(self._pairs()))
            operation = self._operation(tenant, dice)
            request, headers = Dice(dice, tenant, other).request(operation)
            await self._make(operation, request, headers, tenant, other, dice)

    def _operation(self, tenant: Tenant, dice: random.Random) -> Operation:
        """Any, but seldom one on what the account does not have yet or has enough of."""
        for operation in dice.choices(self._operations, self._weights, k=_TRIES):
            if tenant.has_nothing_for(operation) or tenant.has_enough(operation):
                continue
            return operation
        return self._operations[0]

    async def _make(
        self,
        operation: Operation,
        request: Draft,
        headers: dict[str, str],
        tenant: Tenant,
        other: Tenant,
        dice: random.Random,
    ) -> None:
        told = f"{request.path} {request.query} {request.body} {headers}"
        tenant.sent |= tokens(told)
        self.outcome.requests += 1
        self.outcome.foreign += bool(tokens(told) & other.owned - self._common)
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        is_dry_run = dice.random() < 0.05 and not operation.endpoint.is_read and request.version == NEWEST
        try:
            # Now and then nobody waits for the answer: a connection must not stay bound to somebody then.
            async with asyncio.timeout(dice.uniform(0, 0.004) if dice.random() < 0.01 else None):
                answer = await request.send(
                    self._app, tenant.account, is_dry_run=is_dry_run, headers=raw, may_be_busy=True
                )
        except TimeoutError:
            self.outcome.cancelled += 1
            return
        self.outcome.statuses[answer.status] += 1
        self._search(tenant, other, operation.name, f"{answer.headers} {answer.body.decode()}")
        if not is_dry_run:
            tenant.learn(operation, request, answer)
            if answer.status < 300:
                self.outcome.accepted.add(operation.name)

    def _search(self, tenant: Tenant, other: Tenant, source: str, text: str) -> None:
        for token in tokens(text) & other.owned - self._common - tenant.sent:
            self.outcome.crossings.append(f"{source} showed {tenant.word} of {other.word}: {token} in {text[:500]}")


async def campaign(database: Database, requests: int, seed: int, *, samples: int = 0) -> Outcome:
    """Run a campaign on an application of its own, with what delivers webhooks beside it."""
    async with (
        started(database.service_url, pool_size=CONNECTIONS) as app,
        new_account(app, database.owner_url, "abc") as first,
        new_account(app, database.owner_url, "xyz") as second,
        receiving(_echo) as receivers_of_first,
        receiving(_echo) as receivers_of_second,
        working(database.service_url),
    ):
        tenants = (Tenant(first, "abc", receivers_of_first), Tenant(second, "xyz", receivers_of_second))
        for tenant in tenants:
            await _settle(tenant, database)
        running = Campaign(app, tenants)
        await running.run(requests, seed)
        if samples:
            await running.measure(samples)
        running.outcome.crossings += [found async for found in _wrong_totals(app, database, tenants)]
    return running.outcome


async def _settle(tenant: Tenant, database: Database) -> None:
    """Give it one of everything, and let it know what it owns."""
    estate = await populated(tenant.account, database, tenant.word)
    tenant.owned |= {token for value in estate.everything.values() for token in tokens(value)}
    tenant.cursors += estate.cursors.values()
    policy = {"name": tenant.text(), "channel": "WEBHOOK", "recipients": [tenant.receiver.url("/0")]}
    success(await tenant.account.client.post("/notifications/policies", json=policy), 201)


async def _echo(exchange: Exchange) -> None:
    """Answer with some of what came, which the log of deliveries keeps."""
    body = exchange.body[:200]
    await exchange.send(GOOD.replace(b"Content-Length: 2", b"Content-Length: %d" % len(body))[:-2] + body)


async def _wrong_totals(app: Application, database: Database, tenants: tuple[Tenant, Tenant]) -> AsyncIterator[str]:
    """Lists whose total is not what the account has."""
    customers = next(each for each in LIVE[NEWEST].endpoints if (each.method, each.path) == ("GET", "/customers"))
    async with owner_connection(database.owner_url) as owner:
        for tenant in tenants:
            request = Draft(NEWEST, customers, query={"includeArchived": "true"})
            found = json.loads((await request.send(app, tenant.account)).body)["pagination"]["totalResultSize"]
            there = await owner.fetchval("SELECT count(*) FROM customers WHERE account_id = $1", tenant.account.id)
            if found != there:
                yield f"{tenant.word} was told of {found} customers and has {there}"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main(requests: int, seed: int) -> int:
    """Run it and print what came of it; the exit code is 0 only without a crossing."""
    canaries.listen(canaries.WATCH)
    began = time.monotonic()
    with clusters.running() as cluster, canaries.WATCH.watching(cluster.log_dir):
        async with Databases.of(cluster) as databases, databases.fresh() as database:
            outcome = await campaign(database, requests, seed, samples=SAMPLES)
    statuses = ", ".join(f"{count} x {status}" for status, count in sorted(outcome.statuses.items()))
    _say(f"{outcome.requests} requests in {time.monotonic() - began:.0f} s, seed {seed}: {statuses}")
    _say(f"{outcome.foreign} named something of the other account, {outcome.cancelled} were given up by the client")
    _say(
        f"{outcome.unsent_percent:.0f} % of what an account owns was never sent by the other, and would have been seen"
    )
    _say(f"{len(outcome.accepted)} operations succeeded, {outcome.webhooks} webhooks came")
    for name, median in outcome.milliseconds.items():
        _say(f"GET of a {name} customer: {median:.3f} ms (median of {SAMPLES})")
    for crossing in outcome.crossings[:20]:
        _say(f"CROSSING: {crossing}")
    _say(f"{len(outcome.crossings)} crossings")
    canaries.WATCH.check()
    return 1 if outcome.crossings else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="how many")
    parser.add_argument("--seed", type=int, default=SEED, help="the same seed throws the same dice")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    sys.exit(asyncio.run(main(options.requests, options.seed)))
