"""Whether a request, as it went over the wire, is one that the served document describes.

A generator only knows what it meant to send. A client library or the encoding of a URL can make something valid of
what was meant to be invalid, so it is the bytes that are judged here, by a validator of its own.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

import jsonschema
from msgspec import Struct

Json: TypeAlias = Any
_INTEGER = re.compile(r"-?[0-9]+")
_BOOLEANS = {"true": True, "false": False}


class Sent(Struct, frozen=True):
    """A request as it was sent. Names of headers are in lower case; `body` is None where there was none."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


class Contract:
    """What one OpenAPI 3.0 document says about requests."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._base = document["servers"][0]["url"]
        self._components = {"schemas": _translated(document["components"]["schemas"])}

    def faults(self, path: str, sent: Sent) -> list[str]:
        """What is wrong with a request that was meant for the operation on this path; nothing if it is valid."""
        return list(self._faults(self._document["paths"][path][sent.method.lower()], path, sent))

    def _faults(self, operation: Json, path: str, sent: Sent) -> Iterator[str]:
        path_values = self._path_values(path, sent)
        if path_values is None:
            yield "the path is not that of the operation"
            return
        query = _query_values(sent)
        given = {"path": path_values, "query": query, "header": {name: [each] for name, each in sent.headers.items()}}
        for parameter in operation["parameters"]:
            name = parameter["name"].lower() if parameter["in"] == "header" else parameter["name"]
            if parameter.get("style") == "deepObject":
                values = _members(query, name)
            else:
                values = given[parameter["in"]].get(name, [])
            yield from (f"{parameter['in']} {name}: {fault}" for fault in self._parameter_faults(parameter, values))
        if "requestBody" in operation:
            yield from (f"body: {fault}" for fault in self._body_faults(operation["requestBody"], sent))

    def _path_values(self, path: str, sent: Sent) -> dict[str, list[Any]] | None:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(self._base + path))
        found = re.fullmatch(pattern, urlsplit(sent.url).path)
        return found and {name: [unquote(value)] for name, value in found.groupdict().items()}

    def _parameter_faults(self, parameter: Json, values: list[Any]) -> Iterator[str]:
        if not values:
            if parameter["required"]:
                yield "missing"
            return
        if len(values) > 1:
            yield "repeated"
        if parameter["in"] == "header":
            # What stands around a header's value is no part of it (RFC 9110, 5.5).
            values = [values[0].strip(" \t")]
        yield from self._schema_faults(parameter["schema"], _read(parameter["schema"], values[0]))

    def _body_faults(self, described: Json, sent: Sent) -> Iterator[str]:
        media_type = sent.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in described["content"]:
            yield f"content type {media_type!r}"
            return
        try:
            value = json.loads(sent.body or b"")
        except ValueError:
            yield "not JSON"
            return
        yield from self._schema_faults(described["content"][media_type]["schema"], value)

    def _schema_faults(self, schema: Json, value: Json) -> Iterator[str]:
        validator = self._validator(json.dumps(schema, sort_keys=True))
        yield from (f"{'.'.join(map(str, error.path))} {error.message[:200]}" for error in validator.iter_errors(value))

    @cache  # noqa: B019 - there are as many of these as there are versions, for as long as the process
    def _validator(self, schema: str) -> jsonschema.Draft202012Validator:
        return jsonschema.Draft202012Validator(_translated(json.loads(schema)) | {"components": self._components})


def _translated(schema: Json) -> Json:
    """The JSON Schema of an OpenAPI 3.0 one: `nullable` becomes a type."""
    if isinstance(schema, list):
        return [_translated(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: _translated(part) for key, part in schema.items() if key not in {"nullable", "example"}}
    return {"anyOf": [inner, {"type": "null"}]} if schema.get("nullable") is True else inner


def _query_values(sent: Sent) -> dict[str, list[Any]]:
    values: dict[str, list[Any]] = {}
    query = urlsplit(sent.url).query
    for name, value in parse_qsl(query, keep_blank_values=True, errors="surrogateescape"):
        values.setdefault(name, []).append(value)
    return values


def _members(query: dict[str, list[Any]], name: str) -> list[Any]:
    """The one object that all parameters `name[key]=value` make; none where there is none of them."""
    members = {
        found[1]: values[0]
        for parameter, values in query.items()
        if (found := re.fullmatch(re.escape(name) + r"\[(.*)\]", parameter, re.DOTALL))
    }
    return [members] if members else query.get(name, [])


def _read(schema: Json, text: Any) -> Json:  # noqa: ANN401 - a text, or the members of an object
    """The value that a parameter's text stands for; the text itself where it is none of the schema's type."""
    match schema.get("type"):
        case "integer" if _INTEGER.fullmatch(text):
            return int(text)
        case "boolean":
            return _BOOLEANS.get(text, text)
        case "array":
            return text.split(",")
        case _:
            return text
