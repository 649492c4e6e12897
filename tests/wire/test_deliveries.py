"""Seeing deliveries and acting on them: lists, attempts, tests, retries and replays, over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from tests.support.bodies import newest
from tests.support.clients import NEWEST, Account, Client, Json, invalid, owner_connection, refused, success
from tests.support.cluster import Database
from tests.support.receivers import InTurn, Receiver, answer, receiving, until
from tests.support.workers import advance, postpone, settled, work_off, working

from customary.domain.delivery import MAXIMUM_ATTEMPTS

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
GOOD = answer(200, b"ok")
BAD = answer(500, b"nobody home")
WAIT = timedelta(days=3)


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver that takes everything."""
    async with receiving() as running:
        yield running


async def policy_for(client: Client, *recipients: str, **more: object) -> str:
    """The id of a new policy that tells these recipients."""
    body: Json = {"name": "Hooks", "channel": "WEBHOOK", "recipients": list(recipients)} | more
    return success(await client.post("/notifications/policies", version=NEWEST, json=body), 201)["id"]


async def listed(client: Client, policy: str, **params: object) -> list[Json]:
    """The deliveries of a policy on one page."""
    return success(await client.get(f"/notifications/policies/{policy}/deliveries", params=params))["items"]


async def shown(client: Client, policy: str, delivery: str) -> Json:
    return success(await client.get(f"/notifications/policies/{policy}/deliveries/{delivery}"))


async def attempts(client: Client, policy: str, delivery: str, **params: object) -> Json:
    url = f"/notifications/policies/{policy}/deliveries/{delivery}/attempts"
    return success(await client.get(url, params=params))


async def retry(client: Client, policy: str, delivery: str, **options: Any) -> Any:  # noqa: ANN401 - the client's answer
    return await client.post(f"/notifications/policies/{policy}/deliveries/{delivery}/retry", **options)


async def replayed(client: Client, policy: str, **body: object) -> int:
    return success(await client.post(f"/notifications/policies/{policy}/replay", json=body))["queued"]


async def give_up(database: Database) -> None:
    """Let everything that is pending fail until it is given up."""
    async with owner_connection(database.owner_url) as owner:
        await owner.execute("UPDATE jobs SET attempts_left = 1 WHERE finished_at IS NULL")
    await work_off(database)


async def activities(client: Client, policy: str) -> list[Json]:
    """The fields of each activity of a policy, newest first."""
    found = success(await client.get("/activity-logs", params={"activityLogObjectEntityId": policy}))["items"]
    return [{each["field"]: each for each in item["activityLogItems"][0]["metadata"]} for item in found]


# --- Lists ---


async def test_a_delivery_is_shown_from_the_change_to_the_answer(
    account: Account, database: Database, receiver: Receiver
) -> None:
    client = account.client
    policy = await policy_for(client, receiver.url("/hook"))
    customer = await client.create(newest())
    [event] = success(await client.get("/events"))["items"]
    [pending] = await listed(client, policy)
    assert pending == {
        "id": pending["id"],
        "webhookId": f"msg_{pending['id']}",
        "notificationType": "CUSTOMER_CREATED",
        "resourceType": "CUSTOMER",
        "resourceId": customer["id"],
        "resourceVersion": 1,
        "eventId": event["id"],
        "isTest": False,
        "recipient": receiver.url("/hook"),
        "recipientState": "ACTIVE",
        "state": "PENDING",
        "isInFlight": False,
        "attempts": 0,
        "attemptsLeft": MAXIMUM_ATTEMPTS,
        "createdAt": event["createdAt"],
        "nextAttemptAt": event["createdAt"],
    }
    assert await shown(client, policy, pending["id"]) == pending
    assert await attempts(client, policy, pending["id"]) == {"items": [], "hasMore": False}

    await work_off(database)
    [delivered] = await listed(client, policy)
    assert delivered == {name: value for name, value in pending.items() if name != "nextAttemptAt"} | {
        "state": "DELIVERED",
        "attempts": 1,
        "attemptsLeft": MAXIMUM_ATTEMPTS - 1,
        "finishedAt": delivered["finishedAt"],
        "lastOutcome": "DELIVERED",
        "lastResponseStatus": 200,
    }
    [(webhook_id, body)] = receiver.told("/hook")
    assert webhook_id == delivered["webhookId"]
    assert (body["notificationType"], body["resourceId"]) == ("CUSTOMER_CREATED", customer["id"])
    [attempt] = (await attempts(client, policy, delivered["id"]))["items"]
    assert attempt == {
        "number": 1,
        "startedAt": attempt["startedAt"],
        "durationMilliseconds": attempt["durationMilliseconds"],
        "outcome": "DELIVERED",
        "responseStatus": 200,
        "responseBody": "ok",
    }


