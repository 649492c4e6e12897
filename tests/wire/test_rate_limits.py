"""Rate limits: so many requests a minute for each key, told on every answer."""

import multiprocessing
import os
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from tests.support.clients import Account, refused, success
from tests.support.cluster import Database
from uuid_utils.compat import uuid7

from customary.api.limits import DEFAULT_REQUESTS_PER_MINUTE, SIZE_BYTES, Limiter, shared_file
from customary.errors import RateLimited
from customary.storage.schema import SEARCH_PATH


async def limit(database: Database, requests_per_minute: int | None) -> None:
    """Give all keys another limit, the default where it is None."""
    connection = await asyncpg.connect(database.owner_url, server_settings={"search_path": SEARCH_PATH})
    try:
        await connection.execute("UPDATE api_keys SET requests_per_minute = $1", requests_per_minute)
    finally:
        await connection.close()


async def test_every_authenticated_answer_tells_what_is_left(account: Account, database: Database) -> None:
    """The published limit is the default, and refusals count like answers."""
    await limit(database, None)
    first = await account.client.get("/customers")
    second = await account.client.get("/customers/nobody")

    assert first.headers["ratelimit-policy"] == f'"default";q={DEFAULT_REQUESTS_PER_MINUTE};w=60'
    assert first.headers["ratelimit"].startswith(f'"default";r={DEFAULT_REQUESTS_PER_MINUTE - 1};t=')
    assert second.headers["ratelimit"].startswith(f'"default";r={DEFAULT_REQUESTS_PER_MINUTE - 2};t=')


async def test_a_stranger_is_told_nothing(account: Account) -> None:
    """Without a key there is no limit to tell of."""
    answer = await account.client.http.get("/customers", auth=("nobody", "nothing"))

    assert answer.status_code == 401
    assert "ratelimit" not in answer.headers


async def test_one_request_too_many_is_refused(account: Account, database: Database) -> None:
    """The limit of the key holds to the request, and the refusal says how long to wait."""
    await limit(database, 3)
    answers = [await account.client.get("/customers") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    refused(answers[-1], 429, "rateLimited")
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert answers[-1].headers["ratelimit"].startswith('"default";r=0;t=')
    assert answers[-1].headers["sequence-version"]


async def test_each_key_has_a_limit_of_its_own(account: Account, second_account: Account, database: Database) -> None:
    """What one key used up is nothing to another."""
    await limit(database, 1)
    success(await account.client.get("/customers"))
    refused(await account.client.get("/customers"), 429, "rateLimited")

    success(await second_account.client.get("/customers"))


def _take(path: Path, key: UUID, times: int) -> int:
    """How many of so many requests a process may make."""
    limiter = Limiter(path)
    taken = 0
    for _ in range(times):
        try:
            limiter.take(key, 1_000).require_room()
        except RateLimited:
            continue
        taken += 1
    limiter.close()
    return taken


def test_the_limit_holds_across_processes(tmp_path: Path) -> None:
    """Four processes at once make exactly as many requests as one key may."""
    path = tmp_path / "limits"
    path.write_bytes(b"")
    with path.open("r+b") as file:
        file.truncate(SIZE_BYTES)
    key = uuid7()
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        taken = pool.starmap(_take, [(path, key, 500)] * 4)

    assert sum(taken) == 1_000


@pytest.mark.parametrize("number", [1, 50])
def test_keys_that_share_a_place_do_not_share_a_limit(number: int) -> None:
    """Keys whose ids fall on the same place are counted apart as long as there is room beside it."""
    limiter = Limiter()
    keys = [UUID(int=number + 16_384 * turn) for turn in range(8)]
    left = [[limiter.take(key, 10).remaining for key in keys] for _ in range(3)]
    limiter.close()

    assert left == [[9] * 8, [8] * 8, [7] * 8]


def test_what_a_killed_server_left_behind_is_removed() -> None:
    """The file of a process that is gone goes; that of a living one stays."""
    mine = shared_file()
    gone = mine.with_name(mine.name.replace(f"-{os.getpid()}-", "-999999999-"))
    gone.write_bytes(b"")
    another = shared_file()
    still_there = (mine.exists(), gone.exists())
    mine.unlink()
    another.unlink()

    assert still_there == (True, False)
