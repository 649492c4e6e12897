"""What puts deliveries into the queue beside the change itself: tests, and everything that is to be sent once more.

What was sent before keeps its id, so that a recipient can tell that it has it already. In an ordered lane a customer's
version puts everything in its place, whenever it was queued.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from customary.domain.activity import EventType
from customary.domain.delivery import MAXIMUM_ATTEMPTS
from customary.storage.database import Tx

ADD_TESTS = """
INSERT INTO jobs (account_id, kind, lane_id, event_type, due_at, created_at, queued_at)
SELECT $1, 'DELIVERY', lane.id, $3, now(), now(), now() FROM unnest($2::uuid[]) WITH ORDINALITY AS lane (id, place)
 ORDER BY lane.place
RETURNING id
"""
MAKE_DUE = "UPDATE jobs SET due_at = least(due_at, now()) WHERE account_id = $1 AND id = $2 AND finished_at IS NULL"
MAKE_LANE_DUE = """
UPDATE jobs SET due_at = now()
 WHERE account_id = $1 AND lane_id = $2 AND finished_at IS NULL AND lease IS NULL AND due_at > now()
"""
_AGAIN = f"""
UPDATE jobs SET state = 'PENDING', reason = NULL, attempts_left = {MAXIMUM_ATTEMPTS}, deaths = 0, lease = NULL,
       due_at = now(), queued_at = now(), finished_at = NULL
 WHERE account_id = $1 AND finished_at IS NOT NULL
"""  # noqa: S608 - a constant
QUEUE_AGAIN = f"WITH queued AS ({_AGAIN} AND id = ANY ($2::uuid[]) RETURNING id) SELECT count(*) FROM queued"  # noqa: S608 - constants
QUEUE_EVENTS_AGAIN = f"""
WITH queued AS ({_AGAIN} AND event_id = ANY ($2::uuid[]) AND lane_id = ANY ($3::uuid[]) RETURNING id)
SELECT count(*) FROM queued
"""  # noqa: S608 - constants
ADD_EVENTS = """
WITH added AS (
    INSERT INTO jobs (account_id, kind, lane_id, sequence_id, number, event_id, event_type, due_at, created_at,
        queued_at)
    SELECT $1, 'DELIVERY', lane.id, e.customer_id, e.version, e.id, e.type, now(), now(), now()
      FROM events e CROSS JOIN unnest($3::uuid[]) AS lane (id)
     WHERE e.account_id = $1 AND e.id = ANY ($2::uuid[])
     ORDER BY e.created_at, e.version
        ON CONFLICT (account_id, event_id, lane_id) DO NOTHING
    RETURNING id
)
SELECT count(*) FROM added
"""
EVENTS = """
SELECT e.id FROM events e
 WHERE e.account_id = $1 AND e.created_at >= $2 AND ($3::timestamptz IS NULL OR e.created_at < $3)
   AND ($4::text[] IS NULL OR e.type = ANY ($4))
 ORDER BY e.created_at, e.version LIMIT $5
"""
FAILED = """
SELECT j.id FROM jobs j JOIN events e ON e.account_id = j.account_id AND e.id = j.event_id
 WHERE j.account_id = $1 AND j.lane_id = ANY ($2::uuid[]) AND j.state IN ('FAILED', 'QUARANTINED')
   AND ($3::timestamptz IS NULL OR e.created_at >= $3) AND ($4::timestamptz IS NULL OR e.created_at < $4)
 ORDER BY e.created_at, e.version LIMIT $5
"""
# What one statement takes on: it stays well below the time that a statement has.
_BATCH = 5_000


async def add_tests(tx: Tx, lane_ids: Sequence[UUID], event_type: EventType) -> list[UUID]:
    """Queue an example of this type for each of these recipients; the ids of the deliveries."""
    rows = await tx.connection.fetch(ADD_TESTS, tx.account_id, list(lane_ids), event_type.value)
    return [row["id"] for row in rows]


async def make_due(tx: Tx, delivery_id: UUID) -> None:
    """Let a delivery that is pending be attempted as soon as its recipient may be spoken to."""
    await tx.connection.execute(MAKE_DUE, tx.account_id, delivery_id)


async def make_lane_due(tx: Tx, lane_id: UUID) -> None:
    """The same for all that wait for this recipient for another attempt."""
    await tx.connection.execute(MAKE_LANE_DUE, tx.account_id, lane_id)


async def queue_again(tx: Tx, delivery_ids: Sequence[UUID]) -> int:
    """Queue deliveries once more that are over, each with all its attempts; how many were over."""
    return sum(
        [await tx.connection.fetchval(QUEUE_AGAIN, tx.account_id, batch) for batch in _batches(delivery_ids, _BATCH)]
    )


async def queue_events(tx: Tx, event_ids: Sequence[UUID], lane_ids: Sequence[UUID]) -> int:
    """Queue these events for each of these recipients, unless they wait for it already; how many deliveries that makes.

    What was sent of it before is sent under its own id, everything else under a new one. The policy must be locked:
    two at once would send twice what was not sent before.
    """
    queued = 0
    for batch in _batches(event_ids, max(1, _BATCH // len(lane_ids))):
        for statement in (QUEUE_EVENTS_AGAIN, ADD_EVENTS):
            queued += await tx.connection.fetchval(statement, tx.account_id, batch, list(lane_ids))
    return queued


async def events_between(
    tx: Tx, start: datetime, end: datetime | None, types: Sequence[str] | None, *, limit: int
) -> list[UUID]:
    """The events from `start` to before `end`, oldest first, of these types if some are given; so many at most."""
    rows = await tx.connection.fetch(EVENTS, tx.account_id, start, end, types, limit)
    return [row["id"] for row in rows]


async def failed(
    tx: Tx, lane_ids: Sequence[UUID], start: datetime | None, end: datetime | None, *, limit: int
) -> list[UUID]:
    """Deliveries to these recipients that were given up, of events from `start` to before `end`; at most so many."""
    rows = await tx.connection.fetch(FAILED, tx.account_id, list(lane_ids), start, end, limit)
    return [row["id"] for row in rows]


def _batches(ids: Sequence[UUID], size: int) -> list[list[UUID]]:
    return [list(ids[start : start + size]) for start in range(0, len(ids), size)]
