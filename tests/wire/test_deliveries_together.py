"""Attempts that go to the database together, and one by one where that fails: what comes of them is the same."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from tests.support import canaries
from tests.support.bodies import newest
from tests.support.clients import Account, owner_connection, success
from tests.support.cluster import Database
from tests.support.receivers import Receiver, receiving
from tests.support.workers import work_off

from customary.domain.delivery import Answer
from customary.domain.job import Job
from customary.errors import Contended
from customary.storage import deliveries
from customary.storage.database import Beginning, Reading
from customary.storage.deliveries import Order

COUNT, RECIPIENTS = 5, 4


async def told_of_five(account: Account, database: Database, receiver: Receiver) -> None:
    """Four recipients are told of five customers, once each; the deliveries and their attempts are recorded."""
    recipients = [receiver.url(f"/{number}") for number in range(RECIPIENTS)]
    policy: dict[str, Any] = {"name": "One", "channel": "WEBHOOK", "recipients": recipients}
    success(await account.client.post("/notifications/policies", json=policy), 201)
    made = [(await account.client.create(newest()))["id"] for _ in range(COUNT)]
    await work_off(database)
    for number in range(RECIPIENTS):
        told = receiver.told(f"/{number}")
        assert sorted(body["resourceId"] for _, body in told) == sorted(made)
        assert len({message_id for message_id, _ in told}) == COUNT
    async with owner_connection(database.owner_url) as owner:
        found = await owner.fetch(
            "SELECT j.state, j.attempts, j.lease, a.number, a.outcome FROM jobs j"
            "  LEFT JOIN delivery_attempts a ON a.account_id = j.account_id AND a.job_id = j.id"
        )
    assert [tuple(row) for row in found] == COUNT * RECIPIENTS * [("DELIVERED", 1, None, 1, "DELIVERED")]
    assert "work_failed" not in canaries.WATCH.text()


async def test_they_go_together(database: Database, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer transactions than deliveries are enough."""
    sizes: list[int] = []
    record = deliveries.record_delivered

    def count(account_id: UUID, delivered: Sequence[tuple[Job, Answer]]) -> Beginning:
        sizes.append(len(delivered))
        return record(account_id, delivered)

    monkeypatch.setattr(deliveries, "record_delivered", count)
    async with receiving() as receiver:
        await told_of_five(account, database, receiver)
    assert sum(sizes) == COUNT * RECIPIENTS
    assert len(sizes) < COUNT * RECIPIENTS


@pytest.mark.parametrize("failure", [Contended("Another one was there."), ValueError("a defect")])
async def test_what_cannot_be_recorded_together_is_recorded_one_by_one(
    database: Database, account: Account, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def refuse(account_id: UUID, delivered: Sequence[tuple[Job, Answer]]) -> Beginning:
        del account_id, delivered
        raise failure

    monkeypatch.setattr(deliveries, "record_delivered", refuse)
    async with receiving() as receiver:
        await told_of_five(account, database, receiver)


async def test_what_cannot_be_looked_up_together_is_looked_up_one_by_one(
    database: Database, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, sizes = deliveries.find, list[int]()

    async def find_one(reading: Reading, sought: Sequence[Job]) -> list[Order | None]:
        sizes.append(len(sought))
        if len(sought) > 1:
            raise ValueError
        return await find(reading, sought)

    monkeypatch.setattr(deliveries, "find", find_one)
    async with receiving() as receiver:
        await told_of_five(account, database, receiver)
    assert max(sizes) > 1, "nothing was looked up together"
