"""Idempotency keys: at most one effect for each key, and the first answer again for every repetition."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from tests.support import bodies
from tests.support.clients import (
    NEWEST,
    SECOND,
    Account,
    client_of,
    new_key,
    owner_connection,
    refused,
    success,
)
from tests.support.cluster import Database
from tests.support.patience import be_patient

from customary.api import writes
from customary.api.http import Response
from customary.app import Application
from customary.domain.account import Scope
from customary.operations import customers as operations
from customary.storage import idempotency
from customary.storage.schema import SEARCH_PATH

HEADERS = {"Idempotency-Key": "order-4711"}


async def create(account: Account, headers: dict[str, str] = HEADERS) -> httpx.Response:
    """The answer to creating a customer, whatever its status."""
    headers = {**headers, "Sequence-Version": NEWEST}
    return await account.client.http.post("/customers", json=bodies.newest(), headers=headers)


@asynccontextmanager
async def with_another_key(
    app: Application, database: Database, account: Account, **options: object
) -> AsyncGenerator[Account]:
    """The same account, spoken for by another API key."""
    async with owner_connection(database.owner_url) as owner:
        client_id, secret = await new_key(owner, account.id, **options)  # pyright: ignore[reportArgumentType] - its own
    async with client_of(app, (client_id, secret)) as client:
        yield Account(account.id, client_id, secret, client)


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


async def test_a_hundred_equal_requests_at_once_have_one_effect(
    account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One customer, one activity, one event, and a hundred equal answers."""
    be_patient(monkeypatch)
    body = bodies.newest(customerAliases=["crm-1"])
    answers = await asyncio.gather(*(account.client.post("/customers", json=body, headers=HEADERS) for _ in range(100)))

    assert Counter((answer.status_code, answer.content) for answer in answers) == {(201, answers[0].content): 100}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 99
    assert await counts(database) == {"customers": 1, "activity_logs": 1, "events": 1, "idempotency_keys": 1}


