"""Accounts, for an operator on the command line over a connection of the tables' owner."""

from uuid import UUID

from customary.domain.account import Account
from customary.storage.database import Connection, Record

INSERT_ACCOUNT = "INSERT INTO accounts (id, name, created_at) VALUES ($1, $2, now()) RETURNING id, name, created_at"
LIST_ACCOUNTS = "SELECT id, name, created_at FROM accounts ORDER BY created_at, id"
GET_ACCOUNT = "SELECT id, name, created_at FROM accounts WHERE name = $1 OR id::text = $1"


async def create(connection: Connection, account_id: UUID, name: str) -> Account:
    """Store a new account. A name that is taken raises `asyncpg.UniqueViolationError`."""
    return _account_from_row(await connection.fetchrow(INSERT_ACCOUNT, account_id, name))


async def all_accounts(connection: Connection) -> list[Account]:
    """Every account, oldest first."""
    return [_account_from_row(row) for row in await connection.fetch(LIST_ACCOUNTS)]


async def get(connection: Connection, name_or_id: str) -> Account | None:
    """The account with this name or id."""
    row = await connection.fetchrow(GET_ACCOUNT, name_or_id)
    return None if row is None else _account_from_row(row)


def _account_from_row(row: Record) -> Account:
    return Account(row["id"], row["name"], row["created_at"])
