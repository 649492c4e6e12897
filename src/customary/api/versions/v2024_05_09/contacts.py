"""Contacts as 2024-05-09 sees them."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from customary.api.endpoint import Call, Routes
from customary.api.wire import Email, Id, Text, Time, Wire, or_unset, time_form
from customary.domain.contacts import BillingPreference, Contact, ContactWrite
from customary.domain.values import parse_id
from customary.operations.contacts import archive_contact, create_contact, update_contact
from customary.storage import contacts
from customary.storage.database import Bound, Tx

ROUTES = Routes("Contacts")


class ContactRequest(Wire):
    """A person or mailbox of a customer."""

    name: Text
    email: Email
    billing_preference: BillingPreference


class ContactBody(Wire):
    """A person or mailbox of a customer."""

    id: Id
    name: str
    email: str
    billing_preference: BillingPreference
    created_at: Time
    updated_at: Time
    archived_at: Time | UnsetType = UNSET


class ContactList(Wire):
    """The contacts of a customer."""

    items: list[ContactBody]


class ContactQuery(Wire):
    """Which contacts to list."""

    include_archived: (
        Annotated[bool, Meta(description="Whether archived contacts are listed too. Without it: false.")] | UnsetType
    ) = UNSET


def from_wire(body: ContactRequest) -> ContactWrite:
    """What this body asks for."""
    return ContactWrite(body.name, body.email, body.billing_preference)


def to_wire(contact: Contact) -> ContactBody:
    """This contact as this version shows it."""
    return ContactBody(
        id=str(contact.id),
        name=contact.name,
        email=contact.email,
        billing_preference=contact.billing_preference,
        created_at=time_form(contact.created_at),
        updated_at=time_form(contact.updated_at),
        archived_at=or_unset(contact.archived_at and time_form(contact.archived_at)),
    )


async def current(tx: Tx, call: Call) -> ContactBody:
    """The contact as it is, locked: what If-Match is compared with."""
    _, contact = await contacts.get_for_update(tx, parse_id(call.path["customer"]), parse_id(call.path["id"]))
    return to_wire(contact)


@ROUTES.get(
    "/customers/{customer}/contacts", query=ContactQuery, answer=ContactList, summary="List a customer's contacts"
)
async def list_of_customer(reading: Bound, call: Call, query: ContactQuery) -> ContactList:
    """All contacts of one customer, oldest first."""
    found = await contacts.of_customer(
        reading, parse_id(call.path["customer"]), include_archived=query.include_archived is True
    )
    return ContactList(items=[to_wire(contact) for contact in found])


@ROUTES.post("/customers/{customer}/contacts", body=ContactRequest, answer=ContactBody, summary="Create a contact")
async def create(tx: Tx, call: Call, body: ContactRequest) -> ContactBody:
    """Add a contact to a customer. Where any contact receives billing, one has to be PRIMARY."""
    return to_wire(await create_contact(tx, parse_id(call.path["customer"]), from_wire(body)))


@ROUTES.put(
    "/customers/{customer}/contacts/{id}",
    body=ContactRequest,
    answer=ContactBody,
    summary="Replace a contact",
    current=current,
)
async def update(tx: Tx, call: Call, body: ContactRequest) -> ContactBody:
    """Replace a contact's name, e-mail and billing preference. An archived contact cannot be changed."""
    contact = await update_contact(tx, parse_id(call.path["customer"]), parse_id(call.path["id"]), from_wire(body))
    return to_wire(contact)


@ROUTES.post(
    "/customers/{customer}/contacts/{id}/archive",
    answer=ContactBody,
    status=200,
    summary="Archive a contact",
    current=current,
)
async def archive(tx: Tx, call: Call) -> ContactBody:
    """Take a contact out of use; its e-mail is free for another one. Doing it again changes nothing."""
    return to_wire(await archive_contact(tx, parse_id(call.path["customer"]), parse_id(call.path["id"])))
