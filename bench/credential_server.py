"""Two questions to servers over real sockets: do two processes keep a limit exactly, and is remembering worth it?"""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from msgspec import Struct
from tests.support.bodies import newest
from tests.support.clients import client_of, new_key, owner_connection, started
from tests.support.cluster import Database
from tests.support.keys import KEYS, TEXT

from bench.findings import Finding
from customary.api.limits import DEFAULT_REQUESTS_PER_MINUTE, SIZE_BYTES, WINDOW_SECONDS
from customary.domain.account import Scope
from customary.operations.accounts import create_account
from customary.operations.api_keys import create_key

LEAST_GAIN = 1.1
_CONNECTIONS = 16
_OVERLOAD = 3
_MARGIN_SECONDS = 3.0


class Served(Struct, frozen=True):
    """A server and a key for it."""

    url: str
    client_id: str
    secret: str

    @property
    def authorization(self) -> str:
        """The value of the header."""
        return "Basic " + base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()


@contextmanager
def server(database: Database, port: int, *, workers: int, factory: str = "customary.app:create") -> Generator[str]:
    """A server on this database, with this many processes that count together; its address."""
    with TemporaryDirectory() as directory:
        limits = Path(directory) / "limits"
        limits.write_bytes(bytes(SIZE_BYTES))
        environment = {
            **os.environ,
            "CUSTOMARY_DATABASE_URL": database.service_url,
            "CUSTOMARY_SECRET_KEYS": TEXT,
            "CUSTOMARY_LIMITS_FILE": str(limits),
        }
        options = ("--interface", "asgi", "--factory", "--no-ws", "--http", "1", "--loop", "uvloop")
        process = subprocess.Popen(  # noqa: S603 - the arguments are ours
            [sys.executable, "-m", "granian", *options, "--port", str(port), "--workers", str(workers), factory],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _await(url)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def _await(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", trust_env=False).status_code == httpx.codes.OK:
                return
        time.sleep(0.05)
    message = f"The server at {url} did not become ready."
    raise SystemExit(message)


async def limit(database: Database, port: int) -> list[Finding]:
    """Three times as many requests as the default limit allows, evenly for nearly a window, to two processes."""
    async with owner_connection(database.owner_url) as owner:
        account = await create_account(owner, "limited")
        key, secret = await create_key(owner, account.id, ring=KEYS, name="", scopes=frozenset(Scope))
    with server(database, port, workers=2) as url:
        statuses = await _paced(Served(url, str(key.client_id), secret))
    accepted = sum(status == httpx.codes.OK for status, _ in statuses)
    bare = sum(status == httpx.codes.TOO_MANY_REQUESTS and not told for status, told in statuses)
    others = sum(status not in {httpx.codes.OK, httpx.codes.TOO_MANY_REQUESTS} for status, _ in statuses)
    most, least = DEFAULT_REQUESTS_PER_MINUTE * 1.02, DEFAULT_REQUESTS_PER_MINUTE * 0.98
    return [
        Finding("requests sent within a window, to two processes", len(statuses), "", None, 2 * most),
        Finding("accepted", accepted, "", most, least),
        Finding("refused without Retry-After and RateLimit", bare, "", 0),
        Finding("answered otherwise", others, "", 0),
    ]


async def _paced(served: Served) -> list[tuple[int, bool]]:
    """The status of each answer, and whether it told what is left and how long to wait."""
    total = int(DEFAULT_REQUESTS_PER_MINUTE * _OVERLOAD * (WINDOW_SECONDS - _MARGIN_SECONDS) / WINDOW_SECONDS)
    pause = WINDOW_SECONDS / DEFAULT_REQUESTS_PER_MINUTE / _OVERLOAD
    numbers, found = iter(range(total)), list[tuple[int, bool]]()
    began = time.monotonic()

    async def ask_on() -> None:
        headers = {"Authorization": served.authorization}
        async with httpx.AsyncClient(base_url=f"{served.url}/api", headers=headers, trust_env=False) as client:
            for number in numbers:
                await asyncio.sleep(max(0.0, began + number * pause - time.monotonic()))
                if time.monotonic() - began > WINDOW_SECONDS - _MARGIN_SECONDS / 2:
                    return  # what came in another window would be counted there
                answer = await client.get("/customers", params={"limit": 1})
                found.append((answer.status_code, {"retry-after", "ratelimit"} <= answer.headers.keys()))

    await asyncio.gather(*(ask_on() for _ in range(_CONNECTIONS)))
    return found


async def remembering(database: Database, port: int, *, rounds: int, seconds: int) -> list[Finding]:
    """Requests a second for one customer by one key, with what was right remembered and without, in turn."""
    if shutil.which("wrk") is None:
        sys.stdout.write("  left out: it needs wrk, which Debian has in the package `wrk`\n")
        return []
    async with _customer(database) as (customer_id, client_id, secret):
        found: dict[str, list[float]] = {"customary.app:create": [], "bench.without_memory:create": []}
        with contextlib.ExitStack() as stack:
            served = {
                factory: Served(
                    stack.enter_context(server(database, port + 1 + number, workers=1, factory=factory)),
                    client_id,
                    secret,
                )
                for number, factory in enumerate(found)
            }
            for number in range(rounds + 1):
                for factory, each in served.items():
                    rate = wrk(each, f"/api/customers/{customer_id}", seconds)
                    if number:  # the first round warms up
                        found[factory].append(rate)
    with_memory, without = (statistics.median(rates) for rates in found.values())
    return [
        Finding("GET of a customer, remembering for half a second", with_memory, "requests/s"),
        Finding("looking up the key each time", without, "requests/s"),
        Finding("the one over the other", with_memory / without, "", None, LEAST_GAIN),
    ]


@asynccontextmanager
async def _customer(database: Database) -> AsyncGenerator[tuple[str, str, str]]:
    """A customer of a new account, and a key that is not going to be used up."""
    async with owner_connection(database.owner_url) as owner:
        account = await create_account(owner, "asked for")
        client_id, secret = await new_key(owner, account.id)
    async with started(database.service_url) as app, client_of(app, (client_id, secret)) as client:
        customer = await client.create(newest())
    yield customer["id"], client_id, secret


def wrk(served: Served, path: str, seconds: int) -> float:
    """Requests a second, none of them refused."""
    options = ("-t", "1", "-c", str(_CONNECTIONS), "-d", f"{seconds}s", "-H", f"Authorization: {served.authorization}")
    ran = subprocess.run(  # noqa: S603 - the arguments are ours
        [str(shutil.which("wrk")), *options, f"{served.url}{path}"], capture_output=True, text=True, check=True
    )
    rate = re.search(r"Requests/sec: +([0-9.]+)", ran.stdout)
    if rate is None or "Non-2xx" in ran.stdout:
        message = f"wrk found something else than successes: {ran.stdout}"
        raise SystemExit(message)
    return float(rate[1])
