"""What is ours alone: more ways to find and change customers."""

from customary.api.endpoint import Routes

ROUTES = Routes("Customers", is_extension=True)
