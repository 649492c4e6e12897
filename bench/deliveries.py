"""The bar of deliveries: how many webhooks a second the worker of `customary serve` sends, and how soon the first is.

    python -m bench.deliveries [--rounds 5] [--seconds 4] [--accounts 1,50] [--directory DIRECTORY] [--json]

A real service over its own PostgreSQL, durable as always, with the one worker process that it keeps; fifty endpoints,
each a port of a receiver that answers at once, in a process beside it. They belong to one account, which has a quarter
of a worker at most, and in a second measurement to fifty accounts.

For the rate a backlog is queued by what an import does, while the lanes are closed; then they open, and what counts is
the middle half of what arrives. It is compared with a loop of POSTs that does nothing else, measured in turn with it.
For the time customers are created at an even rate, and it is from the answer to the write to each arrival. Every round
ends the run unless each delivery arrived exactly once and is recorded with its attempt.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp
from msgspec import Struct
from tests.support.bodies import newest

from bench import dataset, post_loop
from bench.bars import Bar
from bench.reads import NEWEST, Effort
from bench.receiver import Arrival, Receiver, once_each, receiving
from bench.site import DIRECTORY, Site, prepared
from customary import keyring
from customary.api.payload import payload
from customary.domain.account import Scope
from customary.domain.activity import Event, EventType
from customary.domain.customer import Customer
from customary.operations.accounts import create_account
from customary.operations.api_keys import create_key
from customary.operations.recording import new_id, operator_transaction
from customary.operations.work import CAPACITY
from customary.settings import Settings
from customary.storage import bulk, schema
from customary.storage.database import Connection

ENDPOINTS = 50
LEAST_RATE, LEAST_SHARE, MOST_SECONDS = 1_000.0, 0.5, 1.0
SHAPES = (1, ENDPOINTS)
SMALL = 1_000
_LEAST_SECONDS = 2.0  # what is measured is half of it, and has to be more than a few turns of the worker
_EXPECTED_RATE = 1_500  # a backlog is made for as long as this takes
_WRITES_A_SECOND = {1: 10, ENDPOINTS: 100}  # so 500 deliveries a second to the endpoints of one, 100 to those of fifty
_WARM_UP_DELIVERIES = 1_000
_DIRECTORY = DIRECTORY.parent / "bench-deliveries"
_SET = 10  # a data set of its own: its customers are in no other
_PATIENCE_SECONDS = 60.0


class Tenant(Struct, frozen=True):
    """An account: what its key is sent as, and the ports of those who are told of its customers."""

    id: UUID
    authorization: str
    ports: Sequence[int]


class Crowd(Struct, frozen=True):
    """What is measured: the service, the tables' owner, the receiver, and the accounts that its ports belong to."""

    url: str
    owner: Connection
    receiver: Receiver
    tenants: Sequence[Tenant]
    numbers: Iterator[int]

    @property
    def at_once(self) -> int:
        """How many deliveries a worker has in flight for these accounts at most."""
        return min(CAPACITY, len(self.tenants) * CAPACITY // 4)


class Run(Struct, frozen=True):
    """How one round went: POSTs of the loop and deliveries in a second, and how late each first attempt was."""

    loop: float
    rate: float
    seconds_late: Sequence[float]

    @property
    def ratio(self) -> float:
        """The rate over the bar, which is a thousand or half of the loop, whichever is less."""
        return self.rate / min(LEAST_RATE, LEAST_SHARE * self.loop)


def bars(site: Site, effort: Effort, shapes: Sequence[int] = SHAPES) -> Iterator[Bar]:
    """Rate and time, for the endpoints of one account and for those of many."""
    for accounts in shapes:
        runs = asyncio.run(_measured(site, accounts, effort))
        whose = "one account" if accounts == 1 else f"{accounts} accounts"
        base, other = (
            f"{statistics.median(each):,.0f}/s" for each in zip(*((r.loop, r.rate) for r in runs), strict=True)
        )
        work = f"webhooks to {ENDPOINTS} endpoints of {whose}, to 1,000/s or half a loop of POSTs"
        yield Bar(10, work, [run.ratio for run in runs], least=1.0, base=base, other=other)
        late = [percentile(run.seconds_late, 99) for run in runs]
        work = f"the first attempt's p99 there, to {MOST_SECONDS:g} s after the commit"
        middle = statistics.median(percentile(run.seconds_late, 50) for run in runs)
        other = f"p50 {middle * 1000:.0f} ms, p99 {statistics.median(late) * 1000:.0f} ms"
        yield Bar(10, work, late, most=MOST_SECONDS, base=f"{MOST_SECONDS:g} s", other=other)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many of a hundred are below."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


async def _measured(site: Site, accounts: int, effort: Effort) -> list[Run]:
    """So many rounds, behind a warm-up that does not count."""
    with receiving(ENDPOINTS) as receiver:
        async with schema.connection(site.owner_url) as owner, _crowd(site, owner, receiver, accounts) as crowd:
            await _drained(crowd, _WARM_UP_DELIVERIES)
            body = await _body(crowd)
            seconds = max(effort.seconds, _LEAST_SECONDS)
            return [await _round(crowd, body, seconds) for _ in range(effort.rounds)]


async def _round(crowd: Crowd, body: bytes, seconds: float) -> Run:
    loop = await asyncio.to_thread(post_loop.rate, crowd.receiver.urls, body, at_once=crowd.at_once, seconds=seconds)
    crowd.receiver.taken()
    rate = await _drained(crowd, int(_EXPECTED_RATE * seconds))
    return Run(loop, rate, await _late(crowd, seconds))


@asynccontextmanager
async def _crowd(site: Site, owner: Connection, receiver: Receiver, accounts: int) -> AsyncGenerator[Crowd]:
    """New accounts with a policy each; the policies are deleted at the end."""
    share = ENDPOINTS // accounts
    groups = [receiver.ports[first : first + share] for first in range(0, accounts * share, share)]
    ring = keyring.required(Settings(data_dir=site.service.data_dir))
    async with aiohttp.ClientSession() as http:
        tenants, policies = list[Tenant](), list[tuple[Tenant, str]]()
        for number, ports in enumerate(groups):
            account = await create_account(owner, f"deliveries {number} {time.time_ns()}")
            key, secret = await create_key(
                owner, account.id, ring=ring, name="bench", scopes=frozenset(Scope), requests_per_minute=10**9
            )
            tenant = Tenant(account.id, aiohttp.encode_basic_auth(str(key.client_id), secret), ports)
            policy = {
                "name": "bench",
                "channel": "WEBHOOK",
                "recipients": [f"http://127.0.0.1:{port}/hooks" for port in ports],
            }
            made = await _asked(http, "POST", f"{site.service.url}/api/notifications/policies", tenant, policy)
            tenants.append(tenant)
            policies.append((tenant, made["id"]))
        try:
            yield Crowd(site.service.url, owner, receiver, tenants, iter(range(1 << 40)))
        finally:
            for tenant, policy_id in policies:
                await _asked(http, "DELETE", f"{site.service.url}/api/notifications/policies/{policy_id}", tenant)


async def _asked(http: aiohttp.ClientSession, method: str, url: str, tenant: Tenant, body: object = None) -> Any:  # noqa: ANN401 - JSON
    """What the service answers to this account. Raises `SystemExit` unless it is a success."""
    async with http.request(method, url, json=body, headers={"Authorization": tenant.authorization}) as response:
        told = await response.text()
    if not response.ok:
        message = f"{method} {url} answered {response.status}: {told[:300]}"
        raise SystemExit(message)
    return json.loads(told)


async def _body(crowd: Crowd) -> bytes:
    """What a webhook looks like: the loop sends the same all the time."""
    tenant = crowd.tenants[0]
    return payload(EventType.CUSTOMER_CREATED, tenant.id, _customer(0), api_version=NEWEST)


def _customer(number: int) -> Customer:
    return dataset.customer_of(_SET, number)


async def _drained(crowd: Crowd, count: int) -> float:
    """Queue about so many deliveries, and let them go: how many a second arrive in the middle half of them."""
    accounts = [tenant.id for tenant in crowd.tenants]
    await crowd.owner.execute(_CLOSE, accounts)
    expected = set[tuple[int, str]]()
    for tenant in crowd.tenants:
        expected |= await _queued(crowd, tenant, count // ENDPOINTS)
    await crowd.owner.execute(_OPEN, accounts)
    arrivals = await _settled(crowd, expected)
    times = sorted(at for *_, at in arrivals)
    first, last = times[len(times) // 4], times[len(times) * 3 // 4]
    return (len(times) * 3 // 4 - len(times) // 4) / (last - first)


async def _queued(crowd: Crowd, tenant: Tenant, customers: int) -> set[tuple[int, str]]:
    """New customers of an account, stored as an import stores them; the port and the customer of each delivery."""
    async with operator_transaction(crowd.owner, tenant.id) as tx:
        made = [_customer(next(crowd.numbers)) for _ in range(customers)]
        events = [Event(new_id(), EventType.CUSTOMER_CREATED, each, tx.now) for each in made]
        await bulk.insert(tx, bulk.batch(tenant.id, made, (), events))
    return {(port, str(each.id)) for port in tenant.ports for each in made}


async def _late(crowd: Crowd, seconds: float) -> list[float]:
    """Create customers at an even rate; how long after the answer each delivery came, 0 if it came before."""
    rate, written = _WRITES_A_SECOND[len(crowd.tenants)], dict[str, tuple[Tenant, float]]()
    async with aiohttp.ClientSession() as http:

        async def write(tenant: Tenant) -> None:
            made = await _asked(http, "POST", f"{crowd.url}/api/customers", tenant, newest())
            written[made["id"]] = tenant, time.monotonic()

        begin, tasks = time.monotonic(), list[asyncio.Task[None]]()
        for number in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, begin + number / rate - time.monotonic()))
            tasks.append(asyncio.create_task(write(crowd.tenants[number % len(crowd.tenants)])))
        await asyncio.gather(*tasks)
    expected = {(port, customer_id) for customer_id, (tenant, _) in written.items() for port in tenant.ports}
    return [max(0.0, at - written[customer_id][1]) for _, customer_id, at in await _settled(crowd, expected)]


async def _settled(crowd: Crowd, expected: set[tuple[int, str]]) -> list[Arrival]:
    """What arrived, once all is recorded. Raises `SystemExit` if that is not each of these once, at one attempt."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while crowd.receiver.count() < len(expected) and time.monotonic() < deadline:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.2)
    accounts = [tenant.id for tenant in crowd.tenants]
    while await crowd.owner.fetchval(_WAITING, accounts) and time.monotonic() < deadline:  # noqa: ASYNC110 - the same
        await asyncio.sleep(0.05)
    arrivals = crowd.receiver.taken()
    once_each(arrivals, expected)
    wrong = await crowd.owner.fetchval(_NOT_AS_IT_SHOULD_BE, accounts)
    if wrong:
        message = f"{wrong} deliveries are not recorded as delivered at the first attempt."
        raise SystemExit(message)
    return arrivals


_CLOSE = "UPDATE lanes SET opens_at = 'infinity' WHERE account_id = ANY ($1::uuid[])"
_OPEN = "UPDATE lanes SET opens_at = now() WHERE account_id = ANY ($1::uuid[])"
_WAITING = "SELECT EXISTS (SELECT FROM jobs WHERE account_id = ANY ($1::uuid[]) AND finished_at IS NULL)"
_NOT_AS_IT_SHOULD_BE = """
SELECT count(*) FROM jobs j
 WHERE j.account_id = ANY ($1::uuid[])
   AND (j.state <> 'DELIVERED' OR j.attempts <> 1 OR j.lease IS NOT NULL
        OR (SELECT array_agg(a.outcome) FROM delivery_attempts a WHERE a.account_id = j.account_id AND a.job_id = j.id)
           IS DISTINCT FROM ARRAY['DELIVERED'])
"""


def main() -> int:
    """Measure and print; 0 if every bar is met."""
    parser = argparse.ArgumentParser(prog="python -m bench.deliveries", description="Deliveries beside a bare loop.")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long each side of a round takes, about")
    parser.add_argument("--accounts", default=",".join(map(str, SHAPES)), help="one account, fifty, or both: 1,50")
    parser.add_argument(
        "--directory", type=Path, default=DIRECTORY.parent / "bench-deliveries", help="for the database"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    shapes = [int(each) for each in given.accounts.split(",")]
    effort = Effort(SMALL, SMALL, SMALL, given.rounds, given.seconds)
    with prepared(given.directory, (SMALL,)) as site:
        found = list[Bar]()
        for bar in bars(site, effort, shapes):
            found.append(bar)
            if not given.json:
                sys.stdout.write("  ".join(bar.row()) + "\n")
                sys.stdout.flush()
    if given.json:
        sys.stdout.write(json.dumps([bar.row() for bar in found], indent=2) + "\n")
    return 0 if all(bar.is_met for bar in found) else 1


if __name__ == "__main__":
    sys.exit(main())
