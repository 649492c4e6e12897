"""Accounts that make requests by throwing dice, and know what is their own: every text has a number of its own."""

import itertools
import json
import random
import re
import zlib
from collections.abc import Iterable
from typing import Any, TypeAlias

from msgspec import Struct
from tests.fuzz.completion import Known
from tests.support.asgi import Answer
from tests.support.clients import NEWEST, VERSIONS, Account
from tests.support.estates import UUIDS
from tests.support.places import Draft, Place, document
from tests.support.receivers import Receiver

from customary.api.endpoint import Endpoint

Json: TypeAlias = Any

_MARKS = re.compile(r"canary-[a-z]{3}-[0-9]+")
_MOST_POLICIES = 3
_REMEMBERED = 20
_BAIT_OF = 3
_OF_ACCOUNT = {"sequenceAccountId", "sequenceAccountIds", "merchantId"}
_CURSORS = {"after", "before"}


class Operation(Struct, frozen=True):
    """One operation, with its places and the example of a request."""

    endpoint: Endpoint
    example: Draft
    places: list[Place]

    @property
    def name(self) -> str:
        """The version, the verb and the path."""
        return f"{self.example.version} {self.endpoint.method} {self.endpoint.path}"


class Tenant:
    """An account that makes requests, and all that is known to be its own."""

    def __init__(self, account: Account, word: str, receiver: Receiver) -> None:
        self.account, self.word, self.receiver = account, word, receiver
        self.owned: set[str] = set()
        self.sent: set[str] = set()
        self.known = {version: Known(document(version)) for version in VERSIONS}
        self.cursors: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self._numbers = itertools.count()

    def text(self) -> str:
        """A text that nobody else sends."""
        mark = f"canary-{self.word}-{next(self._numbers)}"
        self.owned.add(mark)
        return mark

    def bait(self, dice: random.Random, values: Iterable[str]) -> str | None:
        """One of those few of these values that the other account may send."""
        few = [value for value in values if _is_bait(value)]
        return dice.choice(few) if few else None

    def bait_path(self, version: str, operation_id: str, number: int) -> dict[str, str] | None:
        """What leads to one of those few things that the other account may ask for."""
        paths = (self.known[version].path(operation_id, number + more) for more in range(_REMEMBERED))
        return next((path for path in paths if path and _is_bait(*path.values())), None)

    def bait_customer(self, number: int) -> str | None:
        """The id of one of those few customers that the other account may speak of."""
        return (self.bait_path(NEWEST, "getCustomersById", number) or {}).get("id")

    def has_enough(self, operation: Operation) -> bool:
        """Whether it has as many policies as it needs: every one is told of every change."""
        known = self.known[operation.example.version]
        names = {json.dumps(known.path("getNotificationsPoliciesById", number)) for number in range(_REMEMBERED)}
        return operation.endpoint.operation_id == "postNotificationsPolicies" and len(names) >= _MOST_POLICIES

    def has_nothing_for(self, operation: Operation) -> bool:
        """Whether it has nothing yet that this could be done to."""
        known = self.known[operation.example.version]
        return "{" in operation.endpoint.path and known.path(operation.endpoint.operation_id, 0) is None

    def learn(self, operation: Operation, request: Draft, answer: Answer) -> None:
        """Take in an answer of one's own."""
        if "etag" in answer.headers:
            self.tags = [*self.tags[-50:], answer.headers["etag"]]
        if answer.status >= 300:
            return
        body = json.loads(answer.body or b"null")
        self.owned |= tokens(answer.body.decode()) - self.sent
        sent = request.body if isinstance(request.body, dict) else None
        endpoint, version = operation.endpoint, request.version
        self.known[version].learn((endpoint.path, endpoint.method, answer.status), dict(request.path), sent, body)
        pagination = body.get("pagination", {}) if isinstance(body, dict) else {}
        self.cursors = [*self.cursors[-100:], *(pagination[each] for each in _CURSORS if each in pagination)]
        self.texts = [*self.texts[-1000:], *_MARKS.findall(answer.body.decode())[:3]]


