"""The statements that are asked most, among the rows of several accounts: they read little more than they return.

The same at a million customers: python -m bench.plans
"""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
import pytest_asyncio
from bench import dataset, plans
from bench.dataset import DataSet
from bench.hot import ALSO, HOTTEST, Place, Work
from msgspec import Struct
from tests.support.clients import owner_connection
from tests.support.cluster import Database, Databases
from tests.support.keys import KEYS

from customary.operations.accounts import create_account
from customary.storage.database import Connection, Tx

SIZE, NEIGHBOURS = 6_000, (1_200, 800)
BATCH = 1_000
# As many organisations as twenty times so many customers have by themselves: a few pages would be read as a whole.
OWNERS = """
INSERT INTO organizations (account_id, id, owner_id, created_at)
SELECT account_id, uuidv7(), id, created_at FROM customers WHERE account_id = $1
ON CONFLICT DO NOTHING
"""


class Filled(Struct, frozen=True):
    """A database with several accounts, and the one whose rows are read."""

    database: Database
    place: Place


async def fill(owner: Connection, size: int) -> DataSet:
    account = await create_account(owner, dataset.name_of(size))
    for first in range(0, size, BATCH):
        batch = [dataset.customer_of(size, number) for number in range(first, min(size, first + BATCH))]
        await dataset.store(owner, account.id, batch)
    await owner.execute(OWNERS, account.id)
    return DataSet(account.id, size)


@pytest_asyncio.fixture(scope="module")
async def filled(databases: Databases) -> AsyncIterator[Filled]:
    async with databases.fresh() as database:
        async with owner_connection(database.owner_url) as owner:
            for neighbour in NEIGHBOURS:
                await fill(owner, neighbour)
            place = await plans.prepare(owner, await fill(owner, SIZE), KEYS)
        yield Filled(database, place)


@pytest.mark.parametrize("work", [work for work in (*HOTTEST, *ALSO) if not work.is_known], ids=lambda work: work.name)
async def test_a_hot_statement_reads_what_it_returns(filled: Filled, work: Work) -> None:
    seen = await plans.examine(filled.database.service_url, KEYS, filled.place, [work])
    assert {each.planned_for for each in seen} == set(plans.MODES)
    assert [(each.statement, each.planned_for, each.plan, each.faults) for each in seen if each.faults] == []


def test_there_are_ten_of_them() -> None:
    assert len({work.name for work in HOTTEST}) == 10
    assert all(work.why for work in (*HOTTEST, *ALSO))


WHOLE = "SELECT id FROM customers WHERE telephone = $1"
COUNTED = "SELECT count(*) FROM contacts WHERE account_id = $1"
FILTERED = """
SELECT id FROM customers c WHERE c.account_id = $1 AND coalesce(c.tax_status <> 'TAXED', false)
 ORDER BY c.created_at DESC LIMIT 20
"""
SORTED = "SELECT id FROM customers c WHERE c.account_id = $1 ORDER BY c.domain LIMIT 20"
JOINED = """
SELECT c.id FROM customers c JOIN contacts k ON k.account_id = c.account_id AND k.customer_id = c.id
 WHERE c.account_id = $1 AND k.billing_preference = 'STANDARD' LIMIT 20 OFFSET 2000
"""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (WHOLE, "reads all of customers"),
        (COUNTED, " rows for each that it returns"),
        (FILTERED, " rows for each that it returns"),
        (SORTED, " rows for each that it returns"),
        (JOINED, " rows for each that it returns"),
    ],
    ids=["whole", "counted", "filtered", "sorted", "passed over"],
)
async def test_one_that_reads_too_much_is_noticed(filled: Filled, text: str, fault: str) -> None:
    async def run(tx: Tx, place: Place) -> None:
        await tx.connection.fetch(text, "none" if text is WHOLE else place.account.account_id)

    seen = await plans.examine(filled.database.service_url, KEYS, filled.place, [Work("bad", "a test", run)])
    assert len(seen) == 2
    assert all(any(fault in told for told in each.faults) for each in seen), [(each.plan, each.faults) for each in seen]


async def test_what_a_function_reads_is_noticed(filled: Filled) -> None:
    """No plan shows that, so it is counted by PostgreSQL."""

    async def run(tx: Tx, _: Place) -> None:
        await tx.connection.fetch("SELECT customers_with_text($1, 1)", ["%zz%"])

    [seen, _] = await plans.examine(filled.database.service_url, KEYS, filled.place, [Work("bad", "a test", run)])
    assert seen.read > 1_000
    assert len(seen.faults) == 2


async def test_what_is_explained_is_undone(filled: Filled) -> None:
    [create] = [work for work in HOTTEST if work.name.startswith("create")]
    async with owner_connection(filled.database.owner_url) as owner:
        before = await owner.fetchval("SELECT count(*) FROM customers")
        await plans.examine(filled.database.service_url, KEYS, filled.place, [create])
        assert await owner.fetchval("SELECT count(*) FROM customers") == before


def test_values_are_written_as_sql_reads_them() -> None:
    key = uuid4()
    assert plans.literal(None) == "NULL"
    assert plans.literal("it's") == "'it''s'"
    assert plans.literal(b"\x01\xff") == "'\\x01ff'"
    assert plans.literal([key, None]) == f"'{{\"{key}\",NULL}}'"
    assert plans.literal(['a"b\\c']) == '\'{"a\\"b\\\\c"}\''
