"""The OpenAPI documents: each version described from the endpoints that it serves and the types that they read.

The dialect is 3.0.3, which client generators read best.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from functools import cache
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec

from customary import errors
from customary.api import dry_runs, headers, links
from customary.api.dialect import REF, component_names, sentences, translated
from customary.api.endpoint import Endpoint
from customary.api.failures import STATUS, ErrorEnvelope
from customary.api.guard import JSON_TYPES, MERGE_PATCH_TYPES
from customary.api.version import Version
from customary.api.wire import Wire

JsonObject: TypeAlias = dict[str, Any]

EXTENSIONS_TAG = "Extensions"
_JSON = "application/json"

# Which operations can be refused in which way. A failure that is not here has no operation of its own to answer.
REFUSALS: dict[type[errors.Failure], Callable[[Endpoint], bool]] = {
    errors.Invalid: lambda _: True,
    errors.UnknownVersion: lambda _: True,
    errors.Unauthorized: lambda _: True,
    errors.Forbidden: lambda _: True,
    errors.NotFound: lambda endpoint: "{" in endpoint.path,
    errors.Conflict: lambda endpoint: not endpoint.is_read,
    errors.PreconditionFailed: lambda endpoint: endpoint.current is not None,
    errors.RequestTimeout: lambda endpoint: endpoint.body is not None,
    errors.PayloadTooLarge: lambda endpoint: endpoint.body is not None,
    errors.UriTooLong: lambda _: True,
    errors.UnsupportedMediaType: lambda endpoint: endpoint.body is not None,
    errors.IdempotencyMismatch: lambda endpoint: not endpoint.is_read,
    errors.RateLimited: lambda _: True,
    errors.HeadersTooLarge: lambda _: True,
    errors.Internal: lambda _: True,
    errors.Unavailable: lambda _: True,
}

PATH_PARAMETERS = {
    "recipient": "The URL or e-mail address, percent-encoded like every part of a path; an e-mail in either case.",
    "type": "The notification type, which must be one that the policy is about.",
    "id": "The object's id. One that is malformed is answered like one that does not exist.",
    "alias": "An alias of the customer, or its id; percent-encoded like every part of a path.",
    "customer": "The customer's id.",
    "deliveryId": "The delivery's id, or its `webhookId`.",
}

_INFO = (
    "A system of record for the customers of a billing system. Every answer is JSON; times are RFC 3339 in UTC; a"
    " field without a value is absent. Unknown fields in a request are ignored. A request that is refused is answered"
    " with an error that names every failing field at once, and nothing is stored."
)

# What examples say, by field, or by component and field where a name means several things.
_EXAMPLES: JsonObject = {
    "after": "WyIyMDI2LTAxLTAyVDEwOjU1OjAwWiJd",
    "billingEmails": ["invoices@example.com"],
    "billingPreference": "PRIMARY",
    "contactName": "Nora Whitfield",
    "country": "GB",
    "customProperties": {"region": "south-west"},
    "customerAliases": ["crm-20417"],
    "domain": "example.com",
    "email": "accounts@example.com",
    "key": "Stripe",
    "label": "Key account",
    "legalName": "Fernhill Instruments Ltd",
    "line1": "12 Orchard Lane",
    "line2": "Unit 3",
    "name": "Nora Whitfield",
    "postcode": "BS1 4ST",
    "service": "Stripe",
    "taxStatus": "TAXED",
    "telephone": "+44 117 496 0321",
    "totalResultSize": 214,
    "town": "Bristol",
    "url": "https://example.com/",
    "value": "crm-20417",
    "Alias.customerId": "01a1facb-92c0-7d14-8a51-2f6ce0b1a7d3",
    "Alias.sequenceAccountId": "01a1fac8-06be-7b35-9c0e-6f1d0f6c4b28",
    "AliasLabelRequest.label": "CRM id",
    "AliasRequest.label": "CRM id",
    "CustomPropertyKeys.items": ["region", "tier"],
    "Customer.sequenceAccountId": "01a1fac8-06be-7b35-9c0e-6f1d0f6c4b28",
    "CustomerAlias.customerId": "01a1facb-92c0-7d14-8a51-2f6ce0b1a7d3",
    "CustomerAlias.label": "CRM id",
    "CustomerAlias.sequenceAccountId": "01a1fac8-06be-7b35-9c0e-6f1d0f6c4b28",
    "Attempt.durationMilliseconds": 84,
    "Attempt.outcome": "DELIVERED",
    "Attempt.responseBody": "ok",
    "Attempt.responseStatus": 200,
    "Delivery.attemptsLeft": 11,
    "Delivery.lastResponseStatus": 200,
    "Delivery.state": "DELIVERED",
    "Recipient.consecutiveFailures": 4,
    "Recipient.reason": "The recipient answered 503.",
    "Recipient.state": "PAUSED",
    "Link.id": "cus_Fernhill20417",
    "Link.value": "cus_Fernhill20417",
    "LinkRequest.id": "cus_Fernhill20417",
    "LinkRequest.value": "cus_Fernhill20417",
    "NamedCustomer.name": "Fernhill Instruments Ltd",
    "Policy.channel": "WEBHOOK",
    "Policy.name": "Changes for the warehouse",
    "PolicyRequest.channel": "WEBHOOK",
    "PolicyRequest.name": "Changes for the warehouse",
    "Organization.id": "01a1facd-5e77-7a02-b3d9-90c4a8f1e6b5",
    "Organization.members": [{"id": "01a1face-71d4-7c4b-a9f2-3b8e5d07c916", "name": "Fernhill Optics Ltd"}],
}
_PLAIN_EXAMPLES: JsonObject = {"integer": 1, "boolean": False, "object": {}}
# Optional fields that would make an example untrue or need another object to exist.
_NOT_IN_EXAMPLES = {
    "archivedAt",
    "before",
    "deletedAt",
    "parentId",
    "pushToIntegrations",
    "state",
    "LinkRequest.lastSynced",
    "Attempt.error",
    "Delivery.heldBecause",
    "Delivery.lastError",
    "Delivery.nextAttemptAt",
    "Delivery.reason",
}


# How a query writes what is not one value: `name=a,b` and `name[key]=value`.
_PARAMETER_STYLES: JsonObject = {
    "array": {"style": "form", "explode": False},
    "object": {"style": "deepObject", "explode": True},
}


_NOT_MODIFIED: JsonObject = {
    "description": "What the request's If-None-Match names is still what there is.",
    "headers": headers.of_refusal(HTTPStatus.NOT_MODIFIED),
}


class _Schemas:
    """The components of one document: the schemas of all types that its endpoints read and answer."""

    def __init__(self, types: Iterable[type[Wire]]) -> None:
        ordered = tuple(dict.fromkeys(types))
        references, raw = msgspec.json.schema_components(ordered, ref_template="{name}")
        names = component_names(raw)
        self.components = {names[key]: translated(schema, names) for key, schema in raw.items()}
        self._names = {each: names[reference["$ref"]] for each, reference in zip(ordered, references, strict=True)}

    def reference(self, of: type[Wire]) -> JsonObject:
        """Where this type's schema is."""
        return {"$ref": REF + self._names[of]}

    def schema(self, of: type[Wire]) -> JsonObject:
        """This type's schema."""
        return self.components[self._names[of]]

    def remove(self, of: type[Wire]) -> None:
        """Leave out a type that is described elsewhere."""
        self.components.pop(self._names[of], None)

    def content(self, of: type[Wire]) -> JsonObject:
        """A JSON body of this type, with an example."""
        reference = self.reference(of)
        return {_JSON: {"schema": reference, "example": self._example(reference)}}

    def _example(self, schema: JsonObject) -> Any:  # noqa: ANN401 - an example is any JSON value
        schema = schema["allOf"][0] if "allOf" in schema else schema
        if "$ref" in schema:
            name = schema["$ref"].removeprefix(REF)
            target = self.components[name]
            return self._object_example(name, target) if "properties" in target else self._example(target)
        match schema:
            case {"example": example} | {"enum": [example, *_]}:
                return example
            case {"type": "array", "items": items}:
                return [self._example(items)]
            case _:
                return _PLAIN_EXAMPLES.get(schema.get("type", "string"), "text")

    def _object_example(self, component: str, schema: JsonObject) -> JsonObject:
        required = set(schema.get("required", ()))
        example: JsonObject = {}
        for name, field in schema["properties"].items():
            full_name = f"{component}.{name}"
            if name not in required and not _NOT_IN_EXAMPLES.isdisjoint({name, full_name}):
                continue
            known = _EXAMPLES.get(full_name, _EXAMPLES.get(name))
            example[name] = self._example(field) if known is None else known
        return example


