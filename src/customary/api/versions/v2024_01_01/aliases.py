"""Aliases as 2024-01-01 sees them."""

from customary.api.bodies import AliasesBody, aliases_to_wire
from customary.api.endpoint import Call, Routes
from customary.api.versions.v2024_01_01.customers import CustomerBody, to_wire
from customary.domain.values import parse_id
from customary.storage import customers
from customary.storage.database import Bound

ROUTES = Routes("Customer Aliases")


@ROUTES.get("/customers/by-alias/{alias}", answer=CustomerBody, summary="Get a customer by alias")
async def get_by_alias(reading: Bound, call: Call) -> CustomerBody:
    """The customer that this alias, or this customer id, names."""
    return to_wire(await customers.get_by_alias(reading, call.path["alias"]), reading.account_id)


@ROUTES.get("/customers/{id}/aliases", answer=AliasesBody, summary="List a customer's aliases")
async def list_of_customer(reading: Bound, call: Call) -> AliasesBody:
    """All aliases of one customer, oldest first; its own id, always one of them, is not listed."""
    return aliases_to_wire(await customers.get(reading, parse_id(call.path["id"])), reading.account_id)
