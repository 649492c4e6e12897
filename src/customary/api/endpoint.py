"""One operation of one version: the record that the router serves and the OpenAPI document describes."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

from customary.api.wire import Wire
from customary.domain.account import Scope

Current: TypeAlias = Callable[..., Awaitable[Wire]] | None


class Outcome(Struct, frozen=True):
    """An answer that says more than its body.

    `status` is set where one endpoint has two ways to succeed. `seen_as` is set where a GET answers the same thing in
    another shape: that is what the entity tag stands for, so that it can be used in a condition later.
    """

    body: Wire
    status: int | None = None
    seen_as: Wire | None = None


Handler = TypeVar("Handler", bound=Callable[..., Awaitable[Wire | Outcome]])


class Call(Struct, frozen=True):
    """What a handler may know of the request besides its body and query. `path` holds the path's parameters.

    `has_mail` says whether this service can send e-mail.
    """

    path: dict[str, str]
    cursor_secret: bytes
    request_id: str
    has_mail: bool = False


class Endpoint(Struct, frozen=True, kw_only=True):
    """One verb on one path.

    The handler takes the transaction (a bound connection for a GET), the call, and the body or query if there is one.
    A PATCH takes a merge patch (RFC 7396): `body` describes it, and the handler takes the JSON value as it is.
    `other_status` is what an `Outcome` may have instead of `status`.
    `current` takes the first two and answers the thing as a GET would, locked: what If-Match is compared with.
    `path_values` are the values that a parameter of the path can have, for one that has only some.
    `only_adds` says that it usually only adds rows, and looks at none: then one statement may do all of it.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Wire | Outcome]]
    summary: str
    tag: str
    answer: type[Wire]
    status: int = 200
    other_status: int | None = None
    body: type[Wire] | None = None
    query: type[Wire] | None = None
    current: Current = None
    path_values: dict[str, tuple[str, ...]] = {}
    is_extension: bool = False
    only_adds: bool = False

    @property
    def is_single(self) -> bool:
        """Whether the answer is one thing, which has an entity tag, and not a list."""
        return "items" not in self.answer.__struct_fields__

    @property
    def scope(self) -> Scope:
        """What a key needs for this."""
        return Scope.READ if self.is_read else Scope.WRITE

    @property
    def is_read(self) -> bool:
        """Whether this only looks, and so needs no transaction."""
        return self.method == "GET"

    @property
    def is_merge_patch(self) -> bool:
        """Whether the body is a merge patch, which only a handler can judge: it has to see what is patched."""
        return self.method == "PATCH"

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

    def __init__(self, tag: str, *, is_extension: bool = False) -> None:
        self._tag = tag
        self._is_extension = is_extension
        self.endpoints: list[Endpoint] = []

    def get(
        self, path: str, *, answer: type[Wire], summary: str, query: type[Wire] | None = None
    ) -> Callable[[Handler], Handler]:
        """Serve GET on this path."""
        return self._adder("GET", path, answer=answer, summary=summary, query=query)

    def post(
        self,
        path: str,
        *,
        answer: type[Wire],
        summary: str,
        body: type[Wire] | None = None,
        status: int = 201,
        current: Current = None,
        only_adds: bool = False,
    ) -> Callable[[Handler], Handler]:
        """Serve POST on this path."""
        rest: dict[str, Any] = {"body": body, "current": current, "only_adds": only_adds}
        return self._adder("POST", path, answer=answer, summary=summary, status=status, **rest)

    def put(
        self,
        path: str,
        *,
        answer: type[Wire],
        summary: str,
        body: type[Wire] | None = None,
        status: int = 200,
        other_status: int | None = None,
        current: Current = None,
    ) -> Callable[[Handler], Handler]:
        """Serve PUT on this path."""
        rest: dict[str, Any] = {"body": body, "other_status": other_status, "current": current}
        return self._adder("PUT", path, answer=answer, summary=summary, status=status, **rest)

    def patch(
        self, path: str, *, answer: type[Wire], summary: str, body: type[Wire] | None = None, current: Current = None
    ) -> Callable[[Handler], Handler]:
        """Serve PATCH on this path."""
        return self._adder("PATCH", path, answer=answer, summary=summary, body=body, current=current)

    def delete(
        self,
        path: str,
        *,
        answer: type[Wire],
        summary: str,
        current: Current = None,
        path_values: dict[str, tuple[str, ...]] | None = None,
    ) -> Callable[[Handler], Handler]:
        """Serve DELETE on this path."""
        values = path_values or {}
        return self._adder("DELETE", path, answer=answer, summary=summary, current=current, path_values=values)

    def _adder(
        self,
        method: str,
        path: str,
        *,
        answer: type[Wire],
        summary: str,
        status: int = 200,
        **rest: Any,  # noqa: ANN401 - more of Endpoint
    ) -> Callable[[Handler], Handler]:
        def add(handler: Handler) -> Handler:
            endpoint = Endpoint(
                method=method,
                path=path,
                handler=handler,
                summary=summary,
                tag="Extensions" if self._is_extension else self._tag,
                answer=answer,
                status=status,
                is_extension=self._is_extension,
                **rest,
            )
            self.endpoints.append(endpoint)
            return handler

        return add
