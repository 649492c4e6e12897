"""Deliveries by workers that are killed, to recipients that fail in every way there is, while days go by.

Workers are processes of their own and recipients are servers. What arrived is compared with the database afterwards,
down to the last attempt: see `delivery_check`.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.faults.delivery_check import check
from tests.faults.delivery_torture import SEED, Plan, report, torment
from tests.faults.delivery_world import World, world
from tests.faults.support_workers import Workers, commands, workers
from tests.support.cluster import Cluster, Database
from tests.support.receivers import until

from customary.crashpoint import DELIVERY_SITES as SITES
from customary.domain.delivery import JITTER, PAUSES
from customary.operations.work import keep_house
from customary.storage import jobs

_LEASE = timedelta(seconds=jobs.LEASE_SECONDS + 1)
_LEASED = "SELECT id FROM jobs WHERE finished_at IS NULL AND lease IS NOT NULL AND due_at > now()"
_NOTHING_LEASED = "NOT EXISTS (SELECT FROM jobs WHERE lease IS NOT NULL)"
_NOTHING_LEFT = "NOT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)"

Inhabit = Callable[[Sequence[str]], AbstractAsyncContextManager[World]]


@pytest.fixture
def inhabit(cluster: Cluster, database: Database) -> Inhabit:
    """Makes a world of this test's database with recipients of these kinds."""
    return lambda kinds: world(cluster, database, kinds, SEED)


@pytest.fixture
async def pool(database: Database, tmp_path: Path) -> AsyncIterator[Workers]:
    """Workers as they are, on this test's database."""
    async with workers(database.service_url, tmp_path / "log") as made:
        yield made


async def recorded(made: World) -> int:
    """How many attempts are in the log of deliveries."""
    return await made.admin.fetchval("SELECT count(*) FROM delivery_attempts")


async def counts(made: World) -> Counter[str]:
    """How many deliveries are in which state."""
    return Counter(row["state"] for row in await made.admin.fetch("SELECT state FROM jobs WHERE kind = 'DELIVERY'"))


async def state_of(made: World, policy: str = "free") -> Any:  # noqa: ANN401 - JSON
    """How the only recipient of a policy does, as the API shows it."""
    (recipient,) = await made.recipients_of(policy)
    return recipient


# --- Kills ---


async def test_without_faults_nothing_arrives_twice(inhabit: Inhabit, pool: Workers) -> None:
    """Three workers on one queue: each event arrives once for each policy, also where first attempts are refused."""
    async with inhabit(["healthy", "flaky", "endless"]) as made:
        await made.add_policy("ordered", ["healthy", "flaky"], is_ordered=True)
        await made.add_policy("free", ["healthy", "flaky", "endless"])
        running = [await pool.start() for _ in range(3)]
        await asyncio.gather(*(made.write(15) for _ in range(3)))
        async with asyncio.timeout(60):
            while await made.admin.fetchval("SELECT count(*) FROM jobs WHERE finished_at IS NULL"):
                await asyncio.sleep(0.1)
                await made.advance(timedelta(minutes=20), spares_leased=True)
        assert [await each.stop() for each in running] == [0, 0, 0]
        found = await check(made, {})
        assert not found.problems
        assert found.duplicates == 0
        assert found.events >= 45
        assert (await counts(made)).keys() == {"DELIVERED"}
        at_healthy = [each.message_id for each in made.recipients.taken("healthy")]
        assert len(at_healthy) == len(set(at_healthy)) == 2 * found.events