def document(version: Version) -> JsonObject:
    """The OpenAPI document of this version."""
    schemas = _Schemas(_types(version.endpoints))
    paths: dict[str, JsonObject] = {}
    for endpoint in version.endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, version, schemas)
    refusals = {
        _response_name(status): _refusal(status, kinds, schemas) for status, kinds in _kinds_by_status().items()
    }
    for query in _queries(version.endpoints):
        schemas.remove(query)
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Customary",
            "description": _INFO,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "version": version.date,
        },
        "servers": [{"url": "/api"}],
        "security": [{"basic": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(map(_tag, version.endpoints))],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "responses": refusals,
            "headers": headers.COMPONENTS,
            "securitySchemes": {
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "An API key: its client id is the user name, its secret the password.",
                }
            },
        },
    }


@cache
def encoded(version: Version) -> bytes:
    """The document as the server sends it and the command line prints it."""
    return msgspec.json.format(msgspec.json.encode(document(version)), indent=2) + b"\n"


def _types(endpoints: Iterable[Endpoint]) -> Iterable[type[Wire]]:
    for endpoint in endpoints:
        yield from (each for each in (endpoint.query, endpoint.body, endpoint.answer) if each is not None)
    yield ErrorEnvelope


def _queries(endpoints: Iterable[Endpoint]) -> set[type[Wire]]:
    return {endpoint.query for endpoint in endpoints if endpoint.query is not None}


