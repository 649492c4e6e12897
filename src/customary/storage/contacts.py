"""Contacts one by one; together with their customer they are read and written by `customers`."""

from uuid import UUID

from customary.domain.contacts import BillingPreference, Contact
from customary.domain.customer import Customer
from customary.errors import NotFound
from customary.storage import customers
from customary.storage.database import Reading, Record, Tx

_COLUMNS = "k.id, k.name, k.email, k.billing_preference, k.created_at, k.updated_at, k.archived_at"
# One row without a contact stands for a customer that has none, no row for a customer that does not exist. This grows
# with what the customer ever had: unarchived contacts are limited, archived ones are not, and the published list has
# no pages.
LIST = f"""
SELECT {_COLUMNS}
  FROM customers c
  LEFT JOIN contacts k ON k.account_id = c.account_id AND k.customer_id = c.id AND ($3 OR k.archived_at IS NULL)
 WHERE c.account_id = $1 AND c.id = $2
 ORDER BY k.created_at, k.id
"""  # noqa: S608 - constants
GET = f"SELECT {_COLUMNS} FROM contacts k WHERE k.account_id = $1 AND k.customer_id = $2 AND k.id = $3"  # noqa: S608 - constants


async def of_customer(reading: Reading, customer_id: UUID | None, *, include_archived: bool) -> tuple[Contact, ...]:
    """The contacts of this customer, oldest first. Raises `NotFound` for a customer that does not exist."""
    rows: list[Record] = []
    if customer_id is not None:
        rows = await reading.connection.fetch(LIST, reading.account_id, customer_id, include_archived)
    if not rows:
        message = "There is no customer with this id."
        raise NotFound(message)
    return tuple(_from_row(row) for row in rows if row["id"] is not None)


async def get_for_update(tx: Tx, customer_id: UUID | None, contact_id: UUID | None) -> tuple[Customer, Contact]:
    """This contact, archived or not, and its customer, locked until the transaction ends. Raises `NotFound`.

    The customer is what is locked: the rules about contacts are about all of a customer's contacts at once.
    """
    customer = await customers.get_for_update(tx, customer_id)
    row = None
    if contact_id is not None:
        row = await tx.connection.fetchrow(GET, tx.account_id, customer.id, contact_id)
    if row is None:
        message = "This customer has no contact with this id."
        raise NotFound(message)
    return customer, _from_row(row)


def _from_row(row: Record) -> Contact:
    return Contact(
        id=row["id"],
        name=row["name"],
        email=row["email"],
        billing_preference=BillingPreference(row["billing_preference"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        archived_at=row["archived_at"],
    )
