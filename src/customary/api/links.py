"""Where an answer leads: OpenAPI links from a thing that was made or listed to what can be done with it.

They follow from the table of endpoints. What is under `/things/{id}` takes the `id` of what `POST /things` answers, and
of each entry of `GET /things`, of which a link can name the first.
"""

import re
from typing import Any, TypeAlias, get_args, get_type_hints

import msgspec

from customary.api.endpoint import Endpoint
from customary.api.version import Version
from customary.api.wire import Wire

JsonObject: TypeAlias = dict[str, Any]

_ID_PARAMETERS = {"id", "customer", "deliveryId"}
_DELIVERY = "/notifications/policies/{id}/deliveries/{deliveryId}"
# What takes an id of this collection under another path, and the parameter that it is.
_ELSEWHERE: dict[str, dict[str, str]] = {
    "/customers": {"/customers/by-alias/{alias}": "alias", "/tax-registrations/for-customer/{id}": "id"},
    "/sequence-accounts": {"/tax-registrations/for-merchant/{id}": "id"},
    "/notifications/policies/{id}/test": dict.fromkeys(
        (_DELIVERY, f"{_DELIVERY}/attempts", f"{_DELIVERY}/retry"), "deliveryId"
    ),
}
# What a request has just put into a list, of which a link can name the first: a parameter and the list's field.
_SENT = {"recipient": "recipients", "type": "notificationTypes"}


def of(endpoint: Endpoint, version: Version) -> JsonObject:
    """The links of this endpoint's answer, by the operation that each leads to."""
    pointer = _id_pointer(endpoint)
    known = {name: f"$request.path.{name}" for name in _names(endpoint.path)}
    if endpoint.body is not None:
        fields = _field_names(endpoint.body)
        known |= {name: f"$request.body#/{field}/0" for name, field in _SENT.items() if field in fields}
    links: JsonObject = {}
    for target in version.endpoints if pointer else ():
        parameter = _id_parameter(endpoint.path, target.path)
        found = known | ({parameter: f"$response.body#{pointer}"} if parameter else {})
        wanted = _names(target.path)
        if parameter and found.keys() >= set(wanted):
            links[target.operation_id] = {
                "operationId": target.operation_id,
                "description": target.summary,
                "parameters": {name: found[name] for name in wanted},
            }
    return links


def _id_pointer(endpoint: Endpoint) -> str | None:
    """Where the answer to a create, or to a list, has the id of a thing; None for every other answer."""
    if endpoint.path.endswith("}") or endpoint.method not in {"GET", "POST"}:
        return None
    fields = get_type_hints(endpoint.answer)
    if "items" in fields:
        return "/items/0/id" if _shows_id(fields["items"]) else None
    if endpoint.is_read:
        return None
    if "id" in fields:
        return "/id"
    return next((f"/{name}/id" for name, field in fields.items() if _shows_id(field)), None)


def _shows_id(field: Any) -> bool:  # noqa: ANN401 - a field's type can be any
    types = (field, *get_args(field))
    return any(isinstance(each, type) and issubclass(each, Wire) and "id" in _field_names(each) for each in types)


def _field_names(body: type[Wire]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(body)}


def _id_parameter(collection: str, path: str) -> str | None:
    """The parameter of a path that takes the id of a thing of this collection."""
    elsewhere = _ELSEWHERE.get(collection, {}).get(path)
    if elsewhere is not None:
        return elsewhere
    below = re.fullmatch(re.escape(collection) + r"/\{(\w+)\}(/.*)?", path)
    return below[1] if below and below[1] in _ID_PARAMETERS else None


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)
