"""Bodies that are the same in every version, and the flat view of a customer's contacts that three of them share."""

from collections.abc import Iterable
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from customary.api.wire import Id, Time, Wire, time_text
from customary.domain import contacts as contact_rules
from customary.domain.customer import Alias, Customer, state_problem
from customary.errors import Problem


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
        created_at=time_text(alias.created_at),
    )


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
