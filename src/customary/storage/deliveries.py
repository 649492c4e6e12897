"""Deliveries as the sender sees them: what one is about, and the record of each attempt."""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from customary.domain.activity import EventType
from customary.domain.customer import Customer
from customary.domain.delivery import KEPT_BODY_BYTES, Answer
from customary.domain.job import Job
from customary.domain.notification import Channel
from customary.storage.database import Reading, Tx

# One look for all of it. The event can be missing, which a test delivery's is.
FIND = """
SELECT e.recipient, e.state, p.id AS policy_id, p.name AS policy_name, p.channel, p.api_version,
       a.name AS account_name, v.id AS event_id, v.customer, v.version, v.created_at
  FROM endpoints e
  JOIN accounts a ON a.id = e.account_id
  LEFT JOIN notification_policies p ON p.account_id = e.account_id AND p.id = e.policy_id
  LEFT JOIN complete_events v ON v.account_id = e.account_id AND v.id = $3
 WHERE e.account_id = $1 AND e.id = $2
"""
# Only of a recipient that is still paused or disabled: one that is well again is no news.
FIND_NOTICE = """
SELECT u.email, p.name AS policy_name, a.name AS account_name, e.recipient, e.reason, e.failing_since
  FROM endpoints e
  JOIN notification_policies p ON p.account_id = e.account_id AND p.id = e.policy_id
  JOIN accounts a ON a.id = e.account_id
  JOIN users u ON u.account_id = e.account_id AND u.id = $3 AND u.deleted_at IS NULL
 WHERE e.account_id = $1 AND e.id = $2 AND e.state IN ('PAUSED', 'DISABLED')
"""
RECORD = """
INSERT INTO delivery_attempts (account_id, job_id, number, started_at, duration_milliseconds, outcome, response_status,
    response_body, error)
VALUES ($1, $2, $3, now() - make_interval(secs => $4), $5, $6, $7, $8, $9)
ON CONFLICT (account_id, job_id, number) DO NOTHING
"""


class Order(Struct, frozen=True, kw_only=True):
    """All that is needed to send one delivery. A test delivery has no customer, version and time of its own."""

    recipient: str
    policy_id: UUID
    policy_name: str
    account_name: str
    channel: Channel
    api_version: str
    event_type: EventType
    customer: Customer | None
    version: int | None
    created_at: datetime | None


class Notice(Struct, frozen=True, kw_only=True):
    """What to tell an administrator of a recipient that only fails."""

    email: str
    policy_name: str
    account_name: str
    recipient: str
    reason: str | None
    failing_since: datetime


async def find(reading: Reading, job: Job) -> Order | None:
    """What this job asks to be sent; None where the recipient, its policy or the event is gone."""
    row = await reading.connection.fetchrow(FIND, reading.account_id, job.lane_id, job.event_id)
    if row is None or row["state"] == "REMOVED" or row["policy_id"] is None or job.event_type is None:
        return None
    if job.event_id is not None and row["event_id"] is None:
        return None
    return Order(
        recipient=row["recipient"],
        policy_id=row["policy_id"],
        policy_name=row["policy_name"],
        account_name=row["account_name"],
        channel=Channel(row["channel"]),
        api_version=row["api_version"],
        event_type=EventType(job.event_type),
        customer=None if row["customer"] is None else msgspec.json.decode(row["customer"], type=Customer),
        version=row["version"],
        created_at=row["created_at"],
    )


async def find_notice(reading: Reading, job: Job) -> Notice | None:
    """What this alert is about; None where there is nobody to tell, or nothing to tell of any more."""
    row = await reading.connection.fetchrow(FIND_NOTICE, reading.account_id, job.sequence_id, job.user_id)
    return None if row is None else Notice(**dict(row))


async def record(tx: Tx, job: Job, answer: Answer) -> None:
    """Write down an attempt that is over."""
    await tx.connection.execute(
        RECORD,
        tx.account_id,
        job.id,
        job.attempts,
        answer.seconds,
        round(answer.seconds * 1000),
        answer.outcome.value,
        answer.status,
        answer.body[:KEPT_BODY_BYTES],
        answer.error,
    )