async def test_each_failure_is_an_attempt_with_its_answer(account: Account, database: Database) -> None:
    """The beginning of the answer is kept as text, whatever bytes it has; without an answer there is neither."""
    client = account.client
    behave = InTurn(answer(503, b"\xffbusy\0" + b"x" * 2000), answer(302, Location="https://example.com/"), GOOD)
    async with receiving(behave) as receiver:
        policy = await policy_for(client, receiver.url())
        await client.create(newest())
        await work_off(database)
        await advance(database, WAIT)
        await work_off(database)
        [waiting] = await listed(client, policy)
        assert waiting["state"] == "PENDING"
        assert waiting["nextAttemptAt"] > waiting["createdAt"]
        await advance(database, WAIT)
        assert (waiting["lastOutcome"], waiting["lastResponseStatus"]) == ("REJECTED", 302)
        assert waiting["lastError"] == "The recipient answered 302, a redirect; redirects are not followed."
    await work_off(database)
    found = await attempts(client, policy, waiting["id"])
    assert [each["number"] for each in found["items"]] == [3, 2, 1]
    assert [each["outcome"] for each in found["items"]] == ["UNREACHABLE", "REJECTED", "REJECTED"]
    assert [each.get("responseStatus") for each in found["items"]] == [None, 302, 503]
    last, redirected, first = found["items"]
    assert first["responseBody"] == "\ufffdbusy\0" + "x" * 1018
    assert redirected["responseBody"] == ""
    assert "responseBody" not in last
    assert "could not be reached" in last["error"]
    assert await attempts(client, policy, waiting["id"], limit=2) == {"items": found["items"][:2], "hasMore": True}
    rest = await attempts(client, policy, waiting["id"], limit=2, beforeNumber=2)
    assert rest == {"items": [first], "hasMore": False}


async def test_the_list_is_filtered_and_paged(account: Account, database: Database) -> None:
    client = account.client
    async with receiving() as good, receiving(InTurn(answer(410))) as gone:
        policy = await policy_for(client, good.url(), gone.url())
        customers = [(await client.create(newest(legalName=f"N{number}")))["id"] for number in range(5)]
        await work_off(database)
    everything = await listed(client, policy, limit=100)
    assert len(everything) == 10
    assert [each["createdAt"] for each in everything] == sorted(
        (each["createdAt"] for each in everything), reverse=True
    )
    assert {each["recipient"] for each in await listed(client, policy, state="DELIVERED")} == {good.url()}
    held = await listed(client, policy, recipient=gone.url())
    assert {each["state"] for each in held} == {"PENDING"}
    assert {each["recipientState"] for each in held} == {"DISABLED"}
    assert all("410" in each["heldBecause"] and "nextAttemptAt" not in each for each in held)
    about = await listed(client, policy, resourceId=customers[0], state="PENDING")
    assert [(each["resourceId"], each["recipient"]) for each in about] == [(customers[0], gone.url())]
    url = f"/notifications/policies/{policy}/deliveries"
    seen, params = list[Json](), dict[str, Any](limit=3)
    while True:
        page = success(await client.get(url, params=params))
        assert page["pagination"]["totalResultSize"] == 10
        seen += page["items"]
        if "after" not in page["pagination"]:
            break
        params["after"] = page["pagination"]["after"]
    assert [each["id"] for each in seen] == [each["id"] for each in everything]
    back = success(await client.get(url, params={"limit": 3, "before": page["pagination"]["before"]}))
    assert [each["id"] for each in back["items"]] == [each["id"] for each in everything[6:9]]
    other = await client.get(url, params={"state": "PENDING", "after": params["after"]})
    assert invalid(other) == {"after": "cursor"}


