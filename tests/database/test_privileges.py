"""What the service's role may do: no more than its statements need, and what happened cannot be rewritten by it."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio
from tests.database.test_statements import STATEMENTS
from tests.support.clients import Account, owner_connection
from tests.support.cluster import Database
from tests.support.estates import populated

from customary.storage.schema import SEARCH_PATH

SERVICE = "customary_service"
EVERYTHING = {"SELECT", "INSERT", "UPDATE", "DELETE"}
READ, ADD = {"SELECT"}, {"SELECT", "INSERT"}

# Each table and view, and what the role may do to a whole row of it.
EXPECTED: dict[str, set[str]] = {
    "accounts": READ,
    "activity_logs": ADD,
    "alembic_version": READ,
    "api_key_secrets": READ,
    "api_keys": READ,
    "complete_events": READ,
    "contacts": EVERYTHING - {"DELETE"},
    "custom_property_keys": ADD | {"DELETE"},
    "customer_aliases": EVERYTHING,
    "customer_counts": EVERYTHING,
    "customers": EVERYTHING - {"DELETE"},
    "delivery_attempts": EVERYTHING,
    "endpoints": EVERYTHING,
    "event_organizations": ADD,
    "events": ADD,
    "idempotency_keys": EVERYTHING,
    "installation": READ,
    "integration_links": EVERYTHING,
    "jobs": EVERYTHING,
    "lanes": EVERYTHING,
    "notification_policies": ADD | {"DELETE"},
    "organization_members": EVERYTHING,
    "organizations": EVERYTHING,
    "payment_settings": EVERYTHING,
    "policy_secrets": EVERYTHING,
    "tax_registrations": EVERYTHING,
    "users": READ,
}
# The single columns that it may change in the rows of other tables.
EXPECTED_COLUMNS = {
    "accounts": {"company_name", "company_number", "country", "send_customer_notifications", "alert_email_addresses"},
    "api_key_secrets": {"key_id", "hash"},
    "api_keys": {"last_used_at"},
    "notification_policies": {"recipients", "notification_types", "is_ordered"},
    "users": {"deleted_at"},
}
# What the first migrations gave and no statement uses. A migration can take it back; nothing is to be added here.
UNUSED = {
    ("delivery_attempts", "UPDATE"),
    ("delivery_attempts", "DELETE"),
    ("endpoints", "DELETE"),
    ("lanes", "DELETE"),
}
# What is written down about changes, and what others were told of them: added to and read.
HISTORY = ("activity_logs", "events", "event_organizations")

RELATION_GRANTS = """
SELECT c.relname AS name, g.privilege_type AS privilege, g.is_grantable,
       CASE g.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(g.grantee) END AS grantee
  FROM pg_class c, aclexplode(c.relacl) g
 WHERE c.relnamespace = 'customary'::regnamespace AND g.grantee <> c.relowner
"""
COLUMN_GRANTS = """
SELECT c.relname AS name, a.attname AS column, g.privilege_type AS privilege, g.is_grantable,
       CASE g.grantee WHEN 0 THEN 'public' ELSE pg_get_userbyid(g.grantee) END AS grantee
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid, aclexplode(a.attacl) g
 WHERE c.relnamespace = 'customary'::regnamespace AND g.grantee <> c.relowner
"""
RELATIONS = """
SELECT relname AS name, relkind::text AS kind, coalesce(reloptions, '{}') AS options FROM pg_class
 WHERE relnamespace = 'customary'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
"""
# Whatever it may be: PostgreSQL keeps one list of who owns what, in all databases.
OWNED = """
SELECT classid::regclass::text, objid FROM pg_shdepend
 WHERE refclassid = 'pg_authid'::regclass AND refobjid = $1::regrole AND deptype = 'o'
"""
FUNCTION_BODIES = """
SELECT proname AS name, coalesce(pg_get_function_sqlbody(oid), prosrc) AS body FROM pg_proc
 WHERE pronamespace = 'customary'::regnamespace AND NOT prosecdef AND prolang IN (
       SELECT oid FROM pg_language WHERE lanname IN ('sql', 'plpgsql'))
