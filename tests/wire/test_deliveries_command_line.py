"""`customary deliveries`, in processes of its own, beside an application on the same database."""

import asyncio
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.faults.support import Ran, customary
from tests.support.bodies import newest
from tests.support.clients import NEWEST, Account, Client, Json, success
from tests.support.cluster import Database
from tests.support.receivers import InTurn, answer, receiving
from tests.support.workers import postpone, work_off

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"


class Commands:
    """Runs the commands on a test's database."""

    def __init__(self, database: Database) -> None:
        self._here = ("--database-url", database.owner_url)

    async def run(self, *words: str) -> Ran:
        return await asyncio.to_thread(customary, "deliveries", *words, *self._here)

    async def text(self, *words: str) -> str:
        """What a command that must succeed prints."""
        ran = await self.run(*words)
        assert (ran.status, ran.error) == (0, ""), ran
        return ran.output

    async def json(self, *words: str) -> Json:
        """The same as JSON."""
        return json.loads(await self.text(*words, "--json"))

    async def refused(self, *words: str) -> str:
        """The sentence of a command that must fail."""
        ran = await self.run(*words)
        assert (ran.status, ran.output) == (1, ""), ran
        assert ran.error.startswith("customary: ")
        assert ran.error.count("\n") == 1
        return ran.error


@pytest.fixture
def commands(database: Database) -> Commands:
    return Commands(database)


async def policy_for(client: Client, recipient: str) -> str:
    """The id of a new policy that tells this recipient."""
    body = {"name": "Hooks", "channel": "WEBHOOK", "recipients": [recipient]}
    return success(await client.post("/notifications/policies", version=NEWEST, json=body), 201)["id"]


async def test_a_delivery_is_found_shown_and_retried(account: Account, database: Database, commands: Commands) -> None:
    """Under the names of the API; the account of a delivery need not be named."""
    client = account.client
    async with receiving(InTurn(answer(500, b"[/red] nobody home"), answer(200))) as receiver:
        policy = await policy_for(client, receiver.url("/[x]"))
        customer = await client.create(newest())
        await work_off(database)
        await postpone(database, timedelta(hours=1))
        url = f"/notifications/policies/{policy}/deliveries"
        [seen] = success(await client.get(url))["items"]
        for options in (("--account", "first"), ("--policy", policy), ("--policy", policy, "--state", "pending")):
            [found] = await commands.json("list", *options)
            assert found.pop("policyId") == policy
            assert found == {name: value for name, value in seen.items() if name != "resourceType"}
        assert await commands.json("list", "--policy", policy, "--state", "FAILED") == []
        assert "There are no such deliveries." in await commands.text("list", "--policy", policy, "--state", "failed")
        table = await commands.text("list", "--account", "first")
        assert all(text in table for text in (seen["id"], receiver.url("/[x]"), "CUSTOMER_CREATED", "PENDING", "500"))

        shown = await commands.json("show", seen["webhookId"])
        assert shown["resourceId"] == customer["id"]
        assert shown["attempted"] == success(await client.get(f"{url}/{seen['id']}/attempts"))["items"]
        text = await commands.text("show", seen["id"])
        assert "[/red] nobody home" in text
        assert "The recipient answered 500." in text

        retried = await commands.json("retry", seen["id"])
        assert retried["nextAttemptAt"] < seen["nextAttemptAt"]
        await work_off(database)
        assert success(await client.get(f"{url}/{seen['id']}"))["state"] == "DELIVERED"
        assert await commands.text("retry", seen["id"]) == (
            f"Queued the delivery {seen['id']} to {receiver.url('/[x]')}.\n"
        )
        await work_off(database)
    assert [webhook_id for webhook_id, _ in receiver.told()] == [seen["webhookId"]] * 3
    [told] = success(await client.get("/activity-logs", params={"activityLogObjectEntityId": policy, "limit": 1}))[
        "items"
    ]
    assert (told["origin"], told["activityLogItems"][0]["activityLogActor"]["entityType"]) == ("CLI", "OPERATOR")


async def test_a_recipient_is_seen_resumed_and_gets_what_it_missed(
    account: Account, database: Database, commands: Commands
) -> None:
    client = account.client
    behave = InTurn(answer(410))
    async with receiving(behave) as receiver:
        policy = await policy_for(client, receiver.url())
        customers = [await client.create(newest(legalName=f"N{number}")) for number in range(3)]
        await work_off(database)
        [ill] = await commands.json("recipients", "--policy", policy)
        assert (ill["state"], ill["pendingDeliveries"], ill["policyId"]) == ("DISABLED", 3, policy)
        assert "DISABLED" in await commands.text("recipients", "--account", "first")
        held = await commands.text("retry", (await commands.json("list", "--policy", policy))[0]["id"])
        assert "It is not sent yet. The recipient answered 410 Gone." in held
        behave.answers = [answer(200)]
        resumed = await commands.text("resume", "--policy", policy, "--recipient", receiver.url())
        assert resumed == f"Resumed {receiver.url()}; 3 deliveries wait for it.\n"
        await work_off(database)
        told = len(receiver.told())
        start = ("--policy", policy, "--from", customers[1]["createdAt"])
        assert await commands.text("replay", *start, "--to", customers[2]["createdAt"]) == "Queued 1 deliveries.\n"
        assert await commands.json("replay", *start) == {"queued": 1}, "the other one waits already"
        assert await commands.text("replay", "--policy", policy, "--failed") == "There was nothing to replay.\n"
        await work_off(database)
        again = [UUID(body["resourceId"]) for _, body in receiver.told()[told:]]
    assert sorted(again) == sorted(UUID(each["id"]) for each in customers[1:])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("list", "--account", "nobody"), "no account 'nobody'"),
        (("list",), "no account 'default'"),
        (("list", "--policy", MISSING), f"no notification policy with the id '{MISSING}'"),
        (("show", MISSING), f"no delivery with the id '{MISSING}'"),
        (("show", "x"), "no delivery with the id 'x'"),
        (("retry", MISSING), f"no delivery with the id '{MISSING}'"),
        (("recipients", "--policy", "x"), "no notification policy with the id 'x'"),
        (("resume", "--policy", MISSING, "--recipient", "x"), "no notification policy"),
        (("replay", "--policy", MISSING), "Say what to replay"),
        (("replay", "--policy", MISSING, "--failed"), "no notification policy"),
        (("replay", "--policy", MISSING, "--from", "yesterday"), "'yesterday' is not a time of RFC 3339"),
    ],
)
async def test_what_cannot_be_done(commands: Commands, words: tuple[str, ...], says: str) -> None:
    assert says in await commands.refused(*words)


async def test_an_account_that_tells_nobody(account: Account, commands: Commands) -> None:
    assert account.id
    assert "no notification policies in this account" in await commands.text("recipients", "--account", "first")
    nothing: Any = await commands.json("list", "--account", "first")
    assert nothing == []


async def test_a_recipient_that_the_policy_does_not_have(account: Account, commands: Commands) -> None:
    policy = await policy_for(account.client, "https://example.com/")
    for words in (("resume",), ("replay", "--failed")):
        sentence = await commands.refused(*words, "--policy", policy, "--recipient", "https://example.com/other")
        assert "has no such recipient" in sentence
