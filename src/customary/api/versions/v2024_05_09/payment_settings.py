"""Payment settings of customers as 2024-05-09 sees them; GoCardless has no name here."""

from typing import Annotated, TypeAlias
from uuid import UUID

from msgspec import Meta

from customary.api.endpoint import Call, Routes
from customary.api.wire import Id, Wire, one_of
from customary.domain.payment import PaymentProvider, PaymentSettings, shown
from customary.domain.values import parse_id
from customary.operations.payment_settings import (
    create_payment_settings,
    delete_payment_settings,
    update_payment_settings,
)
from customary.storage import payment_settings
from customary.storage.database import Bound, Tx

ROUTES = Routes("Customers")

# What this version was published with. Another provider is shown as NONE, and a write of NONE then keeps it.
PROVIDERS = frozenset({PaymentProvider.STRIPE, PaymentProvider.NONE})

KnownProvider: TypeAlias = Annotated[
    str, one_of(sorted(PROVIDERS, reverse=True), "Who collects the money. NONE also stands for a newer provider.")
]
CustomerId: TypeAlias = Annotated[Id, Meta(description="The customer that pays this way.")]


class CreatePaymentSettingsRequest(Wire):
    """How a customer pays."""

    customer_id: CustomerId
    payment_provider: KnownProvider


class UpdatePaymentSettingsRequest(Wire):
    """How a customer pays from now on."""

    payment_provider: KnownProvider


class PaymentSettingsBody(Wire):
    """How a customer pays. The id is that of these settings; it is not the customer's."""

    id: Id
    sequence_account_id: Id
    customer_id: CustomerId
    payment_provider: KnownProvider


def to_wire(settings: PaymentSettings, account_id: UUID) -> PaymentSettingsBody:
    """These settings as this version shows them."""
    return PaymentSettingsBody(
        id=str(settings.id),
        sequence_account_id=str(account_id),
        customer_id=str(settings.customer_id),
        payment_provider=shown(settings, PROVIDERS),
    )


async def current(tx: Tx, call: Call) -> PaymentSettingsBody:
    """The settings as they are, locked: what If-Match is compared with."""
    return to_wire(await payment_settings.get_for_update(tx, parse_id(call.path["id"])), tx.account_id)


@ROUTES.post(
    "/payments/settings/customers",
    body=CreatePaymentSettingsRequest,
    answer=PaymentSettingsBody,
    summary="Create a customer's payment settings",
)
async def create(tx: Tx, _call: Call, body: CreatePaymentSettingsRequest) -> PaymentSettingsBody:
    """Say how a customer pays. A customer has one set of payment settings at most."""
    settings = await create_payment_settings(tx, body.customer_id, PaymentProvider(body.payment_provider))
    return to_wire(settings, tx.account_id)


@ROUTES.get(
    "/payments/settings/customers/{id}", answer=PaymentSettingsBody, summary="Get a customer's payment settings"
)
async def get(reading: Bound, call: Call) -> PaymentSettingsBody:
    """Payment settings by their own id."""
    return to_wire(await payment_settings.get(reading, parse_id(call.path["id"])), reading.account_id)


@ROUTES.put(
    "/payments/settings/customers/{id}",
    body=UpdatePaymentSettingsRequest,
    answer=PaymentSettingsBody,
    summary="Replace a customer's payment settings",
    current=current,
)
async def update(tx: Tx, call: Call, body: UpdatePaymentSettingsRequest) -> PaymentSettingsBody:
    """Change how a customer pays. Repeating NONE keeps a provider that this version cannot name."""
    settings_id, provider = parse_id(call.path["id"]), PaymentProvider(body.payment_provider)
    return to_wire(await update_payment_settings(tx, settings_id, provider, known=PROVIDERS), tx.account_id)


@ROUTES.delete(
    "/payments/settings/customers/{id}",
    answer=PaymentSettingsBody,
    summary="Delete a customer's payment settings",
    current=current,
)
async def delete(tx: Tx, call: Call) -> PaymentSettingsBody:
    """Remove payment settings; the answer is what they were."""
    return to_wire(await delete_payment_settings(tx, parse_id(call.path["id"])), tx.account_id)
