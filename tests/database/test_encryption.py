"""What the database itself holds of secrets, under which key, and how that changes while the service goes on."""

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from tests.support.bodies import newest
from tests.support.clients import (
    NEWEST,
    VERSIONS,
    Account,
    Json,
    client_of,
    new_key,
    owner_connection,
    refused,
    started,
    success,
)
from tests.support.cluster import Database
from tests.support.dump import everything
from tests.support.keys import BOTH_KEYS, KEYS, OTHER_KEYS, live_secrets

from customary.errors import Undecryptable
from customary.operations import encryption
from customary.operations.encryption import Reencryption
from customary.operations.notification_policies import rotate_secret
from customary.operations.work import SERVICE
from customary.storage import policy_secrets
from customary.storage.database import Database as Pool
from customary.storage.secret_keys import NO_KEYS, KeyRing

POLICIES = "/notifications/policies"


def webhook(**changes: object) -> Json:
    return {"name": "Warehouse", "channel": "WEBHOOK", "recipients": ["https://example.com/"]} | changes


async def made(account: Account, **options: Json) -> Json:
    body = options.pop("json", webhook())
    return success(await account.client.post(POLICIES, json=body, **options), 201)


@asynccontextmanager
async def pool(database: Database, keys: KeyRing = KEYS, size: int = 1) -> AsyncGenerator[Pool]:
    """The database as a process of the service has it."""
    opened = await Pool.open(database.service_url, pool_size=size, keys=keys)
    try:
        yield opened
    finally:
        opened.close()


async def other_key(account: Account, database: Database) -> tuple[str, str]:
    """An API key of this account whose secret is hashed with the other key."""
    async with owner_connection(database.owner_url) as owner:
        return await new_key(owner, account.id, ring=OTHER_KEYS)


async def reencrypted(database: Database, keys: KeyRing) -> tuple[Reencryption, list[int]]:
    """What came of encrypting all with these keys, and what was said of the progress: the total, then the steps."""
    told: list[int] = []
    async with pool(database, keys) as opened:
        done = await encryption.reencrypt(opened, on_start=told.append, on_progress=told.append)
    return done, told


def forms(secret: str) -> list[bytes]:
    """A secret as it could stand somewhere: as it is, in hex, in base64, and hashed."""
    raw = secret.encode()
    bare = secret.removeprefix("whsec_").removeprefix("csk_").encode()
    return [raw, bare, raw.hex().encode(), base64.b64encode(raw).rstrip(b"="), hashlib.sha256(raw).digest()]


async def test_no_column_of_any_table_holds_a_secret(account: Account, database: Database) -> None:
    """Given or made, created or rotated, with an idempotency key or without, in every version."""
    secrets: list[str] = [account.secret]
    for number, version in enumerate(VERSIONS):
        for headers in ((), {"Idempotency-Key": f"key-{number}"}):
            given = f"canary-{number}-{len(secrets)}-of-ours"
            secrets.append((await made(account, version=version, headers=headers))["webhookSecret"])
            other = {"Idempotency-Key": f"other-{number}"} if headers else ()
            policy = await made(account, json=webhook(webhookSecret=given), version=version, headers=other)
            secrets.append(policy["webhookSecret"])
            rotated = {"Idempotency-Key": f"rotated-{number}"} if headers else ()
            path = f"{POLICIES}/{policy['id']}/rotate-secret"
            answer = success(await account.client.post(path, version=NEWEST, json={}, headers=rotated))
            secrets.append(answer["webhookSecret"])
    await account.client.create(newest())
    async with owner_connection(database.owner_url) as owner:
        found = await everything(owner)
        # The search finds what is there to be found, in texts and in bytes.
        assert b"Warehouse" in found["notification_policies.name"]
        cursor_secret = await owner.fetchval("SELECT cursor_secret FROM installation")
        assert cursor_secret in found["installation.cursor_secret"]
        assert await owner.fetchval("SELECT count(*) FROM policy_secrets") == 12 + 6
        assert await owner.fetchval("SELECT count(*) FROM idempotency_keys WHERE key_id = 'k-test'") == 9
    assert len(secrets) == 19
    for column, content in found.items():
        for secret in secrets:
            assert not any(form in content for form in forms(secret)), column