async def test_of_different_requests_at_once_under_one_key_one_is_done(
    account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sent the same as it gets its answer, whoever sent the other is told; nobody gets the other's answer."""
    be_patient(monkeypatch)
    names = ["first", "second"] * 16
    answers = await asyncio.gather(
        *(account.client.post("/customers", json=bodies.newest(legalName=name), headers=HEADERS) for name in names)
    )
    done = next(answer for answer in answers if answer.status_code == 201)
    for name, answer in zip(names, answers, strict=True):
        if name == done.json()["legalName"]:
            assert (answer.status_code, answer.content) == (201, done.content)
        else:
            refused(answer, 422, "idempotencyMismatch")
    assert await counts(database) == {"customers": 1, "activity_logs": 1, "events": 1, "idempotency_keys": 1}


@pytest.mark.parametrize("difference", ["body", "path", "version", "query", "method"])
async def test_the_key_of_another_request_is_refused(account: Account, difference: str) -> None:
    """Another body, path, version, query or verb under the same key is 422, and nothing is done."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    success(await account.client.put(path, json=bodies.newest(label="a"), headers=HEADERS))
    changed = {
        "body": account.client.put(path, json=bodies.newest(label="b"), headers=HEADERS),
        "path": account.client.post(f"{path}/archive", headers=HEADERS),
        "version": account.client.put(path, json=bodies.older(), headers=HEADERS, version=SECOND),
        "query": account.client.put(path, json=bodies.newest(label="a"), headers=HEADERS, params={"x": "1"}),
        "method": account.client.request("PATCH", path, json=bodies.newest(label="a"), headers=HEADERS),
    }
    chosen = changed.pop(difference)
    for unused in changed.values():
        unused.close()

    refused(await chosen, 422, "idempotencyMismatch")
    customer = await account.client.customer(created["id"])
    assert customer["label"] == "a"
    assert "archivedAt" not in customer
    again = await account.client.put(path, json=bodies.newest(label="a"), headers=HEADERS)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")


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


async def test_equal_requests_at_once_that_are_refused_get_one_answer(
    account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is refused by itself, and then they agree on the answer of the one that was first."""
    be_patient(monkeypatch)
    holder = await account.client.create(bodies.newest(customerAliases=["taken"]))
    body = bodies.newest(customerAliases=["taken"])

    async def ask() -> httpx.Response:
        return await account.client.post("/customers", json=body, headers=HEADERS)

    answers = await asyncio.gather(*(ask() for _ in range(20)))
    await account.client.update(holder["id"], bodies.newest(customerAliases=[]))
    answers.append(await ask())
    assert Counter((answer.status_code, answer.content) for answer in answers) == {(409, answers[0].content): 21}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 20
    assert await counts(database) == {"customers": 1, "activity_logs": 2, "events": 2, "idempotency_keys": 1}


async def test_a_refusal_that_is_undone_leaves_room_for_an_equal_request_s_success(
    account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in its way may be gone by the time that it is written down: then it gets the answer of the other."""
    holder = await account.client.create(bodies.newest(customerAliases=["taken"]))
    body = bodies.newest(customerAliases=["taken"])
    keep, successes = writes._keep_refusal, list[httpx.Response]()

    async def meanwhile(*arguments: Any) -> Response:  # noqa: ANN401 - those of the function that it stands for
        if not successes:
            await account.client.update(holder["id"], bodies.newest(customerAliases=[]))
            monkeypatch.setattr(writes, "_keep_refusal", keep)
            successes.append(await account.client.post("/customers", json=body, headers=HEADERS))
        return await keep(*arguments)

    monkeypatch.setattr(writes, "_keep_refusal", meanwhile)
    answer = await account.client.post("/customers", json=body, headers=HEADERS)
    success(successes[0], 201)
    assert (answer.status_code, answer.content) == (201, successes[0].content)
    assert answer.headers["idempotent-replayed"] == "true"
    assert await counts(database) == {"customers": 2, "activity_logs": 3, "events": 3, "idempotency_keys": 1}


async def test_a_refusal_before_any_work_is_not_kept(account: Account) -> None:
    """A body that is not valid leaves the key free for the corrected one."""
    broken = await account.client.post("/customers", json=bodies.newest(legalName=""), headers=HEADERS)
    refused(broken, 400, "validationError")

    success(await account.client.post("/customers", json=bodies.newest(), headers=HEADERS), 201)


async def test_a_request_that_was_not_let_in_is_not_kept(
    app: Application, database: Database, account: Account
) -> None:
    """A wrong secret, a missing scope and a used up rate say nothing of what was asked for: the retry is done."""
    async with client_of(app, (account.client_id, "wrong")) as stranger:
        refused(await stranger.post("/customers", json=bodies.newest(), headers=HEADERS), 401, "unauthorized")
    async with with_another_key(app, database, account, scopes=frozenset({Scope.READ})) as reader:
        refused(await create(reader), 403, "forbidden")
    async with with_another_key(app, database, account, requests_per_minute=1) as hurried:
        success(await hurried.client.get("/customers"))
        refused(await create(hurried), 429, "rateLimited")
    assert (await counts(database))["idempotency_keys"] == 0

    answer = await create(account)
    assert (answer.status_code, "idempotent-replayed" in answer.headers) == (201, False)


async def test_an_outage_in_the_middle_is_not_kept(account: Account, database: Database) -> None:
    """The connection ends while the change waits for a lock: 503, nothing stored, and the retry is done."""
    async with (
        owner_connection(database.owner_url) as watcher,
        owner_connection(database.owner_url) as owner,
        owner.transaction(),
    ):
        await owner.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
        waiting = asyncio.create_task(create(account))
        while not await watcher.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ):
            assert not waiting.done(), "it did not wait"
        interrupted = await waiting
    refused(interrupted, 503, "unavailable")
    assert int(interrupted.headers["retry-after"]) >= 1
    assert set((await counts(database)).values()) == {0}

    answer = await create(account)
    assert (answer.status_code, "idempotent-replayed" in answer.headers) == (201, False)
    assert await counts(database) == {"customers": 1, "activity_logs": 1, "events": 1, "idempotency_keys": 1}


async def test_a_defect_is_not_kept(account: Account, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """What went wrong on our side is undone as a whole, the claim of the key too."""
    with monkeypatch.context() as patched:
        patched.setattr(operations, "record_customer", None)
        refused(await create(account), 500, "internalError")
    assert set((await counts(database)).values()) == {0}

    assert (await create(account)).status_code == 201


async def test_all_keys_of_an_account_share_its_idempotency_keys(
    app: Application, database: Database, account: Account
) -> None:
    """Credentials can be changed between a request and its retry."""
    first = success(await create(account), 201)
    async with with_another_key(app, database, account) as renewed:
        again = await create(renewed)
        other = await renewed.client.post("/customers", json=bodies.newest(label="other"), headers=HEADERS)

    assert success(again, 201) == first
    assert again.headers["idempotent-replayed"] == "true"
    refused(other, 422, "idempotencyMismatch")


async def test_a_captured_request_does_nothing_more_if_it_has_a_key(account: Account, database: Database) -> None:
    """Without one it is an order like the first one: only its secrecy on the way keeps it from being given twice."""
    async with AsyncExitStack() as stack:
        captured: list[httpx.Request] = []

        async def capture(request: httpx.Request) -> None:
            captured.append(request)

        account.client.http.event_hooks["request"].append(capture)
        stack.callback(account.client.http.event_hooks["request"].remove, capture)
        success(await create(account), 201)
        success(await create(account, {}), 201)
    with_key, without_key = captured

    for _ in range(3):
        answer = await account.client.http.send(with_key)
        assert answer.headers["idempotent-replayed"] == "true"
    assert (await counts(database))["customers"] == 2
    success(await account.client.http.send(without_key), 201)
    assert (await counts(database))["customers"] == 3


async def test_the_retry_of_a_conditional_write_gets_its_first_answer(account: Account, database: Database) -> None:
    """The tag is stale by then, because of that very write."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    tag = (await account.client.get(path)).headers["etag"]
    headers = {**HEADERS, "If-Match": tag}
    first = await account.client.put(path, json=bodies.newest(label="new"), headers=headers)
    again = await account.client.put(path, json=bodies.newest(label="new"), headers=headers)

    assert success(first)["label"] == "new"
    assert (again.status_code, again.content, again.headers["etag"]) == (200, first.content, first.headers["etag"])
    assert again.headers["idempotent-replayed"] == "true"
    assert (await counts(database))["events"] == 2


async def test_a_stale_tag_under_a_key_is_told_again(account: Account) -> None:
    """412 comes of looking at what is stored: it is the answer to this key, whatever happens to the thing later."""
    created = await account.client.create(bodies.newest())
    path = f"/customers/{created['id']}"
    headers = {**HEADERS, "If-Match": '"stale"'}
    first = await account.client.put(path, json=bodies.newest(label="new"), headers=headers)
    again = await account.client.put(path, json=bodies.newest(label="new"), headers=headers)

    refused(first, 412, "preconditionFailed")
    assert (again.status_code, again.content, again.headers["idempotent-replayed"]) == (412, first.content, "true")


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


@pytest.mark.parametrize(
    "key",
    [
        *("", " ", "x" * 256, "has space", "naïve", "tab\there", "del\x7f"),
        *('""', f'"{"x" * 256}"', '"has space"', "\xa0", "\xa0no-break space\xa0", "next line\x85", "\x0bx"),
    ],
)
async def test_a_key_of_another_form_is_refused(account: Account, key: str) -> None:
    """A key is 1 to 255 visible ASCII characters. Only spaces and tabs around it are not a part of it."""
    answer = await account.client.post(
        "/customers", json=bodies.newest(), headers=[(b"Idempotency-Key", key.encode("latin-1"))]
    )

    refused(answer, 400, "validationError")


@pytest.mark.parametrize("key", ["x", "x" * 255, "!~", '"quoted"', f'"{"x" * 255}"', '"', " x\t"])
async def test_every_visible_key_is_taken(account: Account, key: str) -> None:
    """The shortest, the longest and the quoted form of the IETF's draft are keys."""
    first = await account.client.post("/customers", json=bodies.newest(), headers={"Idempotency-Key": key})
    second = await account.client.post("/customers", json=bodies.newest(), headers={"Idempotency-Key": key})

    assert (first.status_code, second.content) == (201, first.content)


async def test_two_keys_in_one_request_are_refused(account: Account) -> None:
    """Which of two keys was meant is anybody's guess; and the same one twice is not what anybody means to send."""
    for second in ("two", "one"):
        headers = [("Idempotency-Key", "one"), ("Idempotency-Key", second)]
        refused(await account.client.post("/customers", json=bodies.newest(), headers=headers), 400, "validationError")


async def test_a_key_in_quotes_is_the_key_without_them(account: Account) -> None:
    first = await create(account, {"Idempotency-Key": "order"})
    again = await create(account, {"Idempotency-Key": '"order"'})

    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")


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
            claim = idempotency.beginning(account.id, HEADERS["Idempotency-Key"])
            [claimed] = await connection.fetch(claim.text, *claim.parameters)
            assert claimed["is_ours"]
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
