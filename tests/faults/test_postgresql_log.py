"""The log of a PostgreSQL that an operator runs with its settings as they come: it learns nothing of customers.

It writes every statement that fails, and with a broken constraint the values that broke it. So none is broken, and
what a statement is about is in its parameters, which are not logged unless an operator asks for it.
"""

import asyncio
from collections import Counter

import asyncpg
from tests.faults.support_postgresql import Server, running
from tests.support import canaries
from tests.support.bodies import contact, newest
from tests.support.clients import Account, new_account, started

_AT_ONCE = 6
_ROUNDS = 3


async def race(account: Account, path: str, body: dict[str, object]) -> Counter[int]:
    """Send the same thing several times at once."""
    sent = (account.client.http.post(path, json=body) for _ in range(_AT_ONCE))
    return Counter(answer.status_code for answer in await asyncio.gather(*sent))


async def collide(account: Account) -> Counter[int]:
    """Whatever can be taken only once, wanted by several at once."""
    total: Counter[int] = Counter()
    for number in range(_ROUNDS):
        customer = (await account.client.create(newest()))["id"]
        alias, email = f"canary-{number}", f"{number}.{canaries.EMAIL}"
        total += await race(account, "/customers", newest(customerAliases=[alias]))
        total += await race(account, f"/customers/{customer}/contacts", contact(email, "STANDARD"))
        total += await race(account, "/customer-aliases", {"customerId": customer, "value": f"{alias}-too"})
        total += await race(
            account, "/payments/settings/customers", {"customerId": customer, "paymentProvider": "STRIPE"}
        )
    return total


async def wait_for_a_lock(account: Account, url: str) -> int:
    """A change that gives up because somebody else holds the customer for too long."""
    customer = (await account.client.create(newest()))["id"]
    owner = await asyncpg.connect(url)
    try:
        async with owner.transaction():
            await owner.execute("SELECT 1 FROM customary.customers WHERE id = $1::text::uuid FOR UPDATE", customer)
            return (await account.client.http.put(f"/customers/{customer}", json=newest(label="new"))).status_code
    finally:
        await owner.close()


async def test_an_operators_postgresql_is_told_nothing() -> None:
    with running(18) as server:
        url = await server.migrated()
        async with started(url, pool_size=8) as app, new_account(app, url, "first") as account:
            statuses = await collide(account)
            assert statuses[201] == 4 * _ROUNDS
            assert statuses[409] == 4 * _ROUNDS * (_AT_ONCE - 1)
            assert await wait_for_a_lock(account, url) == 503
        log = _log(server)
    assert "canceling statement due to lock timeout" in log, "a failing statement is logged"
    assert "UPDATE" in log
    assert canaries.leaks("the log of PostgreSQL", log) == []
    assert "canary" not in log
    assert "violates" not in log, "a constraint that is broken is logged with the values that broke it"


def _log(server: Server) -> str:
    return (server._directory / "log").read_text(encoding="utf-8")
