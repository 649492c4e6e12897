"""The queue of work: who gets what, how much at once and in which order, and what of those who do not come back."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest_asyncio
from tests.support.clients import owner_connection
from tests.support.cluster import Database as Made

from customary.domain.delivery import Next, State
from customary.domain.job import Job
from customary.operations.accounts import create_account
from customary.operations.doctor import Verdict, deliveries
from customary.operations.work import SERVICE, keep_house
from customary.storage import jobs
from customary.storage.connections import WORK
from customary.storage.database import Database
from customary.storage.deliveries import record_delivered

ADD_LANE = "INSERT INTO lanes (account_id, id, is_ordered, opens_at, claimed_at) VALUES ($1, $2, $3, now(), now())"
ADD_JOB = """
INSERT INTO jobs (account_id, kind, lane_id, sequence_id, number, due_at, created_at, queued_at)
VALUES ($1, 'DELIVERY', $2, $3, $4, now() + $5::interval, now(), now()) RETURNING id
"""
# To move all that is waiting into the past is to let time go by.
ADVANCE = """
WITH lane AS (UPDATE lanes SET opens_at = opens_at - $1::interval)
UPDATE jobs SET due_at = due_at - $1::interval, queued_at = queued_at - $1::interval WHERE finished_at IS NULL
"""


class Queue:
    """The queue of a test database, filled by the owner and emptied by the service."""

    def __init__(self, owner: Any, database: Database) -> None:  # noqa: ANN401 - asyncpg's connection
        self.owner = owner
        self.database = database

    async def account(self) -> UUID:
        account_id = uuid4()
        await self.owner.execute(
            "INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, now())", account_id, str(account_id)
        )
        return account_id

    async def lane(self, account_id: UUID, *, is_ordered: bool = False) -> UUID:
        lane_id = uuid4()
        await self.owner.execute(ADD_LANE, account_id, lane_id, is_ordered)
        return lane_id

    async def add(
        self,
        account_id: UUID,
        lane_id: UUID,
        count: int = 1,
        *,
        sequence_id: UUID | None = None,
        due_in: timedelta = timedelta(),
    ) -> list[UUID]:
        return [
            await self.owner.fetchval(ADD_JOB, account_id, lane_id, sequence_id, number, due_in)
            for number in range(1, count + 1)
        ]

    async def claim(
        self, most: int = 100, *, most_for_account: int = 100, held: dict[UUID, int] | None = None
    ) -> list[Job]:
        claimed, _ = await jobs.claim(self.database, most=most, in_flight=held or {}, most_for_account=most_for_account)
        return claimed

    async def finish(self, job: Job, state: State = State.DELIVERED) -> bool:
        async with self.database.transaction(job.account_id, SERVICE) as tx:
            return await jobs.finish(tx, job, Next(state=state, attempts_left=job.attempts_left, due_at=tx.now))

    async def advance(self, by: timedelta) -> None:
        await self.owner.execute(ADVANCE, by)


@pytest_asyncio.fixture
async def queue(database: Made) -> AsyncIterator[Queue]:
    async with owner_connection(database.owner_url) as owner:
        opened = await Database.open(database.service_url, pool_size=8)
        yield Queue(owner, opened)
        opened.close()


async def test_no_more_than_four_of_a_lane_are_in_flight(queue: Queue) -> None:
    """The fifth has to wait until one of the four is over."""
    account_id = await queue.account()
    lane_id = await queue.lane(account_id)
    await queue.add(account_id, lane_id, 6)
    first = await queue.claim()
    assert len(first) == 4
    assert await queue.claim() == []
    assert await queue.finish(first[0])
    assert len(await queue.claim()) == 1
    assert await queue.claim() == []


async def test_work_is_due_when_it_is_due(queue: Queue) -> None:
    account_id = await queue.account()
    lane_id = await queue.lane(account_id)
    await queue.add(account_id, lane_id, due_in=timedelta(minutes=5))
    assert await queue.claim() == []
    await queue.advance(timedelta(minutes=6))
    assert len(await queue.claim()) == 1


async def test_a_closed_lane_keeps_its_work(queue: Queue) -> None:
    account_id = await queue.account()
    lane_id = await queue.lane(account_id)
    await queue.add(account_id, lane_id, 2)
    await queue.owner.execute("UPDATE lanes SET opens_at = now() + interval '1 hour'")
    assert await queue.claim() == []
    await queue.advance(timedelta(hours=1))
    assert len(await queue.claim()) == 2


async def test_in_an_ordered_lane_each_sequence_goes_one_by_one(queue: Queue) -> None:
    """Number two of a customer waits for number one to be over, however that ends; other customers do not wait."""
    account_id = await queue.account()
    lane_id = await queue.lane(account_id, is_ordered=True)
    customers = [uuid4(), uuid4()]
    for customer_id in customers:
        await queue.add(account_id, lane_id, 3, sequence_id=customer_id)
    seen: dict[UUID | None, list[int | None]] = {customer_id: [] for customer_id in customers}
    for state in (State.DELIVERED, State.FAILED, State.CANCELLED):
        claimed = await queue.claim()
        assert {job.sequence_id for job in claimed} == set(customers)
        assert len(claimed) == 2
        assert await queue.claim() == []
        for job in claimed:
            seen[job.sequence_id].append(job.number)
            assert await queue.finish(job, state)
    assert list(seen.values()) == [[1, 2, 3], [1, 2, 3]]


async def test_a_retry_in_an_ordered_lane_holds_up_what_comes_after(queue: Queue) -> None:
    account_id = await queue.account()
    lane_id = await queue.lane(account_id, is_ordered=True)
    await queue.add(account_id, lane_id, 2, sequence_id=uuid4())
    (first,) = await queue.claim()
    async with queue.database.transaction(account_id, SERVICE) as tx:
        later = tx.now + timedelta(hours=1)
        await jobs.finish(tx, first, Next(state=State.PENDING, attempts_left=11, due_at=later))
    assert await queue.claim() == []
    await queue.advance(timedelta(hours=1))
    assert [job.number for job in await queue.claim()] == [1]


async def test_each_account_gets_its_share(queue: Queue) -> None:
    """One account with a thousand things to send does not keep another one's single thing waiting."""
    busy, other = await queue.account(), await queue.account()
    for _ in range(10):
        await queue.add(busy, await queue.lane(busy), 20)
    await queue.add(other, await queue.lane(other))
    claimed = await queue.claim(16, most_for_account=8)
    assert [job.account_id for job in claimed].count(busy) == 8
    assert [job.account_id for job in claimed].count(other) == 1
    assert await queue.claim(16, most_for_account=8, held={busy: 8, other: 1}) == []
    assert len(await queue.claim(16, most_for_account=8, held={busy: 5})) == 3


