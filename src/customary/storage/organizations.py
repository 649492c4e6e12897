"""Organisations: an owner and its members."""

from uuid import UUID

from customary.storage.database import Tx

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
ON CONFLICT (account_id, organization_id, customer_id) DO NOTHING
"""
LEAVE_PARENTS = """
DELETE FROM organization_members
 WHERE account_id = $1 AND customer_id = $2 AND is_by_parent AND organization_id <> $3
"""
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


async def lock(tx: Tx) -> None:
    """Let nobody else change an organisation of this account until the transaction ends."""
    await tx.connection.execute(LOCK, str(tx.account_id))


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