def _is_bait(*values: str) -> bool:
    return zlib.crc32("".join(values).encode()) % _BAIT_OF == 0


def tokens(text: str) -> set[str]:
    """Everything in a text that tells whose it is."""
    return {*UUIDS.findall(text), *_MARKS.findall(text)}


class Dice:
    """Throws for one request: whose things it speaks of, and what else it says."""

    def __init__(self, dice: random.Random, tenant: Tenant, other: Tenant) -> None:
        self._dice, self._tenant, self._other = dice, tenant, other

    def request(self, operation: Operation) -> tuple[Draft, dict[str, str]]:
        """A request to this operation and its headers."""
        request = operation.example
        for name, value in self._path(operation).items():
            request = request.at(Place("path", (name,), {}), value)
        for place in operation.places:
            if place.where == "query" and self._chance(0.25):
                request = request.at(place, self._query_value(place))
            if place.where == "body" and (place.is_required or self._chance(0.6)):
                request = request.at(place, self._field(place))
        if operation.endpoint.query is not None and self._chance(0.5):
            request = request.at(Place("query", ("limit",), {}), str(self._dice.randint(1, 100)))
        return request, self._headers(operation)

    def _chance(self, share: float) -> bool:
        return self._dice.random() < share

    def _path(self, operation: Operation) -> dict[str, str]:
        """Values for the path: mostly one's own, often the other's, sometimes of both."""
        version, operation_id = operation.example.version, operation.endpoint.operation_id
        number = self._dice.randrange(1000)
        own = self._tenant.known[version].path(operation_id, number) or {}
        theirs = self._other.bait_path(version, operation_id, number) or own
        made = {place.name: self._tenant.text() for place in operation.places if place.where == "path"}
        whose = self._dice.choices((own, theirs, {}), (5, 4, 1))[0]
        return made | {name: (theirs if self._chance(0.05) else whose).get(name, made[name]) for name in made}

    def _query_value(self, place: Place) -> str:
        if place.name in _CURSORS:
            whose = self._other if self._chance(0.3) else self._tenant
            return self._dice.choice(whose.cursors) if whose.cursors else "none"
        if place.is_id:
            return self._id(place)
        if place.name in {"sortBy", "sortOrder"}:
            return {"sortBy": "legalName", "sortOrder": "ASC"}[place.name]
        if self._chance(0.3):
            return "canary"
        whose = self._other if self._chance(0.3) else self._tenant
        return whose.bait(self._dice, whose.texts) or "nobody"

    def _field(self, place: Place) -> str:
        if place.is_id:
            return self._id(place)
        if place.name in {"recipients", "recipient"}:
            return self._tenant.receiver.url(f"/{self._dice.randrange(3)}")
        mark, example = self._tenant.text(), str(place.schema.get("example", ""))
        if self._chance(0.02):
            mark = self._other.bait(self._dice, self._other.texts) or mark
        if place.name == "webhookSecret":
            return f"whsec_{mark}-of-sufficient-length"
        if example.startswith("http") or place.name == "url":
            return f"https://{mark}.example.com/"
        return f"{mark}@example.com" if "@" in example else mark

    def _id(self, place: Place) -> str:
        whose = self._dice.choices((self._tenant, self._other, None), (7, 2, 1))[0]
        if whose is None:
            return self._random_id()
        if place.name in _OF_ACCOUNT:
            return str(whose.account.id)
        number = self._dice.randrange(100)
        if whose is self._other:
            return whose.bait_customer(number) or self._random_id()
        return whose.known[NEWEST].customer(number) or self._random_id()

    def _random_id(self) -> str:
        text = f"{self._dice.getrandbits(128):032x}"
        return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))

    def _headers(self, operation: Operation) -> dict[str, str]:
        headers: dict[str, str] = {}
        if not operation.endpoint.is_read and self._chance(0.3):
            headers["idempotency-key"] = f"shared-{self._dice.randrange(500)}"
        tags = (self._other if self._chance(0.5) else self._tenant).tags
        if tags and self._chance(0.15):
            headers["if-none-match" if operation.endpoint.is_read else "if-match"] = self._dice.choice(tags)
        return headers
