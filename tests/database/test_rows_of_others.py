"""Each table in turn, asked as the service asks: another account's rows are not there, whatever the statement says.

The tables are those that PostgreSQL knows, so a new one is tried without being named here; it only has to have rows.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from msgspec import Struct
from tests.support.clients import Account, owner_connection
from tests.support.cluster import Database
from tests.support.estates import populated

from customary.storage.schema import SEARCH_PATH

# What looks for work sees the queue of all accounts: ids and times. It makes nothing there.
QUEUE = {"jobs", "lanes"}
NOBODY = ("", "00000000-0000-0000-0000-000000000000")
TENANT_TABLES = """
SELECT c.relname AS name,
       (CASE c.relname WHEN 'accounts' THEN 'id' ELSE 'account_id' END) AS tenant,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum) AS columns,
       ARRAY(SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p
              WHERE has_table_privilege('customary_service', c.oid, p)
                 OR p = 'UPDATE' AND has_any_column_privilege('customary_service', c.oid, p)) AS privileges,
       (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
           AND NOT a.attisdropped AND has_column_privilege('customary_service', c.oid, a.attname, 'UPDATE')
         ORDER BY a.attname LIMIT 1) AS changed
  FROM pg_class c
 WHERE c.relnamespace = 'customary'::regnamespace AND c.relkind IN ('r', 'p', 'v')
   -- What the service may not even look at, as the list of its privileges says.
   AND c.relname NOT IN ('api_key_decoy', 'customer_imports', 'customer_import_members')
   AND (c.relname = 'accounts' OR EXISTS (
        SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'account_id'))
 ORDER BY c.relname
"""
# What only whoever delivers writes.
ATTEMPTS = """
INSERT INTO delivery_attempts (account_id, job_id, number, started_at, duration_milliseconds, outcome)
SELECT account_id, id, 1, now(), 1, 'FAILED' FROM jobs
"""


class Table(Struct, frozen=True):
    """One table with the rows of two accounts: the column that says whose, and what the service may do there."""

    name: str
    tenant: str
    columns: list[str]
    privileges: list[str]
    changed: str | None


class World(Struct, frozen=True):
    """Two accounts that own one of everything, and the tables that it is in."""

    database: Database
    own: UUID
    foe: UUID
    tables: list[Table]

    @asynccontextmanager
    async def asking(self, account: str | UUID, *, is_working: bool = False) -> AsyncGenerator[Any]:
        """The service's connection, bound to this account; what it does is undone."""
        connection = await asyncpg.connect(self.database.service_url, server_settings={"search_path": SEARCH_PATH})
        try:
            await connection.execute("BEGIN")
            await connection.fetchval("SELECT set_config('app.account', $1, true)", str(account))
            if is_working:
                await connection.fetchval("SELECT set_config('app.work', 'on', true)")
            yield connection
        finally:
            await connection.close()


@pytest_asyncio.fixture
async def world(database: Database, account: Account, second_account: Account) -> AsyncIterator[World]:
    """What the tests ask for: every table has rows of both accounts."""
    await populated(account, database, "own")
    await populated(second_account, database, "foe")
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(ATTEMPTS)
        tables = [Table(**row) for row in await owner.fetch(TENANT_TABLES)]
        for table in tables:
            for each in (account, second_account):
                rows = await owner.fetchval(_count(table, f"{table.tenant} = '{each.id}'"))
                assert rows, f"{table.name} has no rows of account {each.id}: let `populated` make some"
        assert {"customers", "complete_events", "idempotency_keys", "accounts"} <= {table.name for table in tables}
        yield World(database, account.id, second_account.id, tables)


def _count(table: Table, condition: str = "true") -> str:
    return f"SELECT count(*) FROM {table.name} WHERE {condition}"  # noqa: S608 - names from the catalogue


async def test_only_the_own_rows_are_seen(world: World) -> None:
    async with owner_connection(world.database.owner_url) as owner, world.asking(world.own) as service:
        for table in world.tables:
            own = await owner.fetchval(_count(table, f"{table.tenant} = '{world.own}'"))
            assert await service.fetchval(_count(table)) == own, table.name
            assert await service.fetchval(_count(table, f"{table.tenant} = '{world.foe}'")) == 0, table.name
            assert await service.fetchval(_count(table, f"{table.tenant} <> '{world.own}'")) == 0, table.name


@pytest.mark.parametrize("nobody", NOBODY)
async def test_without_an_account_nothing_is_seen(world: World, nobody: str) -> None:
    async with world.asking(nobody) as service:
        for table in world.tables:
            assert await service.fetchval(_count(table)) == 0, table.name


async def test_whoever_never_said_for_whom_sees_nothing(world: World) -> None:
    """The setting is not there at all, as on a new connection."""
    connection = await asyncpg.connect(world.database.service_url, server_settings={"search_path": SEARCH_PATH})
    try:
        for table in world.tables:
            assert await connection.fetchval(_count(table)) == 0, table.name
    finally:
        await connection.close()


@pytest.mark.parametrize("is_bound", [False, True])
async def test_whoever_looks_for_work_sees_the_queue_and_nothing_else(world: World, *, is_bound: bool) -> None:
    async with world.asking(world.own if is_bound else "", is_working=True) as service:
        for table in world.tables:
            foreign = await service.fetchval(_count(table, f"{table.tenant} = '{world.foe}'"))
            assert bool(foreign) is (table.name in QUEUE), table.name


async def test_only_the_own_rows_are_changed_and_removed(world: World) -> None:
    tried: set[str] = set()
    async with owner_connection(world.database.owner_url) as owner:
        for table in world.tables:
            own = await owner.fetchval(_count(table, f"{table.tenant} = '{world.own}'"))
            if table.changed is not None:
                async with world.asking(world.own) as service:
                    changed = f"UPDATE {table.name} SET {table.changed} = {table.changed}"  # noqa: S608 - as above
                    foreign = f"{changed} WHERE {table.tenant} = '{world.foe}'"
                    assert await service.execute(foreign) == "UPDATE 0", table.name
                    assert await service.execute(changed) == f"UPDATE {own}", table.name
                tried.add(f"UPDATE {table.name}")
            if "DELETE" in table.privileges:
                async with world.asking(world.own) as service:
                    removed = f"DELETE FROM {table.name} WHERE {table.tenant} = '{world.foe}'"  # noqa: S608 - as above
                    assert await service.execute(removed) == "DELETE 0", table.name
                tried.add(f"DELETE {table.name}")
    assert {"UPDATE customers", "UPDATE users", "DELETE customer_aliases"} <= tried


@pytest.mark.parametrize("is_working", [False, True])
async def test_no_row_can_be_added_for_another_account_or_given_to_it(world: World, *, is_working: bool) -> None:
    tried = 0
    for table in world.tables:
        others = ", ".join(column for column in table.columns if column != table.tenant)
        statements: list[str] = []
        if "INSERT" in table.privileges:
            statements.append(
                f"INSERT INTO {table.name} ({table.tenant}, {others}) SELECT '{world.foe}', {others}"  # noqa: S608 - as above
                f" FROM {table.name} WHERE {table.tenant} = '{world.own}' LIMIT 1"
            )
        # A claim may change every row of the queue, so there only the keys between the tables hold a row in place.
        if table.changed is not None and not (is_working and table.name in QUEUE):
            statements.append(f"UPDATE {table.name} SET {table.tenant} = '{world.foe}'")  # noqa: S608 - as above
        for statement in statements:
            async with world.asking(world.own, is_working=is_working) as service:
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await service.execute(statement)
            tried += 1
    assert tried > len(world.tables)
