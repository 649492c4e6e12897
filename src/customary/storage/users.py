"""The users of an account. A deleted one is kept, and found by nobody."""

from uuid import UUID

from customary.domain.contacts import email_key
from customary.domain.page import Page, Window
from customary.domain.user import Role, User
from customary.errors import NotFound
from customary.storage import keyset
from customary.storage.database import Connection, Reading, Record, Tx

_COLUMNS = "u.id, u.email, u.role, u.created_at, u.deleted_at"
_LIVE = "FROM users u WHERE u.account_id = $1 AND u.deleted_at IS NULL"
GET = f"SELECT {_COLUMNS} {_LIVE} AND u.id = $2"
GET_FOR_UPDATE = f"{GET} FOR NO KEY UPDATE"
ALL_OF = f"SELECT {_COLUMNS} {_LIVE} ORDER BY u.created_at, u.id"
INSERT = """
INSERT INTO users (account_id, id, email, email_key, role, created_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (account_id, email_key) WHERE deleted_at IS NULL DO NOTHING
RETURNING id
"""
DELETE = "UPDATE users SET deleted_at = $3 WHERE account_id = $1 AND id = $2"


async def insert(tx: Tx, user: User) -> bool:
    """Store a new user; whether the e-mail was free."""
    inserted = await tx.connection.fetchval(
        INSERT, tx.account_id, user.id, user.email, email_key(user.email), user.role.value, user.created_at
    )
    return inserted is not None


async def get(reading: Reading, user_id: UUID | None) -> User:
    """The user with this id, unless deleted. Raises `NotFound`."""
    return await _get(reading, user_id, GET)


async def get_for_update(tx: Tx, user_id: UUID | None) -> User:
    """The same, locked until the transaction ends."""
    return await _get(tx, user_id, GET_FOR_UPDATE)


async def delete(tx: Tx, user: User) -> None:
    """Store that this user is deleted."""
    await tx.connection.execute(DELETE, tx.account_id, user.id, user.deleted_at)


async def fetch(reading: Reading, window: Window) -> Page[User]:
    """One page of the users, without the deleted ones."""
    listing = keyset.Listing(
        columns=_COLUMNS,
        source=_LIVE,
        parameters=(reading.account_id,),
        sort=keyset.Sort("u.created_at", "timestamptz", is_nullable=False),
        id="u.id",
        from_row=_from_row,
    )
    return await keyset.fetch(reading, listing, window)


async def all_of(connection: Connection, account_id: UUID) -> list[User]:
    """Every user of this account, oldest first, over a connection of the tables' owner."""
    return [_from_row(row) for row in await connection.fetch(ALL_OF, account_id)]


async def _get(reading: Reading, user_id: UUID | None, statement: str) -> User:
    row = None if user_id is None else await reading.connection.fetchrow(statement, reading.account_id, user_id)
    if row is None:
        message = "There is no user with this id."
        raise NotFound(message)
    return _from_row(row)


def _from_row(row: Record) -> User:
    return User(
        id=row["id"],
        email=row["email"],
        role=Role(row["role"]),
        created_at=row["created_at"],
        deleted_at=row["deleted_at"],
    )
