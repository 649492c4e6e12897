"""Creating, changing and deleting the payment settings of customers."""

from uuid import UUID

from customary.domain import customer as customer_rules
from customary.domain import payment as rules
from customary.domain.activity import ObjectType, Reference, Verb
from customary.domain.payment import PaymentProvider, PaymentSettings
from customary.domain.values import parse_id
from customary.errors import Conflict, Invalid, NotFound, Problem
from customary.operations.recording import customer_reference, new_id, record
from customary.storage import customers, payment_settings
from customary.storage.database import Tx


async def create_payment_settings(tx: Tx, customer_id: str, provider: PaymentProvider) -> PaymentSettings:
    """Store the settings of a customer, whose id is as it was sent.

    Raises `Invalid` for a customer that is not here, `Conflict` for an archived one and for one that has settings.
    """
    try:
        customer = await customers.get_for_update(tx, parse_id(customer_id))
    except NotFound:
        message = f"There is no customer '{customer_id}' in this account."
        raise Invalid(message, (Problem("customerId", "customer", message),)) from None
    customer_rules.require_writable(customer)
    held = await payment_settings.of_customer(tx, customer.id)
    if held is not None:
        message = f"Customer {customer.id} has payment settings already: {held.id}. Change or delete those."
        raise Conflict(message, (Problem("customerId", "settingsExist", message),))
    settings = PaymentSettings(new_id(), customer.id, provider, tx.now)
    await payment_settings.insert(tx, settings)
    await _record(tx, Verb.CREATED, settings, before=None, after=settings)
    return settings


async def update_payment_settings(
    tx: Tx, settings_id: UUID | None, provider: PaymentProvider, *, known: frozenset[PaymentProvider]
) -> PaymentSettings:
    """Change the provider, through a version that knows these; a write that changes nothing stores nothing.

    Raises `NotFound`, `Conflict` if the customer is archived.
    """
    before = await payment_settings.get_for_update(tx, settings_id)
    customer_rules.require_writable(await customers.get_for_update(tx, before.customer_id))
    settings = rules.update(before, provider, known=known)
    if settings is not before:
        await payment_settings.save(tx, settings)
        await _record(tx, Verb.UPDATED, settings, before=before, after=settings)
    return settings


async def delete_payment_settings(tx: Tx, settings_id: UUID | None) -> PaymentSettings:
    """Remove settings and answer what they were. Raises `NotFound`, `Conflict` if the customer is archived."""
    settings = await payment_settings.get_for_update(tx, settings_id)
    customer_rules.require_writable(await customers.get_for_update(tx, settings.customer_id))
    await payment_settings.delete(tx, settings)
    await _record(tx, Verb.DELETED, settings, before=settings, after=None)
    return settings


async def _record(
    tx: Tx,
    verb: Verb,
    settings: PaymentSettings,
    *,
    before: PaymentSettings | None,
    after: PaymentSettings | None,
) -> None:
    thing = Reference(ObjectType.CUSTOMER_PAYMENT_SETTINGS, settings.id)
    await record(tx, verb, thing, before=before, after=after, target=customer_reference(settings.customer_id))
