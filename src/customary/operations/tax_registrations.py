"""Creating, changing and deleting tax registrations."""

from uuid import UUID

from customary.domain import customer as customer_rules
from customary.domain import tax as rules
from customary.domain.activity import ObjectType, Reference, Verb
from customary.domain.tax import TaxRegistration, TaxRegistrationWrite
from customary.domain.values import parse_id
from customary.errors import Invalid, NotFound, Problem
from customary.operations.recording import customer_reference, new_id, record
from customary.storage import customers, tax_registrations
from customary.storage.database import Tx


async def create_tax_registration(tx: Tx, write: TaxRegistrationWrite) -> TaxRegistration:
    """Store a new registration.

    Raises `Invalid` for one that is nobody's or names a customer or merchant that is not here, `Conflict` for an
    archived customer.
    """
    customer_id, merchant_id = await _owners(tx, write, before=None)
    registration = TaxRegistration(
        id=new_id(),
        tax_identifier=write.tax_identifier,
        country=write.country,
        state=write.state,
        customer_id=customer_id,
        merchant_id=merchant_id,
        created_at=tx.now,
    )
    await tax_registrations.insert(tx, registration)
    await _record(tx, Verb.CREATED, None, registration)
    return registration


async def update_tax_registration(tx: Tx, registration_id: UUID | None, write: TaxRegistrationWrite) -> TaxRegistration:
    """Replace a registration; a write that changes nothing stores nothing.

    Raises `NotFound`, `Invalid` as a create does, `Conflict` if its customer, before or after, is archived.
    """
    before = await tax_registrations.get_for_update(tx, registration_id)
    customer_id, merchant_id = await _owners(tx, write, before=before)
    registration = rules.update(before, write, customer_id=customer_id, merchant_id=merchant_id)
    if registration != before:
        await tax_registrations.save(tx, registration)
        await _record(tx, Verb.UPDATED, before, registration)
    return registration


async def delete_tax_registration(tx: Tx, registration_id: UUID | None) -> TaxRegistration:
    """Remove a registration and answer what it was. Raises `NotFound`, `Conflict` if its customer is archived."""
    registration = await tax_registrations.get_for_update(tx, registration_id)
    if registration.customer_id is not None:
        customer_rules.require_writable(await customers.get_for_update(tx, registration.customer_id))
    await tax_registrations.delete(tx, registration)
    await _record(tx, Verb.DELETED, registration, None)
    return registration


async def _owners(
    tx: Tx, write: TaxRegistrationWrite, *, before: TaxRegistration | None
) -> tuple[UUID | None, UUID | None]:
    """The customer and the merchant that a write names, the customers concerned locked and none of them archived."""
    found = list(rules.problems(write, account_id=tx.account_id))
    if write.names_nobody and before is None:
        found += rules.ownerless()
    wanted = None if write.customer_id is None else parse_id(write.customer_id)
    concerned = {each for each in (wanted, before and before.customer_id) if each is not None}
    # In one order, so that two requests that want the same two customers do not wait for each other in a circle.
    locked = [customer for each in sorted(concerned) if (customer := await _lock(tx, each))]
    if write.customer_id is not None and wanted not in {customer.id for customer in locked}:
        message = f"There is no customer '{write.customer_id}' in this account."
        found.append(Problem("customerId", "customer", message))
    if found:
        named = ", ".join(dict.fromkeys(problem.key for problem in found))
        raise Invalid(f"The request is not valid: {named}.", tuple(found))
    for customer in locked:
        customer_rules.require_writable(customer)
    return wanted, None if write.merchant_id is None else tx.account_id


async def _lock(tx: Tx, customer_id: UUID) -> customer_rules.Customer | None:
    try:
        return await customers.get_for_update(tx, customer_id)
    except NotFound:
        return None


async def _record(tx: Tx, verb: Verb, before: TaxRegistration | None, after: TaxRegistration | None) -> None:
    owners = [state.customer_id for state in (after, before) if state is not None and state.customer_id is not None]
    thing = after or before
    assert thing is not None  # noqa: S101 - a change has a state before it or after it
    await record(
        tx,
        verb,
        Reference(ObjectType.TAX_REGISTRATION, thing.id),
        before=before,
        after=after,
        target=customer_reference(owners[0]) if owners else None,
    )
