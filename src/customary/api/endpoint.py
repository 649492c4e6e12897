"""One operation of one version: the record that the router serves and the OpenAPI document describes."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec import Struct

from customary.api.wire import Wire
from customary.domain.account import Scope

Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Wire]])


class Call(Struct, frozen=True):
    """What a handler may know of the request besides its body and query. `path` holds the path's parameters."""

    path: dict[str, str]
    cursor_secret: bytes
    request_id: str


class Endpoint(Struct, frozen=True, kw_only=True):
    """One verb on one path.

    The handler takes the transaction (a bound connection for a GET), the call, and the body or query if there is one.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Wire]]
    summary: str
    tag: str
    answer: type[Wire]
    status: int = 200
    body: type[Wire] | None = None
    query: type[Wire] | None = None
    is_extension: bool = False

    @property
    def scope(self) -> Scope:
        """What a key needs for this."""
        return Scope.READ if self.is_read else Scope.WRITE

    @property
    def is_read(self) -> bool:
        """Whether this only looks, and so needs no transaction."""
        return self.method == "GET"

    @property
    def operation_id(self) -> str:
        """The published naming: the verb and the path, each parameter behind `By`."""
        words: list[str] = []
        for segment in self.path.strip("/").split("/"):
            is_parameter = segment.startswith("{")
            parts = segment.strip("{}").split("-")
            words.append(("By" if is_parameter else "") + "".join(part[:1].upper() + part[1:] for part in parts))
        return self.method.lower() + "".join(words)


class Routes:
    """Collects the endpoints of one resource in one version, in the order in which they are written."""

    def __init__(self, tag: str) -> None:
        self._tag = tag
        self.endpoints: list[Endpoint] = []

    def get(
        self, path: str, *, answer: type[Wire], summary: str, query: type[Wire] | None = None
    ) -> Callable[[Handler], Handler]:
        """Serve GET on this path."""
        return self._add("GET", path, answer=answer, summary=summary, query=query)

    def post(
        self, path: str, *, answer: type[Wire], summary: str, body: type[Wire] | None = None, status: int = 201
    ) -> Callable[[Handler], Handler]:
        """Serve POST on this path."""
        return self._add("POST", path, answer=answer, summary=summary, body=body, status=status)

    def put(
        self, path: str, *, answer: type[Wire], summary: str, body: type[Wire] | None = None
    ) -> Callable[[Handler], Handler]:
        """Serve PUT on this path."""
        return self._add("PUT", path, answer=answer, summary=summary, body=body)

    def delete(self, path: str, *, answer: type[Wire], summary: str) -> Callable[[Handler], Handler]:
        """Serve DELETE on this path."""
        return self._add("DELETE", path, answer=answer, summary=summary)

    def _add(
        self,
        method: str,
        path: str,
        *,
        answer: type[Wire],
        summary: str,
        query: type[Wire] | None = None,
        body: type[Wire] | None = None,
        status: int = 200,
    ) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            self.endpoints.append(
                Endpoint(
                    method=method,
                    path=path,
                    handler=handler,
                    summary=summary,
                    tag=self._tag,
                    answer=answer,
                    status=status,
                    body=body,
                    query=query,
                )
            )
            return handler

        return register
