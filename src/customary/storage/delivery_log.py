"""Deliveries as people see them: what was or is to be sent to whom, how it stands, and what each attempt came to."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from customary.domain.activity import EventType
from customary.domain.delivery import EndpointState, Outcome, State
from customary.domain.page import Page, Window
from customary.errors import NotFound
from customary.storage import keyset
from customary.storage.database import Connection, Reading, Record, Tx

MOST_COUNTED = 10_000

# The lane of a disabled recipient opens never, which is no time to tell.
_COLUMNS = """
    j.account_id, j.id, e.policy_id, e.recipient, e.state AS recipient_state, j.state, j.reason, j.event_type,
    j.event_id, j.sequence_id, j.number, j.attempts, j.attempts_left, j.created_at, j.finished_at,
    j.lease IS NOT NULL AND j.due_at > now() AS is_in_flight,
    CASE WHEN j.finished_at IS NULL THEN greatest(j.due_at, nullif(l.opens_at, 'infinity')) END AS due_at,
    l.opens_at = 'infinity' AS is_held,
    (SELECT a.outcome FROM delivery_attempts a WHERE a.account_id = j.account_id AND a.job_id = j.id
      ORDER BY a.number DESC LIMIT 1) AS last_outcome,
    (SELECT a.response_status FROM delivery_attempts a WHERE a.account_id = j.account_id AND a.job_id = j.id
      ORDER BY a.number DESC LIMIT 1) AS last_status,
    (SELECT a.error FROM delivery_attempts a WHERE a.account_id = j.account_id AND a.job_id = j.id
      ORDER BY a.number DESC LIMIT 1) AS last_error
"""
_LANES = "JOIN lanes l ON l.account_id = e.account_id AND l.id = e.id"
_SOURCE = """
  FROM jobs j
  JOIN endpoints e ON e.account_id = j.account_id AND e.id = j.lane_id
  JOIN lanes l ON l.account_id = j.account_id AND l.id = j.lane_id
 WHERE j.account_id = $1
"""
GET = f"SELECT {_COLUMNS} {_SOURCE} AND e.policy_id = $2 AND j.id = $3"
GET_FOR_UPDATE = f"{GET} FOR NO KEY UPDATE OF j"
SOME = f"SELECT {_COLUMNS} {_SOURCE} AND j.id = ANY ($2::uuid[]) ORDER BY j.created_at, j.id"
# Written out and not as parameters, so that the indexes of a few of the deliveries serve them.
_STATES = {
    state: f" AND j.state = '{state}' AND j.finished_at IS {'' if state is State.PENDING else 'NOT '}NULL"
    for state in State
}
ATTEMPTS = """
SELECT number, started_at, duration_milliseconds, outcome, response_status, response_body, error
  FROM delivery_attempts
 WHERE account_id = $1 AND job_id = $2 AND ($3::integer IS NULL OR number < $3)
 ORDER BY number DESC LIMIT $4
"""
RECIPIENTS = f"""
SELECT e.id, e.policy_id, e.recipient, e.state, e.failures, e.failing_since, e.reason,
       nullif(l.opens_at, 'infinity') AS opens_at,
       (SELECT count(*) FROM (SELECT FROM jobs j WHERE j.account_id = e.account_id AND j.lane_id = e.id
           AND j.finished_at IS NULL LIMIT {MOST_COUNTED}) waiting) AS pending
  FROM endpoints e
  JOIN lanes l ON l.account_id = e.account_id AND l.id = e.id
  JOIN notification_policies p ON p.account_id = e.account_id AND p.id = e.policy_id
 WHERE e.account_id = $1 AND e.state <> 'REMOVED' AND ($2::uuid IS NULL OR e.policy_id = $2)
 ORDER BY p.created_at, p.id, array_position(p.recipients, e.recipient)
"""  # noqa: S608 - constants
# For an operator, who does not say in which account: one step through the key of each.
LOCATE_DELIVERY = """
SELECT j.account_id, e.policy_id
  FROM accounts a JOIN jobs j ON j.account_id = a.id AND j.id = $1
  JOIN endpoints e ON e.account_id = j.account_id AND e.id = j.lane_id
