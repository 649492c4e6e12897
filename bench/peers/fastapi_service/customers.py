"""Creating, reading and listing customers, in few statements each."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from bench.peers.fastapi_service import bodies, tables

# One statement for each kind of row, however many customers there are.
_LISTED = (
    selectinload(tables.Customer.integration_ids),
    selectinload(tables.Customer.organizations).options(
        joinedload(tables.Organization.owner, innerjoin=True).load_only(tables.Customer.legal_name),
        selectinload(tables.Organization.everybody).load_only(tables.Customer.legal_name),
    ),
)
_WHOLE = (*_LISTED, selectinload(tables.Customer.contacts.and_(tables.Contact.archived_at.is_(None))))


async def create(session: AsyncSession, account_id: UUID, given: bodies.NewCustomer) -> tables.Customer:
    """A new customer, durably stored."""
    customer = tables.Customer(
        account_id=account_id,
        legal_name=given.legal_name,
        label=given.label,
        url=str(given.url) if given.url else None,
        domain=given.domain,
        address=given.address.model_dump(mode="json", exclude_none=True),
        tax_status=given.tax_status,
        status=given.status,
        custom_properties=given.custom_properties,
        contacts=[tables.Contact(**contact.model_dump()) for contact in given.contacts],
        aliases=[tables.Alias(account_id=account_id, value=value) for value in given.customer_aliases],
        integration_ids=[
            tables.IntegrationId(service=each.service, external_id=each.id) for each in given.integration_ids
        ],
        organizations=[],
    )
    session.add(customer)
    await session.commit()
    return customer


async def read(session: AsyncSession, account_id: UUID, customer_id: UUID) -> tables.Customer | None:
    """One customer with everything that belongs to it; None when there is none."""
    wanted = select(tables.Customer).where(tables.Customer.id == customer_id, tables.Customer.account_id == account_id)
    return await session.scalar(wanted.options(*_WHOLE))


async def page(
    session: AsyncSession, account_id: UUID, limit: int, after: tuple[datetime, UUID] | None
) -> Sequence[tables.Customer]:
    """The newest customers that are not archived, or those behind a position."""
    wanted = select(tables.Customer).where(
        tables.Customer.account_id == account_id, tables.Customer.archived_at.is_(None)
    )
    if after is not None:
        position = tuple_(tables.Customer.created_at, tables.Customer.id)
        wanted = wanted.where(position < tuple_(*after))
    newest_first = wanted.order_by(tables.Customer.created_at.desc(), tables.Customer.id.desc())
    return (await session.scalars(newest_first.limit(limit).options(*_LISTED))).all()


async def count(session: AsyncSession, account_id: UUID) -> int:
    """How many customers the account has that are not archived."""
    counted = select(func.count()).where(
        tables.Customer.account_id == account_id, tables.Customer.archived_at.is_(None)
    )
    return await session.scalar(counted) or 0
