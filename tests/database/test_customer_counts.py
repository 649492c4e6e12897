"""How many customers an account has is kept beside them, and is exact at every moment."""

import asyncio
import random
from uuid import uuid4

import asyncpg
from tests.support import bodies
from tests.support.clients import Account, new_account, owner_connection, started, success
from tests.support.cluster import Database
from tests.support.migrations import go_back_to

from customary.app import Application
from customary.storage.migrate import migrate

COUNTED = """
SELECT account_id, count(*) FILTER (WHERE archived_at IS NULL) AS unarchived,
       count(*) FILTER (WHERE archived_at IS NOT NULL) AS archived
  FROM customary.customers GROUP BY account_id ORDER BY account_id
"""
KEPT = """
SELECT account_id, sum(unarchived)::bigint AS unarchived, sum(archived)::bigint AS archived
  FROM customary.customer_counts GROUP BY account_id ORDER BY account_id
"""
ROWS = "SELECT count(*) FROM customary.customer_counts"
PUT_TOGETHER = "SELECT customary.put_customer_counts_together($1)"
SOME_COUNTS = """
INSERT INTO customary.customer_counts (account_id, unarchived, archived) SELECT $1, 1, 0 FROM generate_series(1, 500)
"""
# What this connection has read of the index lately.
ENTRIES_READ = "SELECT pg_stat_get_xact_tuples_returned('customary.customer_counts_pkey'::regclass)"


async def compare(owner: "asyncpg.Connection[asyncpg.Record]") -> None:
    """What is kept is what there is, in one snapshot."""
    async with owner.transaction(isolation="repeatable_read", readonly=True):
        assert await owner.fetch(KEPT) == await owner.fetch(COUNTED)


async def test_the_counts_are_exact_while_many_write_at_once(app: Application, database: Database) -> None:
    """Customers of two accounts come, go to the archive and come back, while the counts are put together all the time.

    Whoever looks meanwhile finds them right, and a total that is shown is one that was right at that moment.
    """
    async with (
        new_account(app, database.owner_url, "one") as one,
        new_account(app, database.owner_url, "two") as two,
        owner_connection(database.owner_url) as owner,
    ):
        is_over = asyncio.Event()

        async def write(account: Account, seed: int) -> None:
            chance, mine = random.Random(seed), list[str]()  # noqa: S311 - it chooses what to do
            for _ in range(25):
                if not mine or chance.random() < 0.4:
                    mine.append((await account.client.create(bodies.newest()))["id"])
                else:
                    verb = chance.choice(("archive", "unarchive"))
                    success(await account.client.post(f"/customers/{chance.choice(mine)}/{verb}"))

        async def look() -> None:
            while not is_over.is_set():
                await compare(owner)
                for account in (one, two):
                    await owner.execute(PUT_TOGETHER, account.id)

        looking = asyncio.create_task(look())
        await asyncio.gather(*(write(account, seed) for seed in range(4) for account in (one, two)))
        is_over.set()
        await looking
        await compare(owner)
        assert await owner.fetchval(ROWS) == 2
        for account, row in zip((one, two), await owner.fetch(COUNTED), strict=True):
            shown = [(await account.client.page(**more))["pagination"] for more in ({}, {"includeArchived": "true"})]
            assert [each["totalResultSize"] for each in shown] == [row["unarchived"], sum(row[1:])]


ACCOUNT_OF_BEFORE = "INSERT INTO accounts (id, name, created_at) VALUES ($1, 'old', now())"
CUSTOMER_OF_BEFORE = """
INSERT INTO customers (account_id, id, legal_name, legal_name_sort, legal_name_search, address, tax_status, status,
    version, created_at, updated_at, archived_at, search_emails, search_document, search_key)
SELECT $1, gen_random_uuid(), 'x', 'x', 'x', '{}', 'TAXED', 'ACTIVE', 1, now(), now(),
       CASE WHEN number % 3 = 0 THEN now() END, '', '', ''
  FROM generate_series(1, 10) number
"""


async def test_customers_from_before_are_counted(database: Database) -> None:
    """The migration begins with what is there."""
    await go_back_to(database, "0012")
    account_id = uuid4()
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(ACCOUNT_OF_BEFORE, account_id)
        await owner.execute(CUSTOMER_OF_BEFORE, account_id)
    await migrate(database.owner_url)
    async with owner_connection(database.owner_url) as owner:
        await compare(owner)
        assert [tuple(row) for row in await owner.fetch(KEPT)] == [(account_id, 7, 3)]


async def test_what_is_undone_was_never_counted(account: Account, database: Database) -> None:
    """Neither a refused write nor a dry run leaves anything."""
    await account.client.create(bodies.newest(customerAliases=["taken"]))
    answer = await account.client.post("/customers", json=bodies.newest(customerAliases=["taken"]))
    assert answer.status_code == 409
    success(await account.client.post("/customers", json=bodies.newest(), params={"dryRun": "true"}))
    async with owner_connection(database.owner_url) as owner:
        await compare(owner)
        assert (await owner.fetch(KEPT))[0]["unarchived"] == 1


async def test_the_rows_that_are_added_are_put_together_by_those_who_add_them(database: Database) -> None:
    """So there are never many, however much is written."""
    async with started(database.service_url) as app, new_account(app, database.owner_url, "one") as account:
        customer = await account.client.create(bodies.newest())
        async with owner_connection(database.owner_url) as owner:
            for is_archived in (True, False) * 500:
                archived_at = "now()" if is_archived else "NULL"
                await owner.execute(f"UPDATE customary.customers SET archived_at = {archived_at}")  # noqa: S608 - as above
            assert await owner.fetchval(ROWS) < 800
            await compare(owner)
            await owner.execute("DELETE FROM customary.customer_counts")
            await owner.execute("UPDATE customary.customers SET archived_at = now()")
            assert (await owner.fetch(KEPT))[0]["archived"] == 1
        assert success(await account.client.get(f"/customers/{customer['id']}"))["archivedAt"]


async def test_rows_that_are_gone_are_not_looked_at_again(account: Account, database: Database) -> None:
    """An account that is written to without a pause leaves many of them before a vacuum comes."""
    async with owner_connection(database.owner_url) as owner:
        for _ in range(10):
            await owner.execute(SOME_COUNTS, account.id)
            await owner.execute(PUT_TOGETHER, account.id)
        await owner.execute(PUT_TOGETHER, account.id)  # the one that finds that they are gone
        async with owner.transaction():
            before = await owner.fetchval(ENTRIES_READ)
            await owner.execute(PUT_TOGETHER, account.id)
            assert await owner.fetchval(ENTRIES_READ) - before < 10
            assert [tuple(row) for row in await owner.fetch(KEPT)] == [(account.id, 5_000, 0)]
