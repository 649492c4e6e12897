"""A customer that nobody has: what is sent where somebody wants to see what a change would look like.

Its ids and times are always the same, its addresses are under example.com, which is nobody's by RFC 2606, and its
telephone number is one that the British regulator keeps for fiction.
"""

from datetime import UTC, datetime
from uuid import UUID

from msgspec.structs import replace

from customary.domain import customer as rules
from customary.domain.activity import EventType
from customary.domain.contacts import BillingPreference, Contact
from customary.domain.customer import Address, Alias, Customer, Link, Service, Status, TaxStatus

_CREATED_AT = datetime(2026, 1, 2, 10, 55, tzinfo=UTC)
_CHANGED_AT = datetime(2026, 1, 3, 9, 30, tzinfo=UTC)
_CUSTOMER = Customer(
    id=UUID("00000000-0000-7000-8000-000000000001"),
    legal_name="Example Ltd",
    address=Address(line1="1 Example Street", town="Bristol", postcode="BS1 4ST", country="GB"),
    tax_status=TaxStatus.TAXED,
    status=Status.ACTIVE,
    created_at=_CREATED_AT,
    updated_at=_CREATED_AT,
    url="https://example.com/",
    label="Example",
    telephone="+44 117 496 0321",
    domain="example.com",
    contacts=(
        Contact(
            UUID("00000000-0000-7000-8000-000000000002"),
            "Example Contact",
            "accounts@example.com",
            BillingPreference.PRIMARY,
            _CREATED_AT,
            _CREATED_AT,
        ),
    ),
    aliases=(Alias(UUID("00000000-0000-7000-8000-000000000003"), "example-1", _CREATED_AT),),
    links=(Link(Service.STRIPE, "cus_Example", _CREATED_AT),),
    custom_properties={"example": "yes"},
)


def customer(event_type: EventType = EventType.CUSTOMER_CREATED) -> Customer:
    """The example as it is after this event."""
    match event_type:
        case EventType.CUSTOMER_CREATED:
            return _CUSTOMER
        case EventType.CUSTOMER_UPDATED:
            return rules.touched(replace(_CUSTOMER, label="Example, changed"), at=_CHANGED_AT)
        case EventType.CUSTOMER_ARCHIVED:
            return rules.archive(_CUSTOMER, at=_CHANGED_AT)
