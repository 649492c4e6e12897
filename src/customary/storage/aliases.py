"""Aliases: other names of customers, each unique in its account."""

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from customary.domain.aliases import OwnedAlias
from customary.domain.customer import Alias, Customer
from customary.domain.page import Page, Window
from customary.domain.values import parse_id
from customary.errors import NotFound
from customary.storage import customers, keyset
from customary.storage.database import Reading, Record, Tx
from customary.storage.statements import Told

COLUMN_NAMES = ("account_id", "customer_id", "id", "value", "created_at", "label")
INSERT = """
INSERT INTO customer_aliases (account_id, customer_id, id, value, created_at, label)
SELECT $1, $2, a.* FROM json_to_recordset($3::json) AS a (id uuid, value text, created_at timestamptz, label text)
ON CONFLICT (account_id, value) DO NOTHING
RETURNING value
"""
RELABEL = "UPDATE customer_aliases SET label = $3 WHERE account_id = $1 AND id = $2"
DELETE = "DELETE FROM customer_aliases WHERE account_id = $1 AND id = ANY ($2::uuid[])"
OWNER = "SELECT customer_id FROM customer_aliases WHERE account_id = $1 AND id = $2"
# A customer's own id comes last: it stands where another customer tries to take it at this moment.
HOLDERS = """
SELECT a.value, a.id AS alias_id, c.id AS customer_id, c.legal_name, c.archived_at IS NOT NULL AS is_archived
  FROM customer_aliases a JOIN customers c ON c.account_id = a.account_id AND c.id = a.customer_id
 WHERE a.account_id = $1 AND a.value = ANY ($2::text[])
UNION ALL
SELECT c.id::text, NULL, c.id, c.legal_name, c.archived_at IS NOT NULL
  FROM customers c WHERE c.account_id = $1 AND c.id = ANY ($3::uuid[])
ORDER BY alias_id NULLS LAST
"""


class Holder(msgspec.Struct, frozen=True):
    """Who has an alias; `alias_id` is None where the value is the customer's own id."""

    value: str
    alias_id: UUID | None
    customer_id: UUID
    legal_name: str
    is_archived: bool


def values(account_id: UUID, customer: Customer) -> Iterator[tuple[object, ...]]:
    """The rows of a new customer's aliases, in the order of `COLUMN_NAMES`."""
    for alias in customer.aliases:
        yield account_id, customer.id, alias.id, alias.value, alias.created_at, alias.label


def insert(tx: Tx, customer_id: UUID, aliases: Sequence[Alias], *, told: Told, expected: int | None) -> None:
    """Store these aliases of a customer, as far as they are free; `told` gets the values that were, if not `expected`.

    Waits for a transaction that is taking one of them at the same time.
    """
    # Everybody takes values in one order: two that want the same ones would else wait for each other in a circle.
    ordered = sorted(aliases, key=lambda alias: alias.value)
    tx.connection.later(
        INSERT, tx.account_id, customer_id, msgspec.json.encode(ordered).decode(), told=told, expected=expected
    )


async def relabel(tx: Tx, alias: Alias) -> None:
    """Store the label of this alias."""
    await tx.connection.execute(RELABEL, tx.account_id, alias.id, alias.label)


async def delete(tx: Tx, aliases: Sequence[Alias]) -> None:
    """Free the values of these aliases."""
    await tx.connection.execute(DELETE, tx.account_id, [alias.id for alias in aliases])


async def get_for_update(tx: Tx, alias_id: UUID | None) -> tuple[Customer, Alias]:
    """This alias and its customer, which is locked until the transaction ends. Raises `NotFound`."""
    customer_id = None
    if alias_id is not None:
        customer_id = await tx.connection.fetchval(OWNER, tx.account_id, alias_id)
    if customer_id is not None:
        customer = await customers.get_for_update(tx, customer_id)
        # Looked for again: who held the lock before may have deleted it.
        for alias in customer.aliases:
            if alias.id == alias_id:
                return customer, alias
    message = "There is no alias with this id."
    raise NotFound(message)


async def fetch(reading: Reading, window: Window, *, value: str | None = None) -> Page[OwnedAlias]:
    """One page of the account's aliases, archived customers' included; with a value only the one that is exactly it."""
    by_value = "" if value is None else "AND a.value = $2"
    listing = keyset.Listing(
        columns="a.id, a.customer_id, a.value, a.created_at, a.label",
        source=f"FROM customer_aliases a WHERE a.account_id = $1 {by_value}",
        parameters=(reading.account_id,) if value is None else (reading.account_id, value),
        sort=keyset.Sort("a.created_at", "timestamptz", is_nullable=False),
        id="a.id",
        from_row=_from_row,
    )
    return await keyset.fetch(reading, listing, window)


async def holders(tx: Tx, values: Sequence[str]) -> dict[str, Holder]:
    """Which customers have these values as an alias or as their own id, by value."""
    ids = {parsed: value for value in values if (parsed := parse_id(value)) is not None}
    rows = await tx.connection.fetch(HOLDERS, tx.account_id, list(values), list(ids))
    found = [
        Holder(row["value"], row["alias_id"], row["customer_id"], row["legal_name"], row["is_archived"]) for row in rows
    ]
    return {ids[holder.customer_id] if holder.alias_id is None else holder.value: holder for holder in found}


def _from_row(row: Record) -> OwnedAlias:
    return OwnedAlias(row["customer_id"], Alias(row["id"], row["value"], row["created_at"], row["label"]))
