"""Idempotency keys: at most one effect for each key, and the first answer again for every repetition."""

import asyncio
from collections import Counter

import asyncpg
import pytest
from tests.support import bodies
from tests.support.clients import NEWEST, SECOND, Account, refused, success
from tests.support.cluster import Database

from customary.storage.schema import SEARCH_PATH

HEADERS = {"Idempotency-Key": "order-4711"}


async def counts(database: Database) -> dict[str, int]:
    """How many rows each write leaves behind."""
    connection = await asyncpg.connect(database.owner_url, server_settings={"search_path": SEARCH_PATH})
    try:
        tables = ("customers", "activity_logs", "events", "idempotency_keys")
        return {table: await connection.fetchval(f"SELECT count(*) FROM {table}") for table in tables}  # noqa: S608
    finally:
        await connection.close()


async def test_a_repeated_request_gets_the_first_answer_byte_for_byte(account: Account, database: Database) -> None:
    """The repetition is marked, stores nothing, and does not see what happened since."""
    first = await account.client.post("/customers", json=bodies.newest(), headers=HEADERS)
    created = success(first, 201)
    await account.client.update(created["id"], bodies.newest(legalName="Renamed"))
    second = await account.client.post("/customers", json=bodies.newest(), headers=HEADERS)

    assert second.status_code == 201
    assert second.content == first.content
    assert second.headers["etag"] == first.headers["etag"]
    assert second.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await counts(database) == {"customers": 1, "activity_logs": 2, "events": 2, "idempotency_keys": 1}


async def test_a_hundred_equal_requests_at_once_have_one_effect(account: Account, database: Database) -> None:
    """One customer, one activity, one event, and a hundred equal answers."""
    body = bodies.newest(customerAliases=["crm-1"])
    answers = await asyncio.gather(*(account.client.post("/customers", json=body, headers=HEADERS) for _ in range(100)))

    assert Counter((answer.status_code, answer.content) for answer in answers) == {(201, answers[0].content): 100}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 99
    assert await counts(database) == {"customers": 1, "activity_logs": 1, "events": 1, "idempotency_keys": 1}


@pytest.mark.parametrize("difference", ["body", "path", "version", "query"])
async def test_the_key_of_another_request_is_refused(account: Account, difference: str) -> None:
    """Another body, path, version or query under the same key is 422, and nothing is done."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    success(await account.client.put(path, json=bodies.newest(label="a"), headers=HEADERS))
    changed = {
        "body": account.client.put(path, json=bodies.newest(label="b"), headers=HEADERS),
        "path": account.client.post(f"{path}/archive", headers=HEADERS),
        "version": account.client.put(path, json=bodies.older(), headers=HEADERS, version=SECOND),
        "query": account.client.put(path, json=bodies.newest(label="a"), headers=HEADERS, params={"x": "1"}),
    }
    chosen = changed.pop(difference)
    for unused in changed.values():
        unused.close()

    refused(await chosen, 422, "idempotencyMismatch")
    assert (await account.client.customer(created["id"]))["label"] == "a"


async def test_a_refusal_after_work_began_is_kept(account: Account) -> None:
    """A conflict is the answer to this key, also after what it was about has gone."""
    holder = await account.client.create(bodies.newest(customerAliases=["taken"]))
    body = bodies.newest(customerAliases=["taken"])
    first = await account.client.post("/customers", json=body, headers=HEADERS)
    refused(first, 409, "conflict")
    await account.client.update(holder["id"], bodies.newest(customerAliases=[]))
    second = await account.client.post("/customers", json=body, headers=HEADERS)

    assert (second.status_code, second.content) == (409, first.content)
    assert second.headers["idempotent-replayed"] == "true"
    success(await account.client.post("/customers", json=body, headers={"Idempotency-Key": "another"}), 201)


async def test_a_refusal_before_any_work_is_not_kept(account: Account) -> None:
    """A body that is not valid leaves the key free for the corrected one."""
    broken = await account.client.post("/customers", json=bodies.newest(legalName=""), headers=HEADERS)
    refused(broken, 400, "validationError")

    success(await account.client.post("/customers", json=bodies.newest(), headers=HEADERS), 201)


async def test_a_key_belongs_to_its_account(account: Account, second_account: Account) -> None:
    """Two accounts use the same key without knowing of each other."""
    mine = success(await account.client.post("/customers", json=bodies.newest(), headers=HEADERS), 201)
    theirs = success(await second_account.client.post("/customers", json=bodies.newest(), headers=HEADERS), 201)

    assert mine["id"] != theirs["id"]


async def test_a_key_works_for_writes_without_a_body(account: Account) -> None:
    """Archiving twice under one key answers the same, marked."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}/archive"
    first = await account.client.post(path, headers=HEADERS)
    second = await account.client.post(path, headers=HEADERS)

    assert (second.status_code, second.content) == (200, first.content)
    assert second.headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("key", ["", "x" * 256, "has space", "naïve", "tab\there"])
