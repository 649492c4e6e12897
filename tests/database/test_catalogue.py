"""The schema as PostgreSQL knows it: nothing belongs to two accounts, and the service's role owns nothing."""

from collections.abc import AsyncIterator

import asyncpg
import pytest_asyncio
from tests.support.clients import owner_connection
from tests.support.cluster import Database

SERVICE = "customary_service"

# Tables that belong to no account, with the reason.
SHARED_TABLES = {
    "accounts": "the accounts themselves; the policy compares their id",
    "alembic_version": "the version of the schema",
    "installation": "one row for the whole installation: the secret of its cursors",
    "api_key_decoy": "one row that stands in for API keys that do not exist; only the look-up of a key reads it",
}
# Keys that do not begin with the account, with the reason.
SHARED_KEYS = {"api_keys_client_id_key": "the client id is what names the account, before one is known"}

TABLES = """
SELECT c.relname AS name, c.relrowsecurity AS has_policies, pg_get_userbyid(c.relowner) AS owner,
       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'account_id' AND a.attnotnull
                  AND NOT a.attisdropped) AS has_account
  FROM pg_class c WHERE c.relnamespace = 'customary'::regnamespace AND c.relkind IN ('r', 'p')
"""
POLICIES = """
SELECT tablename AS name, policyname AS policy, roles, cmd, qual, with_check, permissive
  FROM pg_policies WHERE schemaname = 'customary'
"""
# Whoever looks for work looks across all accounts: at the queue, which holds ids only.
WORK_POLICIES = {
    (table, *policy) for table in ("lanes", "jobs") for policy in (("work_seen", "SELECT"), ("work_claimed", "UPDATE"))
}
KEYS = """
SELECT i.relname AS name, t.relname AS table,
       (SELECT a.attname FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum = x.indkey[0]) AS first_column
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
 WHERE t.relnamespace = 'customary'::regnamespace AND x.indisunique
"""
FOREIGN_KEYS = """
SELECT k.conname AS name, t.relname AS table, r.relname AS target,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY n (number, position)
               JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = n.number ORDER BY n.position) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY n (number, position)
               JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = n.number ORDER BY n.position) AS target_columns
  FROM pg_constraint k JOIN pg_class t ON t.oid = k.conrelid JOIN pg_class r ON r.oid = k.confrelid
 WHERE k.contype = 'f' AND t.relnamespace = 'customary'::regnamespace
"""
FUNCTIONS = """
SELECT p.proname AS name, coalesce(p.proconfig, '{}') AS settings,
       has_function_privilege('public', p.oid, 'EXECUTE') AS is_public
  FROM pg_proc p
 WHERE p.pronamespace = 'customary'::regnamespace AND p.prosecdef
"""


@pytest_asyncio.fixture
async def owner(database: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    async with owner_connection(database.owner_url) as connection:
        yield connection


async def tenant_tables(owner: "asyncpg.Connection[asyncpg.Record]") -> set[str]:
    return {row["name"] for row in await owner.fetch(TABLES) if row["has_account"]}


async def test_every_table_belongs_to_an_account_or_says_why_not(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    rows = await owner.fetch(TABLES)
    assert {row["name"] for row in rows if not row["has_account"]} == SHARED_TABLES.keys()
    assert {"customers", "contacts", "customer_aliases", "api_keys"} <= {row["name"] for row in rows}


async def test_every_tenant_table_has_a_policy_for_the_services_role(
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    rows = {row["name"]: row for row in await owner.fetch(TABLES)}
    found = await owner.fetch(POLICIES)
    policies = {row["name"]: row for row in found if row["policy"] == "tenant"}
    tables = rows.keys() - SHARED_TABLES.keys() | {"accounts"}
    assert policies.keys() == tables
    wider = {(row["name"], row["policy"], row["cmd"]): row for row in found if row["policy"] != "tenant"}
    assert wider.keys() == WORK_POLICIES, "another policy would widen the first"
    for row in wider.values():
        assert row["qual"] == "(current_setting('app.work'::text, true) = 'on'::text)"
        assert (row["roles"], row["with_check"]) == ([SERVICE], None)
    for name in tables:
        assert rows[name]["has_policies"], name
        policy = policies[name]
        assert (policy["roles"], policy["cmd"], policy["permissive"]) == ([SERVICE], "ALL", "PERMISSIVE"), name
        column = "id" if name == "accounts" else "account_id"
        expected = f"({column} = (NULLIF(current_setting('app.account'::text, true), ''::text))::uuid)"
        assert policy["qual"] == policy["with_check"] == expected, name


async def test_the_services_role_bypasses_nothing_and_the_owner_owns_all(
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    role = await owner.fetchrow("SELECT * FROM pg_roles WHERE rolname = $1", SERVICE)
    assert role is not None
    assert not any(
        role[name] for name in ("rolsuper", "rolbypassrls", "rolcreaterole", "rolcreatedb", "rolreplication")
    )
    assert await owner.fetchval("SELECT count(*) FROM pg_auth_members WHERE member = $1::regrole", SERVICE) == 0
    assert {row["owner"] for row in await owner.fetch(TABLES)} == {"customary_owner"}


async def test_the_services_role_cannot_make_anything(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    for schema in ("customary", "public"):
        assert not await owner.fetchval("SELECT has_schema_privilege($1, $2, 'CREATE')", SERVICE, schema), schema


async def test_functions_that_run_as_the_owner_are_pinned_and_not_public(
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """Else a caller's own search path, or anybody at all, would run with the owner's rights."""
    rows = await owner.fetch(FUNCTIONS)
    assert "find_api_key" in {row["name"] for row in rows}
    for row in rows:
        paths = [setting for setting in row["settings"] if setting.startswith("search_path=")]
        assert paths == ["search_path=customary, public, pg_temp"], row["name"]
        assert not row["is_public"], row["name"]


async def test_every_key_of_a_tenant_table_begins_with_the_account(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    tables = await tenant_tables(owner)
    rows = [row for row in await owner.fetch(KEYS) if row["table"] in tables]
    assert {row["table"] for row in rows} == tables, "a table without any key"
    assert {row["name"] for row in rows if row["first_column"] != "account_id"} == SHARED_KEYS.keys()


async def test_foreign_keys_stay_inside_an_account(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    tables = await tenant_tables(owner)
    inside = [row for row in await owner.fetch(FOREIGN_KEYS) if row["target"] in tables]
    assert len(inside) >= 6
    for row in inside:
        assert row["columns"][0] == row["target_columns"][0] == "account_id", row["name"]
        assert len(row["columns"]) > 1, row["name"]


async def test_every_tenant_table_leads_to_an_account(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    """So a row can belong to no account that does not exist."""
    tables = await tenant_tables(owner)
    targets: dict[str, set[str]] = {name: set() for name in tables}
    for row in await owner.fetch(FOREIGN_KEYS):
        targets[row["table"]].add(row["target"])
    for name in tables:
        reached, waiting = set[str](), [name]
        while waiting:
            reached.add(table := waiting.pop())
            waiting += targets.get(table, set()) - reached
        assert "accounts" in reached, name
