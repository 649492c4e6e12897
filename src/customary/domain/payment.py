"""Payment settings: through which provider a customer pays its invoices."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace


class PaymentProvider(StrEnum):
    """Who collects the money; the two older versions do not know GOCARDLESS."""

    STRIPE = "STRIPE"
    GOCARDLESS = "GOCARDLESS"
    NONE = "NONE"


class PaymentSettings(Struct, frozen=True):
    """How one customer pays; a customer has at most one of these."""

    id: UUID
    customer_id: UUID
    payment_provider: PaymentProvider
    created_at: datetime


def shown(settings: PaymentSettings, known: frozenset[PaymentProvider]) -> PaymentProvider:
    """The provider as a version shows it that knows only these: one that it cannot name is NONE of its own."""
    return settings.payment_provider if settings.payment_provider in known else PaymentProvider.NONE


def update(settings: PaymentSettings, wanted: PaymentProvider, *, known: frozenset[PaymentProvider]) -> PaymentSettings:
    """These settings after a write through a version that knows only these providers.

    A write that repeats what that version shows keeps the provider that it cannot name; any other one replaces it.
    """
    return settings if wanted is shown(settings, known) else replace(settings, payment_provider=wanted)
