"""Organisations: an owner and its members. However many members there are, each step is one statement."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

import msgspec
from msgspec.structs import replace

from customary.domain.customer import Customer, NamedCustomer, Organization
from customary.domain.organization import Known
from customary.domain.page import Page, Window
from customary.errors import NotFound
from customary.storage import customers, keyset
from customary.storage.database import Reading, Record, Tx

_COLUMNS = """
    o.id, o.created_at, w.id AS owner_id, w.legal_name AS owner_name,
    (SELECT json_agg(json_build_object('id', mc.id, 'name', mc.legal_name) ORDER BY m.created_at, m.customer_id)
       FROM organization_members m
       JOIN customers mc ON mc.account_id = m.account_id AND mc.id = m.customer_id
      WHERE m.account_id = o.account_id AND m.organization_id = o.id) AS members
"""
_SOURCE = "FROM organizations o JOIN customers w ON w.account_id = o.account_id AND w.id = o.owner_id"

# Each has an owner, so that there is no need to look at those for their number.
COUNT = "SELECT count(*) FROM organizations WHERE account_id = $1"
GET_ALL = f"""
SELECT {_COLUMNS} {_SOURCE} WHERE o.account_id = $1 AND o.id = ANY ($2::uuid[]) ORDER BY o.created_at, o.id
"""
OWNED = "SELECT id FROM organizations WHERE account_id = $1 AND owner_id = $2"
IS_CHILD = """
SELECT EXISTS (
    SELECT FROM organizations o
      JOIN organization_members m ON m.account_id = o.account_id AND m.organization_id = o.id
     WHERE o.account_id = $1 AND o.owner_id = $2 AND m.customer_id = $3 AND m.is_by_parent)
