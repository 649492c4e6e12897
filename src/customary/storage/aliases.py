"""Aliases: other names of customers, each unique in its account."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from customary.domain.customer import Alias
from customary.domain.values import parse_id
from customary.storage.database import Tx

INSERT = """
INSERT INTO customer_aliases (account_id, customer_id, id, value, created_at)
SELECT $1, $2, * FROM unnest($3::uuid[], $4::text[], $5::timestamptz[])
ON CONFLICT (account_id, value) DO NOTHING
RETURNING value
"""
DELETE = "DELETE FROM customer_aliases WHERE account_id = $1 AND id = ANY ($2::uuid[])"
HOLDERS = """
SELECT a.value, a.id AS alias_id, c.id AS customer_id, c.legal_name
  FROM customer_aliases a JOIN customers c ON c.account_id = a.account_id AND c.id = a.customer_id
 WHERE a.account_id = $1 AND a.value = ANY ($2::text[])
UNION ALL
SELECT c.id::text, NULL, c.id, c.legal_name FROM customers c WHERE c.account_id = $1 AND c.id = ANY ($3::uuid[])
"""


class Holder(msgspec.Struct, frozen=True):
    """Who has an alias; `alias_id` is None where the value is the customer's own id."""

    value: str
    alias_id: UUID | None
    customer_id: UUID
    legal_name: str


async def insert(tx: Tx, customer_id: UUID, aliases: Sequence[Alias]) -> set[str]:
    """Store these aliases of a customer, as far as they are free; answers the values that were.

    Waits for a transaction that is taking one of them at the same time.
    """
    # Everybody takes values in one order: two that want the same ones would else wait for each other in a circle.
    ordered = sorted(aliases, key=lambda alias: alias.value)
    rows = await tx.connection.fetch(
        INSERT,
        tx.account_id,
        customer_id,
        [alias.id for alias in ordered],
        [alias.value for alias in ordered],
        [alias.created_at for alias in ordered],
    )
    return {row["value"] for row in rows}


async def delete(tx: Tx, aliases: Sequence[Alias]) -> None:
    """Free the values of these aliases."""
    await tx.connection.execute(DELETE, tx.account_id, [alias.id for alias in aliases])


async def holders(tx: Tx, values: Sequence[str]) -> dict[str, Holder]:
    """Which customers have these values as an alias or as their own id, by value."""
    ids = {parsed: value for value in values if (parsed := parse_id(value)) is not None}
    rows = await tx.connection.fetch(HOLDERS, tx.account_id, list(values), list(ids))
    found = [Holder(row["value"], row["alias_id"], row["customer_id"], row["legal_name"]) for row in rows]
    return {ids[holder.customer_id] if holder.alias_id is None else holder.value: holder for holder in found}
