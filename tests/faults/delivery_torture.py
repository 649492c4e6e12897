"""Kills workers while they deliver, again and again, and then looks whether anything is missing.

`python -m tests.faults.delivery_torture [--kills 2000] [--seed 1] [--json]` is the long form of what the tests do. A
round lets several workers work on the same queue, some of which die at a crash point and the rest by a kill -9 from
outside, while customers change; then hours go by. What a seed repeats is who writes what, which recipient fails and who
dies where; how the processes take turns is up to the machine.
"""

import argparse
import asyncio
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TextIO
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct
from tests.faults.delivery_check import Found, check
from tests.faults.delivery_world import BAD, WELL, World, world
from tests.faults.support_workers import Worker, Workers, workers
from tests.support import cluster as clusters
from tests.support.cluster import Databases

from customary.crashpoint import DELIVERY_SITES as SITES

OUTSIDE = "outside"
KINDS = (*WELL, *BAD)
SEED = 20240730
_AT_ONCE = 4
_WRITES_IN_A_ROUND = 2
_LONGEST_LIFE_SECONDS = 0.5
_ATTEMPT_SECONDS = 5.0
_PATIENCE_SECONDS = 30
_FIRST_STEP, _LONGEST_STEP = timedelta(minutes=20), timedelta(hours=12)
_CAPACITY = 96
# Two rounds cannot be nearer than a lease is long, and all of them together span what a delivery is tried for.
_SHORTEST_STEP = timedelta(seconds=61)
_SPAN = timedelta(hours=125)


class Plan(Struct, frozen=True, kw_only=True):
    """How much is to be killed, and when what fails for a while is well again."""

    seed: int
    kills_at_each_site: int
    kills_from_outside: int

    @property
    def quota(self) -> Counter[str]:
        """How many kills of which kind there have to be."""
        return Counter({OUTSIDE: self.kills_from_outside, **dict.fromkeys(sorted(SITES), self.kills_at_each_site)})


class Torment:
    """The kills of one run, and the attempts that were broken off by them."""

    def __init__(self, made: World, pool: Workers, plan: Plan) -> None:
        self.world = made
        self.kills: Counter[str] = Counter()
        self.broken_off: Counter[UUID] = Counter()
        self.rounds = 0
        self._pool = pool
        self.plan = plan
        self._chance = random.Random(plan.seed)  # noqa: S311 - it chooses faults, and guards nothing

    async def run(self) -> None:
        """Round after round until each kind has had its kills, then let everything arrive that can."""
        await self.world.add_policy("ordered", KINDS, is_ordered=True)
        await self.world.add_policy("free", KINDS)
        await self.world.add_policy("doomed", ("flaky",))
        await self.world.write(10)
        total = self.plan.quota.total()
        step = max(_SHORTEST_STEP, _SPAN * _AT_ONCE / total)
        while (left := self.plan.quota - self.kills).total():
            await self._round(left)
            await self.world.advance(step * (0.8 + 0.6 * self._chance.random()) + _SHORTEST_STEP)
            if self.kills.total() > total / 3 and "doomed" in self.world.policies:
                await self.world.delete_policy("doomed")
            self.world.recipients.are_healed = self.kills.total() > total * 2 / 3
            assert self.rounds < total, f"after {self.rounds} rounds these kills are left: {left}"
        await self._settle()

    async def _round(self, left: Mapping[str, int]) -> None:
        """Several workers at once, each of which is dead in the end."""
        self.rounds += 1
        wanted = sorted(left, key=lambda kind: (-left[kind], kind))
        kinds = [wanted[number % len(wanted)] for number in range(_AT_ONCE)]
        if OUTSIDE in left and OUTSIDE not in kinds:
            kinds[-1] = OUTSIDE
        running = [await self._pool.start(None if kind == OUTSIDE else kind) for kind in kinds]
        lives = [self._chance.uniform(0.05, 1) * _LONGEST_LIFE_SECONDS for _ in running]
        await asyncio.gather(
            self.world.write(_WRITES_IN_A_ROUND),
            *(self._end(each, life) for each, life in zip(running, lives, strict=True)),
        )
        await self.world.until_settled()
        for row in await self.world.admin.fetch(_LEASED):
            self.broken_off[row["id"]] += 1

    async def _end(self, worker: Worker, life_seconds: float) -> None:
        """See a worker die: by itself, or when its time is up."""
        # One that is to die by itself may come there late on a busy machine; without it the round would not end.
        with suppress(TimeoutError):
            await worker.end(life_seconds if worker.site is None else 3.0)
        was_ours = worker.signal(signal.SIGKILL)
        await worker.end()
        assert worker.was_killed, f"a worker ended by itself, with status {worker.ended.result()}"
        # A crash point can be reached in the moment in which its patience ends: then nobody knows whose kill it was.
        self.kills[OUTSIDE if was_ours or worker.site is None else worker.site] += 1

    async def _settle(self) -> None:
        """Living workers, and no more kills: whatever can arrive does."""
        running = [await self._pool.start() for _ in range(2)]
        left, moved_at, step = -1, time.monotonic(), _FIRST_STEP
        while left and time.monotonic() < moved_at + _PATIENCE_SECONDS:
            before, left = left, await self.world.admin.fetchval(_LEFT, [f"%/{kind}/%" for kind in WELL])
            if left == before:
                # What failed often by then, or lost its worker, waits for days.
                await self.world.advance(step, spares_leased=True)
                step = min(step * 2, _LONGEST_STEP)
            else:
                moved_at, step = time.monotonic(), _FIRST_STEP
            await asyncio.sleep(0.25)
        assert left == 0, f"{left} deliveries to recipients that are well are still on their way"
        for worker in running:
            assert await worker.stop() == 0
        assert not await self.world.admin.fetch(_LEASED), "workers that ended in peace left something behind"


