"""Notification policies."""

from uuid import UUID

from customary.domain.notification import Channel, NotificationType, Policy
from customary.domain.page import Page, Window
from customary.errors import NotFound
from customary.storage import keyset
from customary.storage.database import Reading, Record, Tx

_COLUMNS = """
    p.id, p.created_at, p.name, p.channel, p.recipients, p.notification_types, p.api_version,
    p.is_ordered
"""
GET = f"SELECT {_COLUMNS} FROM notification_policies p WHERE p.account_id = $1 AND p.id = $2"  # noqa: S608 - constants
GET_FOR_UPDATE = f"{GET} FOR UPDATE"
INSERT = """
INSERT INTO notification_policies (account_id, id, created_at, name, channel, recipients, notification_types,
    api_version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
SAVE = """
UPDATE notification_policies SET recipients = $3, notification_types = $4, is_ordered = $5
 WHERE account_id = $1 AND id = $2
"""
DELETE = "DELETE FROM notification_policies WHERE account_id = $1 AND id = $2"


async def insert(tx: Tx, policy: Policy) -> None:
    """Store a new policy; its secret is for `policy_secrets`."""
    await tx.connection.execute(
        INSERT,
        tx.account_id,
        policy.id,
        policy.created_at,
        policy.name,
        policy.channel.value,
        list(policy.recipients),
        _types_to_row(policy),
        policy.api_version,
    )


async def get(reading: Reading, policy_id: UUID | None) -> Policy:
    """The policy with this id. Raises `NotFound`."""
    return await _get(reading, policy_id, GET)


async def get_for_update(tx: Tx, policy_id: UUID | None) -> Policy:
    """The same, locked until the transaction ends."""
    return await _get(tx, policy_id, GET_FOR_UPDATE)


async def save(tx: Tx, policy: Policy) -> None:
    """Store the recipients, the types and the order of a policy; the rest of it never changes."""
    recipients = list(policy.recipients)
    types = _types_to_row(policy)
    await tx.connection.execute(SAVE, tx.account_id, policy.id, recipients, types, policy.is_ordered)


async def delete(tx: Tx, policy: Policy) -> None:
    """Remove a policy."""
    await tx.connection.execute(DELETE, tx.account_id, policy.id)


async def fetch(reading: Reading, window: Window, *, about: NotificationType | None) -> Page[Policy]:
    """One page of the policies; with `about` only of those that cover this type."""
    conditions, parameters = ["p.account_id = $1"], [reading.account_id, *([about.value] if about else [])]
    if about:
        conditions.append("(p.notification_types IS NULL OR $2 = ANY (p.notification_types))")
    listing = keyset.Listing(
        columns=_COLUMNS,
        source=f"FROM notification_policies p WHERE {' AND '.join(conditions)}",
        parameters=tuple(parameters),
        sort=keyset.Sort("p.created_at", "timestamptz", is_nullable=False),
        id="p.id",
        from_row=_from_row,
    )
    return await keyset.fetch(reading, listing, window)


async def _get(reading: Reading, policy_id: UUID | None, statement: str) -> Policy:
    row = None if policy_id is None else await reading.connection.fetchrow(statement, reading.account_id, policy_id)
    if row is None:
        message = "There is no notification policy with this id."
        raise NotFound(message)
    return _from_row(row)


def _types_to_row(policy: Policy) -> list[str] | None:
    return None if policy.notification_types is None else [each.value for each in policy.notification_types]


def _from_row(row: Record) -> Policy:
    types = row["notification_types"]
    return Policy(
        id=row["id"],
        created_at=row["created_at"],
        name=row["name"],
        channel=Channel(row["channel"]),
        recipients=tuple(row["recipients"]),
        notification_types=None if types is None else tuple(NotificationType(each) for each in types),
        api_version=row["api_version"],
        is_ordered=row["is_ordered"],
    )