async def test_a_lane_that_is_full_does_not_stand_in_the_way(queue: Queue) -> None:
    """Lanes with all that they may have in flight take no place in a claim from those that have room."""
    account_id = await queue.account()
    full = [await queue.lane(account_id) for _ in range(5)]
    for lane_id in full:
        await queue.add(account_id, lane_id, 10)
    assert len(await queue.claim(20)) == 20
    last = await queue.lane(account_id)
    await queue.add(account_id, last)
    assert [job.lane_id for job in await queue.claim(3)] == [last]


async def test_a_lane_where_all_waits_for_something_earlier_does_not_stand_in_the_way(queue: Queue) -> None:
    """Where there is room for one more of an account, it is not kept for work that may not begin yet."""
    account_id = await queue.account()
    for _ in range(5):
        await queue.add(account_id, await queue.lane(account_id, is_ordered=True), 3, sequence_id=uuid4())
    assert {job.number for job in await queue.claim()} == {1}
    last = await queue.lane(account_id)
    await queue.add(account_id, last, 2)
    held = {account_id: 5}
    assert [job.lane_id for job in await queue.claim(most_for_account=6, held=held)] == [last]


async def test_lanes_take_turns_where_there_is_room_for_few(queue: Queue) -> None:
    account_id = await queue.account()
    lanes = [await queue.lane(account_id) for _ in range(6)]
    for lane_id in lanes:
        await queue.add(account_id, lane_id, 4)
    taken = list[UUID]()
    for _ in range(6):
        [job] = await queue.claim(most_for_account=1)
        taken.append(job.lane_id)
        assert await queue.finish(job)
    assert sorted(taken) == sorted(lanes)


async def test_whoever_was_overtaken_records_nothing(queue: Queue) -> None:
    """A worker that slept past its lease finds its work claimed by another one, whose result counts alone."""
    account_id = await queue.account()
    await queue.add(account_id, await queue.lane(account_id))
    (slept,) = await queue.claim()
    await queue.advance(timedelta(seconds=jobs.LEASE_SECONDS + 1))
    (overtook,) = await queue.claim()
    assert overtook.id == slept.id
    assert (slept.attempts, overtook.attempts) == (1, 2), "an attempt is counted when it is claimed"
    assert not await queue.finish(slept)
    assert await queue.finish(overtook, State.FAILED)
    assert not await queue.finish(overtook)
    assert await queue.owner.fetchval("SELECT state FROM jobs") == "FAILED"


