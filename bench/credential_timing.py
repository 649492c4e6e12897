"""Does the time until a refusal tell anything, and what do letting in and counting cost?

In one process, from the header of a request to the refusal, with a real PostgreSQL: without a network in between there
is less noise to hide a difference. Samples of the two kinds come in pairs, in random order.
"""

import base64
import gc
import math
import random
import statistics
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID, uuid4

from msgspec import Struct
from tests.support.clients import owner_connection
from tests.support.cluster import Database
from tests.support.keys import BOTH_KEYS, KEYS

from bench.findings import Finding
from customary.api.auth import Authenticator
from customary.api.http import Request
from customary.api.limits import Limiter
from customary.domain.account import Scope
from customary.errors import Unauthorized
from customary.operations.accounts import create_account
from customary.operations.api_keys import create_key, rotate_key
from customary.operations.key_uses import KeyUses
from customary.storage import api_keys
from customary.storage.database import Database as Pool

MOST_DIFFERENCE_MICROSECONDS = 5.0
MOST_VERIFY_MICROSECONDS = 10.0
MOST_DECISION_MICROSECONDS = 50.0
_KEYS = 500


class Credential(Struct, frozen=True):
    """A client id with the secret that opens it."""

    client_id: str
    secret: str


@asynccontextmanager
async def authenticator(database: Database) -> AsyncGenerator[tuple[Authenticator, Pool]]:
    """What lets requests in, on one connection."""
    pool = await Pool.open(database.service_url, pool_size=1, keys=KEYS)
    limiter = Limiter()
    try:
        yield Authenticator(pool, limiter, KeyUses(pool)), pool
    finally:
        limiter.close()
        pool.close()


async def credentials(database: Database) -> list[Credential]:
    """New keys of a new account."""
    async with owner_connection(database.owner_url) as owner:
        account = await create_account(owner, str(uuid4()))
        made = [
            await create_key(owner, account.id, ring=KEYS, name="bench", scopes=frozenset(Scope)) for _ in range(_KEYS)
        ]
        await owner.execute("ANALYZE")
    return [Credential(str(key.client_id), secret) for key, secret in made]


async def refusals(database: Database, samples: int) -> list[Finding]:
    """Unknown ids against wrong secrets of known ones, and secrets that begin right against those that do not."""
    known = await credentials(database)
    unknown = [Credential(str(uuid4()), each.secret) for each in known]
    rotating = await credentials(database)
    async with owner_connection(database.owner_url) as owner:
        for each in rotating:
            await rotate_key(owner, each.client_id, timedelta(days=7), KEYS)
    kinds = {
        "known id, wrong secret": lambda number: header(known[number].client_id, wrong(number)),
        "unknown id": lambda number: header(unknown[number].client_id, wrong(number)),
        "right but for its end": lambda number: header(known[number].client_id, f"{known[number].secret[:-1]}-"),
        "wrong from its beginning": lambda number: header(known[number].client_id, f"-{known[number].secret[1:]}"),
        "known id with two secrets": lambda number: header(rotating[number].client_id, wrong(number)),
        "unknown id again": lambda number: header(unknown[-1 - number].client_id, wrong(number)),
    }
    names, findings = list(kinds), list[Finding]()
    async with authenticator(database) as (opened, _):
        for first, second in zip(names[::2], names[1::2], strict=True):
            taken = await compared(opened, kinds[first], kinds[second], samples)
            medians = [statistics.median(each) for each in taken]
            is_bar = second != "unknown id again"
            most = MOST_DIFFERENCE_MICROSECONDS if is_bar else None
            difference = abs(medians[0] - medians[1])
            findings += [
                Finding(f"{first}, median", medians[0], "µs"),
                Finding(f"{second}, median", medians[1], "µs"),
                Finding("the difference of the medians", difference, "µs", most),
                Finding("Mann-Whitney U, p", mann_whitney(*taken), ""),
            ]
    return findings


