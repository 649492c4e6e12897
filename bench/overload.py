"""How much is done while four times as much is asked for as can be?

    python -m bench.overload [--rounds 3] [--seconds 6] [--json]

A real service with its embedded PostgreSQL, one worker process, everything on this machine. First the most that few
clients get done, which is measured again at the end. Then four times as many clients as the service has places for,
each of which asks again as soon as it is answered, refused or not; meanwhile this program watches health, and samples
how long refusals take. Then how long it takes until few clients are served as before. All of it for reads and for
writes, and in each round anew.

Needs the Debian package wrk.
"""

import argparse
import asyncio
import base64
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from msgspec import Struct
from msgspec.structs import replace
from tests.faults.support import Key, Service, new_data_dir, serving
from tests.faults.support_http import Client, Seen, ended, percentile, unlimited_key
from tests.support import bodies

from customary.api.admission import LEAST_PLACES, PLACES_FOR_EACH_CONNECTION
from customary.settings import Settings

PLACES = max(LEAST_PLACES, PLACES_FOR_EACH_CONNECTION * Settings().pool_size)
TIMES = 4
FEW = (8, 16, 32)

LEAST_SHARE = 0.8
LONGEST_REFUSAL_SECONDS = 0.1
LONGEST_RECOVERY_SECONDS = 5.0

_SAMPLERS = 8
_WATCH_SECONDS = 0.05
# Nothing in it looks at single answers: that would cost this machine as much as the service has for a refusal.
_SCRIPT = """
wrk.method = %(method)s
wrk.body = %(body)s
wrk.headers["Authorization"] = "Basic %(credentials)s"
wrk.headers["Content-Type"] = "application/json"
function done(summary)
    local refused, lost = summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.write
    io.write(string.format("found %%d %%d %%d %%f\\n", summary.requests - refused, refused,
        lost + summary.errors.timeout, summary.duration / 1e6))
end
"""


class Load(Struct, frozen=True):
    """What so many clients got in a second; `lost` are the requests, in all, that had no answer."""

    clients: int
    done: float
    refused: float
    lost: int


class Round(Struct, frozen=True):
    """What one round found."""

    peak: Load
    overload: Load
    refusals: list[Seen]
    health: list[Seen]
    recovery_seconds: float

    @property
    def share(self) -> float:
        """How much of the most was still done."""
        return self.overload.done / self.peak.done

    @property
    def refusal_seconds(self) -> float:
        """How long 99 of 100 refusals took at the most."""
        return percentile([each.seconds for each in self.refusals], 0.99)


class Kind(Struct, frozen=True):
    """One kind of request: reading one customer, or creating one."""

    name: str
    path: str
    body: bytes | None = None

    async def ask(self, client: Client) -> Seen:
        """Make one."""
        return await (client.get(self.path) if self.body is None else client.post(self.path, self.body))


async def main() -> int:
    """Measure and print; the exit code says whether every bar was reached."""
    parser = argparse.ArgumentParser(description="Four times as much is asked for as can be done: how much is done?")
    parser.add_argument("--rounds", type=int, default=3, help="how many rounds for each kind of request")
    parser.add_argument("--seconds", type=float, default=6.0, help="how long each measurement takes")
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("This needs wrk. Install the Debian package wrk.")
    found: dict[str, list[Round]] = {}
    with new_data_dir() as data_dir, serving(data_dir) as service, tempfile.TemporaryDirectory() as directory:
        key = unlimited_key(data_dir)
        for kind in kinds(service, key):
            wrk = Wrk(service, key, kind, Path(directory))
            found[kind.name] = [await one_round(wrk, given.seconds) for _ in range(given.rounds)]
    return report(found, as_json=given.json)


def kinds(service: Service, key: Key) -> tuple[Kind, ...]:
    """Reading one customer, and creating one."""
    body = json.dumps(bodies.newest()).encode()
    with service.client(key) as client:
        made = client.post("/customers", content=body, headers={"Content-Type": "application/json"})
    return Kind("read", f"/api/customers/{made.json()['id']}"), Kind("write", "/api/customers", body)


