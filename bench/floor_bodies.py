"""What the floor makes of a body that asks for a customer: what the product stores and answers, without any check."""

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import msgspec
from msgspec import Struct

from customary.uuid7 import uuid7


class ContactBody(Struct, rename="camel"):
    """A contact that is wanted."""

    name: str
    email: str
    billing_preference: str


class LinkBody(Struct):
    """A link that is wanted."""

    service: str
    id: str


class Body(Struct, rename="camel"):
    """A customer that is wanted."""

    legal_name: str
    address: msgspec.Raw
    tax_status: str
    url: str
    label: str
    custom_properties: msgspec.Raw
    customer_aliases: list[str]
    integration_ids: list[LinkBody]
    contacts: list[ContactBody]


class Contact(Struct):
    """A contact as it is stored in an event."""

    id: UUID
    name: str
    email: str
    billing_preference: str
    created_at: datetime
    updated_at: datetime
    archived_at: None = None


class Alias(Struct):
    """An alias as it is stored in an event."""

    id: UUID
    value: str
    created_at: datetime
    label: None = None


class Link(Struct):
    """A link as it is stored in an event."""

    service: str
    external_id: str
    created_at: datetime
    is_pending: bool = False
    last_synced_at: None = None


class Customer(Struct, kw_only=True):
    """A customer as it is stored in an event."""

    id: UUID
    legal_name: str
    address: msgspec.Raw
    tax_status: str
    status: str
    created_at: datetime
    updated_at: datetime
    archived_at: None = None
    url: str
    label: str
    telephone: None = None
    domain: str
    contacts: list[Contact]
    aliases: list[Alias]
    links: list[Link]
    organizations: list[str]
    custom_properties: msgspec.Raw
    version: int = 1


class Change(Struct):
    """One field of an activity."""

    field: str
    before: None
    after: Any


class ContactAnswer(Struct, rename="camel"):
    """A contact as it is answered."""

    id: UUID
    name: str
    email: str
    billing_preference: str
    created_at: str
    updated_at: str


class LinkAnswer(Struct, rename="camel"):
    """A link as it is answered."""

    service: str
    id: str
    is_pending: bool


class Answer(Struct, rename="camel"):
    """A customer as it is answered, in the order in which the API has it."""

    id: UUID
    created_at: str
    updated_at: str
    organizations: list[str]
    legal_name: str
    address: msgspec.Raw
    url: str
    domain: str
    label: str
    integration_ids: list[LinkAnswer]
    tax_status: str
    custom_properties: msgspec.Raw
    contacts: list[ContactAnswer]
    status: str


decode = msgspec.json.Decoder(Body).decode
_encode = msgspec.json.Encoder().encode


def make(given: Body, now: datetime) -> Customer:
    """The customer that this body asks for."""
    contact, domain = given.contacts[0], (urlsplit(given.url).hostname or "").removeprefix("www.")
    return Customer(
        id=uuid7(),
        legal_name=given.legal_name,
        address=given.address,
        tax_status=given.tax_status,
        status="ACTIVE",
        created_at=now,
        updated_at=now,
        url=given.url,
        label=given.label,
        domain=domain,
        contacts=[Contact(uuid7(), contact.name, contact.email, contact.billing_preference, now, now)],
        aliases=[Alias(uuid7(), given.customer_aliases[0], now)],
        links=[Link(link.service, link.id, now) for link in given.integration_ids],
        organizations=[],
        custom_properties=given.custom_properties,
    )


def changes(made: Customer) -> list[Change]:
    """What an activity says of its creation: every field that has a value."""
    values = ((name, getattr(made, name)) for name in made.__struct_fields__)
    return [Change(name, None, value) for name, value in values if value is not None]


def answer(made: Customer) -> bytes:
    """What is answered."""
    time = time_text(made.created_at).decode()
    contacts = [ContactAnswer(k.id, k.name, k.email, k.billing_preference, time, time) for k in made.contacts]
    return _encode(
        Answer(
            made.id,
            time,
            time,
            [],
            made.legal_name,
            made.address,
            made.url,
            made.domain,
            made.label,
            [LinkAnswer(link.service, link.external_id, is_pending=False) for link in made.links],
            made.tax_status,
            made.custom_properties,
            contacts,
            made.status,
        )
    )


def time_text(time: datetime) -> bytes:
    """A time in UTC, as the API writes it."""
    text = time.isoformat()[: -len("+00:00")]
    return (text.rstrip("0") if time.microsecond else text).encode() + b"Z"
