"""The campaign in which two accounts do everything at once: a short one, and one against a service with a hole."""

import re

import pytest
from tests.support.clients import owner_connection
from tests.support.cluster import Database
from tests.wire.tenant_campaign import campaign

from customary.storage import users

REQUESTS, SEED = 900, 20240730


async def test_nothing_of_one_account_reaches_the_other(database: Database) -> None:
    outcome = await campaign(database, REQUESTS, SEED)
    assert outcome.crossings == []
    # It tried what it is about: things of the other account, most operations, webhooks, and answers nobody waits for.
    assert outcome.requests == REQUESTS
    assert outcome.foreign > REQUESTS / 10
    assert len(outcome.accepted) > 80
    assert outcome.unsent_percent > 50
    assert outcome.webhooks > 20
    assert outcome.cancelled > 2
    assert {200, 201, 400, 404, 409, 412, 422} <= outcome.statuses.keys()


async def test_a_hole_is_found(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """One table without its policy, whose statements forgot the account."""
    async with owner_connection(database.owner_url) as owner:
        await owner.execute("ALTER TABLE users DISABLE ROW LEVEL SECURITY")
    for name, text in list(vars(users).items()):
        if isinstance(text, str) and "account_id = $1" in text:
            monkeypatch.setattr(users, name, re.sub(r"(\w+\.)?account_id = \$1", "$1::uuid IS NOT NULL", text))
    outcome = await campaign(database, REQUESTS // 3, SEED)
    assert any("/users" in crossing for crossing in outcome.crossings)
