"""Events, appended in the transaction of the change that they tell of: one exists if and only if the other does.

So does the work of telling each recipient, which the same statement adds. Nothing is notified here: PostgreSQL lets
transactions with a pending NOTIFY commit one after another only.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec
from msgspec.structs import replace

from customary.crashpoint import crashpoint
from customary.domain.activity import Event
from customary.storage.database import Tx

# A reader of events goes by `transaction_id` and waits for transactions that still run. A transaction that waited for
# another one's customer can have the lower id of the two: it takes the other's, or its event would come first.
_ORDER = """
greatest(own_transaction(), (SELECT b.transaction_id FROM events b
                                 WHERE b.account_id = {account_id} AND b.customer_id = {customer_id}
                                   AND b.version = {version} - 1))
"""
_RECIPIENTS = """
  JOIN notification_policies p ON p.account_id = r.account_id AND p.id = r.policy_id
 WHERE r.account_id = $1 AND r.state <> 'REMOVED'
   AND (p.notification_types IS NULL OR {event_type} = ANY (p.notification_types))
"""
# The first event of a customer comes after no other.
APPEND_FIRST = """
INSERT INTO events (account_id, id, type, customer_id, version, customer, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
APPEND = f"""
INSERT INTO events (account_id, id, type, customer_id, version, customer, created_at, transaction_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, {_ORDER.format(account_id="$1", customer_id="$4", version="$5::bigint")})
"""  # noqa: S608 - constants
DELIVER = f"""
INSERT INTO jobs (account_id, kind, lane_id, sequence_id, number, event_id, event_type, due_at, created_at, queued_at)
SELECT $1, 'DELIVERY', r.id, $4, $5, $2, $3, $6::timestamptz, $6, $6 FROM endpoints r
{_RECIPIENTS.format(event_type="$3")}
"""  # noqa: S608 - constants
APPEND_BATCH = f"""
WITH given AS (
    SELECT * FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::bigint[], $7::jsonb[], $8::timestamptz[], $9::jsonb[])
        AS e (id, type, customer_id, version, customer, created_at, organization_ids)
), appended AS (
    INSERT INTO events (account_id, batch_id, id, type, customer_id, version, customer, created_at, organization_ids,
        transaction_id)
    SELECT $1, $2, e.id, e.type, e.customer_id, e.version, e.customer, e.created_at,
           ARRAY(SELECT jsonb_array_elements_text(e.organization_ids)::uuid),
           {_ORDER.format(account_id="$1", customer_id="e.customer_id", version="e.version")}
      FROM given e
)
INSERT INTO jobs (account_id, kind, lane_id, sequence_id, number, event_id, event_type, due_at, created_at, queued_at)
SELECT $1, 'DELIVERY', r.id, e.customer_id, e.version, e.id, e.type, now(), now(), now()
  FROM given e CROSS JOIN endpoints r
{_RECIPIENTS.format(event_type="e.type")}
"""  # noqa: S608 - constants
TELL_RECIPIENTS = f"""
INSERT INTO jobs (account_id, kind, lane_id, sequence_id, number, event_id, event_type, due_at, created_at, queued_at)
SELECT $1, 'DELIVERY', r.id, e.customer_id, e.version, e.id, e.type, now(), now(), now()
  FROM unnest($2::uuid[]) AS given (id) JOIN events e ON e.account_id = $1 AND e.id = given.id CROSS JOIN endpoints r
{_RECIPIENTS.format(event_type="e.type")}
"""  # noqa: S608 - constants
HAS_RECIPIENTS = "SELECT EXISTS (SELECT FROM endpoints WHERE account_id = $1 AND state <> 'REMOVED')"
APPEND_ORGANIZATIONS = """
INSERT INTO event_organizations (account_id, batch_id, organization_id, organization)
SELECT $1, $2, * FROM unnest($3::uuid[], $4::jsonb[])
"""


async def append(tx: Tx, event: Event) -> None:
    """Store an event, to be delivered once the transaction is committed."""
    crashpoint("write.before_event")
    customer = event.customer
    body = msgspec.json.encode(customer).decode()
    what = (tx.account_id, event.id, event.type.value, customer.id, event.version)
    tx.connection.later(APPEND if event.version > 1 else APPEND_FIRST, *what, body, event.created_at)
    tx.connection.later(DELIVER, *what, event.created_at)
    tx.events.append(event)


async def append_batch(tx: Tx, events: Sequence[Event]) -> None:
    """Store the events of one change, which share the organisations that they show: `complete_events` has them whole.

    Each event with its own copy of an organisation would make the events of its members grow with the members' square.
    """
    if not events:
        return
    crashpoint("write.before_event")
    customers = [event.customer for event in events]
    shown = {each.id: each for customer in customers for each in customer.organizations}
    await tx.connection.execute(
        APPEND_BATCH,
        tx.account_id,
        events[0].id,
        [event.id for event in events],
        [event.type.value for event in events],
        [customer.id for customer in customers],
        [event.version for event in events],
        [_text(replace(customer, organizations=())) for customer in customers],
        [event.created_at for event in events],
        [_text([each.id for each in customer.organizations]) for customer in customers],
    )
    await tx.connection.execute(
        APPEND_ORGANIZATIONS, tx.account_id, events[0].id, list(shown), [_text(each) for each in shown.values()]
    )
    tx.events.extend(events)


async def tell_recipients(tx: Tx, event_ids: Sequence[UUID]) -> None:
    """Let these events of this transaction, which were stored without that, be delivered once it is committed."""
    if await tx.connection.fetchval(HAS_RECIPIENTS, tx.account_id):
        await tx.connection.execute(TELL_RECIPIENTS, tx.account_id, event_ids)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