@pytest.mark.timeout(400)
async def test_a_hundred_kills(cluster: Cluster, database: Database, tmp_path: Path) -> None:
    """Workers die at every crash point and by kill -9 from outside, recipients do what they like, 120 hours go by.

    Every event arrives or is visibly held, nothing arrives more often than it was in flight when its worker died, and
    where order was asked for it is kept.
    """
    plan = Plan(seed=SEED, kills_at_each_site=10, kills_from_outside=45)
    run, found = await torment(cluster, database, plan, tmp_path / "log")
    told = "\n".join((f"SEED {plan.seed}", *report(run, found)))
    assert not found.problems, told
    assert run.kills.total() >= 100, told
    assert min(run.kills[site] for site in SITES) >= 10, told
    assert run.world.advanced >= timedelta(hours=120), told
    assert 0 < found.duplicates <= found.broken_off + found.unheard, told
    for kind in ("healthy", "flaky", "healing", "endless"):
        assert found.states[kind]["DELIVERED"] > found.states[kind].total() / 2, told


async def test_the_command_dies_at_every_crash_point_and_nothing_is_lost(inhabit: Inhabit) -> None:
    """`customary worker` as an operator starts it, one for each crash point at the same time; the next one finishes."""
    async with inhabit(["healthy"]) as made:
        await made.add_policy("free", ["healthy"])
        await made.add_policy("ordered", ["healthy"], is_ordered=True)
        async with asyncio.timeout(90), commands(made.url, sorted(SITES)) as running:
            while any(each.returncode is None for each in running):
                await made.write(1)
                await asyncio.sleep(0.05)
            assert {each.returncode for each in running} == {-signal.SIGKILL}
        await made.until_settled()
        broken_off = Counter({row["id"]: 1 for row in await made.admin.fetch(_LEASED)})
        await made.advance(_LEASE)
        async with asyncio.timeout(60), commands(made.url, [None]) as running:
            await made.until(_NOTHING_LEFT, timeout_seconds=45)
            running[0].send_signal(signal.SIGTERM)
            assert await running[0].wait() == 0
        found = await check(made, broken_off)
        assert not found.problems
        assert (await counts(made)).keys() == {"DELIVERED"}
        assert found.duplicates <= found.broken_off


async def test_a_worker_that_slept_past_its_lease_records_nothing(
    inhabit: Inhabit, pool: Workers, tmp_path: Path
) -> None:
    """Another one has sent it again by then, under the same id; what the sleeper learnt is thrown away and logged."""
    async with inhabit(["waiting"]) as made:
        await made.add_policy("free", ["waiting"])
        await made.create()
        arrivals = made.recipients.arrivals
        sleeper = await pool.start()
        await until(lambda: len(arrivals) == 1)
        sleeper.signal(signal.SIGSTOP)
        await made.advance(_LEASE)
        await pool.start()
        await until(lambda: len(arrivals) == 2)
        made.recipients.meanwhile.set()
        await made.until(_NOTHING_LEFT)
        sleeper.signal(signal.SIGCONT)
        await until(lambda: "delivery_overtaken" in (tmp_path / "log").read_text(encoding="utf-8"))
        job = await made.admin.fetchrow("SELECT id, state, attempts FROM jobs")
        assert (job["state"], job["attempts"], await recorded(made)) == ("DELIVERED", 2, 1)
        found = await check(made, {job["id"]: 1})
        assert (found.problems, found.duplicates) == ([], 1)


async def test_a_worker_that_has_to_end_gives_back_what_it_cannot_finish(
    inhabit: Inhabit, database: Database, tmp_path: Path
) -> None:
    """It is sent again at once, under the same id: that costs no attempt, but was one."""
    async with (
        inhabit(["waiting"]) as made,
        workers(database.service_url, tmp_path / "log", drain_seconds=0.5) as pool,
    ):
        await made.add_policy("free", ["waiting"])
        await made.create()
        ending = await pool.start()
        await until(lambda: len(made.recipients.arrivals) == 1)
        assert await ending.stop() == 0
        job = await made.admin.fetchrow("SELECT id, state, attempts, attempts_left, lease FROM jobs")
        assert tuple(job)[1:] == ("PENDING", 1, 12, None)
        made.recipients.meanwhile.set()
        await pool.start()
        await made.until(_NOTHING_LEFT)
        found = await check(made, {job["id"]: 1})
        assert (found.problems, found.duplicates) == ([], 1)


