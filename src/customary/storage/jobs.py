"""The queue: work that waits in lanes, and the leases of those who do it. The database's clock is the only one.

A claim is counted when it is made and has a lease of its own, so whoever dies with it is counted too, and whoever was
overtaken while it slept can record nothing.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from customary.crashpoint import crashpoint
from customary.domain.delivery import HOLD, MOST_DEATHS, Next, State
from customary.domain.job import Job, Kind
from customary.domain.user import Role
from customary.storage.database import Connection, Database, Record, Tx

LEASE_SECONDS = 60.0
RETENTION = HOLD
HELD_TOO_LONG = "It waited for 30 days for a recipient that could not be reached."
DIED = f"Whoever worked on it died, {MOST_DEATHS} times in a row."

_COLUMNS = """
    j.account_id, j.id, j.kind, j.lane_id, j.sequence_id, j.number, j.event_id, j.event_type, j.user_id, j.attempts,
    j.attempts_left, j.lease, j.queued_at, j.state
"""
# From lane to lane with one step through the index for each, which ends at the work that was due first; then, in the
# lanes that waited longest, the oldest work. For an account that may have three more it looks into three lanes at most.
# A lane is locked while work is taken from it, and left alone if another claim was there since it was looked at: so
# nobody counts what is in flight there at the same time. What was in flight when a claimer died is taken one at a time:
# all together again, one that is deadly would take the others with it each time, until all of them were put aside. The
# place of work within its account gives each its share.
CLAIM = f"""
WITH RECURSIVE waiting AS (
    (SELECT account_id, lane_id, due_at FROM jobs WHERE finished_at IS NULL
      ORDER BY account_id, lane_id, due_at LIMIT 1)
    UNION ALL
    SELECT n.account_id, n.lane_id, n.due_at FROM waiting w CROSS JOIN LATERAL (
        SELECT j.account_id, j.lane_id, j.due_at FROM jobs j
         WHERE j.finished_at IS NULL AND (j.account_id, j.lane_id) > (w.account_id, w.lane_id)
         ORDER BY j.account_id, j.lane_id, j.due_at LIMIT 1) n
), held AS (
    SELECT * FROM unnest($1::uuid[], $2::integer[]) AS h (account_id, in_flight)
), ready AS (
    SELECT l.account_id, l.id, l.claimed_at,
           row_number() OVER (PARTITION BY l.account_id ORDER BY l.claimed_at) AS place
      FROM waiting w JOIN lanes l ON l.account_id = w.account_id AND l.id = w.lane_id
     WHERE w.due_at <= now() AND l.opens_at <= now()
       AND (SELECT count(*) FROM jobs j WHERE j.account_id = l.account_id AND j.lane_id = l.id
               AND j.finished_at IS NULL AND j.lease IS NOT NULL AND j.due_at > now()) < l.most_in_flight
       AND (NOT l.is_ordered OR EXISTS (
            SELECT FROM jobs j
             WHERE j.account_id = l.account_id AND j.lane_id = l.id AND j.finished_at IS NULL AND j.due_at <= now()
               AND NOT EXISTS (
                    SELECT FROM jobs b WHERE b.account_id = j.account_id AND b.lane_id = j.lane_id
                       AND b.sequence_id = j.sequence_id AND b.number < j.number AND b.finished_at IS NULL)))
), wanted AS (
    SELECT r.* FROM ready r LEFT JOIN held USING (account_id)
     WHERE r.place + coalesce(held.in_flight, 0) <= $3 ORDER BY r.place, r.claimed_at LIMIT $4
), open AS (
    SELECT l.account_id, l.id, l.most_in_flight, l.is_ordered
      FROM lanes l JOIN wanted r USING (account_id, id)
     WHERE l.claimed_at = r.claimed_at AND l.opens_at <= now()
       FOR NO KEY UPDATE OF l SKIP LOCKED
), chosen AS (
    SELECT c.* FROM open o CROSS JOIN LATERAL (
        SELECT j.account_id, j.id, j.due_at, j.lease IS NOT NULL AS is_suspect,
               j.lease IS NOT NULL AND j.deaths + 1 >= {MOST_DEATHS} AS is_deadly
          FROM jobs j
         WHERE j.account_id = o.account_id AND j.lane_id = o.id AND j.finished_at IS NULL AND j.due_at <= now()
           AND NOT (o.is_ordered AND EXISTS (
                SELECT FROM jobs b WHERE b.account_id = j.account_id AND b.lane_id = j.lane_id
                   AND b.sequence_id = j.sequence_id AND b.number < j.number AND b.finished_at IS NULL))
         ORDER BY j.due_at, j.number
         LIMIT greatest(o.most_in_flight - (
                SELECT count(*) FROM jobs f WHERE f.account_id = o.account_id AND f.lane_id = o.id
                   AND f.finished_at IS NULL AND f.lease IS NOT NULL AND f.due_at > now()), 0)
           FOR NO KEY UPDATE SKIP LOCKED) c
), cleared AS (
    SELECT s.* FROM (SELECT *, row_number() OVER (PARTITION BY is_suspect, is_deadly ORDER BY due_at) AS turn
                       FROM chosen) s
     WHERE NOT s.is_suspect OR s.is_deadly OR s.turn = 1
), taken AS (
    SELECT p.* FROM (SELECT *, row_number() OVER (PARTITION BY account_id ORDER BY due_at) AS place FROM cleared) p
      LEFT JOIN held USING (account_id)
     WHERE p.place + coalesce(held.in_flight, 0) <= $3
     ORDER BY p.place, p.due_at LIMIT $4
), served AS (
    UPDATE lanes l SET claimed_at = clock_timestamp() FROM open o WHERE l.account_id = o.account_id AND l.id = o.id
)
UPDATE jobs j
   SET lease = CASE WHEN t.is_deadly THEN NULL ELSE gen_random_uuid() END,
       state = CASE WHEN t.is_deadly THEN '{State.QUARANTINED}' ELSE j.state END,
       reason = CASE WHEN t.is_deadly THEN '{DIED}' ELSE j.reason END,
       finished_at = CASE WHEN t.is_deadly THEN now() END,
       due_at = CASE WHEN t.is_deadly THEN j.due_at ELSE now() + make_interval(secs => $5) END,
       deaths = CASE WHEN j.lease IS NULL THEN 0 ELSE j.deaths + 1 END,
       attempts = CASE WHEN t.is_deadly THEN j.attempts ELSE j.attempts + 1 END,
       attempts_left = CASE WHEN t.is_deadly THEN j.attempts_left ELSE j.attempts_left - 1 END
  FROM taken t WHERE j.account_id = t.account_id AND j.id = t.id
