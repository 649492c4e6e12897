"""What is sent on our own account: the body that tells of an event, in the version that whoever gets it reads."""

from uuid import UUID

import msgspec

from customary.api import versions
from customary.domain.activity import RESOURCE_TYPE, EventType
from customary.domain.customer import Customer
from customary.domain.notification import NotificationType

_encode = msgspec.json.Encoder().encode


class _Body(msgspec.Struct, frozen=True, rename="camel"):
    """The published body of a webhook, in the order of its fields."""

    notification_type: str
    sequence_account_id: str
    resource_type: str
    resource_id: str
    resource: msgspec.Raw


def payload(event_type: EventType, account_id: UUID, customer: Customer, *, api_version: str) -> bytes:
    """The body of a webhook that tells of this event; `customer` is as it was after the change.

    Raises `UnknownVersion` for a version that is not live.
    """
    version = versions.of_event(api_version)
    resource = _encode(version.customer(customer, account_id))
    return _encode(
        _Body(
            notification_type=version.notification_names[NotificationType(event_type)],
            sequence_account_id=str(account_id),
            resource_type=RESOURCE_TYPE,
            resource_id=str(customer.id),
            resource=msgspec.Raw(resource),
        )
    )
