"""The work in the background, done in a test's own process by what `customary worker` runs, on the test's database."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from tests.support.clients import KEYS, owner_connection
from tests.support.cluster import Database as Made
from tests.support.measured import MEASURED

from customary.connectors.addresses import parse_networks
from customary.connectors.mail import Mailer
from customary.connectors.webhook import WebhookSender
from customary.domain.job import Kind
from customary.operations.deliveries import Courier
from customary.operations.work import CAPACITY, Engine
from customary.storage.database import Database
from customary.worker import body

LOOPBACK = "127.0.0.0/8"
# To move all that is waiting into the past is to let time go by. What is being done keeps the time of its lease.
ADVANCE = """
WITH lane AS (UPDATE lanes SET opens_at = opens_at - $1::interval),
endpoint AS (UPDATE endpoints SET failing_since = failing_since - $1::interval)
UPDATE jobs SET due_at = due_at - $1::interval, queued_at = queued_at - $1::interval
 WHERE finished_at IS NULL AND lease IS NULL
"""
# A claim is in flight until it is recorded, even where its lease is over. What has to wait for an earlier change of the
# same customer is not due. The clock is read with the rows: `now()` is older than what the statement sees, and what
# became due in between, as an alert does with the delivery that it is about, would be taken for work of later.
IS_BUSY = """
SELECT EXISTS (
    SELECT FROM jobs j JOIN lanes l ON l.account_id = j.account_id AND l.id = j.lane_id
     WHERE j.finished_at IS NULL AND (j.lease IS NOT NULL OR (greatest(j.due_at, l.opens_at) <= clock_timestamp()
       AND NOT (l.is_ordered AND EXISTS (
            SELECT FROM jobs b WHERE b.account_id = j.account_id AND b.lane_id = j.lane_id
               AND b.sequence_id = j.sequence_id AND b.number < j.number AND b.finished_at IS NULL)))))
"""
SETTLE_SECONDS = 20


@asynccontextmanager
async def working(
    database_url: str, *, mailer: Mailer | None = None, capacity: int = CAPACITY, allowed: str = LOOPBACK
) -> AsyncGenerator[Engine]:
    """An engine that works until the end of the block, and sends to the loopback interface as well."""
    database = await Database.open(database_url, pool_size=8, keys=KEYS)
    webhooks = WebhookSender(parse_networks(allowed))
    courier = Courier(database, webhooks=webhooks, mailer=mailer, payload=body, metrics=MEASURED)
    engine = Engine(database, {Kind.DELIVERY: courier.deliver, Kind.ALERT: courier.alert}, capacity=capacity)
    running = asyncio.create_task(engine.run())
    try:
        yield engine
    finally:
        engine.stop()
        await running
        await webhooks.close()
        database.close()


async def advance(database: Made, by: timedelta) -> None:
    """Let this time go by for all that is waiting."""
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(ADVANCE, by)


async def postpone(database: Made, by: timedelta) -> None:
    """Let all that waits be due later, so that it does not become due while a test looks."""
    async with owner_connection(database.owner_url) as owner:
        await owner.execute("UPDATE jobs SET due_at = due_at + $1::interval WHERE finished_at IS NULL", by)


async def is_busy(owner: Any) -> bool:  # noqa: ANN401 - asyncpg's connection
    """Whether something is due or in flight; what waits for later does not count."""
    return bool(await owner.fetchval(IS_BUSY))


async def settled(database: Made, timeout_seconds: float = SETTLE_SECONDS) -> None:
    """Wait until nothing is due and nothing is in flight."""
    async with owner_connection(database.owner_url) as owner, asyncio.timeout(timeout_seconds):
        while await is_busy(owner):  # noqa: ASYNC110 - a database tells nobody when it is idle
            await asyncio.sleep(0.01)


async def work_off(database: Made, *, mailer: Mailer | None = None) -> None:
    """Do all that is due, with what becomes due by that, and stop."""
    async with working(database.service_url, mailer=mailer):
        await settled(database)