async def test_a_kept_answer_is_given_again_and_bound_to_its_key(account: Account, database: Database) -> None:
    """Copied under another key it can be read by nobody, and that is a sentence and no failure of ours."""
    first = await made(account, headers={"Idempotency-Key": "one"})
    await made(account, headers={"Idempotency-Key": "two"})
    assert await made(account, headers={"Idempotency-Key": "one"}) == first
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(
            "UPDATE idempotency_keys SET body = (SELECT body FROM idempotency_keys WHERE key = 'one') WHERE key = 'two'"
        )
    answer = await account.client.post(POLICIES, json=webhook(), headers={"Idempotency-Key": "two"})
    assert "cannot be read any more" in refused(answer, 409, "conflict")["message"]
    assert first["webhookSecret"] not in answer.text


async def test_an_answer_whose_key_is_gone_is_a_conflict(account: Account, database: Database) -> None:
    """The change was made, so it is not made again; the sentence names the key for the operator."""
    headers = {"Idempotency-Key": "one"}
    await made(account, headers=headers)
    async with (
        started(database.service_url, keys=OTHER_KEYS) as app,
        client_of(app, await other_key(account, database)) as client,
    ):
        error = refused(await client.post(POLICIES, json=webhook(), headers=headers), 409, "conflict")
        assert "'k-test'" in error["message"]
        listed = success(await client.get(POLICIES))
        assert len(listed["items"]) == 1


async def test_a_secret_moved_to_another_policy_signs_nothing_there(account: Account, database: Database) -> None:
    first, second = await made(account), await made(account)
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(
            "UPDATE policy_secrets SET ciphertext ="
            " (SELECT ciphertext FROM policy_secrets WHERE policy_id = $1) WHERE policy_id = $2",
            UUID(first["id"]),
            UUID(second["id"]),
        )
    assert await live_secrets(database, account.id, first["id"]) == (first["webhookSecret"],)
    with pytest.raises(Undecryptable):
        await live_secrets(database, account.id, second["id"])


async def test_a_secret_whose_key_is_gone_is_unavailable_to_senders(account: Account, database: Database) -> None:
    policy = await made(account)
    for keys in (OTHER_KEYS, NO_KEYS):
        with pytest.raises(Undecryptable, match="'k-test'"):
            await live_secrets(database, account.id, policy["id"], keys)


async def test_secrets_go_with_their_policy(account: Account, database: Database) -> None:
    policy = await made(account)
    success(await account.client.delete(f"{POLICIES}/{policy['id']}"))
    async with owner_connection(database.owner_url) as owner:
        assert await owner.fetchval("SELECT count(*) FROM policy_secrets") == 0
    assert await live_secrets(database, account.id, policy["id"]) == ()


# --- Other keys ---


async def test_everything_is_encrypted_with_the_new_key(
    account: Account, second_account: Account, database: Database
) -> None:
    """Of all accounts; then the old key opens nothing and the new one everything, answers included."""
    policies = [(each, await made(each)) for each in (account, second_account, account)]
    headers = {"Idempotency-Key": "one"}
    kept = await made(account, headers=headers)
    done, told = await reencrypted(database, BOTH_KEYS)
    assert done == Reencryption(5, {"k-other": 5})
    assert (told[0], sum(told[1:])) == (5, 5)
    for owner, policy in policies:
        assert await live_secrets(database, owner.id, policy["id"], OTHER_KEYS) == (policy["webhookSecret"],)
        with pytest.raises(Undecryptable):
            await live_secrets(database, owner.id, policy["id"], KEYS)
    async with (
        started(database.service_url, keys=OTHER_KEYS) as app,
        client_of(app, await other_key(account, database)) as client,
    ):
        assert success(await client.post(POLICIES, json=webhook(), headers=headers), 201) == kept
    assert await reencrypted(database, BOTH_KEYS) == (Reencryption(0, {"k-other": 5}), [0])


async def test_rows_under_a_lost_key_stay_and_are_counted(account: Account, database: Database) -> None:
    policy = await made(account)
    done, told = await reencrypted(database, OTHER_KEYS)
    assert done == Reencryption(0, {"k-test": 1})
    assert told == [0]
    assert await live_secrets(database, account.id, policy["id"]) == (policy["webhookSecret"],)


async def test_a_damaged_row_holds_up_no_other(account: Account, database: Database) -> None:
    damaged, whole = await made(account), await made(account)
    async with owner_connection(database.owner_url) as owner:
        await owner.execute("UPDATE policy_secrets SET ciphertext = 'short' WHERE policy_id = $1", UUID(damaged["id"]))
    done, _ = await reencrypted(database, BOTH_KEYS)
    assert done == Reencryption(1, {"k-other": 1, "k-test": 1})
    assert await live_secrets(database, account.id, whole["id"], OTHER_KEYS) == (whole["webhookSecret"],)