"""
LOCATE_POLICY = "SELECT p.account_id FROM accounts a JOIN notification_policies p ON p.account_id = a.id AND p.id = $1"


class Wanted(Struct, frozen=True, kw_only=True):
    """Which deliveries are wanted: of a policy, in a state, to a recipient, of a customer; None for any."""

    policy_id: UUID | None = None
    state: State | None = None
    recipient: str | None = None
    customer_id: UUID | None = None


class Delivery(Struct, frozen=True, kw_only=True):
    """One delivery. `event_id`, `customer_id` and `version` are None for a test, which is about an example.

    While it is pending, `due_at` is when it is attempted at the earliest, None where its recipient is disabled. What
    came of the last attempt is None before there was one.
    """

    id: UUID
    policy_id: UUID
    recipient: str
    recipient_state: EndpointState
    state: State
    reason: str | None
    event_type: EventType
    event_id: UUID | None
    customer_id: UUID | None
    version: int | None
    attempts: int
    attempts_left: int
    is_in_flight: bool
    created_at: datetime
    due_at: datetime | None
    finished_at: datetime | None
    last_outcome: Outcome | None
    last_status: int | None
    last_error: str | None


class Attempt(Struct, frozen=True, kw_only=True):
    """One attempt that is over. `response_status` is None where there was no answer."""

    number: int
    started_at: datetime
    duration_milliseconds: int
    outcome: Outcome
    response_status: int | None
    response_body: bytes
    error: str | None


class Recipient(Struct, frozen=True, kw_only=True):
    """A recipient of a policy and how it does. `pending` counts what waits for it, up to `MOST_COUNTED`."""

    policy_id: UUID
    recipient: str
    state: EndpointState
    failures: int
    failing_since: datetime | None
    opens_at: datetime | None
    reason: str | None
    pending: int

    @property
    def next_probe_at(self) -> datetime | None:
        """When it is tried again, if it is paused."""
        return self.opens_at if self.state is EndpointState.PAUSED else None


async def fetch(reading: Reading, window: Window, wanted: Wanted) -> Page[Delivery]:
    """One page of the deliveries, newest first unless the window says otherwise."""
    recipients_of, of_one = "account_id = $1", "j.account_id = e.account_id AND j.lane_id = e.id"
    parameters = list[object]([reading.account_id])
    for column, value in (("policy_id", wanted.policy_id), ("recipient", wanted.recipient)):
        if value is not None:
            parameters.append(value)
            recipients_of += f" AND {column} = ${len(parameters)}"
    if wanted.state is not None:
        of_one += _STATES[wanted.state]
    if wanted.customer_id is not None:
        parameters.append(wanted.customer_id)
        of_one += f" AND j.sequence_id = ${len(parameters)}"
    listing = keyset.Listing(
        columns=_COLUMNS,
        source=f"FROM jobs j WHERE {of_one}",
        parameters=tuple(parameters),
        sort=keyset.Sort("j.created_at", "timestamptz", is_nullable=False),
        id="j.id",
        from_row=_from_row,
        parts=f"(SELECT * FROM endpoints WHERE {recipients_of}) e {_LANES}",  # noqa: S608 - all written here
    )
    return await keyset.fetch(reading, listing, window)


async def get(reading: Reading, policy_id: UUID | None, delivery_id: UUID | None) -> Delivery:
    """The delivery with this id, of this policy. Raises `NotFound`."""
    return await _get(reading, policy_id, delivery_id, GET)


async def get_for_update(tx: Tx, policy_id: UUID | None, delivery_id: UUID | None) -> Delivery:
    """The same, locked until the transaction ends: nobody claims it meanwhile."""
    return await _get(tx, policy_id, delivery_id, GET_FOR_UPDATE)


async def some(reading: Reading, delivery_ids: Sequence[UUID]) -> list[Delivery]:
    """These deliveries, oldest first."""
    return [_from_row(row) for row in await reading.connection.fetch(SOME, reading.account_id, list(delivery_ids))]


async def attempts(
    reading: Reading, delivery_id: UUID, *, limit: int, before: int | None = None
) -> tuple[list[Attempt], bool]:
    """The attempts of a delivery, the last one first, those below this number; and whether there are more."""
    rows = await reading.connection.fetch(ATTEMPTS, reading.account_id, delivery_id, before, limit + 1)
    return [_attempt_from_row(row) for row in rows[:limit]], len(rows) > limit


async def recipients(reading: Reading, policy_id: UUID | None = None) -> list[Recipient]:
    """The recipients of a policy in its order, or those of all policies of the account; without removed ones."""
    rows = await reading.connection.fetch(RECIPIENTS, reading.account_id, policy_id)
    return [_recipient_from_row(row) for row in rows]


async def locate_delivery(owner: Connection, delivery_id: UUID) -> tuple[UUID, UUID] | None:
    """The account and the policy of a delivery of any account, over a connection of the tables' owner."""
    row = await owner.fetchrow(LOCATE_DELIVERY, delivery_id)
    return None if row is None else (row["account_id"], row["policy_id"])


async def locate_policy(owner: Connection, policy_id: UUID) -> UUID | None:
    """The account of a policy of any account, over a connection of the tables' owner."""
    return await owner.fetchval(LOCATE_POLICY, policy_id)


async def _get(reading: Reading, policy_id: UUID | None, delivery_id: UUID | None, statement: str) -> Delivery:
    row = None
    if policy_id is not None and delivery_id is not None:
        row = await reading.connection.fetchrow(statement, reading.account_id, policy_id, delivery_id)
    if row is None:
        message = "There is no delivery with this id of a notification policy with that one."
        raise NotFound(message)
    return _from_row(row)


def _from_row(row: Record) -> Delivery:
    return Delivery(
        id=row["id"],
        policy_id=row["policy_id"],
        recipient=row["recipient"],
        recipient_state=EndpointState(row["recipient_state"]),
        state=State(row["state"]),
        reason=row["reason"],
        event_type=EventType(row["event_type"]),
        event_id=row["event_id"],
        customer_id=row["sequence_id"],
        version=row["number"],
        attempts=row["attempts"],
        attempts_left=row["attempts_left"],
        is_in_flight=row["is_in_flight"],
        created_at=row["created_at"],
        due_at=None if row["is_held"] else row["due_at"],
        finished_at=row["finished_at"],
        last_outcome=None if row["last_outcome"] is None else Outcome(row["last_outcome"]),
        last_status=row["last_status"],
        last_error=row["last_error"],
    )


def _attempt_from_row(row: Record) -> Attempt:
    return Attempt(
        number=row["number"],
        started_at=row["started_at"],
        duration_milliseconds=row["duration_milliseconds"],
        outcome=Outcome(row["outcome"]),
        response_status=row["response_status"],
        response_body=row["response_body"] or b"",
        error=row["error"],
    )


def _recipient_from_row(row: Record) -> Recipient:
    return Recipient(
        policy_id=row["policy_id"],
        recipient=row["recipient"],
        state=EndpointState(row["state"]),
        failures=row["failures"],
        failing_since=row["failing_since"],
        opens_at=row["opens_at"],
        reason=row["reason"],
        pending=row["pending"],
    )
