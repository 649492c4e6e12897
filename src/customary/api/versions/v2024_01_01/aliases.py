"""Aliases as 2024-01-01 sees them."""

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
    require_own_account,
)
from customary.api.endpoint import Call, Routes
from customary.api.paging import Cursor, Limit, PageParameters, pager
from customary.api.versions.v2024_01_01.customers import CustomerBody, to_wire
from customary.api.wire import Id, RequiredText, Text, Wire, or_none
from customary.domain.aliases import AliasWrite, OwnedAlias
from customary.domain.values import parse_id
from customary.operations.aliases import create_alias, delete_alias, relabel_alias
from customary.storage import aliases, customers
from customary.storage.database import Bound, Tx

ROUTES = Routes("Customer Aliases")


class AliasQuery(Wire):
    """Which aliases to list."""

    limit: Limit | UnsetType = UNSET
    after: Cursor | UnsetType = UNSET
    before: Cursor | UnsetType = UNSET


class AliasRequest(Wire):
    """An alias to create."""

    sequence_account_id: Annotated[Id, Meta(description="The account that the API key belongs to.")]
    customer_id: Annotated[Id, Meta(description="The customer to name.")]
    value: Annotated[RequiredText, Meta(description="The other name, unique in the account.")]
    deleted_at: Annotated[str, Meta(description="Has no effect.")] | UnsetType = UNSET
    label: Annotated[Text, Meta(description="What kind of name this is.")] | UnsetType = UNSET
    archived_at: Annotated[str, Meta(description="Has no effect.")] | UnsetType = UNSET


@ROUTES.get("/customers/by-alias/{alias}", answer=CustomerBody, summary="Get a customer by alias")
async def get_by_alias(reading: Bound, call: Call) -> CustomerBody:
    """The customer that this alias, or this customer id, names."""
    return to_wire(await customers.get_by_alias(reading, call.path["alias"]), reading.account_id)


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
    asked = pager(call, (reading.account_id, "customer-aliases"), parameters)
    page = await aliases.fetch(reading, asked.window)
    return CustomerAliasList(
        items=[customer_alias_to_wire(owned, reading.account_id) for owned in page.items],
        pagination=asked.pagination(page),
    )


@ROUTES.post("/customer-aliases", body=AliasRequest, answer=CustomerAliasBody, summary="Create an alias")
async def create(tx: Tx, _call: Call, body: AliasRequest) -> CustomerAliasBody:
    """Give a customer another name, which no other customer of the account has."""
    require_own_account(tx.account_id, body.sequence_account_id)
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
