"""Aliases as 2024-07-30 sees them; a customer found by alias comes in the flat shape of the version before."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from customary.api.bodies import (
    AliasesBody,
    AliasLabelRequest,
    CustomerAliasBody,
    CustomerAliasList,
    aliases_to_wire,
    customer_alias_to_wire,
    customer_in_body,
    flat_contact,
)
from customary.api.endpoint import Call, Routes
from customary.api.paging import Cursor, Limit, PageParameters, pager
from customary.api.versions.v2024_07_30.customers import AddressBody, LinkBody, address_to_wire, link_to_wire
from customary.api.wire import Filter, Id, RequiredText, Text, Time, Wire, or_none, or_unset, time_form
from customary.domain.aliases import AliasWrite, OwnedAlias
from customary.domain.customer import Customer, TaxStatus
from customary.domain.values import parse_id
from customary.operations.aliases import create_alias, delete_alias, relabel_alias
from customary.storage import aliases, customers
from customary.storage.database import Bound, Tx

ROUTES = Routes("Customer Aliases")


class AliasQuery(Wire):
    """Which aliases to list."""

    value: Annotated[Filter, Meta(description="Only the alias with exactly this value.")] | UnsetType = UNSET
    limit: Annotated[Limit, Meta(extra_json_schema={"format": "int32"})] | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    before: Cursor | UnsetType = UNSET


class AliasRequest(Wire):
    """An alias to create."""

    customer_id: Annotated[Id, Meta(description="The customer to name.")]
    value: Annotated[RequiredText, Meta(description="The other name, unique in the account.")]
    label: Annotated[Text, Meta(description="What kind of name this is.")] | UnsetType = UNSET


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
        created_at=time_form(customer.created_at),
        legal_name=customer.legal_name,
        contact_name=contact.name,
        address=address_to_wire(customer.address),
        email=contact.email,
        telephone=or_unset(customer.telephone),
        url=or_unset(customer.url),
        label=or_unset(customer.label),
        integration_ids=[link_to_wire(link) for link in customer.links],
        archived_at=or_unset(customer.archived_at and time_form(customer.archived_at)),
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


async def current(tx: Tx, call: Call) -> CustomerAliasBody:
    """The alias as it is, locked: what If-Match is compared with."""
    customer, alias = await aliases.get_for_update(tx, parse_id(call.path["id"]))
    return customer_alias_to_wire(OwnedAlias(customer.id, alias), tx.account_id)


@ROUTES.get("/customer-aliases", query=AliasQuery, answer=CustomerAliasList, summary="List aliases")
async def list_all(reading: Bound, call: Call, query: AliasQuery) -> CustomerAliasList:
    """Aliases of all customers page by page, newest first, archived customers' included."""
    parameters = PageParameters(query.limit, query.after, query.before)
    value = or_none(query.value)
    asked = pager(call, (reading.account_id, "customer-aliases", value), parameters)
    page = await aliases.fetch(reading, asked.window, value=value)
    return CustomerAliasList(
        items=[customer_alias_to_wire(owned, reading.account_id) for owned in page.items],
        pagination=asked.pagination(page),
    )


@ROUTES.post("/customer-aliases", body=AliasRequest, answer=CustomerAliasBody, summary="Create an alias")
async def create(tx: Tx, _call: Call, body: AliasRequest) -> CustomerAliasBody:
    """Give a customer another name, which no other customer of the account has."""
    write = AliasWrite(body.value, or_none(body.label))
    return customer_alias_to_wire(await create_alias(tx, customer_in_body(body.customer_id), write), tx.account_id)


@ROUTES.put(
    "/customer-aliases/{id}",
    body=AliasLabelRequest,
    answer=CustomerAliasBody,
    summary="Label an alias",
    current=current,
)
async def relabel(tx: Tx, call: Call, body: AliasLabelRequest) -> CustomerAliasBody:
    """Replace the label of an alias; without one, it has none."""
    owned = await relabel_alias(tx, parse_id(call.path["id"]), or_none(body.label))
    return customer_alias_to_wire(owned, tx.account_id)


@ROUTES.delete("/customer-aliases/{id}", answer=CustomerAliasBody, summary="Delete an alias", current=current)
async def delete(tx: Tx, call: Call) -> CustomerAliasBody:
    """Free the value of an alias; any customer can have it from then on."""
    return customer_alias_to_wire(await delete_alias(tx, parse_id(call.path["id"])), tx.account_id)