@pytest.mark.parametrize(
    ("params", "problems"),
    [
        ({"state": "LOST"}, {"state": "enum"}),
        ({"state": "pending"}, {"state": "enum"}),
        ({"recipient": ""}, {"recipient": "tooShort"}),
        ({"resourceId": "x"}, {"resourceId": "id"}),
        ({"limit": 0}, {"limit": "tooSmall"}),
        ({"after": "x"}, {"after": "cursor"}),
    ],
)
async def test_a_list_that_cannot_be(account: Account, params: Json, problems: Json) -> None:
    policy = await policy_for(account.client, "https://example.com/")
    response = await account.client.get(f"/notifications/policies/{policy}/deliveries", params=params)
    assert invalid(response).keys() == problems.keys()


# --- Tests ---


@pytest.mark.parametrize("kind", ["CUSTOMER_CREATED", "CUSTOMER_UPDATED", "CUSTOMER_ARCHIVED"])
async def test_a_test_tells_each_recipient_of_an_example(account: Account, database: Database, kind: str) -> None:
    """Also of what the policy is not about, signed like everything else, and beside what is really told."""
    client = account.client
    async with receiving() as first, receiving() as second:
        policy = await policy_for(client, first.url(), second.url(), notificationTypes=["INVOICE_CREATED"])
        url = f"/notifications/policies/{policy}/test"
        made = success(await client.post(url, json={"notificationType": kind}), 201)["items"]
        assert [each["recipient"] for each in made] == [first.url(), second.url()]
        for each in made:
            assert each["isTest"] is True
            assert each["state"] == "PENDING"
            assert each.keys().isdisjoint({"eventId", "resourceId", "resourceVersion"})
            assert await shown(client, policy, each["id"]) == each
        await work_off(database)
    for receiver, each in zip((first, second), made, strict=True):
        [(webhook_id, body)] = receiver.told()
        assert webhook_id == each["webhookId"]
        assert body["notificationType"] == kind
        assert body["sequenceAccountId"] == str(account.id)
        assert body["resource"]["legalName"] == "Example Ltd"
        assert "archivedAt" in body["resource"] or kind != "CUSTOMER_ARCHIVED"
        [exchange] = receiver.exchanges
        assert exchange.headers()["sequence-signature"].startswith("t=")
        assert "customary-event-id" not in exchange.headers()
    assert {each["state"] for each in await listed(client, policy)} == {"DELIVERED"}
    assert success(await client.get("/events"))["items"] == []
    assert (await activities(client, policy))[0]["tested"]["after"] == kind


@pytest.mark.parametrize("body", [{}, {"notificationType": "INVOICE_CREATED"}, {"notificationType": None}])
async def test_a_test_of_nothing_that_is_sent(account: Account, body: Json) -> None:
    policy = await policy_for(account.client, "https://example.com/")
    response = await account.client.post(f"/notifications/policies/{policy}/test", json=body)
    assert invalid(response).keys() == {"notificationType"}
    assert await listed(account.client, policy) == []


# --- Retries ---


async def test_what_was_given_up_is_retried_under_its_id_with_all_its_attempts(
    account: Account, database: Database
) -> None:
    client = account.client
    behave = InTurn(BAD)
    async with receiving(behave) as receiver:
        policy = await policy_for(client, receiver.url())
        await client.create(newest())
        await give_up(database)
        [failed] = await listed(client, policy, state="FAILED")
        assert failed["reason"].startswith("It failed 12 times")
        assert (failed["attempts"], failed["attemptsLeft"]) == (1, 0)
        behave.answers = [GOOD]
        queued = success(await retry(client, policy, failed["id"]))
        assert (queued["state"], queued["attempts"], queued["attemptsLeft"]) == ("PENDING", 1, MAXIMUM_ATTEMPTS)
        assert queued.keys().isdisjoint({"reason", "finishedAt"})
        assert queued["createdAt"] == failed["createdAt"]
        await work_off(database)
    [delivered] = await listed(client, policy)
    assert (delivered["state"], delivered["attempts"]) == ("DELIVERED", 2)
    assert [webhook_id for webhook_id, _ in receiver.told()] == [failed["webhookId"]] * 2
    assert [each["number"] for each in (await attempts(client, policy, failed["id"]))["items"]] == [2, 1]
    assert (await activities(client, policy))[0]["retriedDelivery"]["after"] == failed["id"]