async def test_work_that_kills_three_workers_in_a_row_is_put_aside(queue: Queue) -> None:
    """It stays where people see it, and the work behind it goes on."""
    account_id = await queue.account()
    lane_id = await queue.lane(account_id, is_ordered=True)
    await queue.add(account_id, lane_id, 2, sequence_id=uuid4())
    for attempt in range(1, 4):
        assert [job.attempts for job in await queue.claim()] == [attempt]
        await queue.advance(timedelta(seconds=jobs.LEASE_SECONDS + 1))
    claimed, put_aside = await jobs.claim(queue.database, most=10, in_flight={}, most_for_account=10)
    assert (claimed, put_aside) == ([], 1)
    row = await queue.owner.fetchrow("SELECT state, reason, attempts FROM jobs WHERE finished_at IS NOT NULL")
    assert (row["state"], row["reason"], row["attempts"]) == ("QUARANTINED", jobs.DIED, 3)
    assert [job.number for job in await queue.claim()] == [2]


async def test_a_death_in_between_is_forgiven(queue: Queue) -> None:
    """Only deaths in a row count: an attempt that was recorded starts the count again."""
    account_id = await queue.account()
    await queue.add(account_id, await queue.lane(account_id))
    for _ in range(5):
        for _ in range(2):
            await queue.claim()
            await queue.advance(timedelta(seconds=jobs.LEASE_SECONDS + 1))
        (job,) = await queue.claim()
        assert await queue.finish(job, State.PENDING)
    assert await queue.owner.fetchval("SELECT state FROM jobs") == "PENDING"


async def test_what_is_given_back_costs_nothing_and_is_counted(queue: Queue) -> None:
    """It may have been sent before it was broken off."""
    account_id = await queue.account()
    await queue.add(account_id, await queue.lane(account_id))
    (job,) = await queue.claim()
    async with queue.database.transaction(account_id, SERVICE) as tx:
        await jobs.release(tx, job)
    (again,) = await queue.claim()
    assert (again.attempts, again.attempts_left) == (job.attempts + 1, job.attempts_left)
    assert again.lease != job.lease


async def test_many_workers_at_once_take_everything_once(queue: Queue) -> None:
    """Eight claimers race for two hundred pieces of work in ten lanes: each gets others', at most four of a lane."""
    account_id = await queue.account()
    added = [each for _ in range(10) for each in await queue.add(account_id, await queue.lane(account_id), 20)]
    taken: list[UUID] = []
    in_flight: Counter[UUID] = Counter()

    async def work() -> None:
        while len(taken) < len(added):
            claimed = await queue.claim(7)
            for job in claimed:
                in_flight[job.lane_id] += 1
                assert in_flight[job.lane_id] <= 4, "more than four of a lane are in flight"
                taken.append(job.id)
            for job in claimed:
                in_flight[job.lane_id] -= 1
                assert await queue.finish(job)

    async with asyncio.timeout(60):
        await asyncio.gather(*(work() for _ in range(8)))
    assert sorted(taken) == sorted(added)


async def test_what_waited_for_thirty_days_is_given_up_and_removed_after_thirty_more(queue: Queue) -> None:
    account_id = await queue.account()
    lane_id = await queue.lane(account_id)
    await queue.add(account_id, lane_id, 3)
    await queue.owner.execute("UPDATE lanes SET opens_at = 'infinity'")
    await queue.advance(timedelta(days=29))
    await keep_house(queue.database)
    assert await queue.owner.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL") == 3
    await queue.advance(timedelta(days=1, seconds=1))
    await queue.add(account_id, lane_id)
    await keep_house(queue.database)
    states = [row["state"] for row in await queue.owner.fetch("SELECT state FROM jobs ORDER BY created_at, state")]
    assert sorted(states) == ["FAILED", "FAILED", "FAILED", "PENDING"]
    assert await queue.owner.fetchval("SELECT count(*) FROM jobs WHERE reason = $1", jobs.HELD_TOO_LONG) == 3
    await queue.owner.execute("UPDATE jobs SET finished_at = finished_at - interval '31 days'")
    await keep_house(queue.database)
    assert [row["state"] for row in await queue.owner.fetch("SELECT state FROM jobs")] == ["PENDING"]


async def test_what_a_dead_worker_held_is_given_up_like_the_rest(queue: Queue) -> None:
    """In a lane that stays closed nobody claims it again, so it must not depend on that."""
    account_id = await queue.account()
    lane_id = await queue.lane(account_id)
    await queue.add(account_id, lane_id)
    (job,) = await queue.claim()
    await queue.owner.execute("UPDATE lanes SET opens_at = 'infinity'")
    await queue.advance(timedelta(days=30, seconds=1))
    await keep_house(queue.database)
    row = await queue.owner.fetchrow("SELECT state, reason, lease FROM jobs")
    assert tuple(row) == ("FAILED", jobs.HELD_TOO_LONG, None)
    assert not await queue.finish(job)


