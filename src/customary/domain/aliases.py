"""What becomes of a customer when one of its aliases is added, labelled or removed."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from customary.domain.customer import MAXIMUM_ALIASES, Alias, Customer, require_writable, touched
from customary.domain.values import parse_id
from customary.errors import Conflict, Invalid, Problem


class AliasWrite(Struct, frozen=True):
    """An alias as somebody asks for it; `label` says what kind of name it is."""

    value: str
    label: str | None = None


class OwnedAlias(Struct, frozen=True):
    """An alias with the customer that it names, or named until `deleted_at`."""

    customer_id: UUID
    alias: Alias
    deleted_at: datetime | None = None


def add(customer: Customer, write: AliasWrite, *, at: datetime, new_id: Callable[[], UUID]) -> tuple[Customer, Alias]:
    """This customer with another alias, and that alias; whether the value is free is not known here.

    Raises `Conflict` for an archived customer and for its own id, `Invalid` where it has as many as there can be.
    """
    require_writable(customer)
    if parse_id(write.value) == customer.id:
        message = f"'{write.value}' is the id of this customer, which is an alias of it already and always."
        raise Conflict(message, (Problem("value", "aliasTaken", message),))
    if len(customer.aliases) >= MAXIMUM_ALIASES:
        message = f"A customer has at most {MAXIMUM_ALIASES} aliases. Delete one of customer {customer.id} first."
        raise Invalid(message, (Problem("customerId", "tooMany", message),))
    alias = Alias(new_id(), write.value, at, write.label)
    aliases = sorted((*customer.aliases, alias), key=lambda each: (each.created_at, each.id))
    return touched(replace(customer, aliases=tuple(aliases)), at=at), alias


def relabel(customer: Customer, alias: Alias, label: str | None, *, at: datetime) -> tuple[Customer, Alias]:
    """This customer and its alias under this label, the same objects when it has it. Raises `Conflict`."""
    require_writable(customer)
    if alias.label == label:
        return customer, alias
    after = replace(alias, label=label)
    aliases = tuple(after if each.id == alias.id else each for each in customer.aliases)
    return touched(replace(customer, aliases=aliases), at=at), after


def remove(customer: Customer, alias: Alias, *, at: datetime) -> Customer:
    """This customer without this alias. Raises `Conflict` for an archived customer."""
    require_writable(customer)
    return touched(replace(customer, aliases=tuple(each for each in customer.aliases if each.id != alias.id)), at=at)
