"""The customer and everything that belongs to it, and what a write makes of them.

The model is the newest version's. Older versions are translations of it in both directions; what they cannot show
(some services, some provinces) survives their writes. The rules come from the published documents and, where they
are silent, from `docs/semantics.md`.
"""

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from customary.domain import contacts as contact_rules
from customary.domain.contacts import MAXIMUM_CONTACTS, BillingPreference, Contact, ContactWrite, FlatContacts
from customary.domain.values import PUBLIC_MAILBOX_PROVIDERS, STATES_BY_COUNTRY, parse_id, registrable_domain
from customary.errors import Conflict, Invalid, Problem

MAXIMUM_ALIASES = 100
MAXIMUM_LINKS = 50
MAXIMUM_CUSTOM_PROPERTIES = 50


class TaxStatus(StrEnum):
    """How tax applies to what this customer buys."""

    TAXED = "TAXED"
    TAX_EXEMPT = "TAX_EXEMPT"
    REVERSE_CHARGED = "REVERSE_CHARGED"


class Status(StrEnum):
    """Whether somebody has approved this customer yet."""

    DRAFT = "DRAFT"
    ACTIVE = "ACTIVE"


class Service(StrEnum):
    """The outside services that a customer can be linked to; the two older versions know eleven of them."""

    AMAZON_REDSHIFT = "Amazon_Redshift"
    GOOGLE_BIGQUERY = "Google_BigQuery"
    GOOGLE_SHEETS = "Google_Sheets"
    HUBSPOT = "HubSpot"
    NETSUITE = "NetSuite"
    QUICKBOOKS_ONLINE = "QuickBooks_Online"
    SALESFORCE = "Salesforce"
    SLACK = "Slack"
    SNOWFLAKE = "Snowflake"
    STRIPE = "Stripe"
    XERO = "Xero"
    GOCARDLESS = "GoCardless"
    AVALARA = "Avalara"
    ANROK = "Anrok"
    ATTIO = "Attio"
    NUMERAL = "Numeral"
    RILLET = "Rillet"
    SPHERE = "Sphere"


SERVICE_ORDER: Final = {service: position for position, service in enumerate(Service)}


class Address(Struct, frozen=True, omit_defaults=True):
    """A postal address, checked for shape only. `country` is ISO 3166-1 alpha-2 or XK."""

    line1: str
    town: str
    postcode: str
    country: str
    line2: str | None = None
    state: str | None = None


class Alias(Struct, frozen=True):
    """Another name of a customer, unique in its account."""

    id: UUID
    value: str
    created_at: datetime
    label: str | None = None


class Link(Struct, frozen=True):
    """The customer's counterpart in an outside service; at most one for each service.

    A pending link waits for the service to answer with an id of its own; until then `external_id` is the customer's.
    """

    service: Service
    external_id: str
    created_at: datetime
    is_pending: bool = False
    last_synced_at: datetime | None = None


class NamedCustomer(Struct, frozen=True):
    """A customer as an organisation shows it."""

    id: UUID
    name: str


class Organization(Struct, frozen=True):
    """An owner (parent) and its members (children)."""

    id: UUID
    owner: NamedCustomer
    members: tuple[NamedCustomer, ...]


class Customer(Struct, frozen=True, kw_only=True):
    """One customer with all that belongs to it. `contacts` are the unarchived ones, oldest first."""

    id: UUID
    legal_name: str
    address: Address
    tax_status: TaxStatus
    status: Status
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None
    url: str | None = None
    label: str | None = None
    telephone: str | None = None
    domain: str | None = None
    contacts: tuple[Contact, ...] = ()
    aliases: tuple[Alias, ...] = ()
    links: tuple[Link, ...] = ()
    organizations: tuple[Organization, ...] = ()
    custom_properties: dict[str, str] = {}
    version: int = 1


class LinkWrite(Struct, frozen=True):
    """A link as somebody gives it by hand."""

    service: Service
    external_id: str


