"""Bodies of all versions into the domain and back: what one version writes is stored, sent and shown by each of them.

Nothing here but a `Failure` may come of a body. A customer that came of some is encoded, decoded and rendered, and
writing back what a version shows of it changes nothing.
"""

import json
import random
from datetime import UTC, datetime, timedelta
from functools import cache
from types import ModuleType
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from msgspec import inspect
from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.shapes import drawn
from tests.fuzz.targets.target import Target, refused

from customary.api.payload import payload
from customary.api.reading import read_body
from customary.api.versions import LIVE
from customary.api.versions.v2024_01_01 import customers as first
from customary.api.versions.v2024_05_09 import customers as second
from customary.api.versions.v2024_07_30 import customers as third
from customary.api.versions.v2024_07_30 import extensions
from customary.api.wire import Wire
from customary.domain import customer as rules
from customary.domain.activity import EventType, differences
from customary.domain.customer import Customer
from customary.domain.message import message
from customary.domain.search import document, fold, index_key
from customary.domain.values import sort_form

Json: TypeAlias = Any
_ACCOUNT_ID = UUID("01a1fac8-06be-7b35-9c0e-6f1d0f6c4b28")
_BEGINNING = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
_BODIES = tuple(endpoint.body for version in LIVE.values() for endpoint in version.endpoints if endpoint.body)
# Where a version writes customers, and with which bodies: to create and to replace.
_WRITERS: tuple[tuple[ModuleType, type[Wire], type[Wire]], ...] = (
    (first, first.CreateCustomerRequest, first.UpdateCustomerRequest),
    (second, second.CreateCustomerRequest, second.UpdateCustomerRequest),
    (third, third.CustomerRequest, third.CustomerRequest),
)
_VERSIONS = tuple(LIVE)
_info = cache(inspect.type_info)
_MOST_WRITES = 4


class _World:
    """One customer, and the clock and the ids that its writes use."""

    def __init__(self) -> None:
        self.customer: Customer | None = None
        self._ids = 0
        self._now = _BEGINNING

    def new_id(self) -> UUID:
        self._ids += 1
        return UUID(int=self._ids)

    def now(self) -> datetime:
        self._now += timedelta(microseconds=1001)
        return self._now


def check(data: bytes) -> None:
    """Write a customer some times through versions and bodies that these bytes choose; read other bodies too."""
    draw = Draw(data)
    if draw.one_in(8):
        body = draw.choice(_BODIES)
        value = drawn(_info(body), draw)
        refused(lambda: read_body(body, value))
        return
    world = _World()
    for _ in range(1 + draw.number(_MOST_WRITES - 1)):
        before = world.customer
        refused(lambda: _write(world, draw))
        if world.customer is not None and world.customer is not before:
            _holds(world, before)


def _write(world: _World, draw: Draw) -> None:
    customer = world.customer
    kind = draw.number(9)
    if customer is not None and kind == 0:
        world.customer = rules.archive(customer, at=world.now())
    elif customer is not None and kind == 1:
        world.customer = rules.unarchive(customer, at=world.now())
    elif customer is not None and kind <= 3:
        patch = drawn(_info(extensions.CustomerPatch), draw)
        write = extensions.patched(customer, patch if isinstance(patch, dict) else {})
        world.customer = rules.update(customer, write, at=world.now(), new_id=world.new_id)
    else:
        module, creating, replacing = draw.choice(_WRITERS)
        body = creating if customer is None else replacing
        value = drawn(_info(body), draw)
        _apply(world, module, body, value)


def _apply(world: _World, module: ModuleType, body: type[Wire], value: Json) -> None:
    request: Any = read_body(body, value)
    write = module.from_wire(request)
    if world.customer is None:
        world.customer = rules.create(write, at=world.now(), new_id=world.new_id)
    else:
        world.customer = rules.update(world.customer, write, at=world.now(), new_id=world.new_id)
    _is_as_written(module, request, _shown(_version_of(module), world.customer))


