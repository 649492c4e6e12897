"""The page at `/api/docs`: a version's OpenAPI document as people read it. Plain HTML, nothing from other hosts."""

import json
import re
import shlex
from collections.abc import Iterable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from msgspec import Struct

from customary.api.openapi import JsonObject, document
from customary.api.version import Version

EXAMPLE_ADDRESS = "http://127.0.0.1:8000"

_TEMPLATES = Environment(
    loader=PackageLoader("customary.api"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_LIMITS = {
    "pattern": "matches {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "maxProperties": "at most {} keys",
    "minimum": "at least {}",
    "maximum": "at most {}",
}
# Limits that words say better than a number or an expression does.
_WORDS = {
    ("minLength", 1): "not empty",
    ("minItems", 1): "not empty",
    ("pattern", r"\S"): "not blank",
    ("pattern", "^https?://"): "begins with http:// or https://",
}


class Field(Struct, frozen=True):
    """One parameter or field, with the fields inside it."""

    name: str
    type: str
    is_required: bool
    description: str
    limits: tuple[str, ...]
    choices: tuple[str, ...]
    fields: tuple["Field", ...]


class Answer(Struct, frozen=True):
    """One status that an operation can answer."""

    status: str
    description: str


class Operation(Struct, frozen=True):
    """One operation, ready to be shown."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Field, ...]
    body: tuple[Field, ...]
    answer: Answer
    answer_fields: tuple[Field, ...]
    answer_example: str
    refusals: tuple[Answer, ...]
    curl: str


class Group(Struct, frozen=True):
    """The operations under one tag."""

    id: str
    name: str
    operations: tuple[Operation, ...]


@cache
def page(version: Version, live_dates: tuple[str, ...]) -> bytes:
    """The reference of this version as HTML in UTF-8, with links to the same page of all `live_dates`."""
    described = _Described(document(version))
    html = _TEMPLATES.get_template("reference.html").render(
        date=version.date,
        live_dates=live_dates,
        about=described.document["info"]["description"],
        groups=described.groups(),
        refusals=described.refusals(),
        error_fields=described.fields({"$ref": "#/components/schemas/ErrorEnvelope"}),
        error_example=described.error_example(),
        first_call=_curl("GET", "/customers", version.date, None),
    )
    return html.encode()


@cache
def stylesheet() -> bytes:
    """The page's one stylesheet, served at `/api/docs/style.css`."""
    assert _TEMPLATES.loader is not None  # noqa: S101 - it is given above
    source, _, _ = _TEMPLATES.loader.get_source(_TEMPLATES, "style.css")
    return source.encode()


class _Described:
    """Reads one document into what the template shows."""

    def __init__(self, document: JsonObject) -> None:
        self.document = document
        self._components: JsonObject = document["components"]
        self._date: str = document["info"]["version"]

    def groups(self) -> tuple[Group, ...]:
        """All operations, by tag, in the order in which the version lists them."""
        by_tag: dict[str, list[Operation]] = {tag["name"]: [] for tag in self.document["tags"]}
        for path, item in self.document["paths"].items():
            for method, operation in item.items():
                by_tag[operation["tags"][0]].append(self._operation(method.upper(), path, operation))
        return tuple(Group(_slug(tag), tag, tuple(operations)) for tag, operations in by_tag.items())

    def refusals(self) -> tuple[Answer, ...]:
        """Every way in which a request is refused."""
        found = {
            refusal.status: refusal
            for group in self.groups()
            for operation in group.operations
            for refusal in operation.refusals
        }
        return tuple(found[status] for status in sorted(found))

    def error_example(self) -> str:
        """The error envelope with details."""
        return _json(_content(self._components["responses"]["Invalid"])["example"])

    def fields(self, schema: JsonObject, seen: tuple[str, ...] = ()) -> tuple[Field, ...]:
        """The fields of this object, of a list's objects or of a map's; none of one that is being shown already."""
        schema, seen, is_repeated = self._resolved(schema, seen)
        if is_repeated:
            return ()
        inner = schema.get("items") or schema.get("additionalProperties")
        if isinstance(inner, dict):
            return self.fields(inner, seen)  # pyright: ignore[reportUnknownArgumentType] - it is JSON
        required = schema.get("required", ())
        return tuple(
            self._field(name, field, name in required, seen) for name, field in schema.get("properties", {}).items()
        )

    def _field(self, name: str, schema: JsonObject, is_required: bool, seen: tuple[str, ...]) -> Field:  # noqa: FBT001
        resolved, _, _ = self._resolved(schema, ())
        item, _, _ = self._resolved(resolved.get("items", {}), ())
        return Field(
            name=name,
            type=self._type(schema),
            is_required=is_required,
            description=schema.get("description", resolved.get("description", "")),
            limits=tuple(_limits(resolved)) + tuple(f"each {limit}" for limit in _limits(item)),
            choices=tuple(str(each) for each in resolved.get("enum", item.get("enum", ())) if each is not None),
            fields=self.fields(schema, seen),
        )

    def _type(self, schema: JsonObject) -> str:
        schema, _, _ = self._resolved(schema, ())
        nullable = " or null" if schema.get("nullable") else ""
        if "items" in schema:
            return f"list of {self._type(schema['items'])}s{nullable}"
        if isinstance(schema.get("additionalProperties"), dict):
            return f"object with {self._type(schema['additionalProperties'])} values{nullable}"
        return schema.get("type", "any") + nullable

    def _resolved(self, schema: JsonObject, seen: tuple[str, ...]) -> tuple[JsonObject, tuple[str, ...], bool]:
        reference = schema.get("$ref") or next((each["$ref"] for each in schema.get("allOf", ())), None)
        if reference is None:
            return schema, seen, False
        name = reference.rpartition("/")[2]
        target: JsonObject = {**self._components["schemas"][name], **schema}
        return target, (*seen, name), name in seen

    def _operation(self, method: str, path: str, operation: JsonObject) -> Operation:
        (status, answer), *refusals = operation["responses"].items()
        body = _content(operation["requestBody"]) if "requestBody" in operation else None
        return Operation(
            id=operation["operationId"],
            method=method,
            path=path,
            summary=operation["summary"],
            description=operation["description"],
            parameters=tuple(self._parameters(operation)),
            body=self.fields(body["schema"]) if body else (),
            answer=Answer(status, answer["description"]),
            answer_fields=self.fields(_own(_content(answer)["schema"])),
            answer_example=_json(_content(answer)["example"]),
            refusals=tuple(self._refusal(status, refusal["$ref"]) for status, refusal in refusals if "$ref" in refusal),
            curl=_curl(method, path, self._date, body["example"] if body else None),
        )

    def _parameters(self, operation: JsonObject) -> Iterable[Field]:
        """What an operation takes in its path and query; the headers are the same everywhere and are said once."""
        for parameter in operation["parameters"]:
            if parameter["in"] != "header":
                schema = {**parameter["schema"], "description": parameter["description"]}
                yield self._field(parameter["name"], schema, parameter["required"], ())

    def _refusal(self, status: str, reference: str) -> Answer:
        return Answer(status, self._components["responses"][reference.rpartition("/")[2]]["description"])


def _content(message: JsonObject) -> JsonObject:
    return message["content"]["application/json"]


def _own(answer: JsonObject) -> JsonObject:
    """What an operation answers when it is not a dry run."""
    return answer.get("anyOf", [answer])[0]


def _limits(schema: JsonObject) -> Iterable[str]:
    for keyword, text in _LIMITS.items():
        is_said_by_pattern = keyword == "minLength" and "pattern" in schema
        if keyword in schema and not is_said_by_pattern:
            yield _WORDS.get((keyword, schema[keyword])) or text.format(schema[keyword])


def _curl(method: str, path: str, date: str, body: JsonObject | None) -> str:
    words = ["curl -u CLIENT_ID:CLIENT_SECRET", f"-H 'Sequence-Version: {date}'"]
    if method not in {"GET", "POST"} or (method == "POST" and body is None):
        words.append(f"-X {method}")
    if body is not None:
        words += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(_json(body))}"]
    words.append(shlex.quote(EXAMPLE_ADDRESS + "/api" + re.sub(r"\{(\w+)\}", _placeholder, path)))
    return " \\\n  ".join(words)


def _placeholder(match: re.Match[str]) -> str:
    return match[1].upper()


def _json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    return json.dumps(value, indent=2, ensure_ascii=False)


def _slug(text: str) -> str:
    return "tag-" + re.sub(r"\W+", "-", text.lower())