# Whose lease has run out was broken off in an earlier round, and nobody came by since.
_LEASED = "SELECT id FROM jobs WHERE finished_at IS NULL AND lease IS NOT NULL AND due_at > now()"
_LEFT = """
SELECT count(*) FROM jobs j JOIN endpoints r ON r.account_id = j.account_id AND r.id = j.lane_id
 WHERE j.finished_at IS NULL AND (r.recipient LIKE ANY ($1::text[]) OR r.state = 'REMOVED')
"""


async def torment(cluster: clusters.Cluster, made: clusters.Database, plan: Plan, log: Path) -> tuple[Torment, Found]:
    """Carry out a plan on this database, and look at what became of it."""
    async with (
        world(cluster, made, KINDS, plan.seed) as inhabited,
        workers(made.service_url, log, timeout_seconds=_ATTEMPT_SECONDS, capacity=_CAPACITY) as pool,
    ):
        run = Torment(inhabited, pool, plan)
        await run.run()
        return run, await check(inhabited, run.broken_off)


def report(run: Torment, found: Found) -> list[str]:
    """What was done and what was found, for people."""
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(run.kills.items()))
    return [
        f"{run.kills.total()} kills in {run.rounds} rounds: {kinds}",
        f"{run.world.advanced / timedelta(hours=1):.0f} hours went by",
        *found.lines(),
    ]


def as_json(run: Torment, found: Found, seconds: float) -> bytes:
    """The same for programs."""
    told = {"seed": run.plan.seed, "seconds": round(seconds, 1), "kills": run.kills, "rounds": run.rounds}
    told |= {"hours": run.world.advanced / timedelta(hours=1), **msgspec.structs.asdict(found)}
    return msgspec.json.encode(told)


async def _main(plan: Plan, log: Path) -> tuple[Torment, Found]:
    # A line for each request of those who write would bury what was found.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with clusters.running() as cluster:
        async with Databases.of(cluster) as databases, databases.fresh() as made:
            return await torment(cluster, made, plan, log)


def _run() -> int:
    parser = argparse.ArgumentParser(description="Kill workers while they deliver, and look for what is missing.")
    parser.add_argument("--kills", type=int, default=2000, help="how many workers to kill at least")
    parser.add_argument("--seed", type=int, default=SEED, help="the same seed kills and fails in the same places")
    parser.add_argument("--json", action="store_true", help="print the report as JSON, and everything else beside it")
    options = parser.parse_args()
    output = sys.stderr if options.json else sys.stdout
    share = -(-options.kills // (len(SITES) + 4))
    plan = Plan(seed=options.seed, kills_at_each_site=share, kills_from_outside=options.kills - share * len(SITES))
    directory = Path(tempfile.mkdtemp(prefix="customary-torture-"))
    began = time.monotonic()
    _say(output, f"seed {plan.seed}, the workers log to {directory}")
    run, found = asyncio.run(_main(plan, directory / "log"))
    seconds = time.monotonic() - began
    for line in report(run, found):
        _say(output, line)
    _say(output, f"{seconds:.0f} s, seed {plan.seed}: {'FAILED' if found.problems else 'nothing found'}")
    if options.json:
        _say(sys.stdout, as_json(run, found, seconds).decode())
    if not found.problems:
        shutil.rmtree(directory)
    return 1 if found.problems else 0


def _say(output: TextIO, line: str) -> None:
    output.write(line + "\n")
    output.flush()


if __name__ == "__main__":
    sys.exit(_run())
