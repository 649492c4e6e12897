"""Creating, changing, archiving and unarchiving customers."""

from collections.abc import Callable
from functools import partial
from uuid import UUID

from msgspec import UNSET

from customary.domain import customer as rules
from customary.domain.activity import Verb
from customary.domain.customer import Alias, Customer, CustomerWrite, Organization
from customary.domain.values import parse_id
from customary.errors import Conflict, Contended, Invalid, NotFound, Problem
from customary.operations.aliases import holder_sentence, take
from customary.operations.organizations import touch_customers
from customary.operations.recording import new_id, record_customer
from customary.storage import aliases, customers, organizations
from customary.storage.database import Tx


async def create_customer(tx: Tx, write: CustomerWrite) -> Customer:
    """Store a new customer. Raises `Invalid` for an unknown parent.

    What of it is new is sent with whatever else the transaction adds; a taken alias raises `Conflict` then.
    """
    await _lock_family(tx, None, write)
    customer = rules.create(write, at=tx.now, new_id=new_id)
    await customers.insert(tx, customer)
    await _save_aliases(tx, customer, write, held=())
    if write.parent_id is not UNSET:
        await _set_parent(tx, customer.id, write.parent_id)
        customer = await customers.get(tx, customer.id)
    await record_customer(tx, Verb.CREATED, None, customer)
    await touch_customers(tx, _owners(customer.organizations))
    return customer


async def update_customer(tx: Tx, customer_id: UUID | None, write: CustomerWrite) -> Customer:
    """Replace a customer; a write that changes nothing stores nothing.

    Raises `NotFound`, `Conflict` for an archived customer or a taken alias, `Invalid` for an unknown parent.
    """
    await _lock_family(tx, customer_id, write)
    before = await customers.get_for_update(tx, customer_id)
    customer = rules.update(before, write, at=tx.now, new_id=new_id)
    if customer is not before:
        await customers.save(tx, customer, before=before)
        await _save_aliases(tx, customer, write, held=before.aliases)
        if customer.organizations and customer.legal_name != before.legal_name:
            customer = await customers.get(tx, customer.id)  # its organisations show its name
    if write.parent_id is not UNSET:
        await _set_parent(tx, customer.id, write.parent_id)
        customer = await _after_joining(tx, customer, before)
    if customer is not before:
        await record_customer(tx, Verb.UPDATED, before, customer)
        await touch_customers(tx, _owners_of_one_only(before.organizations, customer.organizations))
    return customer


async def amend_customer(
    tx: Tx, customer_id: UUID | None, amend: Callable[[Customer], CustomerWrite], *, joins: bool
) -> Customer:
    """Replace a customer by what `amend` makes of it as it is, locked; `joins` where that may name a parent.

    Raises what `update_customer` and `amend` raise.
    """
    if joins:
        await organizations.lock(tx)  # before the customer's row: everybody takes the two in this order
    before = await customers.get_for_update(tx, customer_id)
    return await update_customer(tx, before.id, amend(before))


async def put_customer_by_alias(tx: Tx, alias: str, write: CustomerWrite) -> tuple[Customer, bool]:
    """Replace the customer that this alias, or this customer id, names; where there is none, create it with the alias.

    Answers also whether it was created. Raises what `create_customer` and `update_customer` raise, and `Contended`
    where somebody else gives the alias away or takes it at this moment: another attempt sees what they made of it.
    """
    if write.parent_id is not UNSET:
        await organizations.lock(tx)
    try:
        found = await customers.get_by_alias(tx, alias)
    except NotFound:
        return await _create_with_alias(tx, alias, write), True
    before = await customers.get_for_update(tx, found.id)
    is_own_id = parse_id(alias) == before.id
    if not is_own_id and alias not in {each.value for each in before.aliases}:
        message = f"The alias '{alias}' was freed a moment ago. Try again."
        raise Contended(message)
    if write.aliases is not UNSET and not is_own_id:
        write = rules.with_alias(write, alias)
    return await update_customer(tx, before.id, write), False


async def archive_customer(tx: Tx, customer_id: UUID | None) -> Customer:
    """Archive a customer; a second time changes nothing and answers the same. Raises `NotFound`."""
    before = await customers.get_for_update(tx, customer_id)
    customer = rules.archive(before, at=tx.now)
    if customer is not before:
        await customers.save(tx, customer, before=before)
        await record_customer(tx, Verb.ARCHIVED, before, customer)
    return customer


async def unarchive_customer(tx: Tx, customer_id: UUID | None) -> Customer:
    """Put a customer to use again; one that is in use stays as it is. Raises `NotFound`."""
    before = await customers.get_for_update(tx, customer_id)
    customer = rules.unarchive(before, at=tx.now)
    if customer is not before:
        await customers.save(tx, customer, before=before)
        await record_customer(tx, Verb.UNARCHIVED, before, customer)
    return customer


async def _create_with_alias(tx: Tx, alias: str, write: CustomerWrite) -> Customer:
    write = rules.with_alias(write, alias)
    wanted = () if write.aliases is UNSET else write.aliases
    try:
        customer = await create_customer(tx, write)
        await tx.connection.flush()  # which tells whether the aliases were free
    except Conflict as conflict:
        if f"customerAliases[{wanted.index(alias)}]" not in {problem.key for problem in conflict.problems}:
            raise
        raise Contended(conflict.message) from None
    return customer


async def _lock_family(tx: Tx, customer_id: UUID | None, write: CustomerWrite) -> None:
    """Lock whom a change of the parent can touch: organisations first, then customers in the order of their ids.

    It comes before anything else is stored: whoever holds a new alias must not wait for a customer.
    """
    if write.parent_id is UNSET:
        return
    await organizations.lock(tx)
    family = {write.parent_id}
    if customer_id is not None:
        family |= {customer_id, *await organizations.ancestors(tx, customer_id)}
    await organizations.lock_customers(tx, family)


def _owners(joined: tuple[Organization, ...]) -> set[UUID]:
    return {organization.owner.id for organization in joined}


def _owners_of_one_only(before: tuple[Organization, ...], after: tuple[Organization, ...]) -> set[UUID]:
    """Whose organisation the customer left or joined."""
    old, new = {each.id: each for each in before}, {each.id: each for each in after}
    return _owners(tuple((old | new)[each] for each in old.keys() ^ new.keys()))


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
    if new and write.aliases is not UNSET:
        take(tx, customer.id, new, refused=partial(_taken, write.aliases))


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
    if await organizations.is_child(tx, parent_id, customer_id):
        return  # also where the parent has been archived since: repeating what is so changes nothing
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
