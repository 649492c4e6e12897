"""How the recipients of a policy do, letting one go on, and telling of changes in their order."""

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from tests.support.bodies import newest
from tests.support.clients import NEWEST, Account, Client, Json, invalid, owner_connection, refused, success
from tests.support.cluster import Database
from tests.support.receivers import InTurn, answer, receiving
from tests.support.workers import advance, work_off

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
GOOD, BAD, GONE = answer(200), answer(500), answer(410)


async def policy_for(client: Client, *recipients: str, **more: object) -> str:
    """The id of a new policy that tells these recipients."""
    body: Json = {"name": "Hooks", "channel": "WEBHOOK", "recipients": list(recipients)} | more
    return success(await client.post("/notifications/policies", version=NEWEST, json=body), 201)["id"]


async def recipients(client: Client, policy: str) -> list[Json]:
    return success(await client.get(f"/notifications/policies/{policy}/recipients"))["items"]


async def deliveries(client: Client, policy: str, **params: object) -> list[Json]:
    return success(await client.get(f"/notifications/policies/{policy}/deliveries", params=params))["items"]


async def resume(client: Client, policy: str, recipient: str, **options: Any) -> Any:  # noqa: ANN401 - the client's answer
    url = f"/notifications/policies/{policy}/recipients/resume"
    return await client.post(url, json={"recipient": recipient}, **options)


async def states_told(client: Client, policy: str) -> list[tuple[Json, Json, str]]:
    """Which changes of its recipients' states a policy's activities tell of, newest first, and whose they were."""
    found = success(await client.get("/activity-logs", params={"activityLogObjectEntityId": policy}))["items"]
    items = [item["activityLogItems"][0] for item in found]
    return [
        (each["before"], each["after"], item["activityLogActor"]["entityType"])
        for item in items
        for each in item["metadata"]
        if each["field"] == "recipientStates"
    ]


# --- How they do ---


async def test_a_new_recipient_is_well_and_nothing_waits(account: Account) -> None:
    """They are listed in the order in which the policy has them."""
    urls = [f"https://example.com/{number}" for number in (3, 1, 2)]
    policy = await policy_for(account.client, *urls)
    added = {"recipients": ["https://example.com/0"]}
    success(await account.client.post(f"/notifications/policies/{policy}/recipients", json=added))
    assert await recipients(account.client, policy) == [
        {"recipient": url, "state": "ACTIVE", "consecutiveFailures": 0, "pendingDeliveries": 0}
        for url in (*urls, "https://example.com/0")
    ]


async def test_one_that_only_fails_is_paused_and_shown_with_what_waits(account: Account, database: Database) -> None:
    """The others go on; what waits says why, and says that its state is one that passes."""
    client = account.client
    async with receiving(InTurn(BAD)) as bad, receiving() as good:
        policy = await policy_for(client, bad.url(), good.url())
        for number in range(6):
            await client.create(newest(legalName=f"N{number}"))
        await work_off(database)
        ill, well = await recipients(client, policy)
        assert well == {
            "recipient": good.url(),
            "state": "ACTIVE",
            "consecutiveFailures": 0,
            "pendingDeliveries": 0,
        }
        assert (ill["recipient"], ill["state"], ill["pendingDeliveries"]) == (bad.url(), "PAUSED", 6)
        assert ill["consecutiveFailures"] >= 4
        assert ill["reason"] == "The recipient answered 500."
        since, probe = (datetime.fromisoformat(ill[name]) for name in ("failingSince", "nextProbeAt"))
        assert timedelta(seconds=50) < probe - since < timedelta(minutes=15)
        assert len(good.exchanges) == 6
        held = await deliveries(client, policy, recipient=bad.url())
        assert {each["state"] for each in held} == {"PENDING"}
        assert {each["recipientState"] for each in held} == {"PAUSED"}
        assert all("only failed lately" in each["heldBecause"] for each in held)
        assert all(each["nextAttemptAt"] >= ill["nextProbeAt"] for each in held)
        assert "heldBecause" not in (await deliveries(client, policy, recipient=good.url()))[0]


