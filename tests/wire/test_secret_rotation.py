"""`POST /notifications/policies/{id}/rotate-secret`: a new secret, while those before sign on for a while."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.support import records
from tests.support.clients import NEWEST, SECOND, VERSIONS, Account, Json, invalid, owner_connection, refused, success
from tests.support.cluster import Database
from tests.support.keys import live_secrets

MISSING = "0185a142-54ff-7ce5-846a-fc188432da6e"
POLICIES = "/notifications/policies"
WEBHOOK = {"name": "Warehouse", "channel": "WEBHOOK", "recipients": ["https://example.com/hooks"]}
MAIL = {"name": "Finance", "channel": "EMAIL", "recipients": ["a@example.com"]}


async def made(account: Account, body: Json = WEBHOOK, version: str = NEWEST) -> Json:
    return success(await account.client.post(POLICIES, version=version, json=body), 201)


def path_of(policy: Json) -> str:
    return f"{POLICIES}/{policy['id']}/rotate-secret"


async def rotated(account: Account, policy: Json, **body: object) -> Json:
    return success(await account.client.post(path_of(policy), json=body))


async def ends(database: Database) -> list[datetime | None]:
    """When each secret that is stored ends, oldest first."""
    async with owner_connection(database.owner_url) as owner:
        rows = await owner.fetch("SELECT expires_at FROM policy_secrets ORDER BY created_at, id")
    return [row["expires_at"] for row in rows]


async def test_the_new_secret_is_shown_once_and_the_old_one_signs_on_for_a_day(
    account: Account, database: Database
) -> None:
    policy = await made(account)
    after = await rotated(account, policy)
    assert after == policy | {"webhookSecret": after["webhookSecret"]}
    assert after["webhookSecret"].startswith("whsec_")
    assert after["webhookSecret"] != policy["webhookSecret"]
    secrets = (policy["webhookSecret"], after["webhookSecret"])
    assert await live_secrets(database, account.id, policy["id"]) == secrets
    first, second = await ends(database)
    assert first is not None
    assert abs(first - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)
    assert second is None
    for version in VERSIONS:
        shown = await account.client.get(f"{POLICIES}/{policy['id']}", version=version)
        assert "webhookSecret" not in success(shown)
    assert after["webhookSecret"] not in (await account.client.get("/activity-logs")).text


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_policy_of_any_version_can_be_rotated(account: Account, database: Database, version: str) -> None:
    policy = await made(account, version=version)
    after = await rotated(account, policy, overlapSeconds=604800, webhookSecret="a secret of ours")
    assert after["webhookSecret"] == "a secret of ours"
    assert await live_secrets(database, account.id, policy["id"]) == (policy["webhookSecret"], "a secret of ours")


async def test_without_an_overlap_only_the_new_secret_signs(account: Account, database: Database) -> None:
    """Whatever was promised to older ones: somebody has to be able to end a secret that leaked. They are not kept."""
    policy = await made(account)
    await rotated(account, policy, overlapSeconds=604800)
    after = await rotated(account, policy, overlapSeconds=0)
    assert await live_secrets(database, account.id, policy["id"]) == (after["webhookSecret"],)
    assert await ends(database) == [None]


async def test_a_longer_overlap_does_not_lengthen_an_earlier_one(account: Account, database: Database) -> None:
    policy = await made(account)
    await rotated(account, policy, overlapSeconds=60)
    [promised, _] = await ends(database)
    await rotated(account, policy, overlapSeconds=604800)
    first, second, third = await ends(database)
    assert first == promised
    assert second is not None
    assert first is not None
    assert second > first
    assert third is None


async def test_a_secret_whose_time_is_over_signs_nothing(account: Account, database: Database) -> None:
    policy = await made(account)
    after = await rotated(account, policy)
    async with owner_connection(database.owner_url) as owner:
        await owner.execute("UPDATE policy_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
    assert await live_secrets(database, account.id, policy["id"]) == (after["webhookSecret"],)


async def test_a_hundred_rotations_are_all_accepted_and_ten_secrets_sign(account: Account, database: Database) -> None:
    """The oldest ends when there would be more than ten."""
    policy = await made(account)
    secrets = [policy["webhookSecret"]]
    for number in range(1, 101):
        secrets.append((await rotated(account, policy))["webhookSecret"])
        if number in {8, 9, 10, 11, 100}:
            assert await live_secrets(database, account.id, policy["id"]) == tuple(secrets[-10:])
    assert len(set(secrets)) == 101
    assert len(await ends(database)) == 10


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ({"overlapSeconds": -1}, {"overlapSeconds": "range"}),
        ({"overlapSeconds": 604801}, {"overlapSeconds": "range"}),
        ({"overlapSeconds": "60"}, {"overlapSeconds": "type"}),
        ({"overlapSeconds": 1.5}, {"overlapSeconds": "type"}),
        ({"overlapSeconds": None}, {"overlapSeconds": "type"}),
        ({"webhookSecret": "1234567"}, {"webhookSecret": "tooShort"}),
        ({"webhookSecret": "x" * 201}, {"webhookSecret": "tooLong"}),
        ({"webhookSecret": None}, {"webhookSecret": "type"}),
        ({"webhookSecret": 12345678, "overlapSeconds": True}, {"webhookSecret": "type", "overlapSeconds": "type"}),
        ([], {"": "type"}),
    ],
)
async def test_what_is_refused_changes_nothing(
    account: Account, database: Database, body: Json, problems: dict[str, str]
) -> None:
    policy = await made(account)
    assert invalid(await account.client.post(path_of(policy), json=body)) == problems
    assert await live_secrets(database, account.id, policy["id"]) == (policy["webhookSecret"],)


async def test_a_policy_by_email_has_no_secret(account: Account, database: Database) -> None:
    policy = await made(account, MAIL)
    for body in ({}, {"webhookSecret": "a secret of ours"}):
        assert invalid(await account.client.post(path_of(policy), json=body)) == {"": "channel"}
    assert await ends(database) == []


async def test_another_accounts_policy_and_one_that_is_none_answer_alike(
    account: Account, second_account: Account, database: Database
) -> None:
    foreign = await made(second_account)
    gone = await made(account)
    success(await account.client.delete(f"{POLICIES}/{gone['id']}"))
    answers = {
        (await account.client.post(path_of({"id": each}), json={})).content
        for each in (foreign["id"], gone["id"], MISSING, "x")
    }
    assert len(answers) == 1
    refused(await account.client.post(path_of(foreign), json={}), 404, "notFound")
    assert await live_secrets(database, second_account.id, foreign["id"]) == (foreign["webhookSecret"],)
    assert await live_secrets(database, account.id, foreign["id"]) == ()


async def test_a_dry_run_shows_a_secret_and_stores_none(account: Account, database: Database) -> None:
    policy = await made(account)
    before = await records.count(database)
    tried = success(await account.client.post(path_of(policy), params={"dryRun": "true"}, json={"overlapSeconds": 0}))
    assert tried["dryRun"] is True
    assert tried["result"].keys() == policy.keys()
    assert tried["events"] == []
    assert await live_secrets(database, account.id, policy["id"]) == (policy["webhookSecret"],)
    assert await records.count(database) == before


async def test_a_retry_under_a_key_gets_the_same_secret(account: Account, database: Database) -> None:
    """A client that lost the answer can ask for it again, and rotates once."""
    policy = await made(account)
    headers = {"Idempotency-Key": "rotation"}
    first, second = [await account.client.post(path_of(policy), json={}, headers=headers) for _ in range(2)]
    assert success(first) == success(second)
    assert second.headers["idempotent-replayed"] == "true"
    secrets = (policy["webhookSecret"], first.json()["webhookSecret"])
    assert await live_secrets(database, account.id, policy["id"]) == secrets


async def test_conditions_hold_and_a_rotation_does_not_change_what_a_read_shows(account: Account) -> None:
    """The entity tag is that of the policy without its secret, so it is good for the next condition."""
    policy = await made(account)
    path = f"{POLICIES}/{policy['id']}"
    tag = (await account.client.get(path)).headers["etag"]
    refused(
        await account.client.post(path_of(policy), json={}, headers={"If-Match": '"stale"'}), 412, "preconditionFailed"
    )
    after = await account.client.post(path_of(policy), json={}, headers={"If-Match": tag})
    success(after)
    assert after.headers["etag"] == tag
    assert (await account.client.get(path)).headers["etag"] == tag


async def test_a_rotation_is_recorded_without_any_secret(account: Account, database: Database) -> None:
    policy = await made(account)
    await rotated(account, policy, webhookSecret="a secret of ours")
    _, activity = await records.activities(database, "NOTIFICATION_POLICY")
    assert (activity.verb, activity.object[1], activity.changes) == ("UPDATED", policy["id"], {})


async def test_the_older_versions_have_no_rotation(account: Account, database: Database) -> None:
    policy = await made(account)
    refused(await account.client.post(path_of(policy), version=SECOND, json={}), 404, "notFound")
    assert await live_secrets(database, account.id, policy["id"]) == (policy["webhookSecret"],)
