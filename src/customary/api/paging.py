"""Lists on the wire: limits, orders and cursors, the same in every version."""

import time
from collections.abc import Collection
from datetime import datetime
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, UnsetType

from customary.api.cursors import GOOD_FOR_DAYS, Cursors
from customary.api.endpoint import Call
from customary.api.wire import Filter, Wire, or_unset, rule
from customary.domain.customer import Customer
from customary.domain.page import (
    CustomerFilter,
    CustomerOrder,
    CustomerPart,
    CustomProperty,
    Page,
    Relevance,
    Window,
)
from customary.errors import Invalid, Problem
from customary.storage import customer_pages, organizations
from customary.storage.database import Reading

DEFAULT_LIMIT = 20
_SECONDS_OF_A_DAY = 86_400
_PROPERTY_PREFIX = "customProperties."

Limit: TypeAlias = Annotated[
    int, Meta(ge=1, le=100, description=f"How many objects a page holds at most. Without it: {DEFAULT_LIMIT}.")
]
Cursor: TypeAlias = Annotated[
    str,
    Meta(
        description="A cursor from `pagination` of another page of the same list, with the same filters and order."
        f" Leave it out for the first page. It is good for {GOOD_FOR_DAYS} days."
    ),
]


def _refuse_order(text: str) -> None:
    if text.upper() not in {"ASC", "DESC"}:
        message = f"'{text}' is not a sort order. Use ASC or DESC."
        raise ValueError(message)


def _refuse_sort(text: str) -> None:
    if text not in set(CustomerOrder):
        message = f"'{text}' is nothing that customers can be sorted by. Use {', '.join(CustomerOrder)}."
        raise ValueError(message)


def _refuse_sort_or_property(text: str) -> None:
    if not text.startswith(_PROPERTY_PREFIX) or text == _PROPERTY_PREFIX:
        _refuse_sort(text)


SortBy: TypeAlias = Annotated[
    str,
    Meta(
        description="What to sort by: createdAt (the default), updatedAt, legalName or label.",
        pattern="^(createdAt|updatedAt|legalName|label)$",
        extra=rule("enum", _refuse_sort),
    ),
]
SortByOrProperty: TypeAlias = Annotated[
    str,
    Meta(
        description="createdAt (the default), updatedAt, legalName, label or customProperties.<key>.",
        pattern=r"^(createdAt|updatedAt|legalName|label|customProperties\.[\s\S]+)$",
        extra=rule("enum", _refuse_sort_or_property),
    ),
]
SortOrder: TypeAlias = Annotated[
    str,
    Meta(
        description="ASC or DESC, which is the default.",
        extra_json_schema={"enum": ["ASC", "DESC"]},
        extra=rule("enum", _refuse_order),
    ),
]
# Nothing that is searched is longer, but a name may be; what is typed to find it need not be.
_ShortFilter: TypeAlias = Annotated[Filter, Meta(max_length=255)]
LegalNameFilter: TypeAlias = Annotated[
    _ShortFilter, Meta(description="Only customers with this text in their legal name.")
]
EmailFilter: TypeAlias = Annotated[
    _ShortFilter, Meta(description="Only customers with this text in a contact's e-mail.")
]
LabelFilter: TypeAlias = Annotated[_ShortFilter, Meta(description="Only customers with this text in their label.")]
AliasFilter: TypeAlias = Annotated[_ShortFilter, Meta(description="Only the customer with exactly this alias.")]
IncludeArchived: TypeAlias = Annotated[
    bool, Meta(description="Whether archived ones are listed too. Without it: false.")
]
PathOfPage: TypeAlias = Annotated[str, Meta(description="The cursor of that page; absent where there is none.")]


class PaginationBody(Wire):
    """Where the other pages are."""

    after: PathOfPage | UnsetType = UNSET
    before: PathOfPage | UnsetType = UNSET
    total_result_size: Annotated[
        int, Meta(description="How many rows match, on all pages.", ge=0, extra_json_schema={"format": "int64"})
    ]