async def test_what_waits_for_its_next_attempt_waits_no_longer(account: Account, database: Database) -> None:
    client = account.client
    async with receiving(InTurn(BAD, GOOD)) as receiver:
        policy = await policy_for(client, receiver.url())
        await client.create(newest())
        await work_off(database)
        await postpone(database, timedelta(hours=1))
        [waiting] = await listed(client, policy)
        queued = success(await retry(client, policy, waiting["id"]))
        assert queued["nextAttemptAt"] < waiting["nextAttemptAt"]
        assert queued["attemptsLeft"] == waiting["attemptsLeft"] == MAXIMUM_ATTEMPTS - 1
        await work_off(database)
    assert (await shown(client, policy, waiting["id"]))["state"] == "DELIVERED"


async def test_what_was_delivered_can_be_sent_again(account: Account, database: Database, receiver: Receiver) -> None:
    client = account.client
    policy = await policy_for(client, receiver.url())
    await client.create(newest())
    await work_off(database)
    [delivered] = await listed(client, policy)
    success(await retry(client, policy, f"msg_{delivered['id']}"))
    await work_off(database)
    assert [webhook_id for webhook_id, _ in receiver.told()] == [delivered["webhookId"]] * 2


async def test_what_is_being_attempted_cannot_be_retried(account: Account, database: Database) -> None:
    client = account.client
    released = asyncio.Event()

    async def slow(exchange: Any) -> None:  # noqa: ANN401 - an exchange of the receiver
        await released.wait()
        await exchange.send(GOOD)

    async with receiving(slow) as receiver, working(database.service_url):
        policy = await policy_for(client, receiver.url())
        await client.create(newest())
        await until(lambda: receiver.exchanges)
        [busy] = await listed(client, policy)
        assert busy["isInFlight"] is True
        assert (busy["attempts"], "nextAttemptAt" in busy) == (1, False)
        response = await retry(client, policy, busy["id"])
        error = refused(response, 409, "conflict")
        assert "being attempted right now" in error["message"]
        assert response.headers["retry-after"] == "15"
        released.set()
        await settled(database)
    assert len(receiver.exchanges) == 1
    assert (await shown(client, policy, busy["id"]))["state"] == "DELIVERED"


async def test_a_lease_that_ran_out_holds_no_retry_up(account: Account, database: Database, receiver: Receiver) -> None:
    client = account.client
    policy = await policy_for(client, receiver.url())
    await client.create(newest())
    async with owner_connection(database.owner_url) as owner:
        await owner.execute("UPDATE jobs SET lease = gen_random_uuid(), attempts = 1, due_at = now() - interval '1 s'")
    [left] = await listed(client, policy)
    assert left["isInFlight"] is False
    success(await retry(client, policy, left["id"]))
    await work_off(database)
    assert (await shown(client, policy, left["id"]))["state"] == "DELIVERED"


async def test_a_removed_recipient_gets_nothing_more(account: Account, database: Database, receiver: Receiver) -> None:
    client = account.client
    policy = await policy_for(client, receiver.url("/a"), receiver.url("/b"))
    await client.create(newest())
    await work_off(database)
    [delivery] = await listed(client, policy, recipient=receiver.url("/a"))
    encoded = receiver.url("/a").replace("/", "%2F")
    success(await client.delete(f"/notifications/policies/{policy}/recipients/{encoded}"))
    assert (await shown(client, policy, delivery["id"]))["recipientState"] == "REMOVED"
    error = refused(await retry(client, policy, delivery["id"]), 409, "conflict")
    assert "removed from the policy" in error["message"]
    assert await replayed(client, policy, **{"from": "2020-01-01T00:00:00Z"}) == 1
    await work_off(database)
    assert len(receiver.told("/a")) == 1
    assert len(receiver.told("/b")) == 2


# --- Replays ---


def moment(item: Json, by: timedelta = timedelta()) -> str:
    """When this was made, a little earlier or later."""
    return (datetime.fromisoformat(item["createdAt"]) + by).astimezone(UTC).isoformat().replace("+00:00", "Z")