async def test_a_key_of_another_form_is_refused(account: Account, key: str) -> None:
    """A key is 1 to 255 visible ASCII characters."""
    answer = await account.client.post(
        "/customers", json=bodies.newest(), headers=[(b"Idempotency-Key", key.encode("latin-1"))]
    )

    refused(answer, 400, "validationError")


@pytest.mark.parametrize("key", ["x", "x" * 255, "!~", '"quoted"'])
async def test_every_visible_key_is_taken(account: Account, key: str) -> None:
    """The shortest, the longest and the quoted form of the IETF's draft are keys."""
    first = await account.client.post("/customers", json=bodies.newest(), headers={"Idempotency-Key": key})
    second = await account.client.post("/customers", json=bodies.newest(), headers={"Idempotency-Key": key})

    assert (first.status_code, second.content) == (201, first.content)


async def test_two_keys_in_one_request_are_refused(account: Account) -> None:
    """Which of two keys was meant is anybody's guess."""
    headers = [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]

    refused(await account.client.post("/customers", json=bodies.newest(), headers=headers), 400, "validationError")


async def test_a_key_is_new_again_after_its_time(account: Account, database: Database) -> None:
    """Thirty days after the first request the key makes a new customer."""
    first = success(await account.client.post("/customers", json=bodies.newest(), headers=HEADERS), 201)
    connection = await asyncpg.connect(database.owner_url, server_settings={"search_path": SEARCH_PATH})
    try:
        await connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '30 days 1 second'")
    finally:
        await connection.close()
    second = success(await account.client.post("/customers", json=bodies.newest(), headers=HEADERS), 201)

    assert second["id"] != first["id"]


async def test_a_request_that_still_runs_is_waited_for_and_then_refused(account: Account, database: Database) -> None:
    """While another transaction holds the key, the answer comes after at most some seconds, with a Retry-After."""
    connection = await asyncpg.connect(database.owner_url, server_settings={"search_path": SEARCH_PATH})
    try:
        async with connection.transaction():
            await connection.execute(
                "INSERT INTO idempotency_keys (account_id, key, fingerprint, created_at) VALUES ($1, $2, $3, now())",
                account.id,
                HEADERS["Idempotency-Key"],
                b"running",
            )
            answer = await account.client.post("/customers", json=bodies.newest(), headers=HEADERS)
    finally:
        await connection.close()

    refused(answer, 409, "conflict")
    assert int(answer.headers["retry-after"]) >= 1


async def test_reads_have_no_use_for_a_key(account: Account, database: Database) -> None:
    """A GET with a key is answered like one without."""
    created = await account.client.create(bodies.newest())
    answer = await account.client.get(f"/customers/{created['id']}", headers=HEADERS, version=NEWEST)

    assert answer.status_code == 200
    assert (await counts(database))["idempotency_keys"] == 0
