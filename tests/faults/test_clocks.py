"""Clocks that are wrong: of the machine that serves, by a day, and of the database, which goes back by an hour."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from subprocess import PIPE
from typing import Any
from uuid import UUID

import httpx
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from tests.faults.support import PROGRAM, Key, Service, data_dir, environment, serving, start, until
from tests.faults.support_clock import NEEDED, settable, shifted
from tests.faults.support_postgresql import Place, running
from tests.faults.support_receiver import Receiver
from tests.support import bodies
from tests.support.clients import owner_connection
from tests.support.keys import TEXT
from tests.torture.clients import Tenant, new_tenant

__all__ = ["data_dir"]

pytestmark = NEEDED

GIVEN = {"CUSTOMARY_SECRET_KEYS": TEXT, "CUSTOMARY_WEBHOOK_ALLOW": "127.0.0.0/8"}
RIGHT = Place()
KEEP_HOUSE = """
import asyncio, sys
from customary.operations.work import keep_house
from customary.storage.database import Database
async def main():
    database = await Database.open(sys.argv[1], pool_size=1)
    await keep_house(database)
    database.close()
asyncio.run(main())
"""


class World:
    """Two machines on one database: one whose clock is right, and one whose clock is not, which also delivers."""

    def __init__(self, url: str, tenant: Tenant, right: Service, wrong: Service, receiver: Receiver) -> None:
        self.url, self.tenant, self.right, self.wrong, self.receiver = url, tenant, right, wrong, receiver
        self.key = Key(tenant.client_id, tenant.secret)

    def sql(self, statement: str, *arguments: object) -> Any:  # noqa: ANN401 - whatever it returns
        """What this statement answers to the tables' owner."""

        async def ask() -> Any:  # noqa: ANN401 - whatever it returns
            async with owner_connection(self.url) as owner:
                return await owner.fetchval(statement, *arguments)

        return asyncio.run(ask())


@contextmanager
def world(directory: Path, by: str, place: Place = RIGHT) -> Generator[World]:
    """The two machines, one of them with a clock that is off by this much, and their database."""
    receiver = Receiver()
    with running(18, place) as server:
        url = asyncio.run(server.migrated())
        wrong = start(directory / "none", "--database-url", url, given={**GIVEN, **shifted(by)})
        try:
            with serving(directory / "none", "--database-url", url, "--no-worker", given=GIVEN) as right:
                wrong.await_ready()
                yield World(url, asyncio.run(new_tenant(url, "acme")), right, wrong, receiver)
        finally:
            wrong.close()
            receiver.close()


@pytest.mark.parametrize("by", ["+1d", "-1d"])
def test_a_machine_whose_clock_is_wrong(by: str, tmp_path: Path) -> None:
    """It does what the other one does, at the same time: everything that is kept for a time goes by the database."""
    with world(tmp_path, by) as both, both.right.client(both.key) as right, both.wrong.client(both.key) as wrong:
        pages_and_tags(right, wrong)
        kept_answers(both, right, wrong)
        deliveries(both, right, by)
        housekeeping(both, by)
        expiry(both, right, wrong)


def test_the_clock_of_the_database_goes_back(data_dir: Path, tmp_path: Path) -> None:
    """Whoever delivers something keeps it for longer, and nobody delivers it as well. What is new goes on at once."""
    clock = data_dir.parent / "clock"  # where the database's user can enter
    clock.write_text("+0\n")
    through = ("env", *(f"{name}={value}" for name, value in settable(clock).items()))
    with world(tmp_path, "+0", Place(through=through)) as both, both.right.client(both.key) as client:
        policy = {"name": "all", "channel": "WEBHOOK", "recipients": [both.receiver.url]}
        assert client.post("/notifications/policies", json=policy).status_code == 201
        both.sql("UPDATE lanes SET opens_at = now() - interval '2 hours' RETURNING true")  # it is an old policy
        with working(both.url):
            both.receiver.is_open.clear()
            made = {create(client)}
            both.receiver.await_requests(1)
            before = both.sql("SELECT now()")
            clock.write_text("-1h\n")
            assert before - both.sql("SELECT now()") > timedelta(minutes=59)
            made |= {create(client), create(client)}
            both.receiver.await_requests(3)
            both.receiver.is_open.set()
            until(lambda: both.sql("SELECT count(*) FROM jobs WHERE state = 'DELIVERED'") == 3)
            clock.write_text("+0\n")
            made |= {create(client)}
            until(lambda: both.sql("SELECT count(*) FROM jobs WHERE state = 'DELIVERED'") == 4)
        told = [each.content["resourceId"] for each in both.receiver.requests]
        assert len(told) == 4
        assert set(told) == made
        assert {each["resourceId"] for each in client.get("/events").json()["items"]} == made


def create(client: httpx.Client) -> str:
    """The id of a new customer."""
    made = client.post("/customers", json=bodies.newest())
    assert made.status_code == 201, made.text
    return made.json()["id"]