async def test_what_kills_every_worker_is_put_aside_and_takes_nothing_with_it(inhabit: Inhabit, pool: Workers) -> None:
    """Three workers die of one delivery; the others, which were in flight beside it every time, arrive."""
    async with inhabit(["picky", "healthy"]) as made:
        await made.add_policy("free", ["picky", "healthy"])
        made.recipients.refused_customers.add(await made.create())
        for _ in range(12):
            await made.create()
        broken_off: Counter[UUID] = Counter()
        for _ in range(3):
            victim = await pool.start()
            made.recipients.on_refused = victim.kill
            await victim.end()
            assert victim.was_killed
            await made.until_settled()
            broken_off.update(row["id"] for row in await made.admin.fetch(_LEASED))
            await made.advance(_LEASE)
        await pool.start()
        await made.until(_NOTHING_LEFT)
        (poison,) = made.recipients.refused_customers
        aside = await made.admin.fetch("SELECT sequence_id, attempts, reason FROM jobs WHERE state <> 'DELIVERED'")
        assert [tuple(row) for row in aside] == [(UUID(poison), 3, jobs.DIED)]
        assert not (await check(made, broken_off)).problems


async def test_connections_that_break_cost_time_and_send_nothing_twice(inhabit: Inhabit, pool: Workers) -> None:
    """The database ends the workers' connections again and again; what they learnt meanwhile is recorded later."""
    async with inhabit(["healthy", "flaky"]) as made:
        await made.add_policy("free", ["healthy", "flaky"])
        await made.add_policy("ordered", ["healthy"], is_ordered=True)
        await made.write(180)
        ours = [row["pid"] for row in await made.admin.fetch("SELECT pid FROM pg_stat_activity")]
        running = [await pool.start() for _ in range(2)]
        await made.until("EXISTS (SELECT FROM delivery_attempts)")
        broken = 0
        async with asyncio.timeout(30):
            while broken < 12:
                await asyncio.sleep(0.1)
                broken += await made.admin.fetchval(_BREAK, ours)
        assert [await each.stop() for each in running] == [0, 0]
        # Claims whose answer was lost on its way: nobody knew that it was to send something.
        lost = Counter({row["id"]: 1 for row in await made.admin.fetch(_LEASED)})
        await made.advance(_LEASE)
        await pool.start()
        async with asyncio.timeout(30):
            while await made.admin.fetchval(f"SELECT NOT {_NOTHING_LEFT}"):
                await made.advance(timedelta(minutes=20), spares_leased=True)
                await asyncio.sleep(0.1)
        found = await check(made, lost)
        assert (found.problems, found.duplicates) == ([], 0)


