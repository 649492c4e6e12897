"""What tells whether deliveries are as they must be would see it if they were not: one thing is spoilt at a time."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec.structs import replace
from tests.faults.delivery_check import check
from tests.faults.delivery_world import World, world
from tests.faults.support_workers import workers
from tests.support.cluster import Cluster, Database

Spoil = Callable[[World], Awaitable[object]]


async def _lost(made: World) -> None:
    del made.recipients.arrivals[3]


async def _twice(made: World) -> None:
    made.recipients.arrivals.append(made.recipients.arrivals[3])


async def _under_another_id(made: World) -> None:
    made.recipients.arrivals[3] = replace(made.recipients.arrivals[3], message_id="msg_0")


async def _another_body(made: World) -> None:
    made.recipients.arrivals.append(replace(made.recipients.arrivals[3], body=b"{}"))
    await made.admin.execute("UPDATE jobs SET attempts = 2")
    await made.admin.execute(
        "INSERT INTO delivery_attempts SELECT account_id, job_id, 2, started_at, 0, outcome FROM delivery_attempts"
    )


async def _to_another(made: World) -> None:
    made.recipients.arrivals[3] = replace(made.recipients.arrivals[3], url="http://127.0.0.1:9/healthy/ordered")


async def _too_early(made: World) -> None:
    """The last version that arrived in order came before the first one."""
    arrivals = made.recipients.arrivals
    place = max(number for number, each in enumerate(arrivals) if each.version > 1 and each.url.endswith("/ordered"))
    arrivals[place] = replace(arrivals[place], at=arrivals[place].at - 3600)


def _changed(statement: str) -> Spoil:
    async def spoil(made: World) -> None:
        assert await made.admin.execute(statement) not in {"UPDATE 0", "DELETE 0"}

    return spoil


_ONE = "id = (SELECT id FROM jobs ORDER BY id LIMIT 1)"
_SPOILS: dict[str, Spoil] = {
    "a request that never came": _lost,
    "one that came twice": _twice,
    "one under an id of its own": _under_another_id,
    "the same id with another body": _another_body,
    "one that went elsewhere": _to_another,
    "one that came before its turn": _too_early,
    "an attempt too many": _changed(f"UPDATE jobs SET attempts = attempts + 1 WHERE {_ONE}"),  # noqa: S608 - a constant
    "an attempt that is not in the log": _changed(f"DELETE FROM delivery_attempts WHERE job_{_ONE}"),  # noqa: S608 - a constant
    "a delivery that is missing": _changed(f"DELETE FROM jobs WHERE {_ONE}"),  # noqa: S608 - a constant
    "one that failed without a reason": _changed(f"UPDATE jobs SET state = 'FAILED' WHERE {_ONE}"),  # noqa: S608 - a constant
    "one that is over and still waits": _changed(f"UPDATE jobs SET state = 'PENDING' WHERE {_ONE}"),  # noqa: S608 - a constant
    "an event that is missing": _changed("DELETE FROM events WHERE version = 2"),
    "a change without an event": _changed("UPDATE customers SET version = version + 1"),
}


async def test_what_is_wrong_is_seen(cluster: Cluster, database: Database, tmp_path: Path) -> None:
    """After a run in which nothing was, and each thing that is spoilt is put right again before the next one."""
    async with (
        world(cluster, database, ["healthy"], 1) as made,
        workers(database.service_url, tmp_path / "log") as pool,
    ):
        await made.add_policy("free", ["healthy"])
        await made.add_policy("ordered", ["healthy"], is_ordered=True)
        await made.write(8)
        running = await pool.start()
        await made.until("NOT EXISTS (SELECT FROM jobs WHERE finished_at IS NULL)")
        assert await running.stop() == 0
        assert (await check(made, {})).problems == []
        assert [name for name, spoil in _SPOILS.items() if not await _is_seen(made, spoil)] == []


async def _is_seen(made: World, spoil: Spoil) -> bool:
    arrivals = list(made.recipients.arrivals)
    transaction = made.admin.transaction()
    await transaction.start()
    try:
        await spoil(made)
        return bool((await check(made, {})).problems)
    finally:
        await transaction.rollback()
        made.recipients.arrivals = arrivals