async def fill(database: Database, account: Account, count: int) -> UUID:
    """Give one policy this many secrets, which the service would not; the policy's id."""
    policy_id = UUID((await made(account))["id"])
    context = policy_secrets.context(account.id, policy_id)
    rows = [KEYS.encrypt(f"secret {number}".encode(), context)[1] for number in range(1, count)]
    async with owner_connection(database.owner_url) as owner:
        await owner.execute(
            "INSERT INTO policy_secrets (account_id, policy_id, id, key_id, ciphertext, created_at)"
            " SELECT $1, $2, gen_random_uuid(), 'k-test', each, now() FROM unnest($3::bytea[]) each",
            account.id,
            policy_id,
            rows,
        )
    return policy_id


async def test_thousands_of_secrets_take_seconds_while_senders_read_them(account: Account, database: Database) -> None:
    """A hundred thousand in a minute: so five thousand in three seconds. Whoever reads meanwhile finds all of them."""
    policy_id = await fill(database, account, 5000)
    seen: list[int] = []

    async def read_on() -> None:
        async with pool(database, BOTH_KEYS) as opened:
            while True:
                async with opened.reading(account.id) as reading:
                    seen.append(len(await policy_secrets.live(reading, policy_id)))

    reader = asyncio.create_task(read_on())
    began = time.monotonic()
    done, told = await reencrypted(database, BOTH_KEYS)
    seconds = time.monotonic() - began
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert done == Reencryption(5000, {"k-other": 5000})
    assert told[0] == sum(told[1:]) == 5000
    assert set(seen) == {5000}
    assert seconds < 3


async def test_two_processes_can_encrypt_at_once(account: Account, database: Database) -> None:
    policy_id = await fill(database, account, 3000)
    first, second = await asyncio.gather(reencrypted(database, BOTH_KEYS), reencrypted(database, BOTH_KEYS))
    assert first[0].encrypted + second[0].encrypted == 3000
    assert {**first[0].rows, **second[0].rows}["k-other"] == 3000
    async with pool(database, OTHER_KEYS) as opened, opened.reading(account.id) as reading:
        assert len(await policy_secrets.live(reading, policy_id)) == 3000


# --- Rotating ---


async def test_there_is_a_secret_at_every_moment_of_a_hundred_rotations(account: Account, database: Database) -> None:
    """With an overlap and without one. Who reads finds one to ten, oldest first, and the newest is never gone again."""
    policy = await made(account)
    policy_id = UUID(policy["id"])
    order = {policy["webhookSecret"]: 0}
    seen: list[list[int]] = []
    done = asyncio.Event()

    async def read_on(opened: Pool) -> None:
        while not done.is_set():
            async with opened.reading(account.id) as reading:
                secrets = await policy_secrets.live(reading, policy_id)
            seen.append([order[secret] for secret in secrets])

    async def rotate(opened: Pool) -> None:
        for number in range(1, 101):
            order[f"secret {number}"] = number
            overlap = timedelta(seconds=0 if number % 20 == 0 else 3600)
            async with opened.transaction(account.id, SERVICE) as tx:
                await rotate_secret(tx, policy_id, overlap, f"secret {number}")
        done.set()

    async with pool(database, size=4) as opened:
        await asyncio.gather(rotate(opened), *(read_on(opened) for _ in range(3)))
    assert len(seen) > 100
    for numbers in seen:
        assert 1 <= len(numbers) <= policy_secrets.MOST_LIVE
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "out of order, or one between two is missing"
    assert await live_secrets(database, account.id, policy["id"]) == ("secret 100",)


async def test_rotations_at_once_come_one_after_another(account: Account, database: Database) -> None:
    """None is lost, and the secret that is stored last is the newest for everybody."""
    policy = await made(account)
    path = f"{POLICIES}/{policy['id']}/rotate-secret"
    answers = await asyncio.gather(*(account.client.post(path, version=NEWEST, json={}) for _ in range(8)))
    made_secrets = {success(answer)["webhookSecret"] for answer in answers}
    live = await live_secrets(database, account.id, policy["id"])
    assert len(live) == 9
    assert live[0] == policy["webhookSecret"]
    assert set(live[1:]) == made_secrets
    async with owner_connection(database.owner_url) as owner:
        ends = await owner.fetch("SELECT expires_at IS NULL AS is_newest FROM policy_secrets ORDER BY created_at, id")
    assert [row["is_newest"] for row in ends] == [False] * 8 + [True]
