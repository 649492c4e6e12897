"""Lists of customers as 2024-07-30 sees them, with the ways of finding and showing customers that are ours alone."""

from collections.abc import Iterable
from typing import Annotated, Literal
from uuid import UUID

from msgspec import UNSET, Meta, UnsetType

from customary.api.bodies import AliasBody, aliases_to_wire
from customary.api.endpoint import Call, Routes
from customary.api.paging import (
    AliasFilter,
    Cursor,
    EmailFilter,
    IncludeArchived,
    LabelFilter,
    LegalNameFilter,
    Limit,
    PageParameters,
    PaginationBody,
    SortByOrProperty,
    SortOrder,
    customer_page,
)
from customary.api.versions.v2024_07_30.customers import ContactBody, CustomerListItem, contact_to_wire, listed
from customary.api.wire import GivenTime, Wire, or_none, rule, time_of
from customary.domain.customer import Customer
from customary.domain.page import CustomerFilter, CustomerPart
from customary.domain.search import words
from customary.storage.database import Bound

ROUTES = Routes("Customers")

# What an item always shows; `include` adds to it.
_SHOWN = (CustomerPart.LINKS, CustomerPart.ORGANIZATIONS)


def _check_words(text: str) -> None:
    if not words(text):
        message = "There is no letter, digit or sign in this that could be searched for."
        raise ValueError(message)


class ListedCustomerBody(CustomerListItem):
    """A customer as lists show it; its contacts and aliases where `include` names them."""

    contacts: list[ContactBody] | UnsetType = UNSET
    aliases: list[AliasBody] | UnsetType = UNSET


class CustomerList(Wire):
    """A page of customers."""

    items: list[ListedCustomerBody]
    pagination: PaginationBody


class CustomerQuery(Wire):
    """Which customers to list."""

    sort_by: SortByOrProperty | UnsetType = UNSET
    legal_name: LegalNameFilter | UnsetType = UNSET
    email: EmailFilter | UnsetType = UNSET
    alias: AliasFilter | UnsetType = UNSET
    label: LabelFilter | UnsetType = UNSET
    include_archived: IncludeArchived | UnsetType = UNSET
    billing_status: (
        Annotated[
            Literal["ACTIVE", "INACTIVE"],
            Meta(description="ACTIVE matches no customer and INACTIVE all of them until there are billing schedules."),
        ]
        | UnsetType
    ) = UNSET
    limit: Annotated[Limit, Meta(extra_json_schema={"format": "int32"})] | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    before: Cursor | UnsetType = UNSET
    sort_order: SortOrder | UnsetType = UNSET
    q: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=255,
                pattern=r"\S",
                description="Only customers that have each of these words, or parts of words, somewhere in legal name,"
                " label, domain, an e-mail of a contact, an alias or an id in an outside service; case and accents do"
                " not count. Without sortBy the best match comes first, whatever sortOrder says: a value that is just"
                " this text, then one that begins with it, then the rest by name.",
                extra=rule("blank", _check_words),
            ),
        ]
        | UnsetType
    ) = UNSET
    updated_since: (
        Annotated[GivenTime, Meta(description="Only customers whose updatedAt is this time of RFC 3339 or later.")]
        | UnsetType
    ) = UNSET
    custom_properties: (
        Annotated[
            dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=500)]],
            Meta(
                max_length=10,
                description="Only customers that have all of these custom properties with exactly these values.",
            ),
        ]
        | UnsetType
    ) = UNSET
    include: (
        Annotated[
            list[Literal["contacts", "aliases"]],
            Meta(min_length=1, description="What items show besides what they always do, separated by commas."),
        ]
        | UnsetType
    ) = UNSET


def filter_from_wire(query: CustomerQuery) -> CustomerFilter:
    """Which customers this query wants."""
    return CustomerFilter(
        q=or_none(query.q),
        legal_name=or_none(query.legal_name),
        email=or_none(query.email),
        label=or_none(query.label),
        alias=or_none(query.alias),
        include_archived=query.include_archived is True,
        has_current_billing=None if query.billing_status is UNSET else query.billing_status == "ACTIVE",
        updated_since=None if query.updated_since is UNSET else time_of(query.updated_since),
        custom_properties={} if query.custom_properties is UNSET else dict(sorted(query.custom_properties.items())),
    )


def to_wire(customer: Customer, account_id: UUID, include: Iterable[str]) -> ListedCustomerBody:
    """This customer as an item of a list, with what is to be included."""
    return ListedCustomerBody(
        **listed(customer),
        contacts=[contact_to_wire(contact) for contact in customer.contacts] if "contacts" in include else UNSET,
        aliases=aliases_to_wire(customer, account_id).items if "aliases" in include else UNSET,
    )


@ROUTES.get("/customers", query=CustomerQuery, answer=CustomerList, summary="List customers")
async def list_all(reading: Bound, call: Call, query: CustomerQuery) -> CustomerList:
    """Customers page by page, newest first unless another order is asked for."""
    include = frozenset(query.include or ())
    page, pagination = await customer_page(
        reading,
        call,
        filter_from_wire(query),
        PageParameters(query.limit, query.after, query.before, query.sort_by, query.sort_order),
        parts=(*_SHOWN, *map(CustomerPart, include)),
    )
    items = [to_wire(customer, reading.account_id, include) for customer in page.items]
    return CustomerList(items=items, pagination=pagination)
