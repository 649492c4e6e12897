"""Tax registrations as 2024-01-01 sees them."""

from customary.api.endpoint import Routes

ROUTES = Routes("Tax Registrations")