def _tag(endpoint: Endpoint) -> str:
    return EXTENSIONS_TAG if endpoint.is_extension else endpoint.tag


# --- Operations ---


def _operation(endpoint: Endpoint, version: Version, schemas: _Schemas) -> JsonObject:
    operation: JsonObject = {
        "tags": [_tag(endpoint)],
        "summary": endpoint.summary,
        "description": sentences(inspect.getdoc(endpoint.handler) or ""),
        "operationId": endpoint.operation_id,
        "parameters": [
            *(_path_parameter(name, endpoint) for name in re.findall(r"\{(\w+)\}", endpoint.path)),
            *(_query_parameters(schemas.schema(endpoint.query)) if endpoint.query else ()),
            *headers.parameters(endpoint, version),
        ],
    }
    if endpoint.body is not None:
        content = schemas.content(endpoint.body)
        types = MERGE_PATCH_TYPES if endpoint.is_merge_patch else JSON_TYPES
        operation["requestBody"] = {"required": True, "content": {each.decode(): content[_JSON] for each in types}}
    if version.has_extensions and not endpoint.is_read:
        operation["parameters"].append(dry_runs.PARAMETER)
    operation["responses"] = _responses(endpoint, version, schemas)
    return operation


def _responses(endpoint: Endpoint, version: Version, schemas: _Schemas) -> JsonObject:
    content, description = schemas.content(endpoint.answer), schemas.schema(endpoint.answer).get("description")
    own: JsonObject = {
        "description": description or "The answer.",
        "headers": headers.of_success(endpoint),
        "content": content,
    }
    found_links = links.of(endpoint, version)
    if found_links:
        own["links"] = found_links
    statuses = (endpoint.status, *([endpoint.other_status] if endpoint.other_status else ()))
    responses: JsonObject = {str(status): {**own} for status in statuses}
    if version.has_extensions and not endpoint.is_read:
        dry_runs.added_to(responses, content[_JSON], own["headers"])
    if endpoint.is_read and endpoint.is_single:
        responses[str(HTTPStatus.NOT_MODIFIED)] = _NOT_MODIFIED
    refusals = sorted({STATUS[kind] for kind, applies in REFUSALS.items() if applies(endpoint)})
    return responses | {
        str(status): {"$ref": f"#/components/responses/{_response_name(status)}"} for status in refusals
    }


def _path_parameter(name: str, endpoint: Endpoint) -> JsonObject:
    description = PATH_PARAMETERS.get(name, f"Which {name} is meant.")
    schema: JsonObject = {"type": "string"}
    if name in endpoint.path_values:
        schema["enum"] = list(endpoint.path_values[name])
    return {"name": name, "in": "path", "description": description, "required": True, "schema": schema}


def _query_parameters(query: JsonObject) -> Iterable[JsonObject]:
    for name, field in query["properties"].items():
        schema = dict(field)
        description = schema.pop("description", "")
        is_required = name in query.get("required", ())
        parameter = {"name": name, "in": "query", "description": description, "required": is_required}
        yield {**parameter, **_PARAMETER_STYLES.get(str(schema.get("type")), {}), "schema": schema}


# --- Refusals ---


def _kinds_by_status() -> dict[int, list[type[errors.Failure]]]:
    kinds: dict[int, list[type[errors.Failure]]] = {}
    for kind in REFUSALS:
        kinds.setdefault(STATUS[kind], []).append(kind)
    return dict(sorted(kinds.items()))


def _response_name(status: int) -> str:
    return _kinds_by_status()[status][0].__name__


def _refusal(status: int, kinds: list[type[errors.Failure]], schemas: _Schemas) -> JsonObject:
    meanings = (f"`{kind.type}`: {sentences(inspect.getdoc(kind) or '')}" for kind in kinds)
    content = {"schema": schemas.reference(ErrorEnvelope), "example": _refusal_example(kinds[0])}
    return {"description": " ".join(meanings), "headers": headers.of_refusal(status), "content": {_JSON: content}}


def _refusal_example(kind: type[errors.Failure]) -> JsonObject:
    if kind is not errors.Invalid:
        return {"error": {"type": kind.type, "message": sentences(inspect.getdoc(kind) or "")}}
    detail: JsonObject = {"code": "required", "message": "This field is required.", "key": "address.town", "errors": []}
    return {"error": {"type": kind.type, "message": "The request is not valid: address.town.", "errors": [detail]}}
