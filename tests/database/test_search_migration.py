"""The migration that makes customers findable: those who were there before it become as those that are written now."""

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from tests.support.bodies import contact, link, newest
from tests.support.clients import NEWEST, Account, owner_connection
from tests.support.cluster import Database

from customary.storage.migrations.versions import m0007_search
from customary.storage.schema import SEARCH_PATH

FOUND_BY = "SELECT id, search_emails, search_document, search_key FROM customers ORDER BY id"


async def found_by(owner: "asyncpg.Connection[asyncpg.Record]") -> list[tuple[object, ...]]:
    """What each customer is found by; the order of the lines says nothing."""
    return [(row["id"], *(sorted(text.split("\n")) for text in list(row)[1:])) for row in await owner.fetch(FOUND_BY)]


async def test_customers_from_before_are_found_like_those_that_are_written_now(
    database: Database, account: Account, second_account: Account
) -> None:
    client = account.client
    customer = await client.create(
        newest(
            legalName="Université 東京",
            label="Großkunde",
            url="https://shop.unige.ch/",
            contacts=[contact("Ada@example.com"), contact("gone@example.com", "NONE")],
            customerAliases=["Alias-1", "alias 2"],
            integrationIds=[link(NEWEST, "Stripe", "cus_1")],
            pushToIntegrations=["Xero"],
        )
    )
    person = customer["contacts"][1]["id"]
    await client.post(f"/customers/{customer['id']}/contacts/{person}/archive", version=NEWEST)
    for number in range(2 * 3):
        await (second_account if number % 2 else account).client.create(newest(legalName=f"plain {number}"))
    async with owner_connection(database.owner_url) as owner:
        written = await found_by(owner)
        assert len(written) == 7
        await owner.execute("UPDATE customers SET search_emails = '', search_document = '', search_key = ''")
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=lambda: asyncpg.connect(database.owner_url, server_settings={"search_path": SEARCH_PATH}),
        poolclass=NullPool,
    )
    async with engine.begin() as connection:
        await connection.run_sync(m0007_search.fill, batch=3)
    await engine.dispose()
    async with owner_connection(database.owner_url) as owner:
        assert await found_by(owner) == written
