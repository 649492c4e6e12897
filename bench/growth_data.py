"""The accounts whose growth is measured, with organisations and customers of any size; and the way back after that."""

import asyncio
import base64
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from bench import dataset
from bench.dataset import customer_of
from bench.site import Site
from customary import keyring
from customary.domain.account import Scope
from customary.domain.customer import Customer
from customary.operations.accounts import create_account
from customary.operations.api_keys import create_key
from customary.settings import Settings
from customary.storage import accounts, schema
from customary.storage.database import Connection
from customary.storage.secret_keys import KeyRing

MEMBERS = (1, 10, 100, 1_000, 10_000)
CONTACTS = (1, 3, 10, 30, 100)
# Everything in a data set was made before that. First what points to others, then those: by the ids of new events, by
# those of new customers, or by a condition.
_NEW = "created_at >= '2025-01-01'"
_NEW_EVENTS = f"SELECT id FROM events WHERE account_id = $1 AND {_NEW}"  # noqa: S608 - constants
_NEW_CUSTOMERS = f"SELECT id FROM customers WHERE account_id = $1 AND {_NEW}"  # noqa: S608 - constants
_OF_EVENTS = {"jobs": "event_id", "event_organizations": "batch_id", "events": "id"}
_OF_CUSTOMERS = {
    "organization_members": "customer_id",
    "organizations": "owner_id",
    "contacts": "customer_id",
    "integration_links": "customer_id",
    "customer_aliases": "customer_id",
    "custom_property_keys": "customer_id",
    "customers": "id",
}
_OTHERS = {"activity_logs": _NEW, "idempotency_keys": "key NOT LIKE 'bench-history-%'"}
_FORGET_ORGANIZATIONS = ("organization_members", "organizations")
_COUNTING = "customers_removed_are_counted"
_COUNT = "INSERT INTO customer_counts (account_id, unarchived, archived) VALUES ($1, $2, 0)"
_OWN = "INSERT INTO organizations (account_id, id, owner_id, created_at) VALUES ($1, $2, $3, $4)"
_JOIN = """
INSERT INTO organization_members (account_id, organization_id, customer_id, is_by_parent, created_at)
SELECT $1, $2, unnest($3::uuid[]), false, $4
"""
_MEMBERS_ROWS = """
SELECT md5(string_agg(concat_ws(' ', c.id, c.xmin, c.version, m.xmin), ',' ORDER BY c.id))
  FROM organization_members m JOIN customers c ON c.account_id = m.account_id AND c.id = m.customer_id
 WHERE m.account_id = $1 AND m.organization_id = $2
"""


class Account(Struct, frozen=True):
    """An account and what a key of it is sent as."""

    id: UUID
    authorization: str

    def headers(self) -> list[tuple[str, str]]:
        """The headers of its requests."""
        return [("Authorization", self.authorization)]


class Family(Struct, frozen=True):
    """The owner of an organisation and one of so many members."""

    members: int
    owner: Customer
    member: Customer

    @property
    def organization_id(self) -> UUID:
        """The id of their organisation."""
        return UUID(int=self.owner.id.int ^ 1)


def forget(site: Site, account_ids: Sequence[UUID]) -> int:
    """Remove from these accounts what was written there since their data sets were made; how many events that is."""
    return asyncio.run(_forget(site.owner_url, account_ids))


async def _forget(url: str, account_ids: Sequence[UUID]) -> int:
    async with schema.connection(url) as owner:
        return sum([await forget_new(owner, account_id) for account_id in account_ids])


def settle(site: Site) -> None:
    """Let PostgreSQL do now what it does by itself where a server goes on running."""
    asyncio.run(_settle(site.owner_url))


async def _settle(url: str) -> None:
    async with schema.connection(url) as owner:
        await owner.execute("VACUUM (ANALYZE)")


def rows_of_members(site: Site, account: Account, family: Family) -> str:
    """What tells whether one of the members' rows was written anew."""
    return asyncio.run(_rows_of_members(site.owner_url, account, family))


async def _rows_of_members(url: str, account: Account, family: Family) -> str:
    async with schema.connection(url) as owner:
        return await owner.fetchval(_MEMBERS_ROWS, account.id, family.organization_id)


