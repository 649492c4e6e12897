"""Statements of a transaction that are sent together: what they do, and what they cannot see."""

import asyncpg
import pytest
from tests.support.clients import owner_connection
from tests.support.cluster import Database

from customary.storage.connections import Connection
from customary.storage.statements import Additions, NotAdded, Statements

TABLES = """
CREATE TEMPORARY TABLE parents (id int PRIMARY KEY, name text);
CREATE TEMPORARY TABLE children (id int PRIMARY KEY, parent_id int REFERENCES parents (id), name text);
"""
PARENT = "INSERT INTO parents (id, name) VALUES ($1, $2)"
CHILD = "INSERT INTO children (id, parent_id, name) SELECT $2, $1, $3 || $3"


async def names(connection: Connection) -> list[str]:
    """What is in both tables."""
    rows = await connection.fetch("SELECT name FROM parents UNION ALL SELECT name FROM children ORDER BY name")
    return [row["name"] for row in rows]


async def test_what_is_kept_back_is_sent_before_anything_else_is_asked(database: Database) -> None:
    """In one round trip, with each statement's own parameters; a reference may point to a row of the same ones."""
    async with owner_connection(database.owner_url) as connection:
        await connection.execute(TABLES)
        statements = Statements(connection)
        statements.later(PARENT, 1, "a")
        statements.later(CHILD, 1, 10, "b")
        statements.later(PARENT, 2, "c")
        assert await names(connection) == []
        assert await names(statements) == ["a", "bb", "c"]
        statements.later(PARENT, 3, "d")
        await statements.flush()
        await statements.flush()
        assert await names(connection) == ["a", "bb", "c", "d"]


async def test_who_added_a_row_is_told_what_came_of_it(database: Database) -> None:
    """Once all that was sent together is done, in the order of the statements; they may ask for more, and add more."""
    async with owner_connection(database.owner_url) as connection:
        await connection.execute(TABLES)
        statements = Statements(connection)
        heard: list[object] = []

        async def told(values: list[str]) -> None:
            heard.append((values, await names(statements)))
            if len(heard) == 1:
                statements.later(PARENT, 4, "later")

        await connection.execute(PARENT, 2, "x")
        statements.later(PARENT, 1, "a")
        statements.later(f"{CHILD} RETURNING name AS value", 1, 10, "b", told=told)
        statements.later(f"{PARENT} ON CONFLICT DO NOTHING RETURNING name AS value", 2, "taken", told=told)
        await statements.flush()
        assert heard == [(["bb"], ["a", "bb", "x"]), ([], ["a", "bb", "later", "x"])]


async def test_who_is_told_may_refuse(database: Database) -> None:
    """What they raise reaches whoever sent the statements, who undoes the transaction by it; nobody is told twice."""
    async with owner_connection(database.owner_url) as connection:
        await connection.execute(TABLES)
        statements = Statements(connection)

        async def told(_values: list[str]) -> None:
            raise LookupError

        statements.later(f"{PARENT} RETURNING name AS value", 1, "a", told=told)
        with pytest.raises(LookupError):
            await statements.fetchval("SELECT 1")
        assert await statements.fetchval("SELECT 1") == 1


async def test_one_that_fails_undoes_those_that_are_sent_with_it(database: Database) -> None:
    """And is told to whoever sends them."""
    async with owner_connection(database.owner_url) as connection:
        await connection.execute(TABLES)
        statements = Statements(connection)
        statements.later(PARENT, 1, "a")
        statements.later(PARENT, 1, "b")
        with pytest.raises(asyncpg.UniqueViolationError):
            await statements.flush()
        assert await names(statements) == []


async def test_additions_are_one_statement_that_commits_itself(database: Database) -> None:
    """Nobody is told, so what was expected has to come of it: else nothing is done at all."""
    async with owner_connection(database.owner_url) as connection:
        await connection.execute(TABLES)
        additions = Additions()
        additions.later(PARENT, 1, "a")
        additions.later(f"{CHILD} RETURNING name AS value", 1, 10, "b", expected=1)
        await additions.send(connection)
        assert await names(connection) == ["a", "bb"]

        additions = Additions()
        additions.later(PARENT, 2, "c")
        additions.later(f"{PARENT} ON CONFLICT DO NOTHING RETURNING name AS value", 1, "taken", expected=1)
        with pytest.raises(NotAdded):
            await additions.send(connection)
        assert await names(connection) == ["a", "bb"]

        await Additions().send(connection)


async def test_additions_ask_for_nothing(database: Database) -> None:
    """Whoever wants to know something, be it later, has to have a transaction."""

    async def told(_values: list[str]) -> None:
        raise AssertionError

    additions = Additions()
    with pytest.raises(NotAdded):
        additions.later(PARENT, 1, "a", told=told)
    for ask in ("fetch", "fetchrow", "fetchval", "execute", "flush", "copy_records_to_table"):
        assert hasattr(Statements, ask)
        with pytest.raises(NotAdded):
            getattr(additions, ask)