_BREAK = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'customary' AND pid <> ALL ($1::int[])
"""


# --- Recipients that fail ---


async def test_who_never_answers_or_never_ends_costs_a_deadline(
    inhabit: Inhabit, database: Database, tmp_path: Path
) -> None:
    """Hanging, one byte a second and an answer without an end: an outcome each, and no harm to the one beside them."""
    kinds = ["hanging", "dripping", "endless", "healthy"]
    async with inhabit(kinds) as made, workers(database.service_url, tmp_path / "log", timeout_seconds=3) as pool:
        await made.add_policy("free", kinds)
        for _ in range(4):
            await made.create()
        await pool.start()
        await made.until("(SELECT count(*) FROM delivery_attempts) = 16")
        rows = await made.admin.fetch(
            "SELECT r.recipient, a.outcome, a.response_status, octet_length(a.response_body) AS kept, a.error"
            "  FROM delivery_attempts a JOIN jobs j ON j.id = a.job_id JOIN endpoints r ON r.id = j.lane_id"
        )
        late = "The recipient did not answer within 3 s."
        seen = Counter(
            (row["recipient"].split("/")[3], row["outcome"], row["response_status"], row["error"]) for row in rows
        )
        assert seen == {
            ("hanging", "TIMED_OUT", None, late): 4,
            ("dripping", "TIMED_OUT", 200, late): 4,
            ("endless", "DELIVERED", 200, None): 4,
            ("healthy", "DELIVERED", 200, None): 4,
        }
        assert max(row["kept"] or 0 for row in rows) <= 1024
        states = {each["recipient"].split("/")[3]: each["state"] for each in await made.recipients_of("free")}
        assert states == {"hanging": "PAUSED", "dripping": "PAUSED", "endless": "ACTIVE", "healthy": "ACTIVE"}
        assert not (await check(made, {})).problems


# --- Hours and days ---


async def test_a_delivery_is_tried_twelve_times_over_120_hours(inhabit: Inhabit, pool: Workers) -> None:
    """One event is refused again and again by a recipient that takes all others, and so is never paused."""
    async with inhabit(["picky"]) as made:
        await made.add_policy("free", ["picky"])
        refused, other = await made.create(), await made.create()
        made.recipients.refused_customers.add(refused)
        await pool.start()
        span = pause = timedelta()
        for number in range(1, 13):
            await made.until(
                "EXISTS (SELECT FROM delivery_attempts a JOIN jobs j ON j.id = a.job_id"
                " WHERE j.sequence_id = $1 AND a.number = $2)",
                UUID(refused),
                number,
            )
            if number < 12:
                pause = await made.admin.fetchval(_PAUSE, UUID(refused), number)
                assert PAUSES[number - 1] * (1 - JITTER) - _BLUR <= pause <= PAUSES[number - 1] * (1 + JITTER) + _BLUR
                span += pause
            await made.update(other)
            await made.until(f"{_NOTHING_LEFT[:-1]} AND sequence_id = $1)", UUID(other))
            if 1 < number < 12:
                await made.advance(pause - timedelta(seconds=30), spares_leased=True)
                await _nothing_happens(made)
            await made.advance(timedelta(seconds=30), spares_leased=True)
        assert span >= timedelta(hours=120)
        job = await made.admin.fetchrow(
            "SELECT state, attempts, reason FROM jobs WHERE sequence_id = $1", UUID(refused)
        )
        assert (job["state"], job["attempts"]) == ("FAILED", 12)
        assert job["reason"] == "It failed 12 times, the last time: The recipient answered 500."
        assert (await state_of(made))["state"] == "ACTIVE"
        arrived = [each for each in made.recipients.arrivals if each.customer_id == refused]
        assert len(arrived) == 12
        assert len({each.message_id for each in arrived}) == 1
        assert not (await check(made, {})).problems


# The attempt's record and the delivery's next time are of one transaction, so of one time but for a rounding.
_BLUR = timedelta(milliseconds=2)
_PAUSE = """
SELECT j.due_at - (a.started_at + make_interval(secs => a.duration_milliseconds / 1000.0))
  FROM jobs j JOIN delivery_attempts a ON a.job_id = j.id WHERE j.sequence_id = $1 AND a.number = $2
