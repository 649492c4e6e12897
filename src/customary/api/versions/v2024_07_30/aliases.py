"""Aliases as 2024-07-30 sees them; a customer found by alias comes in the flat shape of the version before."""

from msgspec import UNSET, UnsetType

from customary.api.bodies import AliasesBody, aliases_to_wire, flat_contact
from customary.api.endpoint import Call, Routes
from customary.api.versions.v2024_07_30.customers import AddressBody, LinkBody, address_to_wire, link_to_wire
from customary.api.wire import Id, Time, Wire, or_unset, time_text
from customary.domain.customer import Customer, TaxStatus
from customary.domain.values import parse_id
from customary.storage import customers
from customary.storage.database import Bound

ROUTES = Routes("Customer Aliases")


class FlatCustomerBody(Wire):
    """A customer with one contact, as `by-alias` answers."""

    id: Id
    created_at: Time
    legal_name: str
    contact_name: str | UnsetType = UNSET
    address: AddressBody
    email: str
    telephone: str | UnsetType = UNSET
    url: str | UnsetType = UNSET
    label: str | UnsetType = UNSET
    integration_ids: list[LinkBody]
    archived_at: Time | UnsetType = UNSET
    billing_emails: list[str]
    tax_status: TaxStatus


def to_wire(customer: Customer) -> FlatCustomerBody:
    """This customer in the flat shape."""
    contact = flat_contact(customer)
    return FlatCustomerBody(
        id=str(customer.id),
        created_at=time_text(customer.created_at),
        legal_name=customer.legal_name,
        contact_name=contact.name,
        address=address_to_wire(customer.address),
        email=contact.email,
        telephone=or_unset(customer.telephone),
        url=or_unset(customer.url),
        label=or_unset(customer.label),
        integration_ids=[link_to_wire(link) for link in customer.links],
        archived_at=or_unset(customer.archived_at and time_text(customer.archived_at)),
        billing_emails=contact.billing_emails,
        tax_status=customer.tax_status,
    )


@ROUTES.get("/customers/by-alias/{alias}", answer=FlatCustomerBody, summary="Get a customer by alias")
async def get_by_alias(reading: Bound, call: Call) -> FlatCustomerBody:
    """The customer that this alias, or this customer id, names."""
    return to_wire(await customers.get_by_alias(reading, call.path["alias"]))


@ROUTES.get("/customers/{id}/aliases", answer=AliasesBody, summary="List a customer's aliases")
async def list_of_customer(reading: Bound, call: Call) -> AliasesBody:
    """All aliases of one customer, oldest first; its own id, always one of them, is not listed."""
    return aliases_to_wire(await customers.get(reading, parse_id(call.path["id"])), reading.account_id)
