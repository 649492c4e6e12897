"""The activity log."""

from customary.api.endpoint import Routes

ROUTES = Routes("Activities")