class PageParameters(msgspec.Struct, frozen=True):
    """What lists take, as a query gave it."""

    limit: int | UnsetType = UNSET
    after: str | UnsetType = UNSET
    before: str | UnsetType = UNSET
    sort_by: str | UnsetType = UNSET
    sort_order: str | UnsetType = UNSET


class Pager(msgspec.Struct, frozen=True):
    """Which page of a list is wanted, and how its cursors are written."""

    window: Window
    cursors: Cursors

    def pagination(self, page: Page[Any]) -> PaginationBody:
        """Where the pages around this one are."""
        return PaginationBody(
            after=or_unset(page.after and self.cursors.write(page.after)),
            before=or_unset(page.before and self.cursors.write(page.before)),
            total_result_size=page.total,
        )


def pager(
    call: Call,
    list_key: tuple[object, ...],
    parameters: PageParameters,
    *,
    value_type: type[datetime] | type[str] = datetime,
) -> Pager:
    """The page of a list that these parameters ask for.

    `list_key` is everything that makes the list what it is: tenant, name, filters and what it is sorted by, whose
    values are of `value_type`. A cursor of another list is refused. Raises `Invalid`.
    """
    is_descending = _is_descending(parameters.sort_order)
    list_bytes = msgspec.json.encode((*list_key, is_descending))
    cursors = Cursors(call.cursor_secret, list_bytes, value_type, _today())
    after, before = parameters.after, parameters.before
    if after is not UNSET and before is not UNSET:
        message = "'after' and 'before' name two directions; give one of them."
        raise Invalid(message, (Problem("after", "cursor", message), Problem("before", "cursor", message)))
    window = Window(
        limit=DEFAULT_LIMIT if parameters.limit is UNSET else parameters.limit,
        is_descending=is_descending,
        after=None if after is UNSET else cursors.read("after", after),
        before=None if before is UNSET else cursors.read("before", before),
    )
    return Pager(window, cursors)


async def customer_page(
    reading: Reading,
    call: Call,
    wanted: CustomerFilter,
    parameters: PageParameters,
    *,
    parts: Collection[CustomerPart] = (CustomerPart.CONTACTS, CustomerPart.LINKS),
) -> tuple[Page[Customer], PaginationBody]:
    """One page of customers with these parts, and where the others are.

    What `q` finds comes with the best first, whatever the sort order, unless something else is sorted by. Raises
    `Invalid` for a cursor that is none, or not of this list.
    """
    order = _order(parameters.sort_by)
    if wanted.q is not None and parameters.sort_by is UNSET:
        order, parameters = Relevance(), msgspec.structs.replace(parameters, sort_order="ASC")
    value_type = datetime if order in {CustomerOrder.CREATED_AT, CustomerOrder.UPDATED_AT} else str
    key = (reading.account_id, "customers", wanted, order)
    asked = pager(call, key, parameters, value_type=value_type)
    # An organisation is read once, however many of its members are on the page.
    own_parts = [part for part in parts if part is not CustomerPart.ORGANIZATIONS]
    page = await customer_pages.fetch(reading, wanted, order, asked.window, own_parts)
    if CustomerPart.ORGANIZATIONS in parts:
        page = msgspec.structs.replace(page, items=await organizations.with_organizations(reading, page.items))
    return page, asked.pagination(page)


def _today() -> int:
    return int(time.time() // _SECONDS_OF_A_DAY)


def _is_descending(sort_order: str | UnsetType) -> bool:
    if sort_order is UNSET:
        return True
    try:
        _refuse_order(sort_order)
    except ValueError as error:
        raise Invalid(str(error), (Problem("sortOrder", "enum", str(error)),)) from None
    return sort_order.upper() == "DESC"


def _order(sort_by: str | UnsetType) -> CustomerOrder | CustomProperty:
    if sort_by is UNSET:
        return CustomerOrder.CREATED_AT
    if sort_by.startswith(_PROPERTY_PREFIX):
        return CustomProperty(sort_by.removeprefix(_PROPERTY_PREFIX))
    return CustomerOrder(sort_by)
