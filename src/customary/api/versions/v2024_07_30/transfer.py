"""Customers as rows of files: what a create takes, and what an export says beyond it.

The fields are those of the API and so are their rules. A row with an `id` was a customer elsewhere: it may have as few
contacts as a customer can come to have.
"""

from collections.abc import Iterable
from typing import Annotated, TypeAlias, cast
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from customary.api.reading import read_body
from customary.api.versions.v2024_07_30.customers import (
    Aliases,
    CheckedAddress,
    ContactRequest,
    Label,
    LegalName,
    LinkRequest,
    PushTo,
    address_from_wire,
    check_contacts,
    check_links,
)
from customary.api.wire import (
    CustomProperties,
    GivenTime,
    RequiredText,
    Text,
    Url,
    Wire,
    or_none,
    rule,
    time_of,
)
from customary.domain.contacts import MAXIMUM_CONTACTS, ContactWrite, receiving_without_primary
from customary.domain.customer import MAXIMUM_LINKS, CustomerWrite, LinkWrite, Service, Status, TaxStatus
from customary.domain.transfer import GivenContact, GivenLink, Owner, Row, Times
from customary.domain.values import parse_id
from customary.errors import Invalid, Problem

MAXIMUM_OWNERS = 100


def _check_id(text: str) -> None:
    if parse_id(text) is None:
        message = f"'{text}' is not an id: a UUID such as 01a1facc-35ad-7467-ab73-16626f891b76."
        raise ValueError(message)


GivenId: TypeAlias = Annotated[str, Meta(extra=rule("id", _check_id))]


class ContactRow(ContactRequest):
    """A contact in a row."""

    id: GivenId | UnsetType = UNSET
    created_at: GivenTime | UnsetType = UNSET
    updated_at: GivenTime | UnsetType = UNSET


class LinkRow(LinkRequest):
    """A link in a row."""

    is_pending: bool | UnsetType = UNSET
    last_synced: GivenTime | UnsetType = UNSET


def _check_primary(contacts: list[ContactRow]) -> Iterable[Problem]:
    if receiving_without_primary(contact.billing_preference for contact in contacts):
        yield Problem("", "noPrimary", "Contacts that receive billing need one with billingPreference PRIMARY.")


Contacts: TypeAlias = Annotated[list[ContactRow], Meta(max_length=MAXIMUM_CONTACTS, extra={"check": _check_primary})]
Links: TypeAlias = Annotated[list[LinkRow], Meta(max_length=MAXIMUM_LINKS, extra={"check": check_links})]
Owners: TypeAlias = Annotated[list[RequiredText], Meta(max_length=MAXIMUM_OWNERS)]
AliasLabels: TypeAlias = dict[str, Annotated[str, Meta(max_length=255)]]


class CustomerRow(Wire):
    """One row. `domain` follows from the rest and is not read."""

    id: GivenId | UnsetType = UNSET
    created_at: GivenTime | UnsetType = UNSET
    updated_at: GivenTime | UnsetType = UNSET
    archived_at: GivenTime | UnsetType = UNSET
    legal_name: LegalName
    label: Label | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    domain: str | UnsetType = UNSET
    telephone: Text | UnsetType = UNSET
    address: CheckedAddress
    tax_status: TaxStatus
    status: Status | UnsetType = UNSET
    contacts: Contacts | UnsetType = UNSET
    customer_aliases: Aliases | UnsetType = UNSET
    customer_alias_labels: AliasLabels | UnsetType = UNSET
    integration_ids: Links | UnsetType = UNSET
    push_to_integrations: PushTo | UnsetType = UNSET
    custom_properties: CustomProperties | UnsetType = UNSET
    parent_id: RequiredText | UnsetType = UNSET
    organization_owner_ids: Owners | UnsetType = UNSET


# In the order in which a CSV file is written; those of the address are columns of their own.
FIELDS = CustomerRow.__struct_encode_fields__
TEXTS: frozenset[str] = frozenset(
    "id createdAt updatedAt archivedAt legalName label url domain telephone taxStatus status parentId".split()
)
ADDRESS_FIELDS = ("line1", "line2", "town", "state", "postcode", "country")


