"""Notification policies as 2024-05-09 sees them."""

from customary.api.endpoint import Routes

ROUTES = Routes("Notification Policies")
