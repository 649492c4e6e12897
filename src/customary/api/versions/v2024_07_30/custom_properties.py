"""Custom property keys as 2024-07-30 sees them."""

from customary.api.endpoint import Call, Routes
from customary.api.wire import Wire
from customary.storage import custom_properties
from customary.storage.database import Bound

ROUTES = Routes("Customers")


class CustomPropertyKeys(Wire):
    """The keys of all custom properties that are in use."""

    items: list[str]


@ROUTES.get("/customer-custom-property-keys", answer=CustomPropertyKeys, summary="List custom property keys")
async def list_keys(reading: Bound, _call: Call) -> CustomPropertyKeys:
    """Each key that at least one customer has, archived ones included, once, by Unicode code point."""
    return CustomPropertyKeys(items=await custom_properties.keys(reading))