async def test_one_that_takes_something_again_is_well_again(account: Account, database: Database) -> None:
    client = account.client
    behave = InTurn(BAD)
    async with receiving(behave) as receiver:
        policy = await policy_for(client, receiver.url())
        for number in range(5):
            await client.create(newest(legalName=f"N{number}"))
        await work_off(database)
        behave.answers = [GOOD]
        await advance(database, timedelta(days=3))
        await work_off(database)
    [found] = await recipients(client, policy)
    assert found == {"recipient": receiver.url(), "state": "ACTIVE", "consecutiveFailures": 0, "pendingDeliveries": 0}
    assert await states_told(client, policy) == [
        ({receiver.url(): "PAUSED"}, {receiver.url(): "ACTIVE"}, "SERVICE"),
        ({receiver.url(): "ACTIVE"}, {receiver.url(): "PAUSED"}, "SERVICE"),
    ]


async def test_what_waits_is_counted_up_to_ten_thousand(account: Account, database: Database) -> None:
    client = account.client
    policy = await policy_for(client, "https://127.0.0.1/")
    await client.create(newest())
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(
            "INSERT INTO jobs (account_id, kind, lane_id, event_type, due_at, created_at, queued_at)"
            " SELECT account_id, kind, lane_id, event_type, due_at, created_at, queued_at"
            " FROM jobs CROSS JOIN generate_series(1, 10000)"
        )
    [found] = await recipients(client, policy)
    assert found["pendingDeliveries"] == 10_000


# --- Letting one go on ---


@pytest.mark.parametrize(("refusal", "state"), [(BAD, "PAUSED"), (GONE, "DISABLED")])
async def test_a_resumed_recipient_gets_all_that_waits_at_once(
    account: Account, database: Database, refusal: bytes, state: str
) -> None:
    client = account.client
    behave = InTurn(refusal)
    async with receiving(behave) as receiver:
        policy = await policy_for(client, receiver.url("/a_b"))
        for number in range(6):
            await client.create(newest(legalName=f"N{number}"))
        await work_off(database)
        [ill] = await recipients(client, policy)
        assert (ill["state"], ill["pendingDeliveries"]) == (state, 6)
        assert ("nextProbeAt" in ill) == (state == "PAUSED")
        behave.answers = [GOOD]
        [well] = success(await resume(client, policy, receiver.url("/a_b")))["items"]
        assert (well["state"], well["consecutiveFailures"], well["pendingDeliveries"]) == ("ACTIVE", 0, 6)
        assert well.keys().isdisjoint({"reason", "failingSince", "nextProbeAt"})
        await work_off(database)
        assert (await recipients(client, policy))[0]["pendingDeliveries"] == 0
        assert {each["state"] for each in await deliveries(client, policy)} == {"DELIVERED"}
        changed = {receiver.url("/a_b"): state}, {receiver.url("/a_b"): "ACTIVE"}, "API_KEY"
        assert (await states_told(client, policy))[0] == changed


async def test_to_resume_one_that_is_well_changes_nothing(account: Account) -> None:
    policy = await policy_for(account.client, "https://example.com/")
    before = await recipients(account.client, policy)
    assert success(await resume(account.client, policy, "https://example.com/"))["items"] == before
    assert await states_told(account.client, policy) == []


async def test_an_address_is_resumed_in_either_case(account: Account) -> None:
    policy = await policy_for(account.client, "ada@example.com", channel="EMAIL")
    assert success(await resume(account.client, policy, "ADA@example.com"))["items"]


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, {"recipient": "required"}),
        ({"recipient": ""}, {"recipient": "tooShort"}),
        ({"recipient": 1}, {"recipient": "type"}),
        ({"recipient": "https://example.com/other"}, {"recipient": "unknownRecipient"}),
    ],
)
async def test_what_cannot_be_resumed(account: Account, body: Json, problems: Json) -> None:
    policy = await policy_for(account.client, "https://example.com/")
    response = await account.client.post(f"/notifications/policies/{policy}/recipients/resume", json=body)
    assert invalid(response) == problems


