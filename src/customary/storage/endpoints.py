"""The recipients of notification policies: each has a lane of its own, and how it did lately is kept."""

from uuid import UUID

from msgspec import Struct

from customary.domain.delivery import MOST_IN_FLIGHT, EndpointState, Health, in_flight
from customary.domain.notification import Policy
from customary.storage.database import Reading, Record, Tx

_COLUMNS = """
    e.id, e.policy_id, e.recipient, e.state, e.failures, e.failing_since, e.reason,
    nullif(l.opens_at, 'infinity') AS opens_at
"""
_SOURCE = "FROM endpoints e JOIN lanes l ON l.account_id = e.account_id AND l.id = e.id WHERE e.account_id = $1"
ADD = """
WITH new AS (
    SELECT gen_random_uuid() AS id, given.recipient FROM unnest($3::text[]) AS given (recipient)
     WHERE NOT EXISTS (SELECT FROM endpoints e WHERE e.account_id = $1 AND e.policy_id = $2
                          AND e.recipient = given.recipient AND e.state <> 'REMOVED')
), lane AS (
    INSERT INTO lanes (account_id, id, is_ordered, opens_at, claimed_at) SELECT $1, id, $4, now(), now() FROM new
)
INSERT INTO endpoints (account_id, id, policy_id, recipient, created_at) SELECT $1, id, $2, recipient, now() FROM new
"""
# Its lane is opened: what waits in it is to be claimed, and cancelled, at once.
REMOVE = """
WITH removed AS (
    UPDATE endpoints SET state = 'REMOVED'
     WHERE account_id = $1 AND policy_id = $2 AND state <> 'REMOVED' AND recipient <> ALL ($3::text[])
    RETURNING id
)
UPDATE lanes l SET opens_at = now(), most_in_flight = $4 FROM removed r WHERE l.account_id = $1 AND l.id = r.id
"""
ORDER = """
UPDATE lanes l SET is_ordered = $3 FROM endpoints e
 WHERE e.account_id = $1 AND e.policy_id = $2 AND l.account_id = $1 AND l.id = e.id AND l.is_ordered <> $3
"""
OF_POLICY = f"SELECT {_COLUMNS} {_SOURCE} AND e.policy_id = $2 AND e.state <> 'REMOVED' ORDER BY e.created_at, e.id"
GET_FOR_UPDATE = f"SELECT {_COLUMNS} {_SOURCE} AND e.id = $2 FOR NO KEY UPDATE OF e"
SAVE_HEALTH = """
WITH saved AS (
    UPDATE endpoints SET state = $3, failures = $4, failing_since = $5, reason = $6 WHERE account_id = $1 AND id = $2
)
UPDATE lanes SET opens_at = coalesce($7, CASE WHEN $3 = 'DISABLED' THEN 'infinity' ELSE now() END), most_in_flight = $8
 WHERE account_id = $1 AND id = $2
"""


class Endpoint(Struct, frozen=True, kw_only=True):
    """A recipient of a policy, and how it did lately."""

    id: UUID
    policy_id: UUID
    recipient: str
    health: Health


async def follow(tx: Tx, policy: Policy) -> None:
    """Let the endpoints be those that this policy names: new ones get a lane, those that it lost are removed."""
    recipients = list(policy.recipients)
    await tx.connection.execute(REMOVE, tx.account_id, policy.id, recipients, MOST_IN_FLIGHT)
    await tx.connection.execute(ADD, tx.account_id, policy.id, recipients, policy.is_ordered)
    await tx.connection.execute(ORDER, tx.account_id, policy.id, policy.is_ordered)


async def remove_all(tx: Tx, policy_id: UUID) -> None:
    """Remove every endpoint of a policy; what waits for them is cancelled by whoever claims it."""
    await tx.connection.execute(REMOVE, tx.account_id, policy_id, [], MOST_IN_FLIGHT)


async def of_policy(reading: Reading, policy_id: UUID) -> list[Endpoint]:
    """The endpoints of a policy, oldest first, without those that were removed."""
    return [_from_row(row) for row in await reading.connection.fetch(OF_POLICY, reading.account_id, policy_id)]


async def get_for_update(tx: Tx, endpoint_id: UUID) -> Endpoint | None:
    """The endpoint with this id, removed ones included, locked until the transaction ends."""
    row = await tx.connection.fetchrow(GET_FOR_UPDATE, tx.account_id, endpoint_id)
    return None if row is None else _from_row(row)


async def save_health(tx: Tx, endpoint_id: UUID, health: Health) -> None:
    """Store how an endpoint does, and when its lane opens: never for a disabled one, now without a time."""
    await tx.connection.execute(
        SAVE_HEALTH,
        tx.account_id,
        endpoint_id,
        health.state.value,
        health.failures,
        health.failing_since,
        health.reason,
        health.opens_at,
        in_flight(health),
    )


def _from_row(row: Record) -> Endpoint:
    state = EndpointState(row["state"])
    health = Health(
        state=state,
        failures=row["failures"],
        failing_since=row["failing_since"],
        # Every lane opened at some time; only of a paused recipient it says something.
        opens_at=row["opens_at"] if state is EndpointState.PAUSED else None,
        reason=row["reason"],
    )
    return Endpoint(id=row["id"], policy_id=row["policy_id"], recipient=row["recipient"], health=health)
