"""Custom property keys as 2024-07-30 sees them."""

from customary.api.endpoint import Routes

ROUTES = Routes("Customers")