"""

# Organisations are changed rarely and checked for circles across several rows, so an account's changes to them come
# one after another. The lock is taken on the account's own number and ends with the transaction.
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 1))"
ENSURE = """
INSERT INTO organizations (account_id, id, owner_id, created_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (account_id, owner_id) DO UPDATE SET owner_id = excluded.owner_id RETURNING id
"""
JOIN = """
INSERT INTO organization_members (account_id, organization_id, customer_id, is_by_parent, created_at)
VALUES ($1, $2, $3, true, $4)
ON CONFLICT (account_id, organization_id, customer_id) DO UPDATE SET is_by_parent = true
"""
LEAVE_PARENTS = """
DELETE FROM organization_members
 WHERE account_id = $1 AND customer_id = $2 AND is_by_parent AND organization_id <> $3
"""
ADD = """
INSERT INTO organization_members (account_id, organization_id, customer_id, is_by_parent, created_at)
SELECT $1, $2, unnest($3::uuid[]), false, $4
"""
JOIN_ALL = """
INSERT INTO organization_members (account_id, organization_id, customer_id, is_by_parent, created_at)
SELECT $1, $2, given.id, $4, $5 FROM unnest($3::uuid[]) AS given (id)
 WHERE NOT $4 OR NOT EXISTS (SELECT FROM organization_members m
                              WHERE m.account_id = $1 AND m.customer_id = given.id AND m.is_by_parent)
ON CONFLICT (account_id, organization_id, customer_id)
DO UPDATE SET is_by_parent = organization_members.is_by_parent OR excluded.is_by_parent
"""
REMOVE = """
DELETE FROM organization_members
 WHERE account_id = $1 AND organization_id = $2 AND customer_id = ANY ($3::uuid[])
"""
REMOVE_ALL = "DELETE FROM organization_members WHERE account_id = $1 AND organization_id = $2"
DELETE = "DELETE FROM organizations WHERE account_id = $1 AND id = $2"
# Every owner above a customer; grows with the height of its family alone, and ends on a circle because of UNION.
ANCESTORS = """
WITH RECURSIVE above (id) AS (
    SELECT $2::uuid
    UNION
    SELECT o.owner_id
      FROM above
      JOIN organization_members m ON m.account_id = $1 AND m.customer_id = above.id
      JOIN organizations o ON o.account_id = m.account_id AND o.id = m.organization_id
)
SELECT id FROM above
"""
# In the order of the ids, so that two that lock the same customers never wait for each other in a circle. What the lock
# waited for is seen: PostgreSQL reads a locked row again.
LOCK_CUSTOMERS = """
SELECT id, legal_name, archived_at IS NOT NULL AS is_archived
  FROM customers WHERE account_id = $1 AND id = ANY ($2::uuid[]) ORDER BY id FOR UPDATE
"""
TOUCH = "UPDATE customers SET version = version + 1, updated_at = $3 WHERE account_id = $1 AND id = ANY ($2::uuid[])"
CUSTOMERS = f"""
SELECT {customers.OWN_COLUMNS}, NULL AS organizations
  FROM customers c WHERE c.account_id = $1 AND c.id = ANY ($2::uuid[]) ORDER BY c.id
"""  # noqa: S608 - constants
PLACES = """
SELECT o.owner_id AS customer_id, o.id AS organization_id
  FROM organizations o WHERE o.account_id = $1 AND o.owner_id = ANY ($2::uuid[])
UNION ALL
SELECT m.customer_id, m.organization_id
  FROM organization_members m WHERE m.account_id = $1 AND m.customer_id = ANY ($2::uuid[])
"""

_read_members = msgspec.json.Decoder(tuple[NamedCustomer, ...]).decode


async def lock(tx: Tx) -> None:
    """Let nobody else change an organisation of this account until the transaction ends.

    Whoever wants customers as well takes this first.
    """
    await tx.connection.execute(LOCK, str(tx.account_id))


async def is_child(tx: Tx, owner_id: UUID, customer_id: UUID) -> bool:
    """Whether the customer joined this owner's organisation by naming it as its parent."""
    return await tx.connection.fetchval(IS_CHILD, tx.account_id, owner_id, customer_id)


async def ensure(tx: Tx, owner_id: UUID, new_id: UUID) -> UUID:
    """The id of the organisation that this customer owns, which is `new_id` if it had to be made."""
    return await tx.connection.fetchval(ENSURE, tx.account_id, new_id, owner_id, tx.now)


async def set_parent(tx: Tx, organization_id: UUID, customer_id: UUID) -> None:
    """Make the customer a member, in place of an earlier parent's organisation; other memberships stay."""
    await tx.connection.execute(LEAVE_PARENTS, tx.account_id, customer_id, organization_id)
    await tx.connection.execute(JOIN, tx.account_id, organization_id, customer_id, tx.now)


async def ancestors(tx: Tx, customer_id: UUID) -> set[UUID]:
    """This customer and every owner above it."""
    return {row["id"] for row in await tx.connection.fetch(ANCESTORS, tx.account_id, customer_id)}


async def get(reading: Reading, organization_id: UUID | None) -> Organization:
    """The organisation with this id. Raises `NotFound`, for a malformed id (None) too."""
    found = await _get_all(reading, [] if organization_id is None else [organization_id])
    for organization in found:
        return organization
    message = "There is no organisation with this id."
    raise NotFound(message)


async def get_for_update(tx: Tx, organization_id: UUID | None) -> Organization:
    """The organisation with this id; nobody else changes one until the transaction ends. Raises `NotFound`."""
    await lock(tx)
    return await get(tx, organization_id)


async def fetch(reading: Reading, window: Window) -> Page[Organization]:
    """One page of the account's organisations."""
    listing = keyset.Listing(
        columns=_COLUMNS,
        source=f"{_SOURCE} WHERE o.account_id = $1",
        parameters=(reading.account_id,),
        sort=keyset.Sort("o.created_at", "timestamptz", is_nullable=False),
        id="o.id",
        from_row=_from_row,
        count=COUNT,
    )
    return await keyset.fetch(reading, listing, window)


async def owned_by(reading: Reading, customer_id: UUID) -> UUID | None:
    """The id of the organisation that this customer owns, if it owns one."""
    return await reading.connection.fetchval(OWNED, reading.account_id, customer_id)


async def add(tx: Tx, organization_id: UUID, customer_ids: Collection[UUID]) -> None:
    """Make these customers, none of which is one already, members."""
    await tx.connection.execute(ADD, tx.account_id, organization_id, list(customer_ids), tx.now)


async def join(tx: Tx, organization_id: UUID, customer_ids: Collection[UUID], *, is_by_parent: bool) -> None:
    """Make these customers members, as children of the owner or otherwise; some may be already.

    Whoever is another one's child stays that.
    """
    await tx.connection.execute(JOIN_ALL, tx.account_id, organization_id, list(customer_ids), is_by_parent, tx.now)


async def remove(tx: Tx, organization_id: UUID, customer_ids: Collection[UUID]) -> None:
    """Let these customers be members no longer."""
    await tx.connection.execute(REMOVE, tx.account_id, organization_id, list(customer_ids))


async def delete(tx: Tx, organization_id: UUID) -> None:
    """Remove an organisation; its customers stay."""
    await tx.connection.execute(REMOVE_ALL, tx.account_id, organization_id)
    await tx.connection.execute(DELETE, tx.account_id, organization_id)


async def lock_customers(tx: Tx, customer_ids: Iterable[UUID]) -> dict[UUID, Known]:
    """Those of these customers that exist, locked until the transaction ends."""
    rows = await tx.connection.fetch(LOCK_CUSTOMERS, tx.account_id, list(customer_ids))
    return {row["id"]: Known(row["legal_name"], row["is_archived"]) for row in rows}


async def touch_customers(tx: Tx, customer_ids: Collection[UUID]) -> tuple[Customer, ...]:
    """Count a change of their organisations as one of each of these customers; answers them as they are then."""
    wanted = list(customer_ids)
    await tx.connection.execute(TOUCH, tx.account_id, wanted, tx.now)
    rows = await tx.connection.fetch(CUSTOMERS, tx.account_id, wanted)
    return await with_organizations(tx, [customers.from_row(row) for row in rows])


async def with_organizations(reading: Reading, bare: Sequence[Customer]) -> tuple[Customer, ...]:
    """These customers, read without their organisations, with them; each is read once, whoever belongs to it."""
    places = await reading.connection.fetch(PLACES, reading.account_id, [customer.id for customer in bare])
    found = await _get_all(reading, {place["organization_id"] for place in places})
    order = {organization.id: position for position, organization in enumerate(found)}
    positions: dict[UUID, list[int]] = {}
    for place in places:
        positions.setdefault(place["customer_id"], []).append(order[place["organization_id"]])
    return tuple(
        replace(customer, organizations=tuple(found[each] for each in sorted(positions.get(customer.id, ()))))
        for customer in bare
    )


async def _get_all(reading: Reading, organization_ids: Collection[UUID]) -> tuple[Organization, ...]:
    """Those of these organisations that exist, oldest first."""
    rows = await reading.connection.fetch(GET_ALL, reading.account_id, list(organization_ids))
    return tuple(map(_from_row, rows))


def _from_row(row: Record) -> Organization:
    return Organization(
        id=row["id"],
        owner=NamedCustomer(row["owner_id"], row["owner_name"]),
        members=_read_members(row["members"] or "[]"),
    )