class View(Struct, frozen=True):
    """What the version that a write comes through is able to show; the rest is kept as it is."""

    services: frozenset[Service] = frozenset(Service)
    hidden_states: frozenset[str] = frozenset()


class CustomerWrite(Struct, frozen=True, kw_only=True):
    """What a create or a full update asks for. UNSET means: leave it as it is, or its default on a create."""

    legal_name: str
    address: Address
    contacts: tuple[ContactWrite, ...] | FlatContacts | UnsetType
    tax_status: TaxStatus = TaxStatus.TAXED
    status: Status | UnsetType = UNSET
    url: str | None = None
    label: str | None = None
    telephone: str | None | UnsetType = UNSET
    aliases: tuple[str, ...] | UnsetType = UNSET
    links: tuple[LinkWrite, ...] | UnsetType = UNSET
    push_to: tuple[Service, ...] = ()
    custom_properties: dict[str, str] | UnsetType = UNSET
    parent_id: UUID | UnsetType = UNSET
    view: View = View()


def create(
    write: CustomerWrite, *, at: datetime, new_id: Callable[[], UUID], customer_id: UUID | None = None
) -> Customer:
    """The customer that this write makes, with an id that it had elsewhere if there is one.

    Raises `Invalid` or `Conflict`.
    """
    _require_state(write.address)
    blank = Customer(
        id=customer_id or new_id(),
        legal_name=write.legal_name,
        address=write.address,
        tax_status=write.tax_status,
        status=Status.ACTIVE,
        created_at=at,
        updated_at=at,
    )
    return _apply(blank, write, at=at, new_id=new_id)


def update(customer: Customer, write: CustomerWrite, *, at: datetime, new_id: Callable[[], UUID]) -> Customer:
    """This customer after a full update; the same object when nothing changes. Raises `Invalid` or `Conflict`."""
    require_writable(customer)
    if customer.status is Status.ACTIVE and write.status is Status.DRAFT:
        message = "This customer is ACTIVE and cannot become a DRAFT again."
        raise Conflict(message, (Problem("status", "statusConflict", message),))
    address = _keep_hidden_state(customer.address, write)
    _require_state(address)
    changed = _apply(customer, replace(write, address=address), at=at, new_id=new_id)
    return customer if changed == customer else touched(changed, at=at)


def archive(customer: Customer, *, at: datetime) -> Customer:
    """This customer archived; the same object when it already is."""
    if customer.archived_at is not None:
        return customer
    return touched(replace(customer, archived_at=at), at=at)


def unarchive(customer: Customer, *, at: datetime) -> Customer:
    """This customer in use again; the same object when it is."""
    if customer.archived_at is None:
        return customer
    return touched(replace(customer, archived_at=None), at=at)


def touched(customer: Customer, *, at: datetime) -> Customer:
    """This customer with the change that something else brought about counted as one of its own."""
    # A transaction that waited for another one began before it: time must not seem to run backwards.
    return replace(customer, updated_at=max(at, customer.updated_at), version=customer.version + 1)


def with_contacts(customer: Customer, contacts: tuple[Contact, ...], *, at: datetime) -> Customer:
    """This customer after a change of its contacts, which its domain may come from."""
    return touched(replace(customer, contacts=contacts, domain=domain_of(customer.url, contacts)), at=at)


def require_writable(customer: Customer) -> None:
    """Raise `Conflict` for an archived customer: it can be read and unarchived, nothing else."""
    if customer.archived_at is not None:
        message = f"Customer {customer.id} is archived and cannot be changed."
        raise Conflict(message)


def with_alias(write: CustomerWrite, alias: str) -> CustomerWrite:
    """This write with one alias more, the last of those that it asks for. Raises `Invalid` for one too many."""
    wanted = () if write.aliases is UNSET else write.aliases
    values = wanted if alias in wanted else (*wanted, alias)
    if len(values) > MAXIMUM_ALIASES:
        message = f"A customer has at most {MAXIMUM_ALIASES} aliases; with '{alias}' it would have {len(values)}."
        raise Invalid(message, (Problem("customerAliases", "tooMany", message),))
    return replace(write, aliases=values)


