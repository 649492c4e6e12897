"""What an account tells of its company. The tenant is the only account that can be reached."""

from uuid import UUID

from customary.domain.account import Company
from customary.domain.page import Page, Window
from customary.errors import NotFound
from customary.storage import keyset
from customary.storage.database import Reading, Record, Tx

_COLUMNS = """
    a.id, a.created_at, a.sequence_organisation_id, coalesce(a.company_name, a.name) AS company_name, a.company_number,
    a.country, a.send_customer_notifications, a.alert_email_addresses
"""
GET = f"SELECT {_COLUMNS} FROM accounts a WHERE a.id = $1 AND a.id = $2"  # noqa: S608 - constants
# Every new row of the account refers to this one; the weaker lock lets them be added meanwhile.
GET_FOR_UPDATE = f"{GET} FOR NO KEY UPDATE"
SAVE = """
UPDATE accounts SET company_name = $2, company_number = $3, country = $4, send_customer_notifications = $5,
    alert_email_addresses = $6
WHERE id = $1
"""


async def get(reading: Reading, account_id: UUID | None) -> Company:
    """The company of this account, which must be the tenant's. Raises `NotFound`."""
    return await _get(reading, account_id, GET)


async def get_for_update(tx: Tx, account_id: UUID | None) -> Company:
    """The same, locked until the transaction ends."""
    return await _get(tx, account_id, GET_FOR_UPDATE)


async def save(tx: Tx, company: Company) -> None:
    """Store what changed."""
    await tx.connection.execute(
        SAVE,
        tx.account_id,
        company.company_name,
        company.company_number,
        company.country,
        company.send_customer_notifications,
        list(company.alert_email_addresses),
    )


async def fetch(reading: Reading, window: Window) -> Page[Company]:
    """The list of the accounts that the tenant can reach: its own."""
    listing = keyset.Listing(
        columns=_COLUMNS,
        source="FROM accounts a WHERE a.id = $1",
        parameters=(reading.account_id,),
        sort=keyset.Sort("a.created_at", "timestamptz", is_nullable=False),
        id="a.id",
        from_row=_from_row,
    )
    return await keyset.fetch(reading, listing, window)


async def _get(reading: Reading, account_id: UUID | None, statement: str) -> Company:
    row = None
    if account_id is not None:
        row = await reading.connection.fetchrow(statement, reading.account_id, account_id)
    if row is None:
        message = "There is no account with this id that this key can reach."
        raise NotFound(message)
    return _from_row(row)


def _from_row(row: Record) -> Company:
    return Company(
        id=row["id"],
        created_at=row["created_at"],
        sequence_organisation_id=row["sequence_organisation_id"],
        company_name=row["company_name"],
        company_number=row["company_number"],
        country=row["country"],
        send_customer_notifications=row["send_customer_notifications"],
        alert_email_addresses=tuple(row["alert_email_addresses"]),
    )
