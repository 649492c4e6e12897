"""A pooler between the service and its database: one that leaves sessions alone works, every other is refused."""

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from msgspec import Struct
from tests.faults.support import Key, Service, free_port, refused, serving, succeeded, until
from tests.faults.support_pgbouncer import IGNORED, NEEDED, proxied
from tests.faults.support_postgresql import Server, running
from tests.support import bodies
from tests.support.keys import TEXT
from tests.torture.clients import new_tenant

from customary.errors import SetupError
from customary.storage import schema

pytestmark = NEEDED

WITH_KEYS = {"CUSTOMARY_SECRET_KEYS": TEXT}
MIXING = {
    "by transaction": {"pool_mode": "transaction"},
    "by transaction, in turn": {"pool_mode": "transaction", "server_round_robin": "1"},
    "by transaction, parameters dropped": {"pool_mode": "transaction", "ignore_startup_parameters": IGNORED},
    "by transaction, always reset": {"pool_mode": "transaction", "server_reset_query_always": "1"},
    "by statement": {"pool_mode": "statement"},
}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Server]:
    with running(18) as server:
        yield server


class Answer(Struct, frozen=True):
    """What a list of the customers of one account got."""

    account: str
    status: int
    names: frozenset[str]
    retry_after: str | None


@pytest.mark.parametrize("settings", MIXING.values(), ids=MIXING)
async def test_a_pooler_that_mixes_sessions_is_found(postgresql: Server, settings: dict[str, str]) -> None:
    """However it gives the sessions to its clients, and although nobody else uses it."""
    url = await postgresql.migrated()
    refusal = pytest.raises(SetupError, match=r"lets connections share their sessions.*pool_mode = session\.$")
    with proxied(postgresql, url, **settings) as proxy, refusal:
        await schema.require_service(proxy.url)


async def test_every_command_refuses_a_pooler_that_mixes_sessions(postgresql: Server) -> None:
    """It says in one sentence what is wrong and what to do instead, and changes nothing."""
    url, role = await postgresql.database()
    await postgresql.let_serve(role)
    with proxied(postgresql, url, pool_mode="transaction") as proxy:
        commands = (("serve", "--port", str(free_port())), ("worker",), ("doctor",), ("migrate",))
        for command in commands:
            said = refused(*command, "--database-url", proxy.url, given=WITH_KEYS)
            assert said.startswith("A pooler before the database lets connections share their sessions."), command
    assert await schema.current(url) is None


async def test_a_pooler_that_is_told_to_mix_sessions(postgresql: Server, tmp_path: Path) -> None:
    """With sessions left alone everything works by way of it, from the first migration on.

    When it is told otherwise while the service runs, nobody ever sees what is another account's; what cannot be
    answered is answered so. When it is told to leave them alone again, all is well without a restart.
    """
    url, role = await postgresql.database()
    await postgresql.let_serve(role)
    with proxied(postgresql, url, pool_mode="session", default_pool_size="40") as proxy:
        succeeded("migrate", "--database-url", proxy.url)
        options = ("--database-url", proxy.url, "--workers", "2")
        with serving(tmp_path / "none", *options, given=WITH_KEYS) as service:
            other = await new_tenant(url, "other")
            keys = {"default": service.key, "other": Key(other.client_id, other.secret)}
            for account, key in keys.items():
                with service.client(key) as client:
                    made = client.post("/customers", json=bodies.newest(legalName=f"of {account}"))
                    assert made.status_code == 201, made.text
            with listing(service, keys) as answers:
                until(lambda: len(answers) >= 100)
                assert {each.status for each in answers} == {200}
                proxy.change(pool_mode="transaction")
                until(lambda: "sessions_mixed" in service.error)
                mixed_from = len(answers)
                until(lambda: len(answers) >= mixed_from + 400)
                proxy.change(pool_mode="session")
                until(lambda: [each.status for each in answers[-100:]] == [200] * 100)
            assert not [line for line in service.log() if line["event"] == "request_failed"]
    for each in answers:
        assert each.status in {200, 503}
        assert each.names == ({f"of {each.account}"} if each.status == 200 else set())
        assert (each.retry_after is None) == (each.status == 200)
    assert 503 in {each.status for each in answers[mixed_from:]}


@contextmanager
def listing(service: Service, keys: dict[str, Key]) -> Generator[list[Answer]]:
    """Clients of each account that list its customers one after another, until the block ends; all their answers."""
    answers: list[Answer] = []
    ending = threading.Event()

    def work(account: str) -> None:
        with service.client(keys[account]) as client:
            while not ending.is_set():
                answers.append(look(client, account))

    threads = [threading.Thread(target=work, args=(account,)) for account in [*keys] * 3]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        ending.set()
        for thread in threads:
            thread.join(30)


def look(client: httpx.Client, account: str) -> Answer:
    response = client.get("/customers", params={"limit": 100})
    names = frozenset(item["legalName"] for item in response.json().get("items", []))
    return Answer(account, response.status_code, names, response.headers.get("retry-after"))
