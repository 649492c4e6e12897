"""Accounts that own one of everything there is, and all that their own answers tell of it: ids, texts and cursors."""

import re
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import httpx
from msgspec import Struct
from tests.support.bodies import contact, link, newest
from tests.support.clients import NEWEST, Account, owner_connection, success
from tests.support.cluster import Database
from tests.support.places import PROPERTY

from customary.api.versions import LIVE
from customary.domain.activity import ActorType
from customary.domain.user import Role
from customary.operations.users import create_user_as_operator
from customary.storage import activity_logs

Json: TypeAlias = Any

UUIDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MISSING_ID = "0185a142-54ff-7ce5-846a-fc188432da6e"
# The operator and the service are the same ones in every account's log.
NOBODYS = {str(activity_logs.reference_id(each, UUID(int=0))) for each in (ActorType.OPERATOR, ActorType.SERVICE)}
# Three letters for each account and for nobody, so that a text that is nobody's is as long as somebody's.
NOBODY = "non"


class Estate(Struct, frozen=True):
    """What an account owns, by where its own answers showed it first: the same names in every estate."""

    account: Account
    word: str
    ids: dict[str, str]
    texts: dict[str, str]
    cursors: dict[str, str]

    @property
    def everything(self) -> dict[str, str]:
        """All of it."""
        return self.ids | self.texts | self.cursors

    @property
    def canary(self) -> str:
        """What stands in every text that is this account's."""
        return canary(self.word)

    def missing(self, label: str) -> str:
        """What looks like this and is nobody's."""
        if label in self.ids:
            return str(uuid5(UUID(MISSING_ID), label))  # another one for each, as those that exist are
        if label in self.cursors:
            # One letter of the signature is another: it is as long as before, and nobody made it.
            value = self.cursors[label]
            return ("B" if value[0] == "A" else "A") + value[1:]
        return UUIDS.sub(MISSING_ID, self.texts[label].replace(self.canary, canary(NOBODY)))

    def crossings(self, answer: bytes, sent: Iterable[str] = ()) -> list[str]:
        """What of this estate stands in an answer to somebody else, who had sent only this of it."""
        text = answer.decode()
        for each in sent:
            text = text.replace(each, "")
        known = set(self.ids.values()) - NOBODYS
        return [found for found in UUIDS.findall(text) if found in known] + [self.canary] * (self.canary in text)


def canary(word: str) -> str:
    """What marks the texts of an account."""
    return f"canary-{word}"


class _Notes:
    """Takes down what answers show, each thing under the name that it had when it was seen first."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._seen: set[str] = set()
        self.ids: dict[str, str] = {}
        self.texts: dict[str, str] = {}
        self.cursors: dict[str, str] = {}

    def take(self, source: str, answer: httpx.Response) -> Json:
        """Take down what this answer shows; its body."""
        body = success(answer, answer.status_code if answer.is_success else 200)
        for way, text in _texts(body):
            self._note(source, way, text)
        return body

    def _note(self, source: str, way: str, text: str) -> None:
        label = f"{source} {way}"
        if text in self._seen:
            return
        if _is_uuid(text):
            self.ids.setdefault(label, text)
        elif way.startswith("pagination."):
            self.cursors.setdefault(label, text)
        elif canary(self._word) in text or UUIDS.search(text):
            self.texts.setdefault(label, text)
        else:
            return
        self._seen.add(text)


async def populated(account: Account, database: Database, word: str) -> Estate:
    """An account that owns one of everything, its texts marked with this word of three letters.

    What is there only so that there is a second one has a name that begins with `another`.
    """
    notes = _Notes(word)
    await _fill(account, database, notes, word)
    for version in LIVE.values():
        for endpoint in version.endpoints:
            if endpoint.is_read and "{" not in endpoint.path:
                for params in ({"limit": 1}, {"limit": 100}) if endpoint.query else ({},):
                    found = await account.client.get(endpoint.path, version=version.date, params=params)
                    notes.take(f"{version.date} {endpoint.path}", found)
    return Estate(account, word, notes.ids, notes.texts, notes.cursors)


async def _fill(account: Account, database: Database, notes: _Notes, word: str) -> None:
    """Make one of everything, as a client does. Each request has an idempotency key of its own."""
    mark, numbers = canary(word), count()

    async def make(what: str, path: str, **body: object) -> str:
        key = {"Idempotency-Key": f"{mark}-key-{next(numbers)}"}
        made = notes.take(what, await account.client.post(path, version=NEWEST, json=body, headers=key))
        return made.get("id", "")

    async def look(what: str, path: str) -> None:
        notes.take(what, await account.client.get(path, version=NEWEST, params={"limit": 1}))

    recipients = [f"https://{mark}.example.com/{number}" for number in range(2)]
    policy = {"name": f"{mark} policy", "channel": "WEBHOOK", "recipients": recipients}
    policy_id = await make("policy", "/notifications/policies", **policy)
    await make("another policy", "/notifications/policies", **policy, notificationTypes=["CUSTOMER_CREATED"])
    customer = await make("customer", "/customers", **_customer(mark))
    await make("another free customer", "/customers", **_customer(f"{mark} free"))
    owners = [await make("another customer", "/customers", **_customer(f"{mark} {number}")) for number in range(2)]
    await make("organization", "/customer-organizations", ownerId=owners[0], memberIds=[customer])
    gone = await make("another archived customer", "/customers", **_customer(f"{mark} gone"))
    await make("another archived customer", f"/customers/{gone}/archive")
    await make("another organization", "/customer-organizations", ownerId=owners[1], memberIds=[customer])
    second = contact(f"second@{mark}.example.com", "STANDARD", f"{mark} Second")
    await make("contact", f"/customers/{customer}/contacts", **second)
    await make("alias", "/customer-aliases", customerId=customer, value=f"{mark}-alias", label=f"{mark} kind")
    await make("payment", "/payments/settings/customers", customerId=customer, paymentProvider="STRIPE")
    for prefix, country in (("", "GB"), ("another ", "DE")):
        tax = {"taxIdentifier": f"{mark}-tax", "country": country}
        await make(f"{prefix}tax of customer", "/tax-registrations", customerId=customer, **tax)
        await make(f"{prefix}tax of merchant", "/tax-registrations", merchantId=str(account.id), **tax)
    async with owner_connection(database.owner_url) as owner:
        for number in range(2):
            await create_user_as_operator(owner, account.id, f"user{number}@{mark}.example.com", Role.ADMIN)
    await look("taxes of customer", f"/tax-registrations/for-customer/{customer}")
    await look("taxes of merchant", f"/tax-registrations/for-merchant/{account.id}")
    await look("deliveries", f"/notifications/policies/{policy_id}/deliveries")


def _customer(mark: str) -> Json:
    """A customer with this mark in all of its texts."""
    word = mark.replace(" ", "-")
    return newest(
        legalName=f"{mark} Ltd",
        label=f"{mark} label",
        url=f"https://{word}.example.com/",
        contacts=[contact(f"first@{word}.example.com", name=f"{mark} Person")],
        customerAliases=[f"{word}-first"],
        integrationIds=[link(NEWEST, "Xero", f"{word}-xero")],
        customProperties={PROPERTY: f"{mark} region"},
    )


def _texts(value: Json, way: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a JSON value with the way to it, without the positions in lists."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, f"{way}.{name}" if way else name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, way)
    elif isinstance(value, str):
        yield way, value


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
