"""A page of a list: where it starts, which way it goes, and what came of it."""

from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

from msgspec import Struct

Item = TypeVar("Item")

SortValue: TypeAlias = datetime | str | None


class CustomerOrder(StrEnum):
    """What customers can be sorted by, besides a custom property."""

    CREATED_AT = "createdAt"
    UPDATED_AT = "updatedAt"
    LEGAL_NAME = "legalName"
    LABEL = "label"


class CustomProperty(Struct, frozen=True):
    """Sorting by the value of one custom property."""

    key: str


class Relevance(Struct, frozen=True):
    """Sorting by how well a customer matches `q`, the best first: see `CustomerFilter`. Ties are broken by name."""


class CustomerPart(StrEnum):
    """What belongs to a customer and is only read where somebody wants to see it."""

    CONTACTS = "contacts"
    ALIASES = "aliases"
    LINKS = "links"
    ORGANIZATIONS = "organizations"


class Position(Struct, frozen=True):
    """A place in a sorted list: that of one row, or the far side of it where `is_past` is set.

    A row without the sort value has None and comes after all others in both orders. Ties are broken by id.
    """

    value: SortValue
    id: UUID
    is_past: bool = False


class Window(Struct, frozen=True):
    """Which rows of a sorted list are wanted: `limit` of them after or before a position, or the first ones."""

    limit: int
    is_descending: bool = True
    after: Position | None = None
    before: Position | None = None


class CustomerFilter(Struct, frozen=True):
    """Which customers are wanted; None means: any. The texts match anywhere in the value, the alias exactly.

    Each word of `q` has to stand somewhere in the name, label, domain, contacts' e-mails, aliases or links' ids. Best
    is a customer one of whose values is just `q`, then one with a value that begins so. Of `custom_properties` all
    have to be there with exactly these values.
    """

    q: str | None = None
    legal_name: str | None = None
    email: str | None = None
    label: str | None = None
    alias: str | None = None
    include_archived: bool = False
    has_current_billing: bool | None = None
    updated_since: datetime | None = None
    custom_properties: dict[str, str] = {}


class Page(Struct, Generic[Item], frozen=True):
    """The rows of one page. `after` and `before` are set only where there is a page to go to."""

    items: tuple[Item, ...]
    total: int
    after: Position | None = None
    before: Position | None = None
