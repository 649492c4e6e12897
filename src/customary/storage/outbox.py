"""Events, appended in the transaction of the change that they tell of: one exists if and only if the other does.

Nothing is notified here: PostgreSQL lets transactions with a pending NOTIFY commit one after another only.
"""

import msgspec

from customary.domain.activity import Event
from customary.storage.database import Tx

APPEND = """
INSERT INTO events (account_id, id, type, customer_id, version, customer, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""


async def append(tx: Tx, event: Event) -> None:
    """Store an event, to be delivered once the transaction is committed."""
    customer = event.customer
    body = msgspec.json.encode(customer).decode()
    await tx.connection.execute(
        APPEND, tx.account_id, event.id, event.type.value, customer.id, event.version, body, event.created_at
    )
    tx.events.append(event)