RETURNING {_COLUMNS}
"""  # noqa: S608 - constants
FINISH = """
UPDATE jobs
   SET state = $4, reason = $5, attempts_left = $6, due_at = coalesce($7, due_at), lease = NULL, deaths = 0,
       finished_at = CASE WHEN $4 <> 'PENDING' THEN now() END
 WHERE account_id = $1 AND id = $2 AND lease = $3
RETURNING true
"""
# It costs no attempt, but it was one: what was sent may have arrived.
RELEASE = """
UPDATE jobs SET lease = NULL, due_at = now(), attempts_left = attempts_left + 1
 WHERE account_id = $1 AND id = $2 AND lease = $3
"""
CANCEL_LANE = f"""
UPDATE jobs SET state = '{State.CANCELLED}', reason = $3, finished_at = now(), lease = NULL
 WHERE account_id = $1 AND id = ANY (ARRAY(
    SELECT id FROM jobs
     WHERE account_id = $1 AND lane_id = $2 AND finished_at IS NULL AND (lease IS NULL OR due_at <= now())
     LIMIT 10000 FOR UPDATE SKIP LOCKED))
"""  # noqa: S608 - constants
EXPIRE = f"""
UPDATE jobs j SET state = '{State.FAILED}', reason = '{HELD_TOO_LONG}', finished_at = now(), lease = NULL
  FROM (SELECT account_id, id FROM jobs
         WHERE finished_at IS NULL AND (lease IS NULL OR due_at <= now()) AND queued_at < now() - $1::interval
         LIMIT 1000 FOR UPDATE SKIP LOCKED) old
 WHERE j.account_id = old.account_id AND j.id = old.id
RETURNING j.account_id
"""  # noqa: S608 - constants
ACCOUNTS_WITH_OLD = "SELECT DISTINCT account_id FROM jobs WHERE finished_at < now() - $1::interval"
PURGE = """
DELETE FROM jobs WHERE account_id = $1 AND id = ANY (ARRAY(
    SELECT id FROM jobs WHERE account_id = $1 AND finished_at < now() - $2::interval
     ORDER BY finished_at LIMIT 1000 FOR UPDATE SKIP LOCKED))
RETURNING id
"""
# For an operator, of all accounts. What has to wait for another change of its customer is not late by itself.
BACKLOG = """
SELECT count(*) AS waiting,
       count(*) FILTER (
           WHERE j.lease IS NULL AND greatest(j.due_at, l.opens_at) < now() - interval '5 minutes'
             AND NOT (l.is_ordered AND EXISTS (
                  SELECT FROM jobs b WHERE b.account_id = j.account_id AND b.lane_id = j.lane_id
                     AND b.sequence_id = j.sequence_id AND b.number < j.number AND b.finished_at IS NULL))) AS overdue,
       (SELECT count(*) FROM endpoints WHERE state IN ('PAUSED', 'DISABLED')) AS resting
  FROM jobs j JOIN lanes l ON l.account_id = j.account_id AND l.id = j.lane_id WHERE j.finished_at IS NULL
