"""Payment settings: at most one row for each customer."""

from typing import Final
from uuid import UUID

from customary.domain.payment import PaymentProvider, PaymentSettings
from customary.errors import NotFound
from customary.storage.database import Reading, Record, Tx

_COLUMNS: Final = "p.id, p.customer_id, p.payment_provider, p.created_at"
GET = f"SELECT {_COLUMNS} FROM payment_settings p WHERE p.account_id = $1 AND p.id = $2"  # noqa: S608 - constants
GET_OF_CUSTOMER = f"SELECT {_COLUMNS} FROM payment_settings p WHERE p.account_id = $1 AND p.customer_id = $2"  # noqa: S608 - constants
LOCK = "SELECT 1 FROM payment_settings WHERE account_id = $1 AND id = $2 FOR UPDATE"
INSERT = """
INSERT INTO payment_settings (account_id, id, customer_id, payment_provider, created_at) VALUES ($1, $2, $3, $4, $5)
"""
UPDATE = "UPDATE payment_settings SET payment_provider = $3 WHERE account_id = $1 AND id = $2"
DELETE = "DELETE FROM payment_settings WHERE account_id = $1 AND id = $2"


async def get(reading: Reading, settings_id: UUID | None) -> PaymentSettings:
    """The settings with this id. Raises `NotFound`, for a malformed id (None) too."""
    row = None
    if settings_id is not None:
        row = await reading.connection.fetchrow(GET, reading.account_id, settings_id)
    if row is None:
        message = "There are no payment settings with this id."
        raise NotFound(message)
    return _from_row(row)


async def get_for_update(tx: Tx, settings_id: UUID | None) -> PaymentSettings:
    """The settings with this id, locked until the transaction ends. Raises `NotFound`.

    The lock comes in a statement of its own: only the next one sees what the lock waited for.
    """
    if settings_id is not None:
        await tx.connection.fetchrow(LOCK, tx.account_id, settings_id)
    return await get(tx, settings_id)


async def of_customer(reading: Reading, customer_id: UUID) -> PaymentSettings | None:
    """The settings of this customer, if it has any."""
    row = await reading.connection.fetchrow(GET_OF_CUSTOMER, reading.account_id, customer_id)
    return None if row is None else _from_row(row)


async def insert(tx: Tx, settings: PaymentSettings) -> None:
    """Store new settings."""
    await tx.connection.execute(
        INSERT, tx.account_id, settings.id, settings.customer_id, settings.payment_provider.value, settings.created_at
    )


async def save(tx: Tx, settings: PaymentSettings) -> None:
    """Store what these settings are now."""
    await tx.connection.execute(UPDATE, tx.account_id, settings.id, settings.payment_provider.value)


async def delete(tx: Tx, settings: PaymentSettings) -> None:
    """Remove these settings."""
    await tx.connection.execute(DELETE, tx.account_id, settings.id)


def _from_row(row: Record) -> PaymentSettings:
    return PaymentSettings(
        id=row["id"],
        customer_id=row["customer_id"],
        payment_provider=PaymentProvider(row["payment_provider"]),
        created_at=row["created_at"],
    )
