"""Adding, changing and archiving the contacts of a customer, one by one."""

from uuid import UUID

from customary.domain import contacts as contact_rules
from customary.domain import customer as rules
from customary.domain.activity import ObjectType, Reference, Verb
from customary.domain.contacts import Contact, ContactWrite
from customary.domain.customer import Customer
from customary.operations.recording import new_id, record_part
from customary.storage import contacts, customers
from customary.storage.database import Tx


async def create_contact(tx: Tx, customer_id: UUID | None, write: ContactWrite) -> Contact:
    """Add a contact to a customer.

    Raises `NotFound`, `Conflict` for an archived customer or a taken e-mail, `Invalid` where nobody would be PRIMARY.
    """
    customer = await customers.get_for_update(tx, customer_id)
    rules.require_writable(customer)
    contact = contact_rules.create(customer.contacts, write, at=tx.now, new_id=new_id)
    await _save(tx, Verb.CREATED, customer, None, contact)
    return contact


async def update_contact(tx: Tx, customer_id: UUID | None, contact_id: UUID | None, write: ContactWrite) -> Contact:
    """Replace a contact; a write that changes nothing stores nothing.

    Raises `NotFound`, `Conflict` for an archived contact or customer or a taken e-mail, `Invalid` where nobody would
    be PRIMARY.
    """
    customer, before = await contacts.get_for_update(tx, customer_id, contact_id)
    rules.require_writable(customer)
    contact = contact_rules.update(customer.contacts, before, write, at=tx.now)
    if contact is not before:
        await _save(tx, Verb.UPDATED, customer, before, contact)
    return contact


async def archive_contact(tx: Tx, customer_id: UUID | None, contact_id: UUID | None) -> Contact:
    """Archive a contact; a second time changes nothing and answers the same, whatever became of the customer since.

    Raises `NotFound`, `Conflict` for an archived customer, `Invalid` where nobody would be PRIMARY.
    """
    customer, before = await contacts.get_for_update(tx, customer_id, contact_id)
    contact = contact_rules.archive(customer.contacts, before, at=tx.now)
    if contact is not before:
        rules.require_writable(customer)
        await _save(tx, Verb.ARCHIVED, customer, before, contact)
    return contact


async def _save(tx: Tx, verb: Verb, customer: Customer, before: Contact | None, contact: Contact) -> None:
    after = rules.with_contacts(customer, contact_rules.place(customer.contacts, contact), at=tx.now)
    await customers.save(tx, after, before=customer)
    part = Reference(ObjectType.CONTACT, contact.id)
    await record_part(tx, verb, part, before=before, after=contact, customer=after)
