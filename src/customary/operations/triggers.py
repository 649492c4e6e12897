"""Changes made to see what they set off: real ones, since an event exists if and only if something changed."""

from uuid import UUID

from msgspec import UNSET
from msgspec.structs import replace

from customary.domain import example
from customary.domain.activity import EventType
from customary.domain.contacts import ContactWrite
from customary.domain.customer import MAXIMUM_CUSTOM_PROPERTIES, Customer, CustomerWrite
from customary.errors import Invalid
from customary.operations.customers import amend_customer, archive_customer, create_customer, update_customer
from customary.storage.database import Tx

NAME = "Example (customary trigger)"
LABEL = "Changed by customary trigger"
PROPERTY = "customary-trigger"


async def trigger_with_example(tx: Tx, event_type: EventType) -> Customer:
    """Create a customer that is plainly an example, and change or archive it where that is asked for.

    What happens to it before is an event too: a customer that is archived was created.
    """
    write = _example()
    customer = await create_customer(tx, write)
    match event_type:
        case EventType.CUSTOMER_CREATED:
            return customer
        case EventType.CUSTOMER_UPDATED:
            return await update_customer(tx, customer.id, replace(write, label=LABEL))
        case EventType.CUSTOMER_ARCHIVED:
            return await archive_customer(tx, customer.id)


async def trigger_update(tx: Tx, customer_id: UUID | None) -> Customer:
    """Change a customer in a way that the next time undoes: a custom property of ours is set, or taken away.

    Raises `NotFound`, `Conflict` for an archived customer, `Invalid` for one that has no room for the property.
    """
    return await amend_customer(tx, customer_id, lambda before: _toggled(before, tx), joins=False)


def _example() -> CustomerWrite:
    shown = example.customer()
    return CustomerWrite(
        legal_name=NAME,
        address=shown.address,
        contacts=tuple(ContactWrite(each.name, each.email, each.billing_preference) for each in shown.contacts),
        url=shown.url,
    )


def _toggled(before: Customer, tx: Tx) -> CustomerWrite:
    """All of this customer, with the property if it has none and without it otherwise."""
    properties = {name: value for name, value in before.custom_properties.items() if name != PROPERTY}
    if PROPERTY not in before.custom_properties:
        properties[PROPERTY] = tx.now.isoformat()
    if len(properties) > MAXIMUM_CUSTOM_PROPERTIES:
        message = (
            f"Customer {before.id} has {MAXIMUM_CUSTOM_PROPERTIES} custom properties, the most that there can be, so"
            f" '{PROPERTY}' has no room. Name another customer, or leave it out to have an example made."
        )
        raise Invalid(message)
    return CustomerWrite(
        legal_name=before.legal_name,
        address=before.address,
        contacts=UNSET,
        tax_status=before.tax_status,
        url=before.url,
        label=before.label,
        custom_properties=properties,
    )
