"""Events, appended in the transaction of the change that they tell of: one exists if and only if the other does.

Nothing is notified here: PostgreSQL lets transactions with a pending NOTIFY commit one after another only.
"""

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from customary.domain.activity import Event
from customary.storage.database import Tx

APPEND = """
INSERT INTO events (account_id, id, type, customer_id, version, customer, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
APPEND_BATCH = """
INSERT INTO events (account_id, batch_id, id, type, customer_id, version, customer, created_at, organization_ids)
SELECT $1, $2, e.id, e.type, e.customer_id, e.version, e.customer, e.created_at,
       ARRAY(SELECT jsonb_array_elements_text(e.organization_ids)::uuid)
  FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::bigint[], $7::jsonb[], $8::timestamptz[], $9::jsonb[])
       AS e (id, type, customer_id, version, customer, created_at, organization_ids)
"""
APPEND_ORGANIZATIONS = """
INSERT INTO event_organizations (account_id, batch_id, organization_id, organization)
SELECT $1, $2, * FROM unnest($3::uuid[], $4::jsonb[])
"""


async def append(tx: Tx, event: Event) -> None:
    """Store an event, to be delivered once the transaction is committed."""
    customer = event.customer
    body = msgspec.json.encode(customer).decode()
    await tx.connection.execute(
        APPEND, tx.account_id, event.id, event.type.value, customer.id, event.version, body, event.created_at
    )
    tx.events.append(event)


async def append_batch(tx: Tx, events: Sequence[Event]) -> None:
    """Store the events of one change, which share the organisations that they show: `complete_events` has them whole.

    Each event with its own copy of an organisation would make the events of its members grow with the members' square.
    """
    if not events:
        return
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


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
