"""The OpenAPI documents: each version described from the endpoints that it serves and the types that they read.

The dialect is 3.0.3, which client generators read best; msgspec writes JSON Schema 2020-12, so it is translated here.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeAlias

import msgspec

from customary import errors
from customary.api.endpoint import Endpoint
from customary.api.failures import STATUS, ErrorEnvelope
from customary.api.version import Version
from customary.api.wire import Wire

JsonObject: TypeAlias = dict[str, Any]

EXTENSIONS_TAG = "Extensions"
_JSON = "application/json"
_REF = "#/components/schemas/"

# Which operations can be refused in which way. A failure that is not here has no operation of its own to answer.
REFUSALS: dict[type[errors.Failure], Callable[[Endpoint], bool]] = {
    errors.Invalid: lambda _: True,
    errors.UnknownVersion: lambda _: True,
    errors.Unauthorized: lambda _: True,
    errors.Forbidden: lambda _: True,
    errors.NotFound: lambda endpoint: "{" in endpoint.path,
    errors.Conflict: lambda endpoint: not endpoint.is_read,
    errors.PayloadTooLarge: lambda endpoint: endpoint.body is not None,
    errors.UnsupportedMediaType: lambda endpoint: endpoint.body is not None,
    errors.Internal: lambda _: True,
    errors.Unavailable: lambda _: True,
}

PATH_PARAMETERS = {
    "recipient": "The URL or e-mail address, percent-encoded like every part of a path; an e-mail in either case.",
    "type": "The notification type, which must be one that the policy is about.",
    "id": "The object's id. One that is malformed is answered like one that does not exist.",
    "alias": "An alias of the customer, or its id; percent-encoded like every part of a path.",
    "customer": "The customer's id.",
}

_INFO = (
    "A system of record for the customers of a billing system. Every answer is JSON; times are RFC 3339 in UTC; a"
    " field without a value is absent. Unknown fields in a request are ignored. A request that is refused is answered"
    " with an error that names every failing field at once, and nothing is stored."
)

_HEADERS: JsonObject = {
    "Sequence-Version": {"description": "The version that answered.", "schema": {"type": "string"}},
    "X-Request-Id": {
        "description": "The request's id, as the log has it: the caller's own if that is fit, else a new one.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"description": "That Basic credentials are wanted.", "schema": {"type": "string"}},
    "Retry-After": {"description": "After how many seconds to try again.", "schema": {"type": "integer"}},
}
_HEADERS_OF_ALL = ("Sequence-Version", "X-Request-Id")
_HEADERS_OF_STATUS = {401: "WWW-Authenticate", 503: "Retry-After"}

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
    "Link.id": "cus_Fernhill20417",
    "Link.value": "cus_Fernhill20417",
    "LinkRequest.id": "cus_Fernhill20417",
    "LinkRequest.value": "cus_Fernhill20417",
    "NamedCustomer.name": "Fernhill Instruments Ltd",
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
}


class _Schemas:
    """The components of one document: the schemas of all types that its endpoints read and answer."""

    def __init__(self, types: Iterable[type[Wire]]) -> None:
        ordered = tuple(dict.fromkeys(types))
        references, raw = msgspec.json.schema_components(ordered, ref_template="{name}")
        names = _component_names(raw)
        self.components = {names[key]: _translated(schema, names) for key, schema in raw.items()}
        self._names = {each: names[reference["$ref"]] for each, reference in zip(ordered, references, strict=True)}

    def reference(self, of: type[Wire]) -> JsonObject:
        """Where this type's schema is."""
        return {"$ref": _REF + self._names[of]}

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
            name = schema["$ref"].removeprefix(_REF)
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
            "headers": _HEADERS,
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
        "description": _sentences(inspect.getdoc(endpoint.handler) or ""),
        "operationId": endpoint.operation_id,
        "parameters": [
            *(_path_parameter(name, endpoint) for name in re.findall(r"\{(\w+)\}", endpoint.path)),
            *(_query_parameters(schemas.schema(endpoint.query)) if endpoint.query else ()),
            *_header_parameters(version),
        ],
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"required": True, "content": schemas.content(endpoint.body)}
    statuses = sorted({STATUS[kind] for kind, applies in REFUSALS.items() if applies(endpoint)})
    operation["responses"] = {
        str(endpoint.status): {
            "description": schemas.schema(endpoint.answer).get("description", "The answer."),
            "headers": _headers(endpoint.status),
            "content": schemas.content(endpoint.answer),
        },
        **{str(status): {"$ref": f"#/components/responses/{_response_name(status)}"} for status in statuses},
    }
    return operation


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
        yield {"name": name, "in": "query", "description": description, "required": is_required, "schema": schema}


