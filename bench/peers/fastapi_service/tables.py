"""The tables, in a schema of their own, and how they belong together."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import DateTime, ForeignKey, Index, MetaData, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

SCHEMA = "peer"


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """What all tables share: the schema, and how Python's types are stored."""

    metadata = MetaData(schema=SCHEMA)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
    }


class Account(Base):
    """A tenant."""

    __tablename__ = "accounts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str] = mapped_column(unique=True)


class ApiKey(Base):
    """Who may call. A secret is random and long, so that one round of SHA-256 is enough."""

    __tablename__ = "api_keys"

    client_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id), index=True)
    secret_hash: Mapped[bytes]


class OrganizationMember(Base):
    """That a customer belongs to an organisation; its owner does, too."""

    __tablename__ = "organization_members"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id"), primary_key=True, index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Contact(Base):
    """A person at a customer."""

    __tablename__ = "contacts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    email: Mapped[str]
    billing_preference: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
    archived_at: Mapped[datetime | None]


class Alias(Base):
    """Another name of a customer, unique in its account."""

    __tablename__ = "customer_aliases"
    __table_args__ = (UniqueConstraint("account_id", "value"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id))
    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), index=True)
    value: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class IntegrationId(Base):
    """The id of a customer in another system."""

    __tablename__ = "integration_ids"

    customer_id: Mapped[UUID] = mapped_column(ForeignKey("customers.id", ondelete="CASCADE"), primary_key=True)
    service: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str]
    is_pending: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Customer(Base):
    """A customer. What belongs to it is loaded only where a query says so, never by touching it."""

    __tablename__ = "customers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id))
    legal_name: Mapped[str]
    label: Mapped[str | None]
    url: Mapped[str | None]
    domain: Mapped[str | None]
    address: Mapped[dict[str, Any]]
    tax_status: Mapped[str]
    status: Mapped[str]
    custom_properties: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
    archived_at: Mapped[datetime | None]

    contacts: Mapped[list[Contact]] = relationship(order_by=[Contact.created_at, Contact.id], lazy="raise")
    aliases: Mapped[list[Alias]] = relationship(lazy="raise")
    integration_ids: Mapped[list[IntegrationId]] = relationship(order_by=IntegrationId.service, lazy="raise")
    organizations: Mapped[list["Organization"]] = relationship(
        secondary=OrganizationMember.__table__, back_populates="everybody", lazy="raise"
    )


class Organization(Base):
    """An owner and the members around it."""

    __tablename__ = "organizations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    account_id: Mapped[UUID] = mapped_column(ForeignKey(Account.id), index=True)
    owner_id: Mapped[UUID] = mapped_column(ForeignKey(Customer.id), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)

    owner: Mapped[Customer] = relationship(foreign_keys=owner_id, lazy="raise")
    everybody: Mapped[list[Customer]] = relationship(
        secondary=OrganizationMember.__table__,
        back_populates="organizations",
        order_by=[OrganizationMember.created_at, OrganizationMember.customer_id],
        lazy="raise",
    )

    @property
    def members(self) -> list[Customer]:
        """Everybody in it but the owner."""
        return [each for each in self.everybody if each.id != self.owner_id]


Index(
    "customers_page",
    Customer.account_id,
    Customer.created_at.desc(),
    Customer.id.desc(),
    postgresql_where=Customer.archived_at.is_(None),
)
