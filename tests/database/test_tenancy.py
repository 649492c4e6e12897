"""What runs as the owner, and the pool: the service's role sees one account, whatever the statement says."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
import pytest
from tests.support.bodies import link, newest
from tests.support.clients import NEWEST, Account, owner_connection
from tests.support.cluster import Database

from customary.storage.database import Database as Pool
from customary.storage.schema import SEARCH_PATH

TABLES = ("customers", "contacts", "customer_aliases", "integration_links", "organizations", "organization_members")
# What runs with the rights of the tables' owner, each asked for everything that there is.
SEARCHES = {
    "customers_with_text": "SELECT * FROM customers_with_text(ARRAY['%'], 100)",
    "customers_with_properties": "SELECT * FROM customers_with_properties('{}', 100)",
}
# Before a tenant is known; it finds one key by its own id.
LOOK_UPS = {"find_api_key"}
# What operators and a start ask of all accounts: ids of accounts and of keys, how many rows there are, and when one of
# them was used last; whether the database was restored from elsewhere. Nothing of what is in the rows.
COUNTS = {"accounts_with_plain_secrets", "secrets_by_key", "api_secrets_by_key", "is_restored"}


@asynccontextmanager
async def as_service(
    database: Database, account_id: UUID | None
) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection as the service has it, for this account or for none."""
    connection = await asyncpg.connect(database.service_url, server_settings={"search_path": SEARCH_PATH})
    try:
        if account_id is not None:
            await connection.fetchval("SELECT set_config('app.account', $1, false)", str(account_id))
        yield connection
    finally:
        await connection.close()


async def fill(account: Account) -> str:
    """Put a row into every table of this account; the customer's id."""
    parent = await account.client.create(newest(legalName="Parent"))
    customer = await account.client.create(
        newest(
            label="Label",
            parentId=parent["id"],
            customerAliases=["alias"],
            integrationIds=[link(NEWEST, "Xero", "1")],
        )
    )
    return customer["id"]


async def counts(connection: "asyncpg.Connection[asyncpg.Record]") -> dict[str, int]:
    return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}  # noqa: S608 - constants


@pytest.mark.parametrize("setting", [None, "", "00000000-0000-0000-0000-000000000000"])
async def test_without_an_account_nothing_is_found(database: Database, account: Account, setting: str | None) -> None:
    await fill(account)
    async with as_service(database, None) as connection:
        if setting is not None:
            await connection.fetchval("SELECT set_config('app.account', $1, false)", setting)
        for search, statement in SEARCHES.items():
            assert await connection.fetch(statement) == [], search


async def test_all_that_runs_as_the_owner_is_tested_here(database: Database) -> None:
    async with owner_connection(database.owner_url) as connection:
        rows = await connection.fetch(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'customary'::regnamespace AND prosecdef"
        )
    assert {row["proname"] for row in rows} == SEARCHES.keys() | LOOK_UPS | COUNTS


async def test_the_searches_see_the_own_account_alone(
    database: Database, account: Account, second_account: Account
) -> None:
    own, foreign = await fill(account), await fill(second_account)
    async with as_service(database, account.id) as connection:
        for search, statement in SEARCHES.items():
            found = {str(row[0]) for row in await connection.fetch(statement)}
            assert own in found, search
            assert foreign not in found, search


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM customers",
        "TRUNCATE customers",
        "DROP TABLE customers",
        "ALTER TABLE customers DISABLE ROW LEVEL SECURITY",
        "CREATE TABLE customary.t (n int)",
        "CREATE TABLE public.t (n int)",
        "UPDATE api_keys SET scopes = '{read,write}'",
        "UPDATE api_keys SET revoked_at = NULL",
        "UPDATE api_key_secrets SET expires_at = NULL",
        "INSERT INTO api_key_secrets SELECT * FROM api_key_secrets",
        "DELETE FROM api_key_secrets",
        "SELECT * FROM api_key_decoy",
        "INSERT INTO accounts VALUES (gen_random_uuid(), 'x', now())",
        "UPDATE installation SET cursor_secret = 'x'",
        "SET ROLE customary_owner",
    ],
)
async def test_what_the_services_role_may_not_do(database: Database, account: Account, statement: str) -> None:
    async with as_service(database, account.id) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


async def test_the_pool_binds_every_connection_to_the_services_role(database: Database, account: Account) -> None:
    """Also where the URL logs in as the owner, whom no policy binds."""
    await fill(account)
    pool = await Pool.open(database.owner_url, pool_size=1)
    try:
        async with pool.without_tenant() as connection:
            assert await connection.fetchval("SELECT current_user") == "customary_service"
            assert set((await counts(connection)).values()) == {0}
    finally:
        pool.close()


async def test_one_connection_serves_accounts_in_turn(
    database: Database, account: Account, second_account: Account
) -> None:
    await fill(account)
    pool = await Pool.open(database.service_url, pool_size=1)
    try:
        for _ in range(2):
            async with pool.reading(account.id) as reading:
                assert await reading.connection.fetchval("SELECT count(*) FROM customers") == 2
            async with pool.reading(second_account.id) as reading:
                assert await reading.connection.fetchval("SELECT count(*) FROM customers") == 0
    finally:
        pool.close()


async def test_a_connection_without_tenant_sees_nobodys_rows_after_it_served_somebody(
    database: Database, account: Account
) -> None:
    await fill(account)
    pool = await Pool.open(database.service_url, pool_size=1)
    try:
        async with pool.reading(account.id) as reading:
            assert await reading.connection.fetchval("SELECT count(*) FROM customers") == 2
        async with pool.without_tenant() as connection:
            assert set((await counts(connection)).values()) == {0}
    finally:
        pool.close()


async def test_the_secret_of_cursors_differs_between_installations(database: Database) -> None:
    async with as_service(database, None) as connection:
        secret = await connection.fetchval("SELECT cursor_secret FROM installation")
    assert len(secret) == 32
    assert len(set(secret)) > 8
