"""Customers as 2024-07-30 sees them: with contacts, organisations and custom properties; POST to archive."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from customary.api.bodies import repeated_services, state_problems
from customary.api.endpoint import Call, Routes
from customary.api.versions.v2024_07_30.organizations import OrganizationBody, organization_to_wire
from customary.api.wire import (
    Country,
    CustomProperties,
    Email,
    FilledText,
    Id,
    RequiredText,
    Text,
    Time,
    Url,
    Wire,
    one_of,
    or_none,
    or_unset,
    time_form,
)
from customary.domain.contacts import BillingPreference, Contact, ContactWrite
from customary.domain.customer import (
    MAXIMUM_ALIASES,
    MAXIMUM_CONTACTS,
    MAXIMUM_LINKS,
    Address,
    Customer,
    CustomerWrite,
    Link,
    LinkWrite,
    Service,
    Status,
    TaxStatus,
)
from customary.domain.page import CustomerPart
from customary.domain.values import STATES, parse_id
from customary.errors import Invalid, Problem
from customary.operations.customers import archive_customer, create_customer, update_customer
from customary.storage import customers
from customary.storage.database import Bound, Tx

ROUTES = Routes("Customers")
_SHOWN = (CustomerPart.CONTACTS, CustomerPart.LINKS, CustomerPart.ORGANIZATIONS)

State: TypeAlias = Annotated[str, one_of(STATES, "Required in the US and Canada.")]


class AddressBody(Wire):
    """A postal address."""

    line1: FilledText
    line2: Text | UnsetType = UNSET
    town: FilledText
    state: State | UnsetType = UNSET
    postcode: FilledText
    country: Country


def _check_address(address: AddressBody) -> Iterable[Problem]:
    return state_problems(address.country, address.state)


class ContactRequest(Wire):
    """A person or mailbox of a customer."""

    name: Text
    email: Email
    billing_preference: BillingPreference


def check_contacts(contacts: Sequence[ContactRequest]) -> Iterable[Problem]:
    """What is wrong with the contacts of a customer as a whole."""
    if not any(contact.billing_preference is BillingPreference.PRIMARY for contact in contacts):
        yield Problem("", "noPrimary", "A customer needs at least one contact with billingPreference PRIMARY.")


class LinkRequest(Wire):
    """The customer's id in an outside service."""

    service: Service
    id: RequiredText


def check_links(links: Sequence[LinkRequest]) -> Iterable[Problem]:
    """What is wrong with the links of a customer as a whole."""
    return repeated_services((link.service for link in links), "service")


Aliases: TypeAlias = Annotated[
    list[RequiredText], Meta(max_length=MAXIMUM_ALIASES, description="Other names, each unique in the account.")
]
Links: TypeAlias = Annotated[
    list[LinkRequest],
    Meta(max_length=MAXIMUM_LINKS, description="Ids in outside services.", extra={"check": check_links}),
]
ParentId: TypeAlias = Annotated[Id, Meta(description="The customer whose organisation this one joins.")]
Contacts: TypeAlias = Annotated[
    list[ContactRequest],
    Meta(
        min_length=1,
        max_length=MAXIMUM_CONTACTS,
        description="All contacts; a replacement archives those left out.",
        extra={"check": check_contacts},
    ),
]
PushTo: TypeAlias = Annotated[list[Literal["Xero"]], Meta(description="Services to create this customer in.")]
LegalName: TypeAlias = Annotated[RequiredText, Meta(description="The name that invoices carry.")]
Label: TypeAlias = Annotated[Text, Meta(description="A note that tells this customer apart.")]
CheckedAddress: TypeAlias = Annotated[AddressBody, Meta(extra={"check": _check_address})]


class CustomerRequest(Wire):
    """A customer to create or to replace.

    A field that a replacement leaves out keeps what is stored, but for `url` and `label`, which it clears.
    """

    legal_name: LegalName
    address: CheckedAddress
    url: Url | UnsetType = UNSET
    label: Label | UnsetType = UNSET
    tax_status: TaxStatus
    customer_aliases: Aliases | UnsetType = UNSET
    integration_ids: Links | UnsetType = UNSET
    parent_id: ParentId | UnsetType = UNSET
    contacts: Contacts
    push_to_integrations: PushTo | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    custom_properties: CustomProperties | UnsetType = UNSET


class PatchedCustomer(Wire):
    """A customer after a patch; collections that the patch left out are left out here and stay as they are."""

    legal_name: LegalName
    address: CheckedAddress
    url: Url | UnsetType = UNSET
    label: Label | UnsetType = UNSET
    tax_status: TaxStatus
    customer_aliases: Aliases | UnsetType = UNSET
    integration_ids: Links | UnsetType = UNSET
    parent_id: ParentId | UnsetType = UNSET
    contacts: Contacts | UnsetType = UNSET
    push_to_integrations: PushTo | UnsetType = UNSET
    status: Status | UnsetType = UNSET
    custom_properties: CustomProperties | UnsetType = UNSET


class ContactBody(Wire):
    """A person or mailbox of a customer."""

    id: Id
    name: str
    email: str
    billing_preference: BillingPreference
    created_at: Time
    updated_at: Time
    archived_at: Time | UnsetType = UNSET


class LinkBody(Wire):
    """The customer's counterpart in an outside service."""

    service: Service
    id: str
    last_synced: Time | UnsetType = UNSET
    is_pending: Annotated[bool, Meta(description="Whether the service has yet to answer with an id of its own.")]