@contextmanager
def working(url: str) -> Generator[None]:
    """Another worker, which looks for work from the beginning to the end."""
    with subprocess.Popen([*PROGRAM, "worker", "--database-url", url], env=environment(GIVEN), stderr=PIPE) as worker:
        try:
            assert worker.stderr is not None
            assert b"worker_started" in worker.stderr.readline()
            yield
        finally:
            worker.terminate()


def pages_and_tags(right: httpx.Client, wrong: httpx.Client) -> None:
    """Whoever made a customer: lists are in the order in which they were made, and tags and cursors go anywhere."""
    made = [
        (right, wrong)[number % 2].post("/customers", json=bodies.newest(legalName=f"{number}")) for number in range(6)
    ]
    names, after = list[str](), dict[str, str]()
    for client in (right, wrong, right):
        page = client.get("/customers", params={"limit": 2, "sortOrder": "ASC", **after}).json()
        names += [item["legalName"] for item in page["items"]]
        after = {"after": page["pagination"].get("after", "")}
    assert names == ["0", "1", "2", "3", "4", "5"]
    for answer in made:
        path = f"/customers/{answer.json()['id']}"
        tag = right.get(path).headers["etag"]
        assert wrong.get(path, headers={"If-None-Match": tag}).status_code == 304
        changed = wrong.put(path, json=bodies.newest(), headers={"If-Match": tag})
        assert changed.status_code == 200
        assert right.get(path).headers["etag"] == changed.headers["etag"]


def kept_answers(both: World, right: httpx.Client, wrong: httpx.Client) -> None:
    """The answer under a key is kept for thirty days, and not for one more or one less."""
    headers = {"Idempotency-Key": "first"}
    body = bodies.newest(legalName="once")
    first = right.post("/customers", json=body, headers=headers)
    age = "UPDATE idempotency_keys SET created_at = now() - $1::interval WHERE key = 'first' RETURNING true"
    both.sql(age, timedelta(days=29, hours=12))
    assert wrong.post("/customers", json=bodies.newest(), headers={"Idempotency-Key": "second"}).status_code == 201
    again = wrong.post("/customers", json=body, headers=headers)
    assert (again.json()["id"], again.headers["idempotent-replayed"]) == (first.json()["id"], "true")
    both.sql(age, timedelta(days=30, hours=12))
    new = wrong.post("/customers", json=body, headers=headers)
    assert new.status_code == 201
    assert new.json()["id"] != first.json()["id"]


def deliveries(both: World, right: httpx.Client, by: str) -> None:
    """The first attempt is now and the second when it is due, whatever time a recipient names; signatures say when."""
    both.receiver.status = 503
    if by == "+1d":  # where it is past already
        in_time = datetime.now(UTC) + timedelta(hours=1)
        both.receiver.headers = {"Retry-After": format_datetime(in_time, usegmt=True)}
    policy = {"name": "all", "channel": "WEBHOOK", "recipients": [both.receiver.url]}
    secret = right.post("/notifications/policies", json=policy).json()["webhookSecret"]
    right.post("/customers", json=bodies.newest())
    (first,) = both.receiver.await_requests(1)
    seconds = int(first.headers["webhook-timestamp"]) - time.time()
    assert seconds == pytest.approx({"+1d": 1, "-1d": -1}[by] * 86_400, abs=30)
    with pytest.raises(WebhookVerificationError, match="timestamp"):
        Webhook(secret).verify(first.body, first.headers)
    both.receiver.status, both.receiver.headers = 204, {}
    if by == "-1d":  # where it would be late rather than early
        until(lambda: both.sql("SELECT true FROM jobs WHERE attempts = 1 AND lease IS NULL"))
        assert both.sql("SELECT due_at - now() FROM jobs") < timedelta(seconds=6)
        return
    second = both.receiver.await_requests(2)[1]
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert second.at - first.at > 4  # which is the pause of five seconds, a fifth less


def housekeeping(both: World, by: str) -> None:
    """What is finished is kept for thirty days, no less where the clock is ahead, no more where it is behind."""
    days, left = {"+1d": (29.5, 1), "-1d": (30.5, 0)}[by]
    age = "UPDATE jobs SET state = 'DELIVERED', lease = NULL, finished_at = now() - $1::interval RETURNING true"
    assert both.sql(age, timedelta(days=days))
    command = [sys.executable, "-c", KEEP_HOUSE, both.url]
    subprocess.run(command, check=True, timeout=60, env=environment(shifted(by)))
    assert both.sql("SELECT count(*) FROM jobs") == left


def expiry(both: World, right: httpx.Client, wrong: httpx.Client) -> None:
    """A key is good until its time has come on the database's clock."""
    end = "UPDATE api_keys SET expires_at = now() + $2::interval WHERE client_id = $1 RETURNING true"
    both.sql(end, UUID(both.key.client_id), timedelta(hours=1))
    assert [client.get("/customers").status_code for client in (right, wrong)] == [200, 200]
    both.sql(end, UUID(both.key.client_id), timedelta(seconds=-1))
    until(lambda: [client.get("/customers").status_code for client in (right, wrong)] == [401, 401])
