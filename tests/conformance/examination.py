"""Examines one published operation: its example, the answer to it, and the refusals that it documents."""

from typing import Any

import httpx
import jsonschema
from msgspec import Struct
from tests.conformance.world import Parameters, World
from tests.support.clients import Client
from tests.support.published import Published

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
PARAMETERS: tuple[str, ...] = ("id", "customer", "alias", "type", "recipient")
TYPES = {
    400: {"validationError", "UnrecognisedApiVersion"},
    401: {"unauthorized"},
    403: {"forbidden"},
    404: {"notFound"},
}


class Verdict(Struct, frozen=True):
    """What came of examining one operation. An empty `accepted`, `valid` or `refused` means that all is well."""

    version: str
    method: str
    path: str
    accepted: str
    valid: str
    refused: str
    refusals: tuple[int, ...]

    @property
    def is_conformant(self) -> bool:
        """Whether nothing was found wanting."""
        return not (self.accepted or self.valid or self.refused)


class Examiner:
    """Examines operations of one version: with a key that may do all, with one that may do nothing, and with none."""

    def __init__(self, document: Published, world: World, powerless: Client, stranger: Client) -> None:
        self._document = document
        self._world = world
        self._powerless = powerless
        self._stranger = stranger

    async def examine(self, method: str, path: str) -> Verdict:
        """Everything about one operation."""
        version = self._document.version
        operation = self._document.operation(method, path)
        example = self._document.example(method, path) if "requestBody" in operation else None
        body = None if example is None else await self._world.adapted(path, example)
        refusals = self._documented_refusals(operation, path)
        refused = [await self._refusal(method, path, body, status) for status in refusals]
        parameters = await self._world.parameters(path)
        answer = await self._world.client.request(method, filled(path, parameters), version=version, json=body)
        success = self._document.success(method, path)
        accepted = "" if answer.status_code == success else f"{answer.status_code} instead of {success}"
        return Verdict(
            version,
            method,
            path,
            accepted,
            (accepted and "no answer") or self._validity(method, path, answer),
            "; ".join(filter(None, refused)),
            refusals,
        )

    def _validity(self, method: str, path: str, answer: httpx.Response) -> str:
        try:
            self._document.check(method, path, answer.status_code, answer.json())
        except jsonschema.ValidationError as error:
            return f"{error.json_path}: {error.message}"
        return ""

    @staticmethod
    def _documented_refusals(operation: dict[str, Any], path: str) -> tuple[int, ...]:
        """The published refusals, and 404 where the path names a thing; 500 is a defect and cannot be asked for."""
        documented = {int(status) for status in operation["responses"] if "400" <= status < "500"}
        return tuple(sorted(documented | ({404} if "{" in path else set())))

    async def _refusal(self, method: str, path: str, body: Any, status: int) -> str:  # noqa: ANN401 - any JSON
        """What is wrong with the answer to a request that must be refused with this status; nothing if all is well."""
        client, version, parameters = self._world.client, self._document.version, Parameters()
        if status == 404 and "{" not in path:
            return ""  # a list is never missing; the published document names the status without a case for it
        if status == 404:
            parameters = dict.fromkeys(PARAMETERS, MISSING)
        elif "{" in path:
            parameters = await self._world.parameters(path)
        headers: dict[str, str] = {}
        content = None
        if status == 401:
            client = self._stranger
        elif status == 403:
            client = self._powerless
        elif status == 400 and body is None:
            headers = {"Sequence-Version": "1999-12-31"}
            version = None
        elif status == 400:
            body, content = None, b"[]"
            headers = {"Content-Type": "application/json"}
        answer = await client.request(
            method, filled(path, parameters), version=version, json=body, content=content, headers=headers
        )
        return _fault(answer, status)


def _fault(answer: httpx.Response, status: int) -> str:
    if answer.status_code != status:
        return f"{answer.status_code} instead of {status}"
    error = answer.json().get("error", {})
    if error.get("type") not in TYPES[status] or not error.get("message"):
        return f"{status} without its type and message"
    if "sequence-version" not in answer.headers or "x-request-id" not in answer.headers:
        return f"{status} without the headers that every answer carries"
    return ""


def filled(path: str, parameters: Parameters) -> str:
    """A published path with these values for its parameters."""
    for name, value in parameters.items():
        path = path.replace("{" + name + "}", value)
    return path


def operations(document: Published) -> list[tuple[str, str]]:
    """Every published operation of a version, as verb and path."""
    return [
        (method.upper(), path)
        for path, described in document.document["paths"].items()
        for method in described
        if method in {"get", "put", "post", "delete", "patch"}
    ]