def _is_as_written(module: ModuleType, request: Any, shown: Json) -> None:  # noqa: ANN401 - a body of any version
    """What a version wrote is what it shows."""
    assert (shown["legalName"], shown["taxStatus"]) == (request.legal_name, request.tax_status or "TAXED")
    assert (shown.get("url"), shown.get("label")) == (request.url or None, _text_of(request.label))
    assert shown["address"] == msgspec.to_builtins(request.address) or module is not third
    if module is third:
        wanted = {contact.email.casefold(): contact for contact in request.contacts}
        assert {contact["email"]: contact["name"] for contact in shown["contacts"]} == {
            contact.email: contact.name for contact in wanted.values()
        }
        return
    assert shown["email"] == request.email
    name = _text_of(request.contact_name)
    assert shown.get("contactName", shown["legalName"]) == (shown["legalName"] if name is None else name)
    if request.billing_emails is not msgspec.UNSET:
        billed = {each.casefold() for each in shown["billingEmails"]}
        assert billed == {each.casefold() for each in (*request.billing_emails, request.email)}


def _text_of(value: Any) -> str | None:  # noqa: ANN401 - a text or UNSET
    return None if value is msgspec.UNSET else value


def _version_of(module: ModuleType) -> str:
    """The version that a module of the API belongs to."""
    return module.__name__.split(".")[-2].removeprefix("v").replace("_", "-")


def _holds(world: _World, before: Customer | None) -> None:
    """What has to be true of every customer that writes have made."""
    customer = world.customer
    assert customer is not None
    stored = msgspec.json.encode(customer)
    assert msgspec.json.decode(stored, type=Customer) == customer, "an event would be read back as another customer"
    assert b"\\u0000" not in stored, "this cannot be stored"
    assert differences(before, customer), "a change was made that the activity log would not show"
    found = message(EventType.CUSTOMER_UPDATED, customer, account_name="A", at=_BEGINNING, policy_name="P")
    assert len(found.subject.splitlines()) == 1, "an e-mail's subject is one line"
    found.text.encode()
    texts = (customer.legal_name, customer.label or "", *(alias.value for alias in customer.aliases))
    assert "\n" not in index_key(fold(document(texts)).replace("\n", "")).strip("\n")
    assert all(map(sort_form, filter(None, texts)))
    _is_shown(customer)
    if customer.archived_at is None:
        for writer in _WRITERS:
            _is_written_back(world, *writer)


def _is_shown(customer: Customer) -> None:
    shown = {version: _shown(version, customer) for version in _VERSIONS}
    for version in _VERSIONS:
        sent = json.loads(payload(EventType.CUSTOMER_UPDATED, _ACCOUNT_ID, customer, api_version=version))
        assert sent["resource"] == shown[version]
    assert len({(each["id"], each["legalName"], each.get("label"), each.get("url")) for each in shown.values()}) == 1
    assert shown["2024-01-01"]["email"] == shown["2024-05-09"]["email"]


def _shown(version: str, customer: Customer) -> Json:
    return json.loads(msgspec.json.encode(LIVE[version].customer(customer, _ACCOUNT_ID)))


def _is_written_back(world: _World, module: ModuleType, _creating: type[Wire], replacing: type[Wire]) -> None:
    """Every way of writing a customer leaves one that each version can write again as it shows it."""
    customer = world.customer
    assert customer is not None
    version = _version_of(module)
    shown = _shown(version, customer)
    is_possible = any(contact.billing_preference == "PRIMARY" for contact in customer.contacts)
    assert is_possible, "a customer has lost its main contact by writes that may not take it away"
    refusal = refused(lambda: _apply(world, module, replacing, shown))
    assert refusal is None, f"{version} refuses what it shows: {refusal}"
    assert world.customer is customer, f"writing back what {version} shows makes {world.customer} of {customer}"


_CHANCE = random.Random(1)  # noqa: S311 - nothing depends on its being unpredictable
# What is drawn from bytes of any value is mostly valid; small ones alone make the smallest bodies there are.
_SEEDS = (b"", bytes(400), *(b"\0" + _CHANCE.randbytes(700) for _ in range(30)), b"\xff" + _CHANCE.randbytes(300))
_WORDS = (b"\0" * 8, b"\1" * 4, b"\2\1", b"Acme", b"\0\0\1", b"\4\0\0\0", b"\xff\x01")
TARGET = Target(name="translations", check=check, seeds=_SEEDS, words=_WORDS, quick_runs=500)