"""
_WRITES = {
    "INSERT": re.compile(r"INSERT INTO (\w+)"),
    "UPDATE": re.compile(r"UPDATE (?!SET\b|OF\b|SKIP\b|NOWAIT\b)(\w+)"),
    "DELETE": re.compile(r"DELETE FROM (\w+)"),
}
# Whoever locks a row needs the right to change it. Without a name, everything that is read is locked.
_LOCKED = re.compile(r"FOR (?:NO KEY )?UPDATE(?: OF (\w+))?")


@pytest_asyncio.fixture
async def owner(database: Database) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    async with owner_connection(database.owner_url) as connection:
        yield connection


async def test_the_role_may_do_what_is_listed_and_nothing_else(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    rows = await owner.fetch(RELATION_GRANTS)
    assert {row["grantee"] for row in rows} == {SERVICE}, "nobody else gets anything, the public least of all"
    assert not any(row["is_grantable"] for row in rows)
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["name"], set()).add(row["privilege"])
    assert found == EXPECTED


async def test_the_role_may_change_the_columns_that_are_listed_and_no_others(
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    rows = await owner.fetch(COLUMN_GRANTS)
    assert {(row["grantee"], row["privilege"], row["is_grantable"]) for row in rows} == {(SERVICE, "UPDATE", False)}
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["name"], set()).add(row["column"])
    assert found == EXPECTED_COLUMNS
    assert not any("UPDATE" in EXPECTED[table] for table in found), "a grant of the whole row says enough"


async def test_every_privilege_is_needed_by_a_statement(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    bodies = [row["body"] for row in await owner.fetch(FUNCTION_BODIES)]
    used: set[tuple[str, str]] = set()
    for text in (*STATEMENTS.values(), *bodies):
        for privilege, pattern in _WRITES.items():
            used |= {(table, privilege) for table in pattern.findall(text)}
        if "DO UPDATE" in text:
            used |= {(table, "UPDATE") for table in _WRITES["INSERT"].findall(text)}
        for alias in _LOCKED.findall(text):
            used |= {(table, "UPDATE") for table in re.findall(rf"(?:FROM|JOIN) (\w+) {alias}\b", text)}
    granted = {(table, each) for table, privileges in EXPECTED.items() for each in privileges - READ}
    assert granted - used == UNUSED
    assert {("events", "INSERT"), ("jobs", "UPDATE"), ("jobs", "DELETE")} <= used


async def test_the_role_owns_nothing_whatever_its_kind(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    assert await owner.fetch(OWNED, SERVICE) == []
    assert await owner.fetch(OWNED, "customary_owner") != [], "the question finds what somebody owns"


async def test_the_role_is_nobody_else_and_has_nothing_by_default(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Neither a member of a role, such as those that read or write all data, nor given what is made later."""
    roles = await owner.fetch("SELECT rolname FROM pg_roles WHERE pg_has_role($1, oid, 'MEMBER')", SERVICE)
    assert [row["rolname"] for row in roles] == [SERVICE]
    assert await owner.fetchval("SELECT count(*) FROM pg_default_acl") == 0
    settings = await owner.fetch(
        "SELECT unnest(setconfig) AS setting FROM pg_db_role_setting WHERE setrole = $1::regrole", SERVICE
    )
    assert not [row["setting"] for row in settings if not row["setting"].startswith("log_min_messages=")]


async def test_nothing_but_tables_and_views_that_ask_as_the_caller_holds_data(
    owner: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    """A view asks as its owner unless it says otherwise, and a materialized one has no policies at all."""
    rows = await owner.fetch(RELATIONS)
    assert {row["kind"] for row in rows} == {"r", "v"}
    views = [row for row in rows if row["kind"] == "v"]
    assert views
    for view in views:
        assert "security_invoker=true" in view["options"], view["name"]


@pytest.mark.parametrize("table", HISTORY)
async def test_what_happened_cannot_be_rewritten_by_the_service(
    database: Database, account: Account, table: str
) -> None:
    """The account's own rows, which it sees and adds to: they can be neither changed nor removed."""
    await populated(account, database, "own")
    connection = await asyncpg.connect(database.service_url, server_settings={"search_path": SEARCH_PATH})
    try:
        await connection.fetchval("SELECT set_config('app.account', $1, false)", str(account.id))
        assert await connection.fetchval(f"SELECT count(*) FROM {table}") > 0  # noqa: S608 - constants
        for statement in (
            f"UPDATE {table} SET account_id = account_id",  # noqa: S608 - constants
            f"DELETE FROM {table}",  # noqa: S608 - constants
            f"TRUNCATE {table}",
            f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
            f"DROP TABLE {table}",
            f"CREATE TRIGGER t BEFORE INSERT ON {table} EXECUTE FUNCTION keep_custom_property_keys()",
            f"CREATE RULE r AS ON INSERT TO {table} DO INSTEAD NOTHING",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
    finally:
        await connection.close()
