"""Deliveries that succeeded and are recorded by one statement: each under its own lease, and only where that is all."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest_asyncio
from tests.database.test_queue import Queue
from tests.support.clients import owner_connection
from tests.support.cluster import Database as Made

from customary.domain.delivery import Answer, Outcome
from customary.domain.job import Job
from customary.operations.work import SERVICE
from customary.storage import deliveries, jobs
from customary.storage.database import Database

ADD_ENDPOINT = """
INSERT INTO endpoints (account_id, id, policy_id, recipient, created_at) VALUES ($1, $2, $3, $4, now())
"""
TAKEN = Answer(outcome=Outcome.DELIVERED, seconds=0.25, status=204, body=b"thanks" * 1000)
NOT_AS_BEFORE = (
    "UPDATE endpoints SET failures = 1 WHERE id = $1",
    "UPDATE endpoints SET state = 'PAUSED' WHERE id = $1",
    "UPDATE endpoints SET state = 'REMOVED' WHERE id = $1",
    "UPDATE endpoints SET failing_since = now() WHERE id = $1",
)
LATER = timedelta(seconds=jobs.LEASE_SECONDS + 1)


@pytest_asyncio.fixture
async def queue(database: Made) -> AsyncIterator[Queue]:
    async with owner_connection(database.owner_url) as owner:
        opened = await Database.open(database.service_url, pool_size=4)
        yield Queue(owner, opened)
        opened.close()


async def recipient(queue: Queue, account_id: UUID) -> UUID:
    lane_id = await queue.lane(account_id)
    await queue.owner.execute(ADD_ENDPOINT, account_id, lane_id, uuid4(), f"https://{lane_id}.example.com")
    return lane_id


async def recorded(queue: Queue, account_id: UUID, claimed: list[Job]) -> set[UUID]:
    """The ids of those that were recorded as delivered, of these."""
    beginning = deliveries.record_delivered(account_id, [(job, TAKEN) for job in claimed])
    async with queue.database.transaction(account_id, SERVICE, beginning=beginning) as tx:
        assert tx.now is not None
        return set(tx.first["finished"])


async def states(queue: Queue) -> dict[UUID, str]:
    return {row["id"]: row["state"] for row in await queue.owner.fetch("SELECT id, state FROM jobs")}


async def logged(queue: Queue) -> set[UUID]:
    return {row["job_id"] for row in await queue.owner.fetch("SELECT job_id FROM delivery_attempts")}


async def test_they_are_over_and_in_the_log(queue: Queue) -> None:
    account_id = await queue.account()
    for _ in range(3):
        await queue.add(account_id, await recipient(queue, account_id), 2)
    claimed = await queue.claim()
    assert await recorded(queue, account_id, claimed) == {job.id for job in claimed}
    rows = await queue.owner.fetch("SELECT * FROM jobs")
    assert {(row["state"], row["reason"], row["lease"], row["deaths"]) for row in rows} == {
        ("DELIVERED", None, None, 0)
    }
    assert {(row["attempts"], row["attempts_left"]) for row in rows} == {(1, 11)}
    assert all(row["finished_at"] is not None for row in rows)
    attempts = await queue.owner.fetch(
        "SELECT *, now() - started_at BETWEEN '0.25 s' AND '1 min' AS is_timed FROM delivery_attempts"
    )
    assert len(attempts) == 6
    for row in attempts:
        shown = (row["number"], row["outcome"], row["response_status"], row["duration_milliseconds"], row["error"])
        assert shown == (1, "DELIVERED", 204, 250, None)
        assert row["is_timed"]
        assert row["response_body"] == (b"thanks" * 1000)[:1024]
    assert await queue.claim() == []


async def test_whose_lease_is_over_is_left_out_and_the_others_are_recorded(queue: Queue) -> None:
    """Nothing of it is stored, neither for the delivery nor in its log: somebody else has it by now."""
    account_id = await queue.account()
    lane_id = await recipient(queue, account_id)
    await queue.add(account_id, lane_id)
    [slept] = await queue.claim()
    await queue.advance(LATER)
    [overtook] = await queue.claim()
    await queue.add(account_id, lane_id, 2)
    others = await queue.claim()
    assert await recorded(queue, account_id, [others[0], slept, others[1]]) == {job.id for job in others}
    assert await states(queue) == {slept.id: "PENDING"} | {job.id: "DELIVERED" for job in others}
    assert await logged(queue) == {job.id for job in others}
    assert await recorded(queue, account_id, [overtook]) == {overtook.id}
    assert await recorded(queue, account_id, [overtook]) == set(), "it is over"


async def test_whose_recipient_failed_lately_is_left_out(queue: Queue) -> None:
    """Its health has to be changed with it, and maybe its lane opened; so has it where it was removed meanwhile."""
    account_id = await queue.account()
    lanes = [await recipient(queue, account_id) for _ in range(len(NOT_AS_BEFORE) + 1)]
    for lane_id in lanes:
        await queue.add(account_id, lane_id)
    claimed = {job.lane_id: job for job in await queue.claim()}
    for lane_id, statement in zip(lanes, NOT_AS_BEFORE, strict=False):
        await queue.owner.execute(statement, lane_id)
    healthy = claimed[lanes[-1]]
    assert await recorded(queue, account_id, list(claimed.values())) == {healthy.id}
    assert [state for state in (await states(queue)).values() if state != "PENDING"] == ["DELIVERED"]
    assert await logged(queue) == {healthy.id}


async def test_nothing_of_another_account_is_recorded(queue: Queue) -> None:
    account_id, other_id = await queue.account(), await queue.account()
    for each in (account_id, other_id):
        await queue.add(each, await recipient(queue, each))
    claimed = {job.account_id: job for job in await queue.claim()}
    assert await recorded(queue, account_id, list(claimed.values())) == {claimed[account_id].id}
    assert (await states(queue))[claimed[other_id].id] == "PENDING"
    assert await logged(queue) == {claimed[account_id].id}
