"""What belongs to another account, tried in every place of every operation: it answers like what does not exist."""

import pytest
import pytest_asyncio
from tests.support.clients import NEWEST, VERSIONS, Account, owner_connection
from tests.support.cluster import Database
from tests.support.estates import Estate, populated
from tests.support.matrix import Matrix

from customary.api.versions import LIVE
from customary.app import Application

# When a key was used last is noted for whoever uses it, whatever for.
ONE_ACCOUNT = """
SELECT string_agg(format('SELECT %L AS name, md5(string_agg(r::text, chr(10) ORDER BY r::text))'
                         ' FROM %I t, LATERAL (SELECT to_jsonb(t) - ''last_used_at'' AS r) r WHERE %I = $1',
                         relname, relname, CASE relname WHEN 'accounts' THEN 'id' ELSE 'account_id' END), ' UNION ALL ')
  FROM pg_class c
 WHERE relnamespace = 'customary'::regnamespace AND relkind IN ('r', 'p')
   AND (relname = 'accounts' OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND attname = 'account_id'))
"""


@pytest_asyncio.fixture
async def own(account: Account, database: Database) -> Estate:
    """The account that asks, with everything that it owns."""
    return await populated(account, database, "own")


@pytest_asyncio.fixture
async def foe(second_account: Account, database: Database) -> Estate:
    """The account whose things are asked for."""
    return await populated(second_account, database, "foe")


async def contents(database: Database, account: Account) -> dict[str, str]:
    """What is in each table of this account, as a hash."""
    async with owner_connection(database.owner_url) as owner:
        rows = await owner.fetch(await owner.fetchval(ONE_ACCOUNT), account.id)
    return {row["name"]: row["md5"] for row in rows}


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_foreign_answers_like_what_is_missing(
    app: Application, database: Database, own: Estate, foe: Estate, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever would succeed is tried as a dry run, which the older versions have for this test only."""
    assert own.everything.keys() == foe.everything.keys()
    monkeypatch.setattr(LIVE[version], "has_extensions", True)
    matrix = Matrix(app, LIVE[version], own, foe, is_brief=version != NEWEST)
    before = [await contents(database, each.account) for each in (own, foe)]
    assert all(before[0][table] for table in ("customers", "events", "activity_logs", "jobs"))
    for endpoint in matrix.endpoints:
        await matrix.examine(endpoint)
        after = [await contents(database, each.account) for each in (own, foe)]
        assert after == before, f"{endpoint.method} {endpoint.path} wrote something"


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_accounts_entity_tag_is_like_an_unknown_one(
    app: Application, own: Estate, foe: Estate, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither on the thing that it stands for nor on an own one does it say more than any other tag."""
    monkeypatch.setattr(LIVE[version], "has_extensions", True)
    matrix = Matrix(app, LIVE[version], own, foe)
    tags = await matrix.tags()
    tried = 0
    for endpoint in matrix.endpoints:
        header = b"if-none-match" if endpoint.is_read and endpoint.is_single else b"if-match"
        for path, tag in tags.items():
            if endpoint.path.startswith(path) and (endpoint.current or header == b"if-none-match"):
                await matrix.examine_tag(endpoint, header, tag)
                tried += 1
    assert tried > len(tags) > 5


@pytest.mark.parametrize("version", VERSIONS)
async def test_another_accounts_idempotency_key_is_like_a_new_one(
    app: Application, own: Estate, foe: Estate, version: str
) -> None:
    """The same request under a key that another account used for it is done, and not answered with the other's."""
    matrix = Matrix(app, LIVE[version], own, foe)
    writes = [endpoint for endpoint in matrix.endpoints if not endpoint.is_read]
    for number, endpoint in enumerate(writes):
        await matrix.examine_key(endpoint, number)
    assert len(writes) > 15