def _apply(customer: Customer, write: CustomerWrite, *, at: datetime, new_id: Callable[[], UUID]) -> Customer:
    contacts = customer.contacts
    if write.contacts is not UNSET:
        contacts = contact_rules.rewrite(contacts, write.contacts, legal_name=write.legal_name, at=at, new_id=new_id)
    if len(contacts) > MAXIMUM_CONTACTS:
        message = f"A customer has at most {MAXIMUM_CONTACTS} contacts; this write would make {len(contacts)}."
        raise Invalid(message, (Problem("billingEmails", "tooMany", message),))
    return replace(
        customer,
        legal_name=write.legal_name,
        address=write.address,
        tax_status=write.tax_status,
        status=customer.status if write.status is UNSET else write.status,
        url=write.url,
        label=write.label,
        telephone=customer.telephone if write.telephone is UNSET else write.telephone,
        domain=domain_of(write.url, contacts),
        contacts=contacts,
        aliases=_rewrite_aliases(customer, write.aliases, at=at, new_id=new_id),
        links=_rewrite_links(customer, write, at=at),
        custom_properties=customer.custom_properties if write.custom_properties is UNSET else write.custom_properties,
    )


def _rewrite_aliases(
    customer: Customer, wanted: tuple[str, ...] | UnsetType, *, at: datetime, new_id: Callable[[], UUID]
) -> tuple[Alias, ...]:
    if wanted is UNSET:
        return customer.aliases
    # The customer's own id is always an alias of it, so naming it among the others adds nothing.
    values = [value for value in dict.fromkeys(wanted) if parse_id(value) != customer.id]
    held = {alias.value: alias for alias in customer.aliases}
    kept = [alias for alias in customer.aliases if alias.value in values]
    return (*kept, *(Alias(new_id(), value, at) for value in values if value not in held))


def _rewrite_links(customer: Customer, write: CustomerWrite, *, at: datetime) -> tuple[Link, ...]:
    links = {link.service: link for link in customer.links}
    if write.links is not UNSET:
        known = {(link.service, link.external_id): link for link in customer.links}
        links = {service: link for service, link in links.items() if service not in write.view.services}
        for wanted in write.links:
            same = known.get((wanted.service, wanted.external_id))
            links[wanted.service] = same or Link(wanted.service, wanted.external_id, created_at=at)
    for service in write.push_to:
        links.setdefault(service, Link(service, str(customer.id), created_at=at, is_pending=True))
    return tuple(sorted(links.values(), key=lambda link: SERVICE_ORDER[link.service]))


def _keep_hidden_state(before: Address, write: CustomerWrite) -> Address:
    hidden = before.state in write.view.hidden_states and before.country == write.address.country
    if hidden and write.address.state is None:
        return replace(write.address, state=before.state)
    return write.address


def _require_state(address: Address) -> None:
    problem = state_problem(address.country, address.state)
    if problem is not None:
        raise Invalid(problem.message, (problem,))


def state_problem(country: str, state: str | None) -> Problem | None:
    """What is wrong with a state in an address of this country: required, and one of its codes, in US and CA."""
    codes = STATES_BY_COUNTRY.get(country)
    if codes is None or state in codes:
        return None
    if state is None:
        return Problem("address.state", "required", f"An address in {country} needs a state.")
    return Problem("address.state", "state", f"'{state}' is not a state of {country}.")


def domain_of(url: str | None, contacts: tuple[Contact, ...]) -> str | None:
    """The customer's own domain: of its URL, else of its primary contact's e-mail unless anyone can have one there."""
    host = (urlsplit(url).hostname or "") if url else ""
    from_url = registrable_domain(host)
    if from_url is not None:
        return from_url
    primary = contact_rules.primary(contacts)
    if primary is None or primary.billing_preference is not BillingPreference.PRIMARY:
        return None
    from_email = registrable_domain(primary.email.rpartition("@")[2])
    return None if from_email in PUBLIC_MAILBOX_PROVIDERS else from_email