class CustomerListItem(Wire):
    """A customer as lists show it: without contacts and status."""

    id: Id
    created_at: Time
    updated_at: Annotated[Time, Meta(description="When anything of this customer last changed.")]
    organizations: list[OrganizationBody]
    legal_name: str
    address: AddressBody
    url: str | UnsetType = UNSET
    domain: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    integration_ids: list[LinkBody]
    archived_at: Time | UnsetType = UNSET
    tax_status: TaxStatus
    custom_properties: dict[str, str]


class CustomerBody(CustomerListItem):
    """A customer."""

    contacts: list[ContactBody]
    status: Status


def from_wire(body: CustomerRequest | PatchedCustomer) -> CustomerWrite:
    """What this body asks for. Raises `Invalid` for a parent id that can be nobody's."""
    return CustomerWrite(
        legal_name=body.legal_name,
        address=address_from_wire(body.address),
        tax_status=body.tax_status,
        status=body.status,
        url=or_none(body.url),
        label=or_none(body.label),
        contacts=(
            UNSET
            if body.contacts is UNSET
            else tuple(ContactWrite(each.name, each.email, each.billing_preference) for each in body.contacts)
        ),
        aliases=UNSET if body.customer_aliases is UNSET else tuple(body.customer_aliases),
        links=(
            UNSET
            if body.integration_ids is UNSET
            else tuple(LinkWrite(link.service, link.id) for link in body.integration_ids)
        ),
        push_to=() if body.push_to_integrations is UNSET else tuple(map(Service, body.push_to_integrations)),
        custom_properties=body.custom_properties,
        parent_id=UNSET if body.parent_id is UNSET else _parent_id(body.parent_id),
    )


def address_from_wire(body: AddressBody) -> Address:
    """The address in a body."""
    return Address(
        line1=body.line1,
        line2=or_none(body.line2),
        town=body.town,
        state=or_none(body.state),
        postcode=body.postcode,
        country=body.country,
    )


def listed(customer: Customer) -> dict[str, Any]:
    """The fields of a customer that this version's lists show."""
    return {
        "id": str(customer.id),
        "created_at": time_form(customer.created_at),
        "updated_at": time_form(customer.updated_at),
        "organizations": [organization_to_wire(each) for each in customer.organizations],
        "legal_name": customer.legal_name,
        "address": address_to_wire(customer.address),
        "url": or_unset(customer.url),
        "domain": or_unset(customer.domain),
        "label": or_unset(customer.label),
        "integration_ids": [link_to_wire(link) for link in customer.links],
        "archived_at": or_unset(customer.archived_at and time_form(customer.archived_at)),
        "tax_status": customer.tax_status,
        "custom_properties": customer.custom_properties,
    }


def to_wire(customer: Customer) -> CustomerBody:
    """This customer as this version shows it."""
    return CustomerBody(
        **listed(customer),
        contacts=[contact_to_wire(contact) for contact in customer.contacts],
        status=customer.status,
    )


def address_to_wire(address: Address) -> AddressBody:
    """This address as this version shows it."""
    return AddressBody(
        line1=address.line1,
        line2=or_unset(address.line2),
        town=address.town,
        state=or_unset(address.state),
        postcode=address.postcode,
        country=address.country,
    )


def link_to_wire(link: Link) -> LinkBody:
    """This link as this version shows it."""
    return LinkBody(
        service=link.service,
        id=link.external_id,
        last_synced=or_unset(link.last_synced_at and time_form(link.last_synced_at)),
        is_pending=link.is_pending,
    )


def contact_to_wire(contact: Contact) -> ContactBody:
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


def _parent_id(text: str) -> UUID:
    parent_id = parse_id(text)
    if parent_id is None:
        message = f"There is no customer '{text}' in this account."
        raise Invalid(message, (Problem("parentId", "parent", message),))
    return parent_id


async def current(tx: Tx, call: Call) -> CustomerBody:
    """The customer as it is, locked: what If-Match is compared with."""
    return to_wire(await customers.get_for_update(tx, parse_id(call.path["id"])))


@ROUTES.post("/customers", body=CustomerRequest, answer=CustomerBody, only_adds=True, summary="Create a customer")
async def create(tx: Tx, _call: Call, body: CustomerRequest) -> CustomerBody:
    """Create a customer with its contacts, aliases, links and parent in one step."""
    return to_wire(await create_customer(tx, from_wire(body)))


@ROUTES.get("/customers/{id}", answer=CustomerBody, summary="Get a customer")
async def get(reading: Bound, call: Call) -> CustomerBody:
    """One customer, archived or not."""
    return to_wire(await customers.get(reading, parse_id(call.path["id"]), _SHOWN))


@ROUTES.put("/customers/{id}", body=CustomerRequest, answer=CustomerBody, summary="Replace a customer", current=current)
async def update(tx: Tx, call: Call, body: CustomerRequest) -> CustomerBody:
    """Replace a customer's own fields and contacts; collections that are left out stay as they are."""
    return to_wire(await update_customer(tx, parse_id(call.path["id"]), from_wire(body)))


@ROUTES.post("/customers/{id}/archive", answer=CustomerBody, status=200, summary="Archive a customer", current=current)
async def archive(tx: Tx, call: Call) -> CustomerBody:
    """Take a customer out of use. Doing it again changes nothing."""
    return to_wire(await archive_customer(tx, parse_id(call.path["id"])))
