"""Customers as 2024-01-01 sees them: one flat contact, links as keys and values; DELETE or PUT to archive."""

from collections.abc import Iterable
from typing import Annotated, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from customary.api.bodies import flat_contact, repeated_services, state_problems
from customary.api.endpoint import Call, Outcome, Routes
from customary.api.paging import (
    AliasFilter,
    Cursor,
    EmailFilter,
    IncludeArchived,
    LegalNameFilter,
    Limit,
    PageParameters,
    PaginationBody,
    SortBy,
    customer_page,
)
from customary.api.wire import (
    Country,
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
from customary.domain.contacts import FlatContacts
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
    TaxStatus,
    View,
)
from customary.domain.page import CustomerFilter, CustomerPart
from customary.domain.values import STATES, parse_id
from customary.errors import Problem
from customary.operations.customers import archive_customer, create_customer, update_customer
from customary.storage import customers
from customary.storage.database import Bound, Tx

ROUTES = Routes("Customers")
_SHOWN = (CustomerPart.CONTACTS, CustomerPart.LINKS)

# What this version was published with; the rest of a customer is not shown here and survives writes through here.
SERVICES = (
    Service.AMAZON_REDSHIFT,
    Service.GOOGLE_BIGQUERY,
    Service.GOOGLE_SHEETS,
    Service.HUBSPOT,
    Service.NETSUITE,
    Service.QUICKBOOKS_ONLINE,
    Service.SALESFORCE,
    Service.SLACK,
    Service.SNOWFLAKE,
    Service.STRIPE,
    Service.XERO,
)
HIDDEN_STATES = frozenset({"NT", "NU", "YT"})
VIEW = View(services=frozenset(SERVICES), hidden_states=HIDDEN_STATES)

KnownService: TypeAlias = Annotated[str, one_of(SERVICES, "The outside service.")]
State: TypeAlias = Annotated[
    str, one_of((state for state in STATES if state not in HIDDEN_STATES), "Required in the US and Canada.")
]
LegalName: TypeAlias = Annotated[RequiredText, Meta(description="The name that invoices carry.")]
ContactName: TypeAlias = Annotated[Text, Meta(description="The main contact; the legal name without it.")]
PrimaryEmail: TypeAlias = Annotated[Email, Meta(description="The main contact's address.")]
BillingEmails: TypeAlias = Annotated[
    list[Email], Meta(max_length=MAXIMUM_CONTACTS, description="Who receives billing besides the main contact.")
]
Aliases: TypeAlias = Annotated[
    list[RequiredText], Meta(max_length=MAXIMUM_ALIASES, description="Other names, each unique in the account.")
]


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


def _check_address_of_update(address: AddressBody) -> Iterable[Problem]:
    # A Canadian address may be in a province that this version cannot name; whether one is missing is for the domain
    # to say, which knows the customer.
    is_maybe_hidden = address.country == "CA" and address.state is UNSET
    return () if is_maybe_hidden else _check_address(address)


class LinkRequest(Wire):
    """The customer's id in an outside service."""

    key: KnownService
    value: RequiredText


def _check_links(links: list[LinkRequest]) -> Iterable[Problem]:
    return repeated_services((link.key for link in links), "key")


Links: TypeAlias = Annotated[
    list[LinkRequest],
    Meta(max_length=MAXIMUM_LINKS, description="Ids in outside services.", extra={"check": _check_links}),
]


class CreateCustomerRequest(Wire):
    """A customer to create."""

    legal_name: LegalName
    contact_name: ContactName | UnsetType = UNSET
    address: Annotated[AddressBody, Meta(extra={"check": _check_address})]
    email: PrimaryEmail
    billing_emails: BillingEmails
    telephone: Text | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    label: Text | UnsetType = UNSET
    tax_status: TaxStatus | UnsetType = UNSET
    customer_aliases: Aliases | UnsetType = UNSET
    external_ids: Links | UnsetType = UNSET


class UpdateCustomerRequest(Wire):
    """A customer to replace.

    Left out, `contactName` is the legal name and `telephone`, `url` and `label` are cleared;
    the lists stay as they are.
    """

    legal_name: LegalName
    contact_name: ContactName | UnsetType = UNSET
    address: Annotated[AddressBody, Meta(extra={"check": _check_address_of_update})]
    email: PrimaryEmail
    billing_emails: BillingEmails | UnsetType = UNSET
    telephone: Text | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    label: Text | UnsetType = UNSET
    external_ids: Links | UnsetType = UNSET
    tax_status: TaxStatus
    customer_aliases: Aliases | UnsetType = UNSET


class LinkBody(Wire):
    """The customer's counterpart in an outside service. One that was never synced shows when it was made."""

    key: KnownService
    value: str
    sync_time: Time


class CustomerBody(Wire):
    """A customer."""

    id: Id
    created_at: Time
    sequence_account_id: Id
    legal_name: str
    contact_name: str | UnsetType = UNSET
    address: AddressBody
    email: str
    billing_emails: list[str]
    telephone: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    tax_status: TaxStatus
    label: str | UnsetType = UNSET
    external_ids: list[LinkBody]
    archived_at: Time | UnsetType = UNSET


class CreatedBody(Wire):
    """What a create answers."""

    customer: CustomerBody


class CustomerList(Wire):
    """A page of customers."""

    items: list[CustomerBody]
    pagination: PaginationBody


