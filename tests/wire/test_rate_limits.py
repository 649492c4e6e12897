"""Rate limits: so many requests a minute for each key, told on every answer; nobody is refused where none can count."""

import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from structlog.testing import capture_logs
from tests.support.clients import Account, refused, success
from tests.support.cluster import Database

from customary.api.limits import DEFAULT_REQUESTS_PER_MINUTE, SIZE_BYTES, Limiter, shared_file
from customary.app import Application
from customary.errors import RateLimited
from customary.storage.schema import SEARCH_PATH
from customary.uuid7 import uuid7


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


def empty_file(directory: Path) -> Path:
    """A file for the counts of several processes."""
    path = directory / "limits"
    path.write_bytes(bytes(SIZE_BYTES))
    return path


def test_the_limit_holds_across_processes(tmp_path: Path) -> None:
    """Four processes at once make exactly as many requests as one key may."""
    path, key = empty_file(tmp_path), uuid7()
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


def test_wrong_secrets_are_counted_across_processes_and_apart_from_requests(tmp_path: Path) -> None:
    """Each for a client id and an address, which share a place in the file with the requests of that id."""
    path, key = empty_file(tmp_path), uuid7()
    first, second = Limiter(path), Limiter(path)
    for _ in range(50):
        first.fail(key, b"here")
        second.fail(key, b"here")
    left = [
        limiter.failures(*who).remaining for limiter in (first, second) for who in ((key, b"here"), (key, b"there"))
    ]
    looked_twice = first.failures(key, b"here").remaining
    requests = first.take(key, 10).remaining
    first.close()
    second.close()

    assert left == [-1, 99, -1, 99]
    assert (looked_twice, requests) == (-1, 9)


# --- Where nothing can be counted ---


async def test_without_its_file_the_limiter_lets_requests_through(
    app: Application, account: Account, database: Database
) -> None:
    """And says so in the log, once and not with each request."""
    await limit(database, 3)
    app._services.limiter._file.close()  # pyright: ignore[reportOptionalMemberAccess]
    with capture_logs() as log:
        answers = [await account.client.get("/customers") for _ in range(6)]
    guess = await account.client.http.get("/customers", auth=(account.client_id, "wrong"))

    assert [answer.status_code for answer in answers] == [200] * 6
    assert {answer.headers["ratelimit"] for answer in answers} == {'"default";r=2;t=60'}
    assert [line["event"] for line in log if line["log_level"] == "error"] == ["limits_not_counted"]
    assert guess.status_code == 401


@pytest.mark.parametrize("content", [None, b"", bytes(SIZE_BYTES - 1)], ids=["gone", "empty", "short"])
def test_a_process_that_finds_no_file_to_share_counts_alone(tmp_path: Path, content: bytes | None) -> None:
    """As one that is started after the file was removed."""
    path = tmp_path / "limits"
    if content is not None:
        path.write_bytes(content)
    with capture_logs() as log:
        limiter = Limiter(path)
    key = uuid7()
    left = [limiter.take(key, 2).remaining for _ in range(3)]
    limiter.close()

    assert left == [1, 0, -1]
    assert [line["event"] for line in log] == ["limits_file_not_usable"]


_HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(path: Path) -> Generator[None]:
    """Another process that has locked all of the file and does not go on."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield
        process.kill()


def test_a_lock_that_is_not_let_go_holds_up_nobody(tmp_path: Path) -> None:
    """The first request waits a moment, the next ones not at all; afterwards everything is counted again."""
    path, key = empty_file(tmp_path), uuid7()
    limiter = Limiter(path)
    before = limiter.take(key, 10).remaining
    with held(path):
        limiter.take(key, 10)
        began = time.monotonic()
        meanwhile = [limiter.take(key, 10).remaining for _ in range(100)]
        seconds = time.monotonic() - began
    afterwards = [limiter.take(key, 10).remaining for _ in range(2)]
    limiter.close()

    assert before == 9
    assert meanwhile == [9] * 100
    assert seconds < 100 * 0.5 / 4
    assert afterwards == [8, 7]
