"""Imports: the journal of how far each file was read, and who is still to join whose organisation."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from msgspec import Struct

from customary.domain.transfer import Place
from customary.errors import SetupError
from customary.storage.database import Connection, Tx

# One import of one file at a time. The server gives the lock of a killed client free once it has noticed.
LOCK = "SELECT pg_advisory_lock(hashtextextended($1::text || encode($2::bytea, 'hex'), 2))"
UNLOCK = "SELECT pg_advisory_unlock(hashtextextended($1::text || encode($2::bytea, 'hex'), 2))"
_LOCK_WAIT_SECONDS = 30

BEGIN = """
INSERT INTO customer_imports (account_id, digest, started_at, next_byte, next_line, rows_read, rows_skipped)
VALUES ($1, $2, now(), 0, 0, 0, 0)
"""
GET = """
SELECT next_byte, next_line, rows_read, rows_skipped, finished_at IS NOT NULL AS is_finished
  FROM customer_imports WHERE account_id = $1 AND digest = $2
"""
ADVANCE = """
UPDATE customer_imports SET next_byte = $4, next_line = $5, rows_read = $6, rows_skipped = rows_skipped + $7
 WHERE account_id = $1 AND digest = $2 AND rows_read = $3 AND finished_at IS NULL
"""
FINISH = """
UPDATE customer_imports SET finished_at = now() WHERE account_id = $1 AND digest = $2 AND finished_at IS NULL
"""
# An owner is named by its id or by an alias; an alias wins where a text is both, as everywhere.
MEMBERS = """
SELECT m.customer_id, m.owner, m.is_by_parent, m.line,
       coalesce((SELECT a.customer_id FROM customer_aliases a WHERE a.account_id = $1 AND a.value = m.owner),
                (SELECT c.id FROM customers c WHERE c.account_id = $1 AND c.id = CASE
                    WHEN m.owner ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN m.owner::uuid END)) AS owner_id
  FROM customer_import_members m WHERE m.account_id = $1 AND m.digest = $2
 ORDER BY m.owner, m.customer_id LIMIT $3
"""
FORGET_MEMBERS = """
DELETE FROM customer_import_members m
 USING unnest($3::text[], $4::uuid[]) AS given (owner, customer_id)
 WHERE m.account_id = $1 AND m.digest = $2 AND m.owner = given.owner AND m.customer_id = given.customer_id
"""
EXISTING = "SELECT id FROM customers WHERE account_id = $1 AND id = ANY ($2::uuid[])"
_MEMBER_COLUMNS = ("account_id", "digest", "customer_id", "owner", "is_by_parent", "line")


class Journal(Struct, frozen=True):
    """How far the import of a file has come."""

    place: Place
    skipped: int
    is_finished: bool


class Member(Struct, frozen=True):
    """A customer that is to join an organisation; without `owner_id` nobody has that id or alias."""

    customer_id: UUID
    owner: str
    is_by_parent: bool
    line: int
    owner_id: UUID | None = None


@asynccontextmanager
async def alone(owner: Connection, account_id: UUID, digest: bytes) -> AsyncGenerator[None]:
    """Let nobody else import this file; waits for one that was killed a moment ago. Raises `SetupError`."""
    await owner.execute(f"SET lock_timeout = '{_LOCK_WAIT_SECONDS}s'")
    try:
        await owner.fetchval(LOCK, str(account_id), digest)
    except asyncpg.LockNotAvailableError:
        message = "This file is being imported by another process. Wait for it, then run the same command again."
        raise SetupError(message) from None
    finally:
        if not owner.is_closed():
            await owner.execute("RESET lock_timeout")
    try:
        yield
    finally:
        if not owner.is_closed():
            await owner.fetchval(UNLOCK, str(account_id), digest)


async def get(owner: Connection, account_id: UUID, digest: bytes) -> Journal | None:
    """How far the import of this file has come; None if it was not begun."""
    row = await owner.fetchrow(GET, account_id, digest)
    if row is None:
        return None
    place = Place(row["next_byte"], row["next_line"], row["rows_read"])
    return Journal(place, row["rows_skipped"], row["is_finished"])


async def begin(owner: Connection, account_id: UUID, digest: bytes) -> Journal:
    """Begin the journal of this file."""
    await owner.execute(BEGIN, account_id, digest)
    return Journal(Place(), 0, is_finished=False)


async def advance(tx: Tx, digest: bytes, before: Place, after: Place, *, skipped: int) -> bool:
    """Note that the file is in up to a place; whether it was where this one thought that it was."""
    done = await tx.connection.execute(
        ADVANCE, tx.account_id, digest, before.rows, after.byte, after.line, after.rows, skipped
    )
    return done == "UPDATE 1"


async def finish(tx: Tx, digest: bytes) -> None:
    """Note that everything in the file is done."""
    await tx.connection.execute(FINISH, tx.account_id, digest)


async def existing(owner: Connection, account_id: UUID, customer_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these customers there are."""
    return {row["id"] for row in await owner.fetch(EXISTING, account_id, customer_ids)}


async def remember_members(tx: Tx, digest: bytes, members: Sequence[Member]) -> None:
    """Keep who is to join whom."""
    await tx.connection.copy_records_to_table(
        "customer_import_members",
        columns=_MEMBER_COLUMNS,
        records=[
            (tx.account_id, digest, each.customer_id, each.owner, each.is_by_parent, each.line) for each in members
        ],
    )


async def members(tx: Tx, digest: bytes, most: int) -> list[Member]:
    """The next of those that are still to join, those of one owner together."""
    return [Member(**row) for row in await tx.connection.fetch(MEMBERS, tx.account_id, digest, most)]


async def forget_members(tx: Tx, digest: bytes, joined: Sequence[Member]) -> None:
    """Forget these, who have joined."""
    await tx.connection.execute(
        FORGET_MEMBERS, tx.account_id, digest, [each.owner for each in joined], [each.customer_id for each in joined]
    )
