"""A policy that is deleted between the look-up of a delivery and that of the secrets which would sign it."""

from typing import Any
from uuid import UUID

import pytest
from tests.support import canaries
from tests.support.bodies import newest
from tests.support.clients import Account, owner_connection, success
from tests.support.cluster import Database
from tests.support.receivers import receiving
from tests.support.workers import work_off

from customary.storage import policy_secrets
from customary.storage.database import Reading


async def test_nothing_is_sent_and_the_delivery_is_over(
    database: Database, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cancelled like every other one of the policy, and no defect."""
    find = policy_secrets.live

    async def find_too_late(reading: Reading, policy_id: UUID) -> tuple[str, ...]:
        await account.client.delete(f"/notifications/policies/{policy_id}")
        return await find(reading, policy_id)

    monkeypatch.setattr(policy_secrets, "live", find_too_late)
    async with receiving() as receiver:
        policy: dict[str, Any] = {"name": "One", "channel": "WEBHOOK", "recipients": [receiver.url()]}
        success(await account.client.post("/notifications/policies", json=policy), 201)
        await account.client.create(newest())
        await work_off(database)
        assert receiver.connections == 0
    async with owner_connection(database.owner_url) as owner:
        [row] = await owner.fetch("SELECT state, lease, finished_at FROM jobs")
    assert (row["state"], row["lease"], row["finished_at"] is None) == ("CANCELLED", None, False)
    assert "work_failed" not in canaries.WATCH.text()