def read_row(value: dict[str, object], line: int) -> Row:
    """The customer in the fields of a row. Raises `Invalid` with a problem for each field that is wrong."""
    if not value.keys() <= _KNOWN:
        raise _unknown(value)
    body = read_body(CustomerRow, cast("object", value))
    contacts = [] if body.contacts is UNSET else body.contacts
    if body.id is UNSET:
        _require_contacts(body, contacts)
    created_at = or_none(body.created_at)
    return Row(
        line=line,
        write=_write(body, contacts),
        id=_id(body.id),
        times=_times(created_at, or_none(body.updated_at)),
        archived_at=None if body.archived_at is UNSET else time_of(body.archived_at),
        # All or none, so that what is wrong with one is said under its own place.
        contacts=tuple(map(_given_contact, contacts)) if any(map(_was_elsewhere, contacts)) else (),
        links=tuple(
            _given_link(each)
            for each in (() if body.integration_ids is UNSET else body.integration_ids)
            if each.is_pending is True or each.last_synced is not UNSET
        ),
        alias_labels=_alias_labels(body),
        owners=tuple(_owners(body)),
    )


_KNOWN = {*FIELDS, "organizations"}


def _unknown(value: dict[str, object]) -> Invalid:
    unknown = sorted(value.keys() - _KNOWN)
    problems = tuple(Problem(name, "unknown", f"There is no field '{name}'.") for name in unknown)
    return Invalid(f"The row is not valid: {', '.join(unknown)}.", problems)


def _require_contacts(body: CustomerRow, contacts: list[ContactRow]) -> None:
    """A customer that is new here is held to what a create is."""
    problems = [] if body.contacts is UNSET else [*check_contacts(contacts)]
    if body.contacts is UNSET:
        problems.append(Problem("contacts", "required", "This field is required."))
    if problems:
        raise Invalid(
            "The row is not valid: contacts.", tuple(Problem("contacts", p.code, p.message) for p in problems)
        )


def _write(body: CustomerRow, contacts: list[ContactRow]) -> CustomerWrite:
    return CustomerWrite(
        legal_name=body.legal_name,
        address=address_from_wire(body.address),
        tax_status=body.tax_status,
        status=body.status,
        url=or_none(body.url),
        label=or_none(body.label),
        telephone=body.telephone,
        contacts=tuple(ContactWrite(each.name, each.email, each.billing_preference) for each in contacts),
        aliases=UNSET if body.customer_aliases is UNSET else tuple(body.customer_aliases),
        links=(
            UNSET
            if body.integration_ids is UNSET
            else tuple(LinkWrite(link.service, link.id) for link in body.integration_ids)
        ),
        push_to=() if body.push_to_integrations is UNSET else tuple(map(Service, body.push_to_integrations)),
        custom_properties=body.custom_properties,
    )


def _was_elsewhere(contact: ContactRow) -> bool:
    return not (contact.id is UNSET and contact.created_at is UNSET and contact.updated_at is UNSET)


def _given_contact(contact: ContactRow) -> GivenContact:
    times = _times(or_none(contact.created_at), or_none(contact.updated_at))
    return GivenContact(contact.email, _id(contact.id), times)


def _given_link(link: LinkRow) -> GivenLink:
    last_synced_at = None if link.last_synced is UNSET else time_of(link.last_synced)
    return GivenLink(link.service, link.is_pending is True, last_synced_at)


def _times(created_at: str | None, updated_at: str | None) -> Times:
    return Times(
        None if created_at is None else time_of(created_at), None if updated_at is None else time_of(updated_at)
    )


def _id(text: str | UnsetType) -> UUID | None:
    return None if text is UNSET else parse_id(text)


def _alias_labels(body: CustomerRow) -> dict[str, str]:
    if body.customer_alias_labels is UNSET:
        return {}
    aliases = () if body.customer_aliases is UNSET else body.customer_aliases
    for value in body.customer_alias_labels:
        if value not in aliases:
            message = f"'{value}' is not one of the customerAliases of this row."
            raise Invalid(message, (Problem("customerAliasLabels", "unknownAlias", message),))
    return body.customer_alias_labels


def _owners(body: CustomerRow) -> Iterable[Owner]:
    if body.parent_id is not UNSET:
        yield Owner(body.parent_id, is_parent=True)
    for reference in () if body.organization_owner_ids is UNSET else dict.fromkeys(body.organization_owner_ids):
        if reference != body.parent_id:
            yield Owner(reference, is_parent=False)