"""


async def test_a_recipient_that_only_fails_holds_everything_until_it_is_well(inhabit: Inhabit, pool: Workers) -> None:
    """After four failures there is one probe now and then, which costs nothing; the first success lets all go out."""
    async with inhabit(["healing"]) as made:
        await made.add_policy("free", ["healing"])
        await made.add_policy("ordered", ["healing"], is_ordered=True)
        await made.write(12)
        await pool.start()
        for policy in ("free", "ordered"):
            await made.until(
                "EXISTS (SELECT FROM endpoints WHERE state = 'PAUSED' AND policy_id = $1)", UUID(made.policies[policy])
            )
        await made.until(_NOTHING_LEASED)
        left = await made.admin.fetchval("SELECT sum(attempts_left) FROM jobs")
        probes = await recorded(made)
        for _ in range(21):
            await _nothing_happens(made)
            await made.advance(timedelta(hours=6), spares_leased=True)
            probes += 2
            await made.until("(SELECT count(*) FROM delivery_attempts) = $1", probes)
        await made.until(_NOTHING_LEASED)
        assert made.advanced >= timedelta(hours=120)
        assert await made.admin.fetchval("SELECT sum(attempts_left) FROM jobs") == left
        shown = await state_of(made)
        assert (shown["state"], shown["pendingDeliveries"]) == ("PAUSED", 12)
        assert shown["reason"] == "The recipient answered 500."
        assert await made.admin.fetchval(
            "SELECT max(opens_at - now()) BETWEEN '14 minutes' AND '15 minutes' FROM lanes"
        )
        made.recipients.are_healed = True
        await made.advance(timedelta(minutes=16), spares_leased=True)
        await made.until(_NOTHING_LEFT)
        shown = await state_of(made)
        assert (shown["state"], shown["pendingDeliveries"]) == ("ACTIVE", 0)
        found = await check(made, {})
        assert (found.problems, found.duplicates) == ([], 0)
        assert await counts(made) == {"DELIVERED": 24}


async def test_what_is_held_for_thirty_days_is_given_up_and_says_so(inhabit: Inhabit, pool: Workers) -> None:
    async with inhabit(["healing"]) as made:
        await made.add_policy("free", ["healing"])
        await made.write(8)
        await pool.start()
        await made.until("EXISTS (SELECT FROM endpoints WHERE state = 'PAUSED')")
        await made.until(_NOTHING_LEASED)
        for by in (timedelta(days=29), timedelta(days=1, minutes=1)):
            assert await counts(made) == {"PENDING": 8}
            before = await recorded(made)
            await made.advance(by, spares_leased=True)
            await made.until("(SELECT count(*) FROM delivery_attempts) > $1", before)
            await made.until(_NOTHING_LEASED)
            await keep_house(made.database)
        await made.write(3)
        assert await counts(made) == {"FAILED": 8, "PENDING": 3}
        reasons = {row["reason"] for row in await made.admin.fetch("SELECT reason FROM jobs WHERE state = 'FAILED'")}
        assert reasons <= {jobs.HELD_TOO_LONG, "It could not be delivered for 30 days."}
        assert not (await check(made, {})).problems


async def test_who_answers_410_is_left_alone_until_somebody_resumes_it(inhabit: Inhabit, pool: Workers) -> None:
    """Everything is held meanwhile, without an attempt; after that all of it arrives."""
    async with inhabit(["gone"]) as made:
        await made.add_policy("free", ["gone"])
        await made.write(6)
        await pool.start()
        await made.until("EXISTS (SELECT FROM endpoints WHERE state = 'DISABLED')")
        await made.until(_NOTHING_LEASED)
        before = await recorded(made)
        assert before <= 4
        await made.write(2)
        await made.advance(timedelta(days=10), spares_leased=True)
        await _nothing_happens(made)
        shown = await state_of(made)
        assert (shown["state"], shown["pendingDeliveries"]) == ("DISABLED", 8)
        assert await made.admin.fetchval("SELECT min(attempts_left) FROM jobs") == 12
        made.recipients.are_healed = True
        await made.resume("free", "gone")
        await made.until(_NOTHING_LEFT)
        assert await counts(made) == {"DELIVERED": 8}
        assert (await state_of(made))["state"] == "ACTIVE"
        assert not (await check(made, {})).problems


async def _nothing_happens(made: World) -> None:
    """Workers look for work several times, find none, and have none."""
    before = await recorded(made)
    assert not await made.admin.fetch(_LEASED)
    await asyncio.sleep(0.3)
    assert not await made.admin.fetch(_LEASED)
    assert await recorded(made) == before
