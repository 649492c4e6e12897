"""What a schema cannot say: which ids exist, that a name is free, that one contact of several is the main one.

A generator that does not know these things makes requests that are refused for the same few reasons again and again,
and nothing behind those reasons is ever tried. So most requests that are meant to be valid are completed here with what
earlier answers showed. One in eight goes out as it was made.
"""

import json
import re
import zlib
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote

Json: TypeAlias = Any

_REMEMBERED = 20
_STATES = {"US": "NY", "CA": "ON"}
_CURSORS = ("after", "before")


class Known:
    """What the answers so far lead to: the document's links, followed."""

    def __init__(self, document: Json) -> None:
        self._links = {
            (path, method.upper(), int(status)): response["links"]
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            for status, response in operation["responses"].items()
            if "links" in response
        }
        self._targets: dict[str, deque[dict[str, str]]] = {}
        self._all: set[tuple[str, frozenset[tuple[str, str]]]] = set()

    def learn(self, operation: tuple[str, str, int], path_values: Json, request: Json, response: Json) -> None:
        """Take in an answer; the operation is its path, verb and status."""
        sources = {"request.path": path_values, "request.body": request, "response.body": response}
        for link in self._links.get(operation, {}).values():
            found = {name: _value(expression, sources) for name, expression in link["parameters"].items()}
            if all(isinstance(value, str) for value in found.values()):
                self._targets.setdefault(link["operationId"], deque(maxlen=_REMEMBERED)).append(found)
                self._all.add((link["operationId"], frozenset(found.items())))

    def path(self, operation_id: str, number: int) -> dict[str, str] | None:
        """Values for the path of an operation, by a number that picks one of several; None without any."""
        targets = self._targets.get(operation_id)
        return targets[-1 - number % len(targets)] if targets else None

    def leads_to(self, operation_id: str, path_values: Json) -> bool:
        """Whether an answer led to this operation on exactly this thing."""
        values = {name: unquote(str(value)) for name, value in (path_values or {}).items()}
        return (operation_id, frozenset(values.items())) in self._all

    def recipient(self, number: int) -> dict[str, str] | None:
        """A policy and one of its recipients, by the names of a path's parameters."""
        return self.path("deleteNotificationsPoliciesByIdRecipientsByRecipient", number)

    def customer(self, number: int) -> str | None:
        """The id of a customer."""
        return (self.path("getCustomersById", number) or {}).get("id")

    def account(self) -> str | None:
        """The id of the key's account."""
        return (self.path("getSequenceAccountsById", 0) or {}).get("id")


def chance(*parts: object) -> int:
    """A number that follows from these parts alone, so that the same case is treated the same again."""
    return zlib.crc32(repr(parts).encode("utf-8", "surrogatepass"))


def complete_query(query: MutableMapping[str, Any]) -> None:
    """Take out cursors, which cannot be made up."""
    for name in _CURSORS:
        query.pop(name, None)


def complete_body(body: Json, known: Known, unique: Callable[[], str]) -> Json:
    """This body with what its schema cannot say; `unique` makes a text that nothing is called yet."""
    return _completed("", body, known, unique)


def _completed(name: str, value: Json, known: Known, unique: Callable[[], str]) -> Json:
    number = chance(name, value)
    if isinstance(value, dict):
        members = {key: _completed(key, item, known, unique) for key, item in value.items()}
        return _consistent(members)
    if name == "recipients" and isinstance(value, list) and value:
        value = [*value, f"{number}"]  # the last one cannot be taken away
    if name in {"memberIds", "customerIds"} and isinstance(value, list):
        return [found for each in range(number % 4) if (found := known.customer(number + each))]
    if isinstance(value, list):
        items = [_completed(name, item, known, unique) for item in value]
        return _consistent_list(name, items)
    return _text(name, value, number, known, unique) if isinstance(value, str) else value


def _text(name: str, text: str, number: int, known: Known, unique: Callable[[], str]) -> str:  # noqa: PLR0911 - one for each kind
    match name:
        case "email" | "billingEmails" | "alertEmailAddresses":
            return f"{number % 1000}@example.com"
        case "recipients":
            return f"https://example.com/{number % 1000}" if number % 2 else f"{number % 1000}@example.com"
        case "url":
            return f"https://example.com/{number % 1000}"
        case "customerAliases" | "value":
            return unique()
        case "customerId" | "ownerId" | "parentId":
            return known.customer(number) or text
        case "merchantId" | "sequenceAccountId" | "sequenceAccountIds":
            return known.account() or text
        case "lastSynced" | "deletedAt" | "archivedAt":
            return "2024-05-06T07:08:09Z"
        case _:
            return text.replace("\0", "")


def _consistent(members: dict[str, Json]) -> dict[str, Json]:
    """An object whose fields go together."""
    country = members.get("country")
    if isinstance(country, str):
        members.pop("state", None)
        if country in _STATES:
            members["state"] = _STATES[country]
    if "channel" in members:
        is_webhook = members["channel"] == "WEBHOOK"
        numbers = [chance(each) % 1000 for each in members.get("recipients", ())]
        members["recipients"] = [
            f"https://example.com/{each}" if is_webhook else f"{each}@example.com" for each in numbers
        ]
        if not is_webhook:
            members.pop("webhookSecret", None)
    return members


def _consistent_list(name: str, items: list[Json]) -> list[Json]:
    """A list whose entries go together."""
    distinct = {"contacts": "email", "integrationIds": "service", "externalIds": "key"}.get(name)
    if distinct is not None:
        items = list({json.dumps(item.get(distinct)): item for item in items if isinstance(item, dict)}.values())
    if name == "contacts" and items:
        items[0]["billingPreference"] = "PRIMARY"
    return items


def _value(expression: str, sources: dict[str, Json]) -> Json:
    """What a link's expression stands for in these sources; None where there is no such thing."""
    source, pointer = re.fullmatch(r"\$(\w+\.\w+)(?:[.#](.*))", expression).groups()  # pyright: ignore[reportOptionalMemberAccess] - our documents have no others
    value = sources[source]
    for step in pointer.strip("/").split("/"):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdigit() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value