def wrong(number: int) -> str:
    """A secret of the usual length that opens nothing."""
    return f"csk_{number:043}_000000"


def header(client_id: str, secret: str) -> bytes:
    """The value of `Authorization`."""
    return b"Basic " + base64.b64encode(f"{client_id}:{secret}".encode())


async def compared(
    opened: Authenticator, first: Callable[[int], bytes], second: Callable[[int], bytes], samples: int
) -> tuple[list[float], list[float]]:
    """So many samples of each of two kinds in microseconds, after a tenth of them that do not count."""
    taken: tuple[list[float], list[float]] = [], []
    gc.disable()
    try:
        for number in range(samples + samples // 10):
            pair = [(first(number % _KEYS), taken[0]), (second(number % _KEYS), taken[1])]
            random.shuffle(pair)
            # From another address each time, so that nobody is put off.
            peer = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
            for value, kind in pair:
                microseconds = await refused(opened, value, peer)
                if number >= samples // 10:
                    kind.append(microseconds)
            if not number % 1000:
                gc.collect()
    finally:
        gc.enable()
    return taken


async def refused(opened: Authenticator, value: bytes, peer: str) -> float:
    """How many microseconds a refusal took."""
    request = Request("GET", (), b"", {b"authorization": [value]}, _nothing, peer)
    began = time.perf_counter_ns()
    given = opened.credentials(request)
    if opened.too_many_failures(given) is not None:
        message = "The guesses were put off, which measures something else."
        raise SystemExit(message)
    try:
        await opened.authenticate(given)
    except Unauthorized:
        return (time.perf_counter_ns() - began) / 1000
    message = "A wrong secret was let in."
    raise SystemExit(message)


async def _nothing() -> dict[str, object]:
    return {}


def mann_whitney(first: list[float], second: list[float]) -> float:
    """How likely it is that two kinds of samples differ this much by chance alone, by the normal approximation."""
    values = sorted([(value, 0) for value in first] + [(value, 1) for value in second])
    ranks, ties, position = 0.0, 0, 0
    while position < len(values):
        end = position
        while end < len(values) and values[end][0] == values[position][0]:
            end += 1
        count = end - position
        ties += count**3 - count
        ranks += (position + end + 1) / 2 * sum(kind == 0 for _, kind in values[position:end])
        position = end
    n, m = len(first), len(second)
    u = ranks - n * (n + 1) / 2
    total = n + m
    deviation = math.sqrt(n * m / 12 * (total + 1 - ties / (total * (total - 1))))
    return math.erfc(abs(u - n * m / 2) / deviation / math.sqrt(2))


async def costs(database: Database) -> list[Finding]:
    """What it takes to check a secret once its row is there, and to count a request."""
    [key, *_] = await credentials(database)
    findings: list[Finding] = []
    async with authenticator(database) as (opened, pool):
        async with pool.without_tenant() as connection:
            found = await api_keys.find(connection, UUID(key.client_id))
        for name, ring in (("a ring of one key", KEYS), ("a ring of two", BOTH_KEYS)):
            pool.keys = ring
            seconds = each_of(lambda: opened._matching(found, api_keys.digest(key.secret)))  # noqa: SLF001 - that alone
            most = MOST_VERIFY_MICROSECONDS if ring is KEYS else None
            findings.append(Finding(f"checking a secret with {name}", seconds * 1e6, "µs", most))
    limiter, client_id = Limiter(), uuid4()
    seconds = each_of(lambda: limiter.take(client_id, 1_000_000))
    limiter.close()
    findings.append(Finding("deciding about a request's rate", seconds * 1e6, "µs", MOST_DECISION_MICROSECONDS))
    return findings


def each_of(work: Callable[[], object], *, times: int = 200, rounds: int = 500) -> float:
    """How many seconds this takes: the best of many short rounds, so that others on this machine count least."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(times):
            work()
        best = min(best, (time.perf_counter() - began) / times)
    return best
