"""What happened, to what, by whom: the record of every change, and the events that other systems live on."""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from customary.domain.customer import Customer


class Verb(StrEnum):
    """What was done."""

    CREATED = "CREATED"
    UPDATED = "UPDATED"
    ARCHIVED = "ARCHIVED"
    UNARCHIVED = "UNARCHIVED"
    DELETED = "DELETED"


class ObjectType(StrEnum):
    """What things can be changed."""

    CUSTOMER = "CUSTOMER"
    CONTACT = "CONTACT"
    CUSTOMER_ALIAS = "CUSTOMER_ALIAS"
    CUSTOMER_ORGANIZATION = "CUSTOMER_ORGANIZATION"
    CUSTOMER_PAYMENT_SETTINGS = "CUSTOMER_PAYMENT_SETTINGS"
    TAX_REGISTRATION = "TAX_REGISTRATION"
    SEQUENCE_ACCOUNT = "SEQUENCE_ACCOUNT"
    SEQUENCE_USER = "SEQUENCE_USER"
    NOTIFICATION_POLICY = "NOTIFICATION_POLICY"


class ActorType(StrEnum):
    """Who changes things. Somebody on the command line and the service itself have no id of their own."""

    API_KEY = "API_KEY"
    USER = "USER"
    OPERATOR = "OPERATOR"
    SERVICE = "SERVICE"


class Caller(Struct, frozen=True):
    """Who is doing something and through what. `email` is the user's; a key has none."""

    actor_type: ActorType
    actor_id: UUID
    origin: str
    api_version: str
    request_id: str
    email: str | None = None


class FieldChange(Struct, frozen=True):
    """One field before and after; a field that is not there is None."""

    field: str
    before: Any
    after: Any


class Reference(Struct, frozen=True):
    """A thing that an activity is about."""

    type: ObjectType
    id: UUID


class Activity(Struct, frozen=True, kw_only=True):
    """One committed change. `target` is what the object belongs to, if it belongs to something."""

    id: UUID
    created_at: datetime
    caller: Caller
    verb: Verb
    object: Reference
    target: Reference | None = None
    changes: tuple[FieldChange, ...] = ()


# What every event is about.
RESOURCE_TYPE = ObjectType.CUSTOMER.value


class EventType(StrEnum):
    """The events that are sent; the other published types exist for features that are not here yet."""

    CUSTOMER_CREATED = "CUSTOMER_CREATED"
    CUSTOMER_UPDATED = "CUSTOMER_UPDATED"
    CUSTOMER_ARCHIVED = "CUSTOMER_ARCHIVED"


class Event(Struct, frozen=True):
    """A change of a customer that others are told of. `version` counts each customer's events without a gap."""

    id: UUID
    type: EventType
    customer: Customer
    created_at: datetime

    @property
    def version(self) -> int:
        """The customer's version after the change."""
        return self.customer.version


def differences(before: Struct | None, after: Struct | None) -> tuple[FieldChange, ...]:
    """What differs between two states of a thing, field by field; None stands for a thing that is not there."""
    old: dict[str, Any] = msgspec.to_builtins(before, str_keys=True) if before else {}
    new: dict[str, Any] = msgspec.to_builtins(after, str_keys=True) if after else {}
    if not old:
        return tuple(FieldChange(name, None, value) for name, value in new.items() if value is not None)
    names = dict.fromkeys((*old, *new))
    return tuple(FieldChange(name, old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name))