def _header_parameters(version: Version) -> tuple[JsonObject, JsonObject]:
    return (
        {
            "name": "Authorization",
            "in": "header",
            "description": "`Basic` and the base64 of an API key's client id and secret, joined by a colon.",
            "required": True,
            "schema": {"type": "string"},
        },
        {
            "name": "Sequence-Version",
            "in": "header",
            "description": "The version to speak. Without it: the one that the API key is pinned to, else the newest.",
            "required": False,
            "schema": {"type": "string", "enum": [version.date]},
        },
    )


# --- Refusals ---


def _kinds_by_status() -> dict[int, list[type[errors.Failure]]]:
    kinds: dict[int, list[type[errors.Failure]]] = {}
    for kind in REFUSALS:
        kinds.setdefault(STATUS[kind], []).append(kind)
    return dict(sorted(kinds.items()))


def _response_name(status: int) -> str:
    return _kinds_by_status()[status][0].__name__


def _refusal(status: int, kinds: list[type[errors.Failure]], schemas: _Schemas) -> JsonObject:
    meanings = (f"`{kind.type}`: {_sentences(inspect.getdoc(kind) or '')}" for kind in kinds)
    content = {"schema": schemas.reference(ErrorEnvelope), "example": _refusal_example(kinds[0])}
    return {"description": " ".join(meanings), "headers": _headers(status), "content": {_JSON: content}}


def _refusal_example(kind: type[errors.Failure]) -> JsonObject:
    if kind is not errors.Invalid:
        return {"error": {"type": kind.type, "message": _sentences(inspect.getdoc(kind) or "")}}
    detail: JsonObject = {"code": "required", "message": "This field is required.", "key": "address.town", "errors": []}
    return {"error": {"type": kind.type, "message": "The request is not valid: address.town.", "errors": [detail]}}


def _headers(status: int) -> JsonObject:
    names = [*_HEADERS_OF_ALL, *([_HEADERS_OF_STATUS[status]] if status in _HEADERS_OF_STATUS else [])]
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


# --- Schemas ---


def _component_names(raw: JsonObject) -> dict[str, str]:
    """The public name of each type. Two types of one name come with their modules, which then tell them apart."""
    names: dict[str, str] = {}
    for key in raw:
        *modules, name = key.split(".")
        public = (modules[-1].title().replace("_", "") if modules else "") + name.removesuffix("Body")
        if public in names.values():
            message = f"Two components would be called {public}; rename {key}."
            raise ValueError(message)
        names[key] = public
    return names


def _translated(schema: JsonObject, names: dict[str, str]) -> JsonObject:
    """This schema in the dialect of OpenAPI 3.0: no title, one example, nullable instead of a null type."""
    translated: JsonObject = {}
    for keyword, value in schema.items():
        match keyword:
            case "title" | "propertyNames":
                pass
            case "$ref":
                translated["$ref"] = _REF + names[value]
            case "description":
                translated["description"] = _sentences(value)
            case "examples":
                translated["example"] = value[0]
            case "const":
                translated["enum"] = [value]
            case "properties":
                translated["properties"] = {name: _translated(field, names) for name, field in value.items()}
            case "anyOf" | "allOf" | "oneOf":
                translated[keyword] = [_translated(each, names) for each in value]
            case "items" | "additionalProperties" if not isinstance(value, bool):
                translated[keyword] = _translated(value, names)
            case _:
                translated[keyword] = value
    return _mended(translated)


def _mended(schema: JsonObject) -> JsonObject:
    if "enum" in schema and all(isinstance(value, str) for value in schema["enum"]):
        schema.setdefault("type", "string")
    if not schema.get("required", True):
        del schema["required"]
    null = {"type": "null"}
    if null in schema.get("anyOf", ()):
        choices = [choice for choice in schema.pop("anyOf") if choice != null]
        schema |= {"nullable": True} | (choices[0] if len(choices) == 1 else {"anyOf": choices})
    if "$ref" in schema and len(schema) > 1:
        # What stands beside a reference is ignored in this dialect.
        schema = {**schema, "allOf": [{"$ref": schema["$ref"]}]}
        del schema["$ref"]
    return schema


def _sentences(text: str) -> str:
    return " ".join(text.split())