"""
# The same for whoever watches, with how long what could be begun has been waiting for somebody to do it.
QUEUE = """
SELECT count(*) AS waiting,
       coalesce(extract(epoch FROM now() - min(greatest(j.due_at, l.opens_at)) FILTER (
           WHERE j.lease IS NULL AND greatest(j.due_at, l.opens_at) <= now()
             AND NOT (l.is_ordered AND EXISTS (
                  SELECT FROM jobs b WHERE b.account_id = j.account_id AND b.lane_id = j.lane_id
                     AND b.sequence_id = j.sequence_id AND b.number < j.number AND b.finished_at IS NULL)))), 0)::float8
           AS oldest_due_seconds
  FROM jobs j JOIN lanes l ON l.account_id = j.account_id AND l.id = j.lane_id WHERE j.finished_at IS NULL
"""
ALERT_LANE = """
INSERT INTO lanes (account_id, id, opens_at, claimed_at) VALUES ($1, $1, now(), now()) ON CONFLICT DO NOTHING
"""
ADD_ALERTS = f"""
INSERT INTO jobs (account_id, kind, lane_id, sequence_id, event_type, user_id, due_at, created_at, queued_at)
SELECT $1, 'ALERT', $1, $2, $3, u.id, now(), now(), now()
  FROM users u WHERE u.account_id = $1 AND u.role = '{Role.ADMIN}' AND u.deleted_at IS NULL
"""  # noqa: S608 - a constant


class Backlog(Struct, frozen=True):
    """How much waits, how much of it is late though its lane is open, and how many recipients take a rest."""

    waiting: int
    overdue: int
    resting: int


class Queue(Struct, frozen=True):
    """How much is not finished, and for how long the oldest of what could be begun has waited."""

    waiting: int
    oldest_due_seconds: float


async def claim(
    database: Database,
    *,
    most: int,
    in_flight: Mapping[UUID, int],
    most_for_account: int,
    lease_seconds: float = LEASE_SECONDS,
) -> tuple[list[Job], int]:
    """Take up to `most` pieces of due work of all accounts, at most so many for one, those `in_flight` counted in.

    Also answers how many were put aside because three claimers in a row did not come back.
    """
    async with database.working() as connection:
        rows = await connection.fetch(
            CLAIM, list(in_flight), list(in_flight.values()), most_for_account, most, lease_seconds
        )
        crashpoint("claim.before_commit")
    crashpoint("claim.after_commit")
    taken = [_from_row(row) for row in rows if row["state"] == State.PENDING]
    return taken, len(rows) - len(taken)


async def finish(tx: Tx, job: Job, following: Next) -> bool:
    """Store what becomes of a claimed piece of work; whether the lease still held. If not, nothing is stored."""
    found = await tx.connection.fetchval(
        FINISH,
        tx.account_id,
        job.id,
        job.lease,
        following.state.value,
        following.reason,
        following.attempts_left,
        following.due_at,
    )
    return found is not None


async def release(tx: Tx, job: Job) -> None:
    """Give back what was claimed and broken off on purpose."""
    await tx.connection.execute(RELEASE, tx.account_id, job.id, job.lease)


async def cancel_lane(tx: Tx, lane_id: UUID, reason: str) -> None:
    """Cancel what waits in a lane, up to 10,000 pieces of work."""
    await tx.connection.execute(CANCEL_LANE, tx.account_id, lane_id, reason)


async def expire(database: Database) -> int:
    """Give up what waited for longer than the hold, up to 1,000 pieces of work of any account; how many."""
    async with database.working() as connection:
        return len(await connection.fetch(EXPIRE, HOLD))


async def accounts_with_old(database: Database) -> Sequence[UUID]:
    """The accounts that have work which was finished longer ago than it is kept."""
    async with database.working() as connection:
        return [row["account_id"] for row in await connection.fetch(ACCOUNTS_WITH_OLD, RETENTION)]


async def purge(tx: Tx) -> int:
    """Remove work that was finished longer ago than it is kept, up to 1,000 pieces; how many."""
    return len(await tx.connection.fetch(PURGE, tx.account_id, RETENTION))


async def backlog(owner: Connection) -> Backlog:
    """What waits, of all accounts. It takes a connection that sees the rows of all."""
    row = await owner.fetchrow(BACKLOG)
    return Backlog(row["waiting"], row["overdue"], row["resting"])


async def queue(connection: Connection) -> Queue:
    """What waits, of all accounts, for a transaction that looks for work. It goes through all that waits."""
    row = await connection.fetchrow(QUEUE)
    return Queue(row["waiting"], row["oldest_due_seconds"])


async def add_alerts(tx: Tx, endpoint_id: UUID, new_state: str) -> None:
    """Let each administrator of the account be told that this recipient was paused or disabled."""
    await tx.connection.execute(ALERT_LANE, tx.account_id)
    await tx.connection.execute(ADD_ALERTS, tx.account_id, endpoint_id, new_state)


def _from_row(row: Record) -> Job:
    return Job(
        account_id=row["account_id"],
        id=row["id"],
        kind=Kind(row["kind"]),
        lane_id=row["lane_id"],
        sequence_id=row["sequence_id"],
        number=row["number"],
        event_id=row["event_id"],
        event_type=row["event_type"],
        user_id=row["user_id"],
        attempts=row["attempts"],
        attempts_left=row["attempts_left"],
        lease=row["lease"],
        queued_at=row["queued_at"],
    )
