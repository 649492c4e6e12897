"""Where a request can name something: every text that an operation reads, found in the document that is served."""

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct
from msgspec.structs import replace
from tests.support.asgi import Answer, basic, send
from tests.support.clients import Account

from customary.api import openapi
from customary.api.endpoint import Endpoint
from customary.api.versions import LIVE
from customary.app import Application

Json: TypeAlias = Any
Steps: TypeAlias = tuple[str | int, ...]

# A key that both accounts of a test give their customers: what it holds is another matter.
PROPERTY = "region"
_DEFECT, _BUSY = 500, 503
_REFERENCE = "#/components/schemas/"


class Place(Struct, frozen=True):
    """One text of a request: a parameter of the path or of the query, or a field of the body by the way to it."""

    where: str
    steps: Steps
    schema: Json
    is_required: bool = False

    @property
    def label(self) -> str:
        """What it is called in a failure."""
        return f"{self.where} {'.'.join(map(str, self.steps))}"

    @property
    def name(self) -> str:
        """The parameter, or the innermost field that has a name."""
        return next(step for step in reversed(self.steps) if isinstance(step, str))

    @property
    def is_id(self) -> bool:
        """Whether it takes the id of a thing: its example is one, or its name says so."""
        return _is_uuid(self.schema.get("example")) or re.search(r"Ids?$", self.name) is not None


class Draft(Struct, frozen=True):
    """A request to one operation, before it is sent. `path` has the values of the path's parameters as they are."""

    version: str
    endpoint: Endpoint
    path: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    body: Json = UNSET

    def at(self, place: Place, value: str) -> "Draft":
        """This request with the value in this place."""
        if place.where == "body":
            body = copy.deepcopy(self.body)
            _put(body, place.steps, value)
            return replace(self, body=body)
        given = {**getattr(self, place.where), str(place.steps[0]): value}
        return replace(self, **{place.where: given})

    async def send(
        self,
        app: Application,
        account: Account,
        *,
        is_dry_run: bool = False,
        headers: Iterable[tuple[bytes, bytes]] = (),
        may_be_busy: bool = False,
    ) -> Answer:
        """The answer to this account; one of 500 or above fails the test, whatever it is about.

        Where it may be busy, that it cannot answer right now does not.
        """
        path = f"/api{self.endpoint.path}"
        for name, value in self.path.items():
            path = path.replace("{" + name + "}", quote(value, safe=""))
        query = {**self.query, **({"dryRun": "true"} if is_dry_run else {})}
        body = b"" if self.body is UNSET else msgspec.json.encode(self.body)
        own = (basic(account), (b"sequence-version", self.version.encode()), (b"content-type", b"application/json"))
        answer = await send(
            app,
            self.endpoint.method,
            path.encode(),
            query=urlencode(query).encode(),
            headers=(*own, *headers),
            chunks=(body,),
        )
        is_fine = answer.status < _DEFECT or (may_be_busy and answer.status == _BUSY)
        assert is_fine, f"{self.endpoint.method} {path} answered {answer.status}: {answer.body!r}"
        return answer


@cache
def document(version: str) -> Json:
    """The document that this version serves."""
    return openapi.document(LIVE[version])


def draft(version: str, endpoint: Endpoint) -> Draft:
    """A request as the document's example has it, without the ids that may be left out and with a made-up path."""
    operation = _operation(version, endpoint)
    body: Json = UNSET
    if "requestBody" in operation:
        body = copy.deepcopy(next(iter(operation["requestBody"]["content"].values()))["example"])
        for place in places(version, endpoint):
            if place.where == "body" and place.is_id and not place.is_required:
                body.pop(place.steps[0], None)
    fixed = {
        each["name"]: each["schema"]["enum"][0]
        for each in operation["parameters"]
        if each["in"] == "path" and "enum" in each["schema"]
    }
    return Draft(version, endpoint, path=fixed, body=body)


def places(version: str, endpoint: Endpoint) -> list[Place]:
    """Every place of this operation where a text of the caller's own choice goes."""
    operation = _operation(version, endpoint)
    found = [place for each in operation["parameters"] for place in _of_parameter(each)]
    if "requestBody" in operation:
        schema = next(iter(operation["requestBody"]["content"].values()))["schema"]
        found += [
            Place("body", steps, field, is_required)
            for steps, field, is_required in _texts(schema, document(version)["components"]["schemas"])
        ]
    return found


def _operation(version: str, endpoint: Endpoint) -> Json:
    return document(version)["paths"][endpoint.path][endpoint.method.lower()]


def _of_parameter(parameter: Json) -> Iterator[Place]:
    schema, where = parameter["schema"], parameter["in"]
    if where == "header":
        return
    if schema.get("type") == "object":
        yield Place(where, (f"{parameter['name']}[{PROPERTY}]",), schema["additionalProperties"])
    elif _is_free(schema):
        yield Place(where, (parameter["name"],), schema, parameter["required"])


def _texts(schema: Json, components: Json, *, is_required: bool = True) -> Iterator[tuple[Steps, Json, bool]]:
    """The way to each free text in this schema, the text's own schema, and whether it has to be there."""
    if "$ref" in schema:
        yield from _texts(components[schema["$ref"].removeprefix(_REFERENCE)], components, is_required=is_required)
        return
    for part in (*schema.get("allOf", ()), *schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _texts(part, components, is_required=is_required)
    inner: list[tuple[str | int, Json, bool]] = [
        (name, field, is_required and name in schema.get("required", ()))
        for name, field in schema.get("properties", {}).items()
    ]
    if isinstance(schema.get("additionalProperties"), dict):
        inner.append((PROPERTY, schema["additionalProperties"], False))
    if "items" in schema:
        inner.append((0, schema["items"], is_required))
    for step, field, is_needed in inner:
        for steps, text, needed in _texts(field, components, is_required=is_needed):
            yield (step, *steps), text, needed
    if _is_free(schema):
        yield (), schema, is_required


def _is_free(schema: Json) -> bool:
    """Whether a text can be anything: not one of a few, and no time."""
    return schema.get("type") == "string" and "enum" not in schema and schema.get("format") != "date-time"


def _is_uuid(text: object) -> bool:
    try:
        UUID(str(text))
    except ValueError:
        return False
    return True


def _put(body: Json, steps: Steps, value: str) -> None:
    """Put the value where these steps lead, making what is not there yet."""
    for step, following in pairwise(steps):
        if isinstance(body, list):
            body = body[0]
        else:
            body = body.setdefault(step, [None] if isinstance(following, int) else {})
    body[steps[-1]] = value
