"""From a path to its endpoint, in one version: a tree of segments, so the time does not grow with the routes."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from customary.api.endpoint import Endpoint
from customary.errors import MethodNotAllowed, NotFound


@dataclass
class _Node:
    fixed: dict[str, "_Node"] = field(default_factory=dict[str, "_Node"])
    parameter: "_Node | None" = None
    endpoints: dict[str, tuple[Endpoint, tuple[str, ...]]] = field(
        default_factory=dict[str, tuple[Endpoint, tuple[str, ...]]]
    )


class Router:
    """Finds endpoints. A fixed segment is preferred to a parameter: `/customers/by-alias/x` is never a customer."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root = _Node()
        for endpoint in endpoints:
            self._add(endpoint)

    def _add(self, endpoint: Endpoint) -> None:
        node, names = self._root, list[str]()
        for segment in endpoint.path.strip("/").split("/"):
            if segment.startswith("{"):
                names.append(segment.strip("{}"))
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.fixed.setdefault(segment, _Node())
        if endpoint.method in node.endpoints:
            message = f"Two endpoints for {endpoint.method} {endpoint.path}."
            raise ValueError(message)
        node.endpoints[endpoint.method] = endpoint, tuple(names)

    def find(self, method: str, segments: tuple[str, ...]) -> tuple[Endpoint, dict[str, str]]:
        """The endpoint and the path's parameters. Raises `NotFound` or `MethodNotAllowed`."""
        values: list[str] = []
        node = _descend(self._root, segments, 0, values)
        if node is None:
            message = "There is nothing at this path in this version of the API."
            raise NotFound(message)
        found = node.endpoints.get(method)
        if found is None:
            allowed = tuple(sorted(node.endpoints))
            message = f"This path does not have {method} in this version of the API; it has {', '.join(allowed)}."
            raise MethodNotAllowed(message, allowed)
        endpoint, names = found
        return endpoint, dict(zip(names, values, strict=True))


def _descend(node: _Node, segments: tuple[str, ...], depth: int, values: list[str]) -> _Node | None:
    if depth == len(segments):
        return node if node.endpoints else None
    segment = segments[depth]
    fixed = node.fixed.get(segment)
    if fixed is not None:
        found = _descend(fixed, segments, depth + 1, values)
        if found is not None:
            return found
    if node.parameter is None or not segment:
        return None
    values.append(segment)
    found = _descend(node.parameter, segments, depth + 1, values)
    if found is None:
        values.pop()
    return found