async def test_a_time_is_replayed_under_the_same_ids_and_nothing_else(
    account: Account, database: Database, receiver: Receiver
) -> None:
    """`from` belongs to the range and `to` does not."""
    client = account.client
    policy = await policy_for(client, receiver.url())
    for number in range(4):
        await client.create(newest(legalName=f"N{number}"))
    await work_off(database)
    fourth, third, second, _ = await listed(client, policy)
    assert await replayed(client, policy, **{"from": moment(second), "to": moment(fourth)}) == 2
    waiting = await listed(client, policy, state="PENDING")
    assert [each["id"] for each in waiting] == [third["id"], second["id"]]
    assert {each["attemptsLeft"] for each in waiting} == {MAXIMUM_ATTEMPTS}
    assert await replayed(client, policy, **{"from": moment(second), "to": moment(fourth)}) == 0, "they wait already"
    await work_off(database)
    again = [webhook_id for webhook_id, _ in receiver.told()[4:]]
    assert sorted(again) == sorted(each["webhookId"] for each in (second, third))
    found = (await activities(client, policy))[0]["replayed"]["after"]
    assert found == {"from": moment(second), "to": moment(fourth), "failedOnly": False, "queued": 2}


async def test_what_came_before_the_policy_is_sent_for_the_first_time(
    account: Account, database: Database, receiver: Receiver
) -> None:
    """Of what the policy is about, each once for each recipient."""
    client = account.client
    customer = await client.create(newest())
    await client.update(customer["id"], newest(legalName="New"))
    await client.archive(customer["id"])
    kinds = ["CUSTOMER_CREATED", "CUSTOMER_ARCHIVED"]
    policy = await policy_for(client, receiver.url("/a"), receiver.url("/b"), notificationTypes=kinds)
    assert await listed(client, policy) == []
    assert await replayed(client, policy, **{"from": customer["createdAt"], "recipient": receiver.url("/a")}) == 2
    assert await replayed(client, policy, **{"from": customer["createdAt"]}) == 2
    await work_off(database)
    for path in ("/a", "/b"):
        told = [(body["notificationType"], body["resource"]["id"]) for _, body in receiver.told(path)]
        assert sorted(told) == sorted((kind, customer["id"]) for kind in kinds)
    ids = [webhook_id for webhook_id, _ in receiver.told()]
    assert await replayed(client, policy, **{"from": customer["createdAt"]}) == 4
    await work_off(database)
    assert sorted(webhook_id for webhook_id, _ in receiver.told()) == sorted(ids * 2)


QUARANTINE_FIRST = """
UPDATE jobs SET state = 'QUARANTINED'
 WHERE id = (SELECT id FROM jobs WHERE state = 'FAILED' AND event_id IS NOT NULL ORDER BY created_at LIMIT 1)
"""


async def test_what_was_given_up_is_replayed_alone(account: Account, database: Database) -> None:
    """All of it, or that of a time; not a test, which is no event."""
    client = account.client
    behave = InTurn(GOOD)
    async with receiving(behave) as receiver:
        policy = await policy_for(client, receiver.url())
        await client.create(newest(legalName="Delivered"))
        await work_off(database)
        behave.answers = [BAD]
        success(
            await client.post(f"/notifications/policies/{policy}/test", json={"notificationType": "CUSTOMER_CREATED"}),
            201,
        )
        for name in ("One", "Two"):
            await client.create(newest(legalName=name))
        await give_up(database)
        async with owner_connection(database.owner_url) as owner:
            await owner.execute(QUARANTINE_FIRST)
        second, first = [
            each for each in await listed(client, policy) if each["state"] != "DELIVERED" and not each["isTest"]
        ]
        assert (first["state"], second["state"]) == ("QUARANTINED", "FAILED")
        behave.answers = [GOOD]
        assert await replayed(client, policy, failedOnly=True, to=moment(first)) == 0
        assert await replayed(client, policy, failedOnly=True, to=moment(second)) == 1
        assert [each["id"] for each in await listed(client, policy, state="PENDING")] == [first["id"]]
        assert await replayed(client, policy, failedOnly=True, **{"from": moment(second)}) == 1
        assert await replayed(client, policy, failedOnly=True) == 0
        success(
            await client.post(f"/notifications/policies/{policy}/recipients/resume", json={"recipient": receiver.url()})
        )
        await work_off(database)
    states = [(each["isTest"], each["state"]) for each in await listed(client, policy)]
    assert sorted(states) == [(False, "DELIVERED")] * 3 + [(True, "FAILED")]


