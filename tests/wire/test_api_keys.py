"""The life of an API key: replaced, ended, bound to addresses, guessed at, and kept under another secret key."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs
from tests.support.clients import Account, Json, owner_connection, refused
from tests.support.cluster import Database
from tests.support.keys import BOTH_KEYS, KEYS, OTHER_KEYS, OTHER_TEXT, TEXT

from customary.api import auth
from customary.app import Application
from customary.connectors.addresses import parse_networks
from customary.domain.account import ApiKey, Scope
from customary.errors import Conflict, Invalid, SetupError
from customary.operations.api_keys import create_key, revoke_key, rotate_key
from customary.operations.encryption import encrypt_plain
from customary.storage import api_keys
from customary.storage.database import Database as Pool
from customary.storage.secret_keys import NO_KEYS, KeyRing, parse

UNKNOWN = "0185a142-54ff-7ce5-846a-fc188432da6e"
HERE, ELSEWHERE = "203.0.113.9", "198.51.100.1"
HOUR = timedelta(hours=1)


async def get(
    app: Application, client_id: object, secret: str, peer: str | None = HERE, **headers: str
) -> httpx.Response:
    """The answer to a request from this address."""
    transport = httpx.ASGITransport(app=app, client=(peer, 4711) if peer is not None else None)  # pyright: ignore[reportArgumentType]
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver/api", trust_env=False) as http:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return await http.get("/customers", auth=(str(client_id), secret), headers=fields)


async def becomes(status: int, ask: Callable[[], Awaitable[httpx.Response]]) -> None:
    """Ask until the answer has this status, which every request has that is made a second from now or later."""
    began = asked_at = time.monotonic()
    while (await ask()).status_code != status:
        assert asked_at - began < 1, "it did not happen within a second"
        await asyncio.sleep(0.01)
        asked_at = time.monotonic()


async def run(database: Database, statement: str, *values: object) -> list[Any]:
    async with owner_connection(database.owner_url) as owner:
        return await owner.fetch(statement, *values)


async def rotated(database: Database, client_id: str, overlap: timedelta = HOUR, ring: KeyRing = KEYS) -> str:
    async with owner_connection(database.owner_url) as owner:
        return (await rotate_key(owner, client_id, overlap, ring)).secret


async def made(database: Database, account: Account, ring: KeyRing = KEYS, **options: Json) -> tuple[ApiKey, str]:
    async with owner_connection(database.owner_url) as owner:
        return await create_key(owner, account.id, ring=ring, name="", scopes=frozenset(Scope), **options)


@asynccontextmanager
async def application(database: Database, **options: Json) -> AsyncGenerator[Application]:
    given: Json = {"keys": KEYS, **options}
    opened = Application(database.service_url, 2, **given)
    await opened.startup()
    try:
        yield opened
    finally:
        await opened.shutdown()


def told(response: httpx.Response) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """All that an answer says but the id of its request."""
    fields = [(name, value) for name, value in response.headers.raw if name.lower() != b"x-request-id"]
    return response.status_code, response.content, fields


# --- Ends ---


async def test_two_secrets_open_until_the_overlap_ends(app: Application, account: Account, database: Database) -> None:
    new = await rotated(database, account.client_id)
    assert new != account.secret
    for secret in (account.secret, new):
        assert (await get(app, account.client_id, secret)).status_code == 200
    ended = await run(database, "UPDATE api_key_secrets SET expires_at = now() WHERE expires_at > now() RETURNING id")
    assert len(ended) == 1
    await becomes(401, lambda: get(app, account.client_id, account.secret))
    assert (await get(app, account.client_id, new)).status_code == 200


async def test_without_an_overlap_the_old_secret_ends_within_a_second(
    app: Application, account: Account, database: Database
) -> None:
    assert (await get(app, account.client_id, account.secret)).status_code == 200
    new = await rotated(database, account.client_id, timedelta(0))
    assert (await get(app, account.client_id, new)).status_code == 200
    await becomes(401, lambda: get(app, account.client_id, account.secret))


async def test_at_most_ten_secrets_open_at_once(app: Application, account: Account, database: Database) -> None:
    """A rotation is never refused: where there would be more, the oldest ends."""
    secrets = [account.secret, *[await rotated(database, account.client_id) for _ in range(11)]]
    assert [(await get(app, account.client_id, each)).status_code for each in secrets] == [401] * 2 + [200] * 10
    assert len(await run(database, "SELECT 1 FROM api_key_secrets")) == 10
    assert len(await run(database, "SELECT 1 FROM api_key_secrets WHERE expires_at IS NULL")) == 1


async def test_a_rotation_never_lengthens_what_ends_sooner(account: Account, database: Database) -> None:
    await rotated(database, account.client_id, HOUR)
    [first] = await run(database, "SELECT expires_at FROM api_key_secrets WHERE expires_at IS NOT NULL")
    await rotated(database, account.client_id, timedelta(days=7))
    ends = await run(database, "SELECT expires_at FROM api_key_secrets ORDER BY created_at")
    assert ends[0] == first
    assert ends[1]["expires_at"] > first["expires_at"]


async def test_revoking_a_key_ends_all_of_its_secrets_within_a_second(
    app: Application, account: Account, database: Database
) -> None:
    secrets = [account.secret, await rotated(database, account.client_id)]
    for secret in secrets:
        assert (await get(app, account.client_id, secret)).status_code == 200
    async with owner_connection(database.owner_url) as owner:
        await revoke_key(owner, account.client_id)
    for secret in secrets:
        await becomes(401, lambda secret=secret: get(app, account.client_id, secret))


async def test_what_cannot_be_rotated_is_refused_with_a_reason(account: Account, database: Database) -> None:
    over, _ = await made(database, account, expires_at=datetime.now(UTC) + HOUR)
    await run(database, "UPDATE api_keys SET expires_at = now() WHERE client_id = $1", over.client_id)
    async with owner_connection(database.owner_url) as owner:
        await revoke_key(owner, account.client_id)
        for client_id, reason in ((account.client_id, "is revoked"), (str(over.client_id), "is expired")):
            with pytest.raises(Conflict, match=reason):
                await rotate_key(owner, client_id, HOUR, KEYS)
        for client_id in (UNKNOWN, "nonsense"):
            with pytest.raises(SetupError, match=f"no key with the client id '{client_id}'"):
                await rotate_key(owner, client_id, HOUR, KEYS)
            with pytest.raises(SetupError, match=f"no key with the client id '{client_id}'"):
                await revoke_key(owner, client_id)
        for overlap in (timedelta(seconds=-1), timedelta(days=7, seconds=1)):
            with pytest.raises(Invalid, match="0 to 7 days"):
                await rotate_key(owner, account.client_id, overlap, KEYS)


async def test_a_key_opens_nothing_when_it_has_expired(app: Application, account: Account, database: Database) -> None:
    key, secret = await made(database, account, expires_at=datetime.now(UTC) + HOUR)
    assert (await get(app, key.client_id, secret)).status_code == 200
    await run(database, "UPDATE api_keys SET expires_at = now() WHERE client_id = $1", key.client_id)
    await becomes(401, lambda: get(app, key.client_id, secret))


async def test_nothing_is_remembered_beyond_its_end(account: Account, database: Database) -> None:
    """Neither a key beyond that of the key nor a secret beyond that of the overlap, however long that may be else."""
    key, secret = await made(database, account, expires_at=datetime.now(UTC) + HOUR)
    await rotated(database, account.client_id, HOUR)
    async with application(database, remembered_seconds=100_000) as app:
        for client_id, each in ((key.client_id, secret), (account.client_id, account.secret)):
            assert (await get(app, client_id, each)).status_code == 200
        entries = app._services.authenticator._remembered.values()  # pyright: ignore[reportOptionalMemberAccess]
        assert [3000 < entry.until - time.monotonic() <= 3600 for entry in entries] == [True, True]


async def test_a_key_cannot_begin_expired(account: Account, database: Database) -> None:
    with pytest.raises(Invalid, match="that has passed"):
        await made(database, account, expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(Invalid, match="at most 100 networks"):
        await made(database, account, allowed_addresses=("203.0.113.0/24",) * 101)


# --- Addresses ---


async def test_a_key_is_bound_to_its_addresses(app: Application, account: Account, database: Database) -> None:
    key, secret = await made(database, account, allowed_addresses=("203.0.113.0/24", "2001:db8::/32"))
    for address in (HERE, "::ffff:203.0.113.200", "2001:db8:5::1", HERE):
        assert (await get(app, key.client_id, secret, address)).status_code == 200, address
    for address in (ELSEWHERE, "203.0.114.1", "2001:db9::1", "::1", "/run/socket", None):
        refused(await get(app, key.client_id, secret, address), 401, "unauthorized")


async def test_a_spoofed_address_is_ignored(app: Application, account: Account, database: Database) -> None:
    """Nobody is believed about a caller's address, host or protocol unless an operator says so."""
    key, secret = await made(database, account, allowed_addresses=("203.0.113.0/24",))
    spoofed = {
        "x_forwarded_for": HERE,
        "x_real_ip": HERE,
        "forwarded": f"for={HERE}",
        "x_forwarded_host": "elsewhere.example",
        "x_forwarded_proto": "https",
    }
    refused(await get(app, key.client_id, secret, ELSEWHERE, **spoofed), 401, "unauthorized")
    plain = await get(app, key.client_id, secret, HERE)
    answer = await get(app, key.client_id, secret, HERE, **{**spoofed, "x_forwarded_for": ELSEWHERE})
    assert (answer.status_code, answer.content) == (200, plain.content)
    assert b"elsewhere" not in b"".join(value for _, value in answer.headers.raw)


