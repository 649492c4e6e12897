"""A customer as a row of a file that is imported, and what becomes of it.

A row is a create, and can say more than one: the id that the customer has elsewhere, its times, and whose organisation
it belongs to. That is how an export can be imported again.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from customary.domain import customer as rules
from customary.domain.contacts import Contact, email_key
from customary.domain.customer import Customer, CustomerWrite, Link, Service
from customary.errors import Invalid, Problem


class Format(StrEnum):
    """How a file says it."""

    CSV = "csv"
    JSONL = "jsonl"


class Times(Struct, frozen=True):
    """When something was made and last changed elsewhere; None where the row does not say."""

    created_at: datetime | None = None
    updated_at: datetime | None = None


class GivenContact(Struct, frozen=True):
    """What a row says of a contact beside what a create says."""

    email: str
    id: UUID | None
    times: Times


class GivenLink(Struct, frozen=True):
    """What a row says of a link beside what a create says."""

    service: Service
    is_pending: bool
    last_synced_at: datetime | None


class Owner(Struct, frozen=True):
    """Whose organisation a customer is to join: an id or an alias, and whether as its parent."""

    reference: str
    is_parent: bool


class Row(Struct, frozen=True, kw_only=True):
    """One customer in a file. `line` is where it begins, counted from 1."""

    line: int
    write: CustomerWrite
    id: UUID | None = None
    times: Times = Times()
    archived_at: datetime | None = None
    contacts: tuple[GivenContact, ...] = ()
    links: tuple[GivenLink, ...] = ()
    alias_labels: dict[str, str] = {}
    owners: tuple[Owner, ...] = ()


class RowProblem(Struct, frozen=True):
    """Something that is wrong with a line of a file. `column` is a path in the names of the file, or empty."""

    line: int
    column: str
    message: str


class Place(Struct, frozen=True):
    """How far a file was read: everything before this byte, lines and rows counted from its beginning."""

    byte: int = 0
    line: int = 0
    rows: int = 0


class Judged(Struct, frozen=True):
    """A row of a file, or what is wrong with it, and the place behind it. A row of nothing but space is neither."""

    place: Place
    row: Row | None = None
    problems: tuple[RowProblem, ...] = ()


def create(row: Row, *, at: datetime, new_id: Callable[[], UUID]) -> Customer:
    """The customer that this row makes, whose first version it is. Raises `Invalid` or `Conflict`."""
    _require_past(row, at)
    made_at = row.times.created_at or at
    customer = rules.create(row.write, at=made_at, new_id=new_id, customer_id=row.id)
    if row.contacts:
        contacts = _contacts(customer, row)
        customer = replace(customer, contacts=contacts, domain=rules.domain_of(customer.url, contacts))
    if row.links:
        customer = replace(customer, links=_links(customer, row))
    if row.alias_labels:
        labelled = (replace(each, label=row.alias_labels.get(each.value)) for each in customer.aliases)
        customer = replace(customer, aliases=tuple(labelled))
    if row.times.updated_at or row.archived_at:
        return replace(customer, updated_at=row.times.updated_at or made_at, archived_at=row.archived_at)
    return customer


def _contacts(customer: Customer, row: Row) -> tuple[Contact, ...]:
    given = {email_key(each.email): each for each in row.contacts}
    contacts = (_restored(contact, given.get(email_key(contact.email))) for contact in customer.contacts)
    return tuple(sorted(contacts, key=lambda contact: (contact.created_at, contact.id)))


def _restored(contact: Contact, given: GivenContact | None) -> Contact:
    if given is None:
        return contact
    created_at = given.times.created_at or contact.created_at
    return replace(
        contact, id=given.id or contact.id, created_at=created_at, updated_at=given.times.updated_at or created_at
    )


def _links(customer: Customer, row: Row) -> tuple[Link, ...]:
    given = {each.service: each for each in row.links}
    return tuple(
        replace(link, is_pending=given[link.service].is_pending, last_synced_at=given[link.service].last_synced_at)
        if link.service in given
        else link
        for link in customer.links
    )


def _require_past(row: Row, at: datetime) -> None:
    """Raise `Invalid` for times that cannot have been: of the future, or a change before there was anything."""
    problems = [
        *_impossible("", row.times, at),
        *(
            problem
            for position, contact in enumerate(row.contacts)
            for problem in _impossible(f"contacts[{position}].", contact.times, at)
        ),
    ]
    if row.archived_at is not None and row.archived_at > at:
        problems.append(Problem("archivedAt", "time", "This time has not come yet."))
    if problems:
        message = "Times of what was must be in the past, and in their order."
        raise Invalid(message, tuple(problems))


def _impossible(key: str, times: Times, at: datetime) -> Iterable[Problem]:
    if times.created_at is not None and times.created_at > at:
        yield Problem(f"{key}createdAt", "time", "This time has not come yet.")
    if times.updated_at is not None:
        if times.updated_at > at:
            yield Problem(f"{key}updatedAt", "time", "This time has not come yet.")
        elif times.created_at is None or times.updated_at < times.created_at:
            yield Problem(f"{key}updatedAt", "time", "What changed must have been made before, in createdAt.")