async def test_what_a_dead_worker_held_is_cancelled_with_its_lane(queue: Queue) -> None:
    account_id = await queue.account()
    lane_id = await queue.lane(account_id)
    await queue.add(account_id, lane_id, 2)
    (job,) = await queue.claim(1)
    async with queue.database.transaction(account_id, SERVICE) as tx:
        await jobs.cancel_lane(tx, lane_id, "Removed.")
    states = "SELECT state FROM jobs ORDER BY number"
    assert [row["state"] for row in await queue.owner.fetch(states)] == ["PENDING", "CANCELLED"], "it is in flight"
    await queue.advance(timedelta(seconds=jobs.LEASE_SECONDS + 1))
    async with queue.database.transaction(account_id, SERVICE) as tx:
        await jobs.cancel_lane(tx, lane_id, "Removed.")
    assert [row["state"] for row in await queue.owner.fetch(states)] == ["CANCELLED", "CANCELLED"]
    assert not await queue.finish(job)


async def test_what_was_in_flight_when_a_worker_died_is_taken_one_at_a_time(queue: Queue) -> None:
    """All together again, the one that kills would take the others with it. New work does not wait for that."""
    account_id = await queue.account()
    await queue.add(account_id, await queue.lane(account_id), 4)
    assert len(await queue.claim()) == 4
    await queue.advance(timedelta(seconds=jobs.LEASE_SECONDS + 1))
    await queue.add(account_id, await queue.lane(account_id), 3)
    for taken in (4, 1, 1, 1, 0):
        assert len(await queue.claim()) == taken


async def test_an_operator_is_told_when_nobody_delivers(queue: Queue) -> None:
    """What is late is a problem; what waits for a recipient that rests, or for an earlier change, is not late."""
    account_id = await queue.account()
    open_lane, closed = await queue.lane(account_id, is_ordered=True), await queue.lane(account_id)
    assert [each.verdict for each in await deliveries(queue.owner)] == [Verdict.FINE]
    await queue.add(account_id, open_lane, 3, sequence_id=uuid4())
    await queue.add(account_id, closed)
    await queue.owner.execute("UPDATE lanes SET opens_at = 'infinity' WHERE id = $1", closed)
    assert [each.verdict for each in await deliveries(queue.owner)] == [Verdict.FINE]
    await queue.advance(timedelta(minutes=6))
    (found,) = await deliveries(queue.owner)
    assert (found.verdict, found.found) == (
        Verdict.PROBLEM,
        "1 of 4 that wait should have been attempted five minutes ago",
    )
    for number in (1, 2, 3):
        (job,) = await queue.claim()
        assert job.number == number
        assert await queue.finish(job)
    assert [each.found for each in await deliveries(queue.owner)] == ["1 wait, none for too long"]


async def test_a_connection_that_looked_for_work_sees_nothing_of_it_afterwards(queue: Queue) -> None:
    """The wider view of a claim ends with its transaction."""
    account_id, other = await queue.account(), await queue.account()
    await queue.add(account_id, await queue.lane(account_id))
    single = queue.database
    await queue.claim(0)
    async with single.without_tenant() as connection:
        assert await connection.fetchval("SELECT count(*) FROM jobs") == 0
    async with single.reading(other) as reading:
        assert await reading.connection.fetchval("SELECT count(*) FROM jobs") == 0
    async with single.working() as connection:
        assert await connection.fetchval("SELECT count(*) FROM jobs") == 1
        assert await connection.fetchval("SELECT count(*) FROM customers") == 0
        assert await connection.fetchval("SELECT count(*) FROM endpoints") == 0


async def test_a_queue_is_not_read_whole_because_it_was_empty_once(database: Made) -> None:
    """What is planned while there is no work is carried out when there is much."""
    async with owner_connection(database.owner_url) as owner:
        account_id = (await create_account(owner, "new")).id
        await owner.execute("ANALYZE jobs")
    pool = await Database.open(database.service_url, pool_size=1, limits=WORK)
    try:
        async with pool.transaction(account_id, SERVICE) as tx:
            recorded = record_delivered(account_id, [])
            plan = await tx.connection.fetch(f"EXPLAIN {recorded.text}", *recorded.parameters)
    finally:
        pool.close()
    steps = [row[0] for row in plan if " on jobs " in row[0]]
    assert steps
    assert not [step for step in steps if "Seq Scan" in step]
