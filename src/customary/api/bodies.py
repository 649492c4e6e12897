"""Bodies that are the same in every version, and the flat view of a customer's contacts that three of them share."""

from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from customary.api.paging import PaginationBody
from customary.api.wire import Id, Text, Time, Wire, or_unset, time_form
from customary.domain import contacts as contact_rules
from customary.domain.aliases import OwnedAlias
from customary.domain.customer import Alias, Customer, state_problem
from customary.domain.values import parse_id
from customary.errors import Forbidden, Invalid, Problem


class AliasBody(Wire):
    """Another name of a customer."""

    id: Id
    sequence_account_id: Id
    customer_id: Id
    value: Annotated[str, Meta(description="The other name, unique in the account.")]
    created_at: Time


class AliasesBody(Wire):
    """All aliases of a customer."""

    items: list[AliasBody]


class CustomerAliasBody(AliasBody):
    """Another name of a customer, with what has been noted about it."""

    deleted_at: (
        Annotated[Time, Meta(description="When it was freed; only in the answer that frees it.")] | UnsetType
    ) = UNSET
    label: Annotated[str, Meta(description="What kind of name this is.")] | UnsetType = UNSET
    archived_at: Annotated[Time, Meta(description="Never there: aliases are deleted.")] | UnsetType = UNSET


class CustomerAliasList(Wire):
    """A page of aliases."""

    items: list[CustomerAliasBody]
    pagination: PaginationBody


class AliasLabelRequest(Wire):
    """What to note about an alias."""

    label: Annotated[Text, Meta(description="What kind of name this is. Without it, none is noted.")] | UnsetType = (
        UNSET
    )


class FlatContact(Struct, frozen=True):
    """What the two older shapes show of a customer's contacts."""

    email: str
    name: str | UnsetType
    billing_emails: list[str]


def aliases_to_wire(customer: Customer, account_id: object) -> AliasesBody:
    """The aliases of this customer; its own id, always one of them, is not listed."""
    return AliasesBody(items=[_alias_to_wire(alias, customer, account_id) for alias in customer.aliases])


def _alias_to_wire(alias: Alias, customer: Customer, account_id: object) -> AliasBody:
    return AliasBody(
        id=str(alias.id),
        sequence_account_id=str(account_id),
        customer_id=str(customer.id),
        value=alias.value,
        created_at=time_form(alias.created_at),
    )


def customer_alias_to_wire(owned: OwnedAlias, account_id: object) -> CustomerAliasBody:
    """This alias, with its customer."""
    return CustomerAliasBody(
        id=str(owned.alias.id),
        sequence_account_id=str(account_id),
        customer_id=str(owned.customer_id),
        value=owned.alias.value,
        created_at=time_form(owned.alias.created_at),
        deleted_at=or_unset(owned.deleted_at and time_form(owned.deleted_at)),
        label=or_unset(owned.alias.label),
    )


def require_own_account(account_id: UUID, sequence_account_id: str) -> None:
    """Raise `Forbidden` unless a body speaks of the account that its key belongs to."""
    if parse_id(sequence_account_id) != account_id:
        message = "This API key belongs to another account than the sequenceAccountId of this request."
        raise Forbidden(message)


def customer_in_body(text: str, key: str = "customerId") -> UUID:
    """The id of a customer in a body's field. Raises `Invalid` for one that can be nobody's."""
    customer_id = parse_id(text)
    if customer_id is None:
        message = f"There is no customer {text} in this account."
        raise Invalid(message, (Problem(key, "unknownCustomer", message),))
    return customer_id


def flat_contact(customer: Customer) -> FlatContact:
    """The flat view of the contacts. The e-mail is empty where there is no contact left, as the schemas require one."""
    primary = contact_rules.primary(customer.contacts)
    emails = contact_rules.billing_emails(customer.contacts)
    if primary is None:
        return FlatContact("", UNSET, emails)
    return FlatContact(primary.email, UNSET if primary.name == customer.legal_name else primary.name, emails)


def state_problems(country: str, state: str | UnsetType) -> Iterable[Problem]:
    """What is wrong with the state of an address, under the address's own key."""
    problem = state_problem(country, None if state is UNSET else state)
    if problem is not None:
        yield Problem("state", problem.code, problem.message)


def repeated_services(services: Iterable[str], field: str) -> Iterable[Problem]:
    """A problem for each service that a list of links names again; `field` is what the version calls the service."""
    seen: set[str] = set()
    for position, service in enumerate(services):
        if service in seen:
            message = f"{service} stands in this list twice; a customer has at most one link to a service."
            yield Problem(f"[{position}].{field}", "repeated", message)
        seen.add(service)