async def test_a_resumption_can_be_on_condition_tried_and_repeated(account: Account, database: Database) -> None:
    client = account.client
    url = "https://127.0.0.1/"
    policy = await policy_for(client, url)
    tag = (await client.get(f"/notifications/policies/{policy}")).headers["etag"]
    async with owner_connection(database.owner_url) as owner:
        disable = "WITH l AS (UPDATE lanes SET opens_at = 'infinity') UPDATE endpoints SET state = 'DISABLED'"
        await owner.execute(disable)
        refused(await resume(client, policy, url, headers={"If-Match": '"stale"'}), 412, "preconditionFailed")
        tried = success(await resume(client, policy, url, params={"dryRun": "true"}))
        assert tried["result"]["items"][0]["state"] == "ACTIVE"
        assert (await recipients(client, policy))[0]["state"] == "DISABLED"
        headers = {"If-Match": tag, "Idempotency-Key": str(uuid4())}
        first = await resume(client, policy, url, headers=headers)
        assert success(first)["items"][0]["state"] == "ACTIVE"
        await owner.execute(disable)
        again = await resume(client, policy, url, headers=headers)
        assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
        assert (await recipients(client, policy))[0]["state"] == "DISABLED"


# --- How they are told ---


async def test_a_policy_tells_in_order_if_it_is_told_to(account: Account, database: Database) -> None:
    client = account.client
    async with receiving() as receiver:
        policy = await policy_for(client, receiver.url())
        url = f"/notifications/policies/{policy}/delivery-settings"
        answered = await client.get(url)
        assert success(answered) == {"isOrdered": False}
        stale = {"If-Match": '"stale"'}
        refused(await client.put(url, json={"isOrdered": True}, headers=stale), 412, "preconditionFailed")
        tried = await client.put(url, json={"isOrdered": True}, params={"dryRun": "true"})
        assert success(tried)["result"] == {"isOrdered": True}
        assert success(await client.get(url)) == {"isOrdered": False}
        condition = {"If-Match": answered.headers["etag"]}
        changed = await client.put(url, json={"isOrdered": True}, headers=condition)
        assert success(changed) == success(await client.get(url)) == {"isOrdered": True}
        assert changed.headers["etag"] == (await client.get(url)).headers["etag"]
        added = {"recipients": [receiver.url("/later")]}
        success(await client.post(f"/notifications/policies/{policy}/recipients", json=added))
        customer = await client.create(newest(label="0"))
        for number in range(1, 8):
            await client.update(customer["id"], newest(label=str(number)))
        await work_off(database)
        for path in ("/", "/later"):
            assert [body["resource"]["label"] for _, body in receiver.told(path)] == list("01234567")
    assert success(await client.put(url, json={"isOrdered": False})) == {"isOrdered": False}


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, {"isOrdered": "required"}),
        ({"isOrdered": "true"}, {"isOrdered": "type"}),
        ({"isOrdered": None}, {"isOrdered": "type"}),
    ],
)
async def test_settings_that_are_none(account: Account, body: Json, problems: Json) -> None:
    policy = await policy_for(account.client, "https://example.com/")
    response = await account.client.put(f"/notifications/policies/{policy}/delivery-settings", json=body)
    assert invalid(response) == problems


# --- Whose they are, and what was published ---


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "recipients", None),
        ("POST", "recipients/resume", {"recipient": "https://example.com/"}),
        ("GET", "delivery-settings", None),
        ("PUT", "delivery-settings", {"isOrdered": True}),
    ],
)
async def test_a_policy_that_is_missing_malformed_or_foreign_answers_exactly_alike(
    account: Account, second_account: Account, method: str, path: str, body: Json
) -> None:
    foreign = await policy_for(second_account.client, "https://example.com/")
    seen: set[bytes] = set()
    for policy in (MISSING, "x", foreign):
        response = await account.client.request(method, f"/notifications/policies/{policy}/{path}", json=body)
        refused(response, 404, "notFound")
        seen.add(response.content)
    assert len(seen) == 1


async def test_the_published_ways_to_change_recipients_are_as_they_were(account: Account) -> None:
    client = account.client
    policy = await policy_for(client, "https://example.com/1")
    body = {"recipients": ["https://example.com/resume"]}
    success(await client.post(f"/notifications/policies/{policy}/recipients", json=body))
    success(await client.delete(f"/notifications/policies/{policy}/recipients/https:%2F%2Fexample.com%2Fresume"))
    assert [each["recipient"] for each in await recipients(client, policy)] == ["https://example.com/1"]