async def test_an_ordered_policy_replays_in_order(account: Account, database: Database, receiver: Receiver) -> None:
    client = account.client
    customer = await client.create(newest())
    for number in range(1, 6):
        await client.update(customer["id"], newest(label=str(number)))
    policy = await policy_for(client, receiver.url())
    success(await client.put(f"/notifications/policies/{policy}/delivery-settings", json={"isOrdered": True}))
    expected = [None, *map(str, range(1, 6))]
    for _ in range(2):
        assert await replayed(client, policy, **{"from": customer["createdAt"]}) == 6
        await work_off(database)
        assert [body["resource"].get("label") for _, body in receiver.told()[-6:]] == expected


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({}, {"from": "required"}),
        ({"to": "2026-01-01T00:00:00Z"}, {"from": "required"}),
        ({"failedOnly": False}, {"from": "required"}),
        ({"from": "yesterday"}, {"from": "time"}),
        ({"from": "2026-01-01"}, {"from": "time"}),
        ({"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, {"to": "range"}),
        ({"failedOnly": "yes"}, {"failedOnly": "type"}),
        ({"failedOnly": True, "recipient": "https://example.com/other"}, {"recipient": "unknownRecipient"}),
    ],
)
async def test_a_replay_of_nothing_clear(account: Account, body: Json, problems: dict[str, str]) -> None:
    policy = await policy_for(account.client, "https://example.com/")
    response = await account.client.post(f"/notifications/policies/{policy}/replay", json=body)
    assert invalid(response) == problems


FILL = """
WITH customer AS (SELECT * FROM events WHERE account_id = $1 ORDER BY version LIMIT 1)
INSERT INTO events (account_id, id, type, customer_id, version, customer, created_at, transaction_id)
SELECT account_id, gen_random_uuid(), 'CUSTOMER_UPDATED', customer_id, version + number, customer,
       created_at + number * interval '1 ms', transaction_id
  FROM customer CROSS JOIN generate_series(1, $2) number
"""


async def test_many_are_replayed_at_once_and_more_than_a_hundred_thousand_are_refused(
    account: Account, database: Database
) -> None:
    client = account.client
    customer = await client.create(newest())
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(FILL, account.id, 100_000)
        policy = await policy_for(client, "https://127.0.0.1/")
        everything = {"from": customer["createdAt"]}
        response = await client.post(f"/notifications/policies/{policy}/replay", json=everything)
        assert invalid(response) == {"to": "tooMany"}
        assert await listed(client, policy) == []
        some = everything | {"to": moment(customer, timedelta(seconds=12))}
        assert await replayed(client, policy, **some) == 12_000
        await owner.execute("UPDATE jobs SET state = 'FAILED', finished_at = now(), attempts_left = 0")
        assert await replayed(client, policy, failedOnly=True) == 12_000
        pending = "SELECT count(DISTINCT event_id) FROM jobs WHERE finished_at IS NULL AND attempts_left = 12"
        assert await owner.fetchval(pending) == 12_000


async def test_two_replays_at_once_send_nothing_twice(account: Account, database: Database, receiver: Receiver) -> None:
    client = account.client
    customer = await client.create(newest())
    policy = await policy_for(client, receiver.url())
    both = await asyncio.gather(*(replayed(client, policy, **{"from": customer["createdAt"]}) for _ in range(4)))
    assert sorted(both) == [0, 0, 0, 1]
    await work_off(database)
    assert len(receiver.told()) == 1


# --- Conditions, tries and repetitions ---