async def forget_new(owner: Connection, account_id: UUID) -> int:
    """Remove from an account whatever was written there since its data set was made; how many events that is."""
    events = [row["id"] for row in await owner.fetch(_NEW_EVENTS, account_id)]
    customers = [row["id"] for row in await owner.fetch(_NEW_CUSTOMERS, account_id)]
    if not events and not customers:
        return 0
    async with owner.transaction():
        # It would look through what it added itself, again and again. Nothing of this was archived.
        await owner.execute(f"ALTER TABLE customers DISABLE TRIGGER {_COUNTING}")
        for ids, tables in ((events, _OF_EVENTS), (customers, _OF_CUSTOMERS)):
            for table, column in tables.items():
                await owner.execute(_remove(table, f"{column} = ANY ($2::uuid[])"), account_id, ids)
        for table, condition in _OTHERS.items():
            await owner.execute(_remove(table, condition), account_id)
        await owner.execute(_COUNT, account_id, -len(customers))
        await owner.execute(f"ALTER TABLE customers ENABLE TRIGGER {_COUNTING}")
    return len(events)


def _remove(table: str, condition: str) -> str:
    return f"DELETE FROM {table} WHERE account_id = $1 AND {condition}"  # noqa: S608 - both are constants


def ring_of(site: Site) -> KeyRing:
    """The secret keys of the service that is measured."""
    return keyring.required(Settings(data_dir=site.service.data_dir))


def families(site: Site) -> tuple[Account, list[Family]]:
    """An account with an organisation of each size."""
    return asyncio.run(_families(site.owner_url, ring_of(site)))


async def _families(url: str, ring: KeyRing) -> tuple[Account, list[Family]]:
    name, count = "growth members", sum(MEMBERS) + len(MEMBERS)
    async with schema.connection(url) as owner:
        made = [customer_of(count, number) for number in range(count)]
        account, is_new = await _account(owner, ring, name)
        await forget_new(owner, account.id)  # what a run left that was broken off
        found, first = list[Family](), 0
        for members in MEMBERS:
            found.append(Family(members, made[first], made[first + 1]))
            first += 1 + members
        if is_new:
            await _store_without_organizations(owner, account.id, made)
            for family in found:
                position = made.index(family.owner)
                await _unite(owner, account.id, family, made[position + 1 : position + 1 + family.members])
            await owner.execute("VACUUM (ANALYZE)")
        return account, found


async def _store_without_organizations(owner: Connection, account_id: UUID, made: list[Customer]) -> None:
    for first in range(0, len(made), 5_000):
        await dataset.store(owner, account_id, made[first : first + 5_000])
    for table in _FORGET_ORGANIZATIONS:
        await owner.execute(f"DELETE FROM {table} WHERE account_id = $1", account_id)  # noqa: S608 - constants


async def _unite(owner: Connection, account_id: UUID, family: Family, members: list[Customer]) -> None:
    made = family.owner.created_at
    await owner.execute(_OWN, account_id, family.organization_id, family.owner.id, made)
    await owner.execute(_JOIN, account_id, family.organization_id, [each.id for each in members], made)


def with_contacts(site: Site) -> tuple[Account, dict[int, Customer]]:
    """An account with a customer of each number of contacts."""
    return asyncio.run(_with_contacts(site.owner_url, ring_of(site)))


async def _with_contacts(url: str, ring: KeyRing) -> tuple[Account, dict[int, Customer]]:
    made = {count: customer_of(len(CONTACTS), number, contacts=count) for number, count in enumerate(CONTACTS)}
    async with schema.connection(url) as owner:
        account, is_new = await _account(owner, ring, "growth contacts")
        await forget_new(owner, account.id)
        if is_new:
            await _store_without_organizations(owner, account.id, list(made.values()))
        return account, made


async def _account(owner: Connection, ring: KeyRing, name: str) -> tuple[Account, bool]:
    """The account of this name, with a new key, and whether it had to be made."""
    ids = {each.name: each.id for each in await accounts.all_accounts(owner)}
    account_id = ids[name] if name in ids else (await create_account(owner, name)).id
    key, secret = await create_key(
        owner, account_id, ring=ring, name="growth", scopes=frozenset(Scope), requests_per_minute=1_000_000_000
    )
    text = base64.b64encode(f"{key.client_id}:{secret}".encode()).decode()
    return Account(account_id, f"Basic {text}"), name not in ids