async def test_a_trusted_proxy_says_where_a_request_comes_from(account: Account, database: Database) -> None:
    async with application(database, trusted_proxies=parse_networks("10.0.0.0/8")) as app:
        key, secret = await made(database, account, allowed_addresses=("203.0.113.0/24",))
        for forwarded, status in (
            (HERE, 200),
            (f"{ELSEWHERE}, {HERE}", 200),
            (f"{ELSEWHERE}, {HERE}, 10.9.9.9", 200),
            (f"{HERE}, {ELSEWHERE}", 401),
            (f"{HERE}, nonsense", 401),
            ("", 401),
        ):
            answer = await get(app, key.client_id, secret, "10.0.0.1", x_forwarded_for=forwarded)
            assert answer.status_code == status, forwarded
        refused(await get(app, key.client_id, secret, ELSEWHERE, x_forwarded_for=HERE), 401, "unauthorized")


async def test_all_that_is_refused_is_refused_alike(app: Application, account: Account, database: Database) -> None:
    """Unknown, wrong, revoked, expired, replaced, or from elsewhere: nothing in the answer tells which."""
    revoked, revoked_secret = await made(database, account)
    expired, expired_secret = await made(database, account, expires_at=datetime.now(UTC) + HOUR)
    bound, bound_secret = await made(database, account, allowed_addresses=("203.0.113.0/24",))
    await run(database, "UPDATE api_keys SET expires_at = now() WHERE client_id = $1", expired.client_id)
    await rotated(database, account.client_id, timedelta(0))
    async with owner_connection(database.owner_url) as owner:
        await revoke_key(owner, str(revoked.client_id))
    answers = [
        await get(app, UNKNOWN, account.secret),
        await get(app, bound.client_id, "wrong"),
        await get(app, bound.client_id, account.secret),
        await get(app, account.client_id, account.secret),
        await get(app, revoked.client_id, revoked_secret),
        await get(app, expired.client_id, expired_secret),
        await get(app, bound.client_id, bound_secret, ELSEWHERE),
    ]
    refused(answers[0], 401, "unauthorized")
    assert [told(each) for each in answers] == [told(answers[0])] * len(answers)
    assert (await get(app, bound.client_id, bound_secret)).status_code == 200