async def test_a_retry_can_be_on_condition_tried_and_repeated(
    account: Account, database: Database, receiver: Receiver
) -> None:
    client = account.client
    policy = await policy_for(client, receiver.url())
    await client.create(newest())
    await work_off(database)
    [delivered] = await listed(client, policy)
    url = f"/notifications/policies/{policy}/deliveries/{delivered['id']}"
    tag = (await client.get(url)).headers["etag"]
    refused(await retry(client, policy, delivered["id"], headers={"If-Match": '"stale"'}), 412, "preconditionFailed")
    tried = success(await retry(client, policy, delivered["id"], params={"dryRun": "true"}))
    assert (tried["dryRun"], tried["result"]["state"], tried["events"]) == (True, "PENDING", [])
    assert (await client.get(url)).headers["etag"] == tag, "nothing of it was stored"
    headers = {"If-Match": tag, "Idempotency-Key": str(uuid4())}
    first = await retry(client, policy, delivered["id"], headers=headers)
    assert success(first)["state"] == "PENDING"
    await work_off(database)
    again = await retry(client, policy, delivered["id"], headers=headers)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    await work_off(database)
    assert len(receiver.told()) == 2


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("test", {"notificationType": "CUSTOMER_CREATED"}),
        ("replay", {"from": "2020-01-01T00:00:00Z"}),
    ],
)
async def test_what_makes_deliveries_can_be_on_condition_tried_and_repeated(
    account: Account, action: str, body: Json
) -> None:
    client = account.client
    await client.create(newest())
    policy = await policy_for(client, "https://127.0.0.1/")
    url = f"/notifications/policies/{policy}/{action}"
    tag = (await client.get(f"/notifications/policies/{policy}")).headers["etag"]
    refused(await client.post(url, json=body, headers={"If-Match": '"stale"'}), 412, "preconditionFailed")
    assert success(await client.post(url, json=body, params={"dryRun": "true"}))["dryRun"] is True
    assert await listed(client, policy) == []
    headers = {"If-Match": tag, "Idempotency-Key": str(uuid4())}
    first, again = [await client.post(url, json=body, headers=headers) for _ in range(2)]
    assert first.content == again.content
    assert again.headers["idempotent-replayed"] == "true"
    assert len(await listed(client, policy)) == 1


# --- Whose they are ---


async def test_another_accounts_deliveries_are_not_there(
    account: Account, second_account: Account, database: Database, receiver: Receiver
) -> None:
    """Missing, malformed and foreign things are answered exactly alike, and nothing is done to them."""
    theirs = await policy_for(second_account.client, receiver.url())
    await second_account.client.create(newest())
    await work_off(database)
    [delivery] = await listed(second_account.client, theirs)
    own = await policy_for(account.client, receiver.url())
    second = await policy_for(account.client, receiver.url())
    await account.client.create(newest())
    [others] = await listed(account.client, second)
    client = account.client
    for suffix, body in (("", None), ("/attempts", None), ("/retry", {})):
        seen: set[bytes] = set()
        for each in (MISSING, "x", delivery["id"], others["id"]):
            url = f"/notifications/policies/{own}/deliveries/{each}{suffix}"
            response = await (client.get(url) if body is None else client.post(url))
            refused(response, 404, "notFound")
            seen.add(response.content)
        assert len(seen) == 1
    for method, path, body in (
        ("GET", "deliveries", None),
        ("GET", f"deliveries/{delivery['id']}", None),
        ("POST", f"deliveries/{delivery['id']}/retry", None),
        ("POST", "test", {"notificationType": "CUSTOMER_CREATED"}),
        ("POST", "replay", {"failedOnly": True}),
    ):
        seen = set()
        for policy in (MISSING, "x", theirs):
            response = await client.request(method, f"/notifications/policies/{policy}/{path}", json=body)
            refused(response, 404, "notFound")
            seen.add(response.content)
        assert len(seen) == 1
    assert await listed(second_account.client, theirs) == [delivery]


async def test_a_replay_sends_nothing_of_another_account(
    account: Account, second_account: Account, database: Database, receiver: Receiver
) -> None:
    await second_account.client.create(newest(legalName="Theirs"))
    own = await account.client.create(newest(legalName="Own"))
    policy = await policy_for(account.client, receiver.url())
    assert await replayed(account.client, policy, **{"from": "2020-01-01T00:00:00Z"}) == 1
    await work_off(database)
    assert [UUID(body["resourceId"]) for _, body in receiver.told()] == [UUID(own["id"])]