class Wrk:
    """Clients that ask again as soon as they are answered."""

    def __init__(self, service: Service, key: Key, kind: Kind, directory: Path) -> None:
        self.service, self.key, self.kind = service, key, kind
        self._script = directory / f"{kind.name}.lua"
        self._script.write_text(
            _SCRIPT
            % {
                "method": '"GET"' if kind.body is None else '"POST"',
                "body": "nil" if kind.body is None else f"[[{kind.body.decode()}]]",
                "credentials": base64.b64encode(f"{key.client_id}:{key.secret}".encode()).decode(),
            }
        )

    async def run(self, clients: int, seconds: float) -> Load:
        """So many of them, for so long."""
        options = ("-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout", "10s", "-s", str(self._script))
        process = await asyncio.create_subprocess_exec(
            "wrk", *options, self.service.url + self.kind.path, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        done, refused, lost, took = output.decode().rpartition("found ")[2].split()
        return Load(clients, int(done) / float(took), int(refused) / float(took), int(lost))

    def clients(self, count: int) -> list[Client]:
        """Clients of this program."""
        return [Client(self.service.port, self.key) for _ in range(count)]


async def one_round(wrk: Wrk, seconds: float) -> Round:
    """The most, then too much, then what is left of that, then the most once more: a machine changes its speed."""
    before = max([await wrk.run(clients, seconds) for clients in FEW], key=lambda load: load.done)
    normal = percentile([each.seconds for each in await few(wrk, seconds / 2)], 0.99)
    async with watched(wrk) as (refusals, health):
        overload = await wrk.run(TIMES * PLACES, 2 * seconds)
    recovery_seconds = await recovery(wrk, normal)
    after = await wrk.run(before.clients, seconds)
    peak = replace(before, done=(before.done + after.done) / 2)
    return Round(peak, overload, refusals, health, recovery_seconds)


async def few(wrk: Wrk, seconds: float) -> list[Seen]:
    """What few clients of this program see in so many seconds."""
    seen: list[Seen] = []
    ending = time.monotonic() + seconds

    async def ask(client: Client) -> None:
        while time.monotonic() < ending:
            seen.append(await wrk.kind.ask(client))
        client.close()

    await asyncio.gather(*(ask(client) for client in wrk.clients(_SAMPLERS)))
    return seen


@asynccontextmanager
async def watched(wrk: Wrk) -> AsyncGenerator[tuple[list[Seen], list[Seen]]]:
    """What a few more clients are refused, and what is said of the service's health, until the end of the block."""
    samples: list[Seen] = []
    health: list[Seen] = []

    async def sample(client: Client) -> None:
        while True:
            samples.append(await wrk.kind.ask(client))
            await asyncio.sleep(_WATCH_SECONDS)

    async def watch(path: str) -> None:
        client = Client(wrk.service.port)
        while True:
            health.append(await client.get(path))
            await asyncio.sleep(_WATCH_SECONDS)

    tasks = [asyncio.create_task(sample(client)) for client in wrk.clients(_SAMPLERS)]
    tasks += [asyncio.create_task(watch(path)) for path in ("/healthz", "/readyz")]
    refusals: list[Seen] = []
    try:
        yield refusals, health
    finally:
        await ended(tasks)
        refusals += [each for each in samples if each.status not in {httpx.codes.OK, httpx.codes.CREATED}]


async def recovery(wrk: Wrk, normal_seconds: float) -> float:
    """How long after the load few clients are served as before: 99 of 100 in at most twice the time."""
    began = time.monotonic()
    while time.monotonic() - began < 2 * LONGEST_RECOVERY_SECONDS:
        seen = await few(wrk, 0.5)
        if percentile([each.seconds for each in seen], 0.99) <= 2 * normal_seconds:
            break
    return time.monotonic() - began


def report(found: dict[str, list[Round]], *, as_json: bool) -> int:
    """Print what was found; 0 if every bar was reached. Of the rounds it is the middle one that counts."""
    lines: list[dict[str, object]] = []
    for name, rounds in found.items():
        health = [each for one in rounds for each in one.health]
        refusals = [each for one in rounds for each in one.refusals]
        values = {
            "peak, done a second": round(statistics.median(one.peak.done for one in rounds)),
            "overload, done a second": round(statistics.median(one.overload.done for one in rounds)),
            "overload, refused a second": round(statistics.median(one.overload.refused for one in rounds)),
            "share of peak": round(statistics.median(one.share for one in rounds), 3),
            "99 of 100 refusals, ms": round(statistics.median(one.refusal_seconds for one in rounds) * 1000, 1),
            "refusals without Retry-After": sum(not each.has_retry_after for each in refusals),
            "requests that were lost": sum(one.overload.lost for one in rounds),
            "health, asked": len(health),
            "health, not 200": sum(each.status != httpx.codes.OK for each in health),
            "longest health, ms": round(max(each.seconds for each in health) * 1000, 1),
            "recovery, seconds": round(statistics.median(one.recovery_seconds for one in rounds), 2),
        }
        is_good = (
            values["share of peak"] >= LEAST_SHARE
            and values["99 of 100 refusals, ms"] <= LONGEST_REFUSAL_SECONDS * 1000
            and values["recovery, seconds"] <= LONGEST_RECOVERY_SECONDS
            and values["health, not 200"] == 0
            and values["refusals without Retry-After"] == 0
            and values["requests that were lost"] == 0
        )
        lines.append({"kind": name, **values, "all": [round(one.share, 3) for one in rounds], "passed": is_good})
    if as_json:
        sys.stdout.write(json.dumps(lines, indent=2) + "\n")
    else:
        for line in lines:
            sys.stdout.write("\n".join(f"{name:30} {value}" for name, value in line.items()) + "\n\n")
    return 0 if all(line["passed"] for line in lines) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
