"""Many new customers at once: the rows that `customers.insert` and what records a creation write, sent by COPY.

PostgreSQL refuses COPY to a role that row-level policies bind, so this is for the tables' owner.
"""

from collections.abc import Collection, Sequence
from typing import TypeAlias
from uuid import UUID

import msgspec
from msgspec import Struct

from customary.crashpoint import crashpoint
from customary.domain.activity import Activity, Event
from customary.domain.customer import Customer
from customary.storage import activity_logs, aliases, customers, outbox
from customary.storage.database import Tx

Rows: TypeAlias = list[tuple[object, ...]]

_encode = msgspec.json.Encoder().encode
_EVENT_COLUMNS = ("account_id", "id", "type", "customer_id", "version", "customer", "created_at")


class Batch(Struct, frozen=True):
    """New customers as rows of the tables, ready to be sent."""

    customers: Rows
    contacts: Rows
    aliases: Rows
    links: Rows
    activities: Rows
    events: Rows

    def without(self, customer_ids: Collection[UUID]) -> "Batch":
        """The same without some of the customers."""
        if not customer_ids:
            return self

        def kept(rows: Rows, column: int) -> Rows:
            return [row for row in rows if row[column] not in customer_ids]

        return Batch(
            customers=kept(self.customers, 1),
            contacts=kept(self.contacts, 1),
            aliases=kept(self.aliases, 1),
            links=kept(self.links, 1),
            activities=kept(self.activities, activity_logs.COLUMN_NAMES.index("object_id")),
            events=kept(self.events, _EVENT_COLUMNS.index("customer_id")),
        )

    @property
    def event_ids(self) -> list[UUID]:
        """The ids of the events."""
        return [row[1] for row in self.events]  # pyright: ignore[reportReturnType] - the second column of an event


def batch(account_id: UUID, made: Sequence[Customer], activities: Sequence[Activity], events: Sequence[Event]) -> Batch:
    """The rows of these new customers, of the activities and of the events that tell of them."""
    return Batch(
        customers=[customers.values(account_id, customer) for customer in made],
        contacts=[row for customer in made for row in customers.contact_values(account_id, customer)],
        # Everybody takes values in one order: two that want the same ones would else wait for each other in a circle.
        aliases=sorted((row for each in made for row in aliases.values(account_id, each)), key=lambda row: str(row[3])),
        links=[row for customer in made for row in customers.link_values(account_id, customer)],
        activities=[activity_logs.values(account_id, activity) for activity in activities],
        events=[_event_values(account_id, event) for event in events],
    )


async def insert(tx: Tx, rows: Batch) -> None:
    """Store these customers, and the work of telling each recipient. Raises `asyncpg.UniqueViolationError`."""
    for table, columns, records in (
        ("customers", customers.COLUMN_NAMES, rows.customers),
        ("contacts", customers.CONTACT_COLUMN_NAMES, rows.contacts),
        ("customer_aliases", aliases.COLUMN_NAMES, rows.aliases),
        ("integration_links", customers.LINK_COLUMN_NAMES, rows.links),
        ("activity_logs", activity_logs.COLUMN_NAMES, rows.activities),
    ):
        if records:
            await tx.connection.copy_records_to_table(table, columns=columns, records=records)
    crashpoint("write.before_event")
    await tx.connection.copy_records_to_table("events", columns=_EVENT_COLUMNS, records=rows.events)
    await outbox.tell_recipients(tx, rows.event_ids)


def _event_values(account_id: UUID, event: Event) -> tuple[object, ...]:
    customer = event.customer
    body = _encode(customer).decode()
    return account_id, event.id, event.type.value, customer.id, event.version, body, event.created_at
