"""Tax registrations: rows that are read, replaced and deleted one by one, and listed newest first."""

from typing import Final
from uuid import UUID

from customary.domain.page import Page, Window
from customary.domain.tax import TaxRegistration
from customary.errors import NotFound
from customary.storage import keyset
from customary.storage.database import Reading, Record, Tx

_COLUMNS: Final = "t.id, t.tax_identifier, t.country, t.state, t.customer_id, t.merchant_id, t.created_at"
GET = f"SELECT {_COLUMNS} FROM tax_registrations t WHERE t.account_id = $1 AND t.id = $2"  # noqa: S608 - constants
LOCK = "SELECT 1 FROM tax_registrations WHERE account_id = $1 AND id = $2 FOR UPDATE"
INSERT = """
INSERT INTO tax_registrations (account_id, id, tax_identifier, country, state, customer_id, merchant_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
UPDATE = """
UPDATE tax_registrations SET tax_identifier = $3, country = $4, state = $5, customer_id = $6, merchant_id = $7
 WHERE account_id = $1 AND id = $2
"""
DELETE = "DELETE FROM tax_registrations WHERE account_id = $1 AND id = $2"


async def get(reading: Reading, registration_id: UUID | None) -> TaxRegistration:
    """The registration with this id. Raises `NotFound`, for a malformed id (None) too."""
    row = None
    if registration_id is not None:
        row = await reading.connection.fetchrow(GET, reading.account_id, registration_id)
    if row is None:
        message = "There is no tax registration with this id."
        raise NotFound(message)
    return _from_row(row)


async def get_for_update(tx: Tx, registration_id: UUID | None) -> TaxRegistration:
    """The registration with this id, locked until the transaction ends. Raises `NotFound`.

    The lock comes in a statement of its own: only the next one sees what the lock waited for.
    """
    if registration_id is not None:
        await tx.connection.fetchrow(LOCK, tx.account_id, registration_id)
    return await get(tx, registration_id)


async def insert(tx: Tx, registration: TaxRegistration) -> None:
    """Store a new registration."""
    await tx.connection.execute(INSERT, *_values(tx, registration), registration.created_at)


async def save(tx: Tx, registration: TaxRegistration) -> None:
    """Store what this registration is now."""
    await tx.connection.execute(UPDATE, *_values(tx, registration))


async def delete(tx: Tx, registration: TaxRegistration) -> None:
    """Remove this registration."""
    await tx.connection.execute(DELETE, tx.account_id, registration.id)


async def fetch(
    reading: Reading, window: Window, *, customer_id: UUID | None = None, merchant_id: UUID | None = None
) -> Page[TaxRegistration]:
    """One page of the registrations, of one customer or of the merchant only where its id is given."""
    conditions, parameters = ["t.account_id = $1"], [reading.account_id]
    for column, value in (("customer_id", customer_id), ("merchant_id", merchant_id)):
        if value is not None:
            parameters.append(value)
            conditions.append(f"t.{column} = ${len(parameters)}")
    listing = keyset.Listing(
        columns=_COLUMNS,
        source=f"FROM tax_registrations t WHERE {' AND '.join(conditions)}",
        parameters=tuple(parameters),
        sort=keyset.Sort("t.created_at", "timestamptz", is_nullable=False),
        id="t.id",
        from_row=_from_row,
    )
    return await keyset.fetch(reading, listing, window)


def _values(tx: Tx, registration: TaxRegistration) -> tuple[object, ...]:
    """The parameters that INSERT and UPDATE begin with."""
    return (
        tx.account_id,
        registration.id,
        registration.tax_identifier,
        registration.country,
        registration.state,
        registration.customer_id,
        registration.merchant_id,
    )


def _from_row(row: Record) -> TaxRegistration:
    return TaxRegistration(
        id=row["id"],
        tax_identifier=row["tax_identifier"],
        country=row["country"],
        state=row["state"],
        customer_id=row["customer_id"],
        merchant_id=row["merchant_id"],
        created_at=row["created_at"],
    )