# --- Guessing ---


async def guessed(app: Application, client_id: object, times: int, peer: str = HERE) -> list[httpx.Response]:
    return [await get(app, client_id, f"guess {number}", peer) for number in range(times)]


async def test_guessing_is_put_off_and_shuts_out_nobody_elsewhere(
    app: Application, account: Account, second_account: Account, database: Database
) -> None:
    """A hundred wrong secrets a minute for one client id from one address, whether there is such a key or not."""
    new = await rotated(database, account.client_id)
    assert (await get(app, account.client_id, account.secret)).status_code == 200
    for client_id in (account.client_id, UNKNOWN):
        answers = await guessed(app, client_id, 101)
        assert [each.status_code for each in answers] == [401] * 100 + [429]
        refused(answers[-1], 429, "rateLimited")
        assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
        assert answers[-1].headers["ratelimit-policy"] == '"failures";q=100;w=60'
        assert answers[-1].headers["ratelimit"].startswith('"failures";r=0;t=')
    # Who was let in before goes on, from here too; another secret has to wait, and elsewhere nobody does.
    assert (await get(app, account.client_id, account.secret)).status_code == 200
    assert (await get(app, account.client_id, new)).status_code == 429
    assert (await get(app, account.client_id, new, ELSEWHERE)).status_code == 200
    assert (await get(app, second_account.client_id, second_account.secret)).status_code == 200
    assert (await get(app, second_account.client_id, "wrong")).status_code == 401


