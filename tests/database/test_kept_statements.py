"""Statements of a transaction that are sent together: what they do, and what they cannot see."""

import asyncpg
import pytest
from tests.support.clients import owner_connection
from tests.support.cluster import Database

from customary.storage.connections import Connection
from customary.storage.statements import Statements

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


async def test_a_statement_that_goes_with_them_answers_and_sees_nothing_of_them(database: Database) -> None:
    """It may refer to what they add, as one that adds rows itself does."""
    async with owner_connection(database.owner_url) as connection:
        await connection.execute(TABLES)
        statements = Statements(connection)
        statements.later(PARENT, 1, "a")
        assert await statements.fetch_with_kept("SELECT count(*) FROM parents WHERE id = $1", 1) == [(0,)]
        statements.later(PARENT, 2, "b")
        rows = await statements.fetch_with_kept(f"{CHILD} RETURNING name", 2, 20, "c")
        assert [row["name"] for row in rows] == ["cc"]
        assert await names(statements) == ["a", "b", "cc"]


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
