"""Creating, changing and archiving customers."""

from uuid import UUID

from msgspec import UNSET

from customary.domain import customer as rules
from customary.domain.activity import Verb
from customary.domain.customer import Alias, Customer, CustomerWrite
from customary.errors import Conflict, Invalid, NotFound, Problem
from customary.operations.aliases import holder_sentence, take
from customary.operations.recording import new_id, record_customer
from customary.storage import aliases, customers, organizations
from customary.storage.database import Tx


async def create_customer(tx: Tx, write: CustomerWrite) -> Customer:
    """Store a new customer. Raises `Invalid` for an unknown parent, `Conflict` for a taken alias."""
    customer = rules.create(write, at=tx.now, new_id=new_id)
    await customers.insert(tx, customer)
    await _save_aliases(tx, customer, write, held=())
    if write.parent_id is not UNSET:
        await organizations.lock(tx)
        await _set_parent(tx, customer.id, write.parent_id)
        customer = await customers.get(tx, customer.id)
    await record_customer(tx, Verb.CREATED, None, customer)
    return customer


async def update_customer(tx: Tx, customer_id: UUID | None, write: CustomerWrite) -> Customer:
    """Replace a customer; a write that changes nothing stores nothing.

    Raises `NotFound`, `Conflict` for an archived customer or a taken alias, `Invalid` for an unknown parent.
    """
    if write.parent_id is not UNSET:
        await organizations.lock(tx)  # before the customer's row: everybody takes the two in this order
    before = await customers.get_for_update(tx, customer_id)
    customer = rules.update(before, write, at=tx.now, new_id=new_id)
    if customer is not before:
        await customers.save(tx, customer, before=before)
        await _save_aliases(tx, customer, write, held=before.aliases)
    if write.parent_id is not UNSET:
        await _set_parent(tx, customer.id, write.parent_id)
        customer = await _after_joining(tx, customer, before)
    if customer is not before:
        await record_customer(tx, Verb.UPDATED, before, customer)
    return customer


async def archive_customer(tx: Tx, customer_id: UUID | None) -> Customer:
    """Archive a customer; a second time changes nothing and answers the same. Raises `NotFound`."""
    before = await customers.get_for_update(tx, customer_id)
    customer = rules.archive(before, at=tx.now)
    if customer is not before:
        await customers.save(tx, customer, before=before)
        await record_customer(tx, Verb.ARCHIVED, before, customer)
    return customer


async def _after_joining(tx: Tx, customer: Customer, before: Customer) -> Customer:
    """The customer with the organisations that it is in now; a new one is a change of the customer like any other."""
    after = await customers.get(tx, customer.id)
    if after.organizations == before.organizations:
        return customer
    if customer is before:
        after = rules.touched(after, at=tx.now)
        await customers.save(tx, after, before=after)
    return after


async def _save_aliases(tx: Tx, customer: Customer, write: CustomerWrite, *, held: tuple[Alias, ...]) -> None:
    gone = [alias for alias in held if alias not in customer.aliases]
    new = [alias for alias in customer.aliases if alias not in held]
    if gone:
        await aliases.delete(tx, gone)
    if not new:
        return
    taken = await take(tx, customer.id, new)
    if taken and write.aliases is not UNSET:
        raise _taken(write.aliases, taken)


def _taken(wanted: tuple[str, ...], taken: dict[str, aliases.Holder]) -> Conflict:
    problems = tuple(
        Problem(f"customerAliases[{position}]", "aliasTaken", holder_sentence(taken[value]))
        for position, value in enumerate(wanted)
        if value in taken
    )
    return Conflict(" ".join(problem.message for problem in problems), problems)


async def _set_parent(tx: Tx, customer_id: UUID, parent_id: UUID) -> None:
    """Make the customer a member of its parent's organisation, which is made if there is none."""
    if parent_id == customer_id:
        raise _invalid_parent("A customer cannot be its own parent.")
    try:
        parent = await customers.get_for_update(tx, parent_id)
    except NotFound:
        raise _invalid_parent(f"There is no customer {parent_id} in this account.") from None
    rules.require_writable(parent)
    if customer_id in await organizations.ancestors(tx, parent_id):
        raise _invalid_parent(
            f"Customer {parent_id} is itself below this customer: that would make a circle of parents."
        )
    organization_id = await organizations.ensure(tx, parent_id, new_id())
    await organizations.set_parent(tx, organization_id, customer_id)


def _invalid_parent(message: str) -> Invalid:
    return Invalid(message, (Problem("parentId", "parent", message),))