async def test_of_an_ipv6_network_all_addresses_count_together(app: Application, account: Account) -> None:
    """A subscriber has 2^64 of them."""
    answers = [await get(app, UNKNOWN, "guess", f"2001:db8::{number:x}") for number in range(1, 102)]
    assert [each.status_code for each in answers] == [401] * 100 + [429]
    assert (await get(app, UNKNOWN, "guess", "2001:db8:0:1::1")).status_code == 401


async def test_a_secret_that_was_revoked_is_put_off_as_well(
    app: Application, account: Account, database: Database
) -> None:
    """That it was right once is no advantage from then on."""
    assert (await get(app, account.client_id, account.secret)).status_code == 200
    async with owner_connection(database.owner_url) as owner:
        await revoke_key(owner, account.client_id)
    await becomes(401, lambda: get(app, account.client_id, account.secret))
    await guessed(app, account.client_id, 99)
    assert (await get(app, account.client_id, account.secret)).status_code == 429


# --- Remembering ---


@pytest.fixture
def look_ups(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The client ids that the database was asked for."""
    asked: list[UUID] = []
    find = api_keys.find

    async def counted(connection: Any, client_id: UUID) -> api_keys.Found:  # noqa: ANN401 - asyncpg's connection
        asked.append(client_id)
        return await find(connection, client_id)

    monkeypatch.setattr(api_keys, "find", counted)
    return asked


async def test_a_busy_key_is_looked_up_twice_a_second_at_most(
    account: Account, database: Database, look_ups: list[UUID]
) -> None:
    async with application(database, remembered_seconds=3600) as app:
        for _ in range(20):
            assert (await get(app, account.client_id, account.secret)).status_code == 200
        assert look_ups == [UUID(account.client_id)]
    assert auth.REMEMBERED_SECONDS <= 0.5
    async with application(database, remembered_seconds=0) as app:
        for _ in range(3):
            assert (await get(app, account.client_id, account.secret)).status_code == 200
    assert len(look_ups) == 4


async def test_a_wrong_secret_is_never_remembered(account: Account, database: Database, look_ups: list[UUID]) -> None:
    """Nor does the right one of a moment ago let it in."""
    async with application(database, remembered_seconds=3600) as app:
        assert (await get(app, account.client_id, account.secret)).status_code == 200
        for _ in range(3):
            assert (await get(app, account.client_id, "wrong")).status_code == 401
            assert (await get(app, UNKNOWN, account.secret)).status_code == 401
    assert len(look_ups) == 7


async def test_only_so_many_are_remembered(
    account: Account, second_account: Account, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "MOST_REMEMBERED", 2)
    third, secret = await made(database, account)
    keys = [
        (account.client_id, account.secret),
        (second_account.client_id, second_account.secret),
        (str(third.client_id), secret),
    ]
    async with application(database, remembered_seconds=3600) as app:
        for client_id, each in keys * 2:
            assert (await get(app, client_id, each)).status_code == 200
        remembered = app._services.authenticator._remembered  # pyright: ignore[reportOptionalMemberAccess]
        assert [str(each.key.client_id) for each in remembered.values()] == [client_id for client_id, _ in keys[1:]]


# --- When it was used ---


async def last_used(database: Database, client_id: object) -> datetime | None:
    [row] = await run(database, "SELECT last_used_at FROM api_keys WHERE client_id = $1", UUID(str(client_id)))
    return row[0]


async def test_the_last_use_is_written_once_a_minute(account: Account, database: Database) -> None:
    """A moment after the answer, or at the latest when the process ends; what was refused is no use."""
    unused, _ = await made(database, account)
    async with application(database) as app:
        await get(app, account.client_id, account.secret)
        await get(app, unused.client_id, "wrong")
    first = await last_used(database, account.client_id)
    assert first is not None
    assert await last_used(database, unused.client_id) is None
    async with application(database) as app:
        await get(app, account.client_id, account.secret)
    assert await last_used(database, account.client_id) == first
    await run(database, "UPDATE api_keys SET last_used_at = now() - interval '61 seconds'")
    async with application(database, remembered_seconds=0) as app:
        for _ in range(5):
            await get(app, account.client_id, account.secret)
        for _ in range(2000):
            if (seen := await last_used(database, account.client_id)) is not None and seen > first:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("the use was not written while the service ran")


async def test_a_use_that_cannot_be_written_harms_nobody(account: Account, database: Database) -> None:
    await run(database, "REVOKE UPDATE (last_used_at) ON api_keys FROM customary_service")
    with capture_logs() as log:
        async with application(database) as app:
            assert (await get(app, account.client_id, account.secret)).status_code == 200
    assert await last_used(database, account.client_id) is None
    [line] = [line for line in log if line["event"] == "key_uses_not_written"]
    assert account.secret not in str(line)


# --- Secret keys ---


async def key_ids(database: Database) -> dict[str, str | None]:
    rows = await run(database, "SELECT client_id, key_id FROM api_key_secrets")
    return {str(row["client_id"]): row["key_id"] for row in rows}


async def test_a_secret_moves_to_the_first_key_when_it_is_used(account: Account, database: Database) -> None:
    """Without a word to its holder; then the old key can go. One that is not used stays where it is."""
    unused, unused_secret = await made(database, account)
    async with application(database, keys=BOTH_KEYS) as app:
        assert (await get(app, account.client_id, account.secret)).status_code == 200
        assert (await get(app, account.client_id, "wrong")).status_code == 401
    assert await key_ids(database) == {account.client_id: "k-other", str(unused.client_id): "k-test"}
    async with application(database, keys=BOTH_KEYS) as app:
        assert (await get(app, unused.client_id, unused_secret)).status_code == 200
    async with application(database, keys=OTHER_KEYS) as app:
        assert (await get(app, account.client_id, account.secret)).status_code == 200
        assert (await get(app, unused.client_id, unused_secret)).status_code == 200


async def test_servers_whose_first_keys_differ_do_not_write_in_turn(account: Account, database: Database) -> None:
    """While one after another is started with the new ring, each moves a secret at most once a minute."""
    writes: list[str | None] = []
    async with (
        application(database, keys=BOTH_KEYS, remembered_seconds=0) as new,
        application(database, keys=parse(f"{TEXT},{OTHER_TEXT}"), remembered_seconds=0) as old,
    ):
        for app in (new, old, new, old):
            assert (await get(app, account.client_id, account.secret)).status_code == 200
            await app._uses.write()  # pyright: ignore[reportOptionalMemberAccess]
            writes.append((await key_ids(database))[account.client_id])
    assert writes == ["k-other", "k-test", "k-test", "k-test"]


async def plain(database: Database, account: Account) -> None:
    """Make this account's secrets what they were before there were peppers: SHA-256 alone."""
    digest = hashlib.sha256(account.secret.encode()).digest()
    statement = "UPDATE api_key_secrets SET key_id = NULL, hash = $2 WHERE client_id = $1"
    await run(database, statement, UUID(account.client_id), digest)


async def test_secrets_of_before_are_wrapped_by_a_start_and_go_on_opening(
    account: Account, second_account: Account, database: Database
) -> None:
    await plain(database, account)
    await plain(database, second_account)
    pool = await Pool.open(database.service_url, pool_size=1, keys=KEYS)
    try:
        assert await encrypt_plain(pool) == 2
        assert await encrypt_plain(pool) == 0
    finally:
        pool.close()
    digest = hashlib.sha256(account.secret.encode()).digest()
    rows = await run(database, "SELECT key_id, hash FROM api_key_secrets")
    assert {row["key_id"] for row in rows} == {"k-test"}
    assert digest not in [row["hash"] for row in rows]
    async with application(database) as app:
        for each in (account, second_account):
            assert (await get(app, each.client_id, each.secret)).status_code == 200
            assert (await get(app, each.client_id, "wrong")).status_code == 401
            # Nor does what stands in the database open anything.
            assert (await get(app, each.client_id, digest.hex())).status_code == 401


async def test_a_secret_of_before_opens_even_unwrapped(account: Account, database: Database) -> None:
    """As after the restoring of an old backup; its first use wraps it."""
    await plain(database, account)
    async with application(database) as app:
        assert (await get(app, account.client_id, account.secret)).status_code == 200
    assert await key_ids(database) == {account.client_id: "k-test"}


@pytest.mark.parametrize("keys", [OTHER_KEYS, NO_KEYS])
async def test_what_cannot_be_checked_is_unavailable_and_tells_nothing_of_which_keys_there_are(
    account: Account, database: Database, keys: KeyRing
) -> None:
    """Not 401, by which its holder would take it for revoked. The operator is told which key is missing."""
    with capture_logs() as log:
        async with application(database, keys=keys) as app:
            answers = [await get(app, UNKNOWN, "wrong"), await get(app, account.client_id, account.secret)]
            answers.append(await get(app, account.client_id, "wrong"))
            refused(answers[0], 503, "unavailable")
            assert answers[0].headers["retry-after"]
            assert [told(each) for each in answers] == [told(answers[0])] * 3
            assert b"k-test" not in answers[0].content
    assert {"event": "api_secrets_without_their_key", "secrets_by_key": {"k-test": 1}, "log_level": "error"} in log


async def test_keys_whose_secret_can_be_checked_open_all_the_same(account: Account, database: Database) -> None:
    """And when the operator has replaced or revoked the others, a wrong secret is 401 again."""
    key, secret = await made(database, account, ring=OTHER_KEYS)
    async with application(database, keys=OTHER_KEYS) as app:
        assert (await get(app, key.client_id, secret)).status_code == 200
        refused(await get(app, key.client_id, "wrong"), 503, "unavailable")
        new = await rotated(database, account.client_id, timedelta(0), OTHER_KEYS)
        assert (await get(app, account.client_id, new)).status_code == 200
        await app._uses._look()  # pyright: ignore[reportOptionalMemberAccess]
        refused(await get(app, key.client_id, "wrong"), 401, "unauthorized")
        refused(await get(app, account.client_id, account.secret), 401, "unauthorized")