class CustomerQuery(Wire):
    """Which customers to list."""

    sort_by: SortBy | UnsetType = UNSET
    legal_name: LegalNameFilter | UnsetType = UNSET
    email: EmailFilter | UnsetType = UNSET
    alias: AliasFilter | UnsetType = UNSET
    include_archived: IncludeArchived | UnsetType = UNSET
    before: Cursor | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    limit: Limit | UnsetType = UNSET
    sort_order: Annotated[str, Meta(description="ASC or DESC, which is the default.")] | UnsetType = UNSET


def from_wire(body: CreateCustomerRequest | UpdateCustomerRequest) -> CustomerWrite:
    """What this body asks for."""
    return CustomerWrite(
        legal_name=body.legal_name,
        address=_address_from_wire(body.address),
        tax_status=TaxStatus.TAXED if body.tax_status is UNSET else body.tax_status,
        url=or_none(body.url),
        label=or_none(body.label),
        telephone=or_none(body.telephone),
        contacts=FlatContacts(
            email=body.email,
            name=or_none(body.contact_name),
            billing_emails=UNSET if body.billing_emails is UNSET else tuple(body.billing_emails),
        ),
        aliases=UNSET if body.customer_aliases is UNSET else tuple(body.customer_aliases),
        links=(
            UNSET
            if body.external_ids is UNSET
            else tuple(LinkWrite(Service(link.key), link.value) for link in body.external_ids)
        ),
        view=VIEW,
    )


def to_wire(customer: Customer, account_id: UUID) -> CustomerBody:
    """This customer as this version shows it."""
    contact = flat_contact(customer)
    return CustomerBody(
        id=str(customer.id),
        created_at=time_form(customer.created_at),
        sequence_account_id=str(account_id),
        legal_name=customer.legal_name,
        contact_name=contact.name,
        address=_address_to_wire(customer.address),
        email=contact.email,
        billing_emails=contact.billing_emails,
        telephone=or_unset(customer.telephone),
        url=or_unset(customer.url),
        tax_status=customer.tax_status,
        label=or_unset(customer.label),
        external_ids=[_link_to_wire(link) for link in customer.links if link.service in VIEW.services],
        archived_at=or_unset(customer.archived_at and time_form(customer.archived_at)),
    )


def _address_from_wire(body: AddressBody) -> Address:
    return Address(
        line1=body.line1,
        line2=or_none(body.line2),
        town=body.town,
        state=or_none(body.state),
        postcode=body.postcode,
        country=body.country,
    )


def _address_to_wire(address: Address) -> AddressBody:
    return AddressBody(
        line1=address.line1,
        line2=or_unset(address.line2),
        town=address.town,
        state=UNSET if address.state is None or address.state in HIDDEN_STATES else address.state,
        postcode=address.postcode,
        country=address.country,
    )


def _link_to_wire(link: Link) -> LinkBody:
    return LinkBody(
        key=link.service, value=link.external_id, sync_time=time_form(link.last_synced_at or link.created_at)
    )


async def current(tx: Tx, call: Call) -> CustomerBody:
    """The customer as it is, locked: what If-Match is compared with."""
    return to_wire(await customers.get_for_update(tx, parse_id(call.path["id"])), tx.account_id)


@ROUTES.get("/customers", query=CustomerQuery, answer=CustomerList, summary="List customers")
async def list_all(reading: Bound, call: Call, query: CustomerQuery) -> CustomerList:
    """Customers page by page, newest first unless another order is asked for."""
    wanted = CustomerFilter(
        legal_name=or_none(query.legal_name),
        email=or_none(query.email),
        alias=or_none(query.alias),
        include_archived=query.include_archived is True,
    )
    parameters = PageParameters(query.limit, query.after, query.before, query.sort_by, query.sort_order)
    page, pagination = await customer_page(reading, call, wanted, parameters)
    return CustomerList(items=[to_wire(customer, reading.account_id) for customer in page.items], pagination=pagination)


@ROUTES.post("/customers", body=CreateCustomerRequest, answer=CreatedBody, only_adds=True, summary="Create a customer")
async def create(tx: Tx, _call: Call, body: CreateCustomerRequest) -> Outcome:
    """Create a customer with its contacts, aliases and links in one step."""
    customer = to_wire(await create_customer(tx, from_wire(body)), tx.account_id)
    return Outcome(CreatedBody(customer=customer), seen_as=customer)


@ROUTES.get("/customers/{id}", answer=CustomerBody, summary="Get a customer")
async def get(reading: Bound, call: Call) -> CustomerBody:
    """One customer, archived or not."""
    return to_wire(await customers.get(reading, parse_id(call.path["id"]), _SHOWN), reading.account_id)


@ROUTES.put(
    "/customers/{id}", body=UpdateCustomerRequest, answer=CustomerBody, summary="Replace a customer", current=current
)
async def update(tx: Tx, call: Call, body: UpdateCustomerRequest) -> CustomerBody:
    """Replace a customer's own fields and its flat contact; lists that are left out stay as they are."""
    return to_wire(await update_customer(tx, parse_id(call.path["id"]), from_wire(body)), tx.account_id)


@ROUTES.delete("/customers/{id}", answer=CustomerBody, summary="Archive a customer", current=current)
@ROUTES.put("/customers/{id}/archive", answer=CustomerBody, summary="Archive a customer", current=current)
async def archive(tx: Tx, call: Call) -> CustomerBody:
    """Take a customer out of use. Doing it again changes nothing."""
    return to_wire(await archive_customer(tx, parse_id(call.path["id"])), tx.account_id)
