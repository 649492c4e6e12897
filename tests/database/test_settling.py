"""How the tests see that nothing is left to do, on which all that they say of deliveries rests."""

from tests.support.bodies import newest
from tests.support.clients import Account, owner_connection, success
from tests.support.cluster import Database
from tests.support.workers import is_busy


async def test_what_became_due_while_the_look_began_is_work(database: Database, account: Account) -> None:
    """The look's own time is older than what it sees, by as long as the server takes to plan it."""
    async with owner_connection(database.owner_url) as owner, owner.transaction():
        assert not await is_busy(owner)  # from here on the look's `now()` stands still
        policy = {"name": "Finance", "channel": "WEBHOOK", "recipients": ["https://example.com"]}
        success(await account.client.post("/notifications/policies", json=policy), 201)
        await account.client.create(newest())
        assert await is_busy(owner)
