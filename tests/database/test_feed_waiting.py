"""Readers of the change feed can be made to wait: an operator is told by whom."""

import pytest
from tests.support.bodies import newest
from tests.support.clients import Account, owner_connection, success
from tests.support.cluster import Database

from customary.errors import SetupError
from customary.operations.doctor import Verdict, change_feed
from customary.storage.migrate import migrate
from customary.storage.schema import require_service


async def finding(database: Database) -> tuple[Verdict, str]:
    async with owner_connection(database.owner_url) as owner:
        [found] = await change_feed(owner)
        assert (found.topic, bool(found.advice)) == ("change feed", found.verdict is not Verdict.FINE)
        return found.verdict, found.found


async def items(account: Account) -> list[str]:
    return [each["resourceId"] for each in success(await account.client.get("/events"))["items"]]


async def test_as_a_rule_nobody_waits(database: Database, account: Account) -> None:
    assert await finding(database) == (Verdict.FINE, "readers wait for nothing")
    await account.client.create(newest())
    assert await finding(database) == (Verdict.FINE, "readers wait for nothing")


async def test_a_transaction_that_writes_for_long_is_a_warning_until_it_ends(
    database: Database, account: Account, second_account: Account
) -> None:
    await second_account.client.create(newest())
    async with owner_connection(database.owner_url) as slow, owner_connection(database.owner_url) as owner:
        async with slow.transaction():
            await slow.fetchval("SELECT pg_current_xact_id()")
            customer = await account.client.create(newest())
            assert (await finding(database))[0] is Verdict.FINE
            await owner.execute(
                "UPDATE events SET created_at = created_at - interval '90 seconds' WHERE account_id = $1", account.id
            )
            verdict, found = await finding(database)
            assert verdict is Verdict.WARNING
            assert "waited 9" in found
            assert await items(account) == []
        assert (await finding(database))[0] is Verdict.FINE
    assert await items(account) == [customer["id"]]


async def test_a_transaction_that_only_reads_holds_nobody_up(database: Database, account: Account) -> None:
    async with owner_connection(database.owner_url) as reader, reader.transaction(isolation="repeatable_read"):
        await reader.fetchval("SELECT count(*) FROM events")
        customer = await account.client.create(newest())
        assert await items(account) == [customer["id"]]


async def test_a_database_from_another_server_goes_on_where_it_was(
    database: Database, account: Account, second_account: Account
) -> None:
    """A restored dump has numbers that this server has not come to: readers wait, until a migration has seen to it.

    Nothing starts on it before that, and whoever read on the other server reads on from the same event.
    """
    before = [(await account.client.create(newest()))["id"] for _ in range(3)]
    elsewhere = (await second_account.client.create(newest()))["id"]
    seen = (await account.client.get("/events", params={"limit": 2})).json()["pagination"]["next"]
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(
            "UPDATE events SET transaction_id = (transaction_id::text::bigint + 1000000000)::text::xid8"
        )
    verdict, found = await finding(database)
    assert verdict is Verdict.PROBLEM
    assert "another PostgreSQL server" in found
    assert await items(account) == []
    with pytest.raises(SetupError, match=r"restored from another server.*customary migrate"):
        await require_service(database.owner_url)

    await migrate(database.owner_url)
    await require_service(database.owner_url)
    assert (await finding(database))[0] is Verdict.FINE
    assert await items(account) == before
    assert await items(second_account) == [elsewhere]
    after = [(await account.client.create(newest()))["id"] for _ in range(2)]
    assert await items(account) == before + after
    page = (await account.client.get("/events", params={"after": seen})).json()
    assert [item["resourceId"] for item in page["items"]] == before[2:] + after
    async with owner_connection(database.owner_url) as owner:
        offset = await owner.fetchval("SELECT transaction_offset FROM installation")
        await migrate(database.owner_url)
        assert await owner.fetchval("SELECT transaction_offset FROM installation") == offset, "it was settled already"


async def test_a_login_that_sees_no_events_says_nothing_about_them(database: Database, account: Account) -> None:
    async with owner_connection(database.service_url) as service:
        assert await change_feed(service) == []
