"""What a published version is: a date and its endpoints."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TypeAlias
from uuid import UUID

from customary.api.endpoint import Endpoint
from customary.api.routing import Router
from customary.api.wire import Wire
from customary.domain.customer import Customer
from customary.domain.notification import NotificationType

CustomerForm: TypeAlias = Callable[[Customer, UUID], Wire]


class Version:
    """One dated version of the API; `has_extensions` where it carries what is ours alone, such as dry runs.

    `customer` gives a customer of an account the form in which a GET of it is answered: what is sent on its own
    account, such as an event, has no other. `notification_types` are the names that it has for them.
    """

    def __init__(
        self,
        date: str,
        endpoints: tuple[Endpoint, ...],
        *,
        customer: CustomerForm,
        notification_types: Mapping[str, NotificationType],
        has_extensions: bool = False,
    ) -> None:
        self.date = date
        self.customer = customer
        self.notification_names = {each: name for name, each in notification_types.items()}
        self.has_extensions = has_extensions
        self.header = date.encode()
        self.endpoints = endpoints

    @cached_property
    def router(self) -> Router:
        """The router over this version's endpoints."""
        return Router(self.endpoints)
