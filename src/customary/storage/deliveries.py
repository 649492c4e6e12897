"""Deliveries as the sender sees them: what each is about, and the record of each attempt."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import Struct

from customary.domain.activity import EventType
from customary.domain.customer import Customer
from customary.domain.delivery import KEPT_BODY_BYTES, Answer, EndpointState, Outcome, State
from customary.domain.job import Job
from customary.domain.notification import Channel
from customary.storage.database import Beginning, Reading, Record, Tx

# One look for all of it, for each of these recipients and events. The event can be missing, which a test delivery's is.
# With a limit of its own each is looked up by its key; joined, all that an account has could be gone through for a few.
# What is given is asked for by a SELECT, so that the planner does not count it: it would make a new plan each time.
FIND = """
SELECT given.place, found.*
  FROM unnest((SELECT $2::uuid[]), (SELECT $3::uuid[])) WITH ORDINALITY AS given (lane_id, event_id, place)
 CROSS JOIN LATERAL (
    SELECT e.recipient, e.state, p.id AS policy_id, p.name AS policy_name, p.channel, p.api_version,
           a.name AS account_name, v.id AS event_id, v.customer, v.version, v.created_at
      FROM endpoints e
      JOIN accounts a ON a.id = e.account_id
      LEFT JOIN notification_policies p ON p.account_id = e.account_id AND p.id = e.policy_id
      LEFT JOIN complete_events v ON v.account_id = e.account_id AND v.id = given.event_id
     WHERE e.account_id = $1 AND e.id = given.lane_id LIMIT 1) found
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
# What `jobs.finish`, `record` and no change of the recipient's health come to, for many: each under its own lease, and
# only where nothing is to be decided, since a recipient that never failed lately and takes one more does as before. It
# is the first statement of its transaction. The account is joined with the rest, and the recipient's row asked for and
# not joined, for the same reason as above, and so are the arrays.
RECORD_DELIVERED = f"""
WITH given AS MATERIALIZED (
    SELECT $1::uuid AS account_id, g.*
      FROM unnest((SELECT $2::uuid[]), (SELECT $3::uuid[]), (SELECT $4::integer[]), (SELECT $5::float8[]),
                  (SELECT $6::integer[]), (SELECT $7::smallint[]), (SELECT $8::bytea[]))
           AS g (id, lease, number, seconds, milliseconds, status, body)
), finished AS (
    UPDATE jobs j SET state = '{State.DELIVERED}', reason = NULL, lease = NULL, deaths = 0, finished_at = now()
      FROM given g
     WHERE j.account_id = g.account_id AND j.id = g.id AND j.lease = g.lease
       AND (SELECT e.state = 'ACTIVE' AND e.failures = 0 AND e.failing_since IS NULL AND e.reason IS NULL
              FROM endpoints e WHERE e.account_id = j.account_id AND e.id = j.lane_id)
    RETURNING j.id
), recorded AS (
    INSERT INTO delivery_attempts (account_id, job_id, number, started_at, duration_milliseconds, outcome,
        response_status, response_body)
    SELECT $1, g.id, g.number, now() - make_interval(secs => g.seconds), g.milliseconds, '{Outcome.DELIVERED}',
           g.status, g.body
      FROM finished JOIN given g USING (id)
        ON CONFLICT (account_id, job_id, number) DO NOTHING
)
SELECT now() AS now, ARRAY(SELECT id FROM finished) AS finished
"""  # noqa: S608 - constants


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


async def find(reading: Reading, sought: Sequence[Job]) -> list[Order | None]:
    """What each of these asks to be sent; None where the recipient, its policy or the event is gone."""
    lanes, events = [job.lane_id for job in sought], [job.event_id for job in sought]
    rows = await reading.connection.fetch(FIND, reading.account_id, lanes, events)
    by_place = {row["place"]: row for row in rows}
    customers = dict[UUID | None, Customer]()  # of one event many recipients may be told
    return [_order(job, by_place.get(place), customers) for place, job in enumerate(sought, start=1)]


async def find_notice(reading: Reading, job: Job) -> Notice | None:
    """What this alert is about; None where there is nobody to tell, or nothing to tell of any more."""
    row = await reading.connection.fetchrow(FIND_NOTICE, reading.account_id, job.sequence_id, job.user_id)
    return None if row is None else Notice(**dict(row))


def record_delivered(account_id: UUID, delivered: Sequence[tuple[Job, Answer]]) -> Beginning:
    """What begins a transaction by storing that these were delivered; `finished` of its row are those that are stored.

    The others are those whose lease is over, and those whose recipient failed lately, whose health has to be changed.
    """
    return Beginning(
        RECORD_DELIVERED,
        (
            account_id,
            [job.id for job, _ in delivered],
            [job.lease for job, _ in delivered],
            [job.attempts for job, _ in delivered],
            [answer.seconds for _, answer in delivered],
            [round(answer.seconds * 1000) for _, answer in delivered],
            [answer.status for _, answer in delivered],
            [answer.body[:KEPT_BODY_BYTES] for _, answer in delivered],
        ),
    )


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


def _order(job: Job, row: Record | None, customers: dict[UUID | None, Customer]) -> Order | None:
    if row is None or row["state"] == EndpointState.REMOVED or row["policy_id"] is None or job.event_type is None:
        return None
    if row["event_id"] != job.event_id:
        return None
    if job.event_id is not None and job.event_id not in customers:
        customers[job.event_id] = msgspec.json.decode(row["customer"], type=Customer)
    return Order(
        recipient=row["recipient"],
        policy_id=row["policy_id"],
        policy_name=row["policy_name"],
        account_name=row["account_name"],
        channel=Channel(row["channel"]),
        api_version=row["api_version"],
        event_type=EventType(job.event_type),
        customer=customers.get(job.event_id),
        version=row["version"],
        created_at=row["created_at"],
    )
