"""What a published version is: a date and its endpoints."""

from functools import cached_property

from customary.api.endpoint import Endpoint
from customary.api.routing import Router


class Version:
    """One dated version of the API; `has_extensions` where it carries what is ours alone, such as dry runs."""

    def __init__(self, date: str, endpoints: tuple[Endpoint, ...], *, has_extensions: bool = False) -> None:
        self.date = date
        self.has_extensions = has_extensions
        self.header = date.encode()
        self.endpoints = endpoints

    @cached_property
    def router(self) -> Router:
        """The router over this version's endpoints."""
        return Router(self.endpoints)
