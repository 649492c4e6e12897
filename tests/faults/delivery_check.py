"""Compares what the database says of events and deliveries with what arrived at their recipients."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from msgspec import Struct
from tests.faults.delivery_world import Arrival, World

VERSIONS = """
SELECT c.id, c.version, array_agg(e.version ORDER BY e.version) AS versions
  FROM customers c LEFT JOIN events e ON e.account_id = c.account_id AND e.customer_id = c.id
 GROUP BY c.id, c.version
"""
# What there has to be, and is not; an endpoint that was removed is told of nothing after that.
MISSING = """
SELECT e.customer_id, e.version, r.recipient, count(j.id) AS jobs
  FROM events e CROSS JOIN endpoints r
  LEFT JOIN jobs j ON j.account_id = e.account_id AND j.event_id = e.id AND j.lane_id = r.id
 GROUP BY e.customer_id, e.version, r.recipient, r.state
HAVING count(j.id) > 1 OR count(j.id) = 0 AND r.state <> 'REMOVED'
"""
JOBS = """
SELECT j.id, j.event_id, j.sequence_id, j.number, j.state, j.reason, j.attempts, j.lease, j.finished_at, j.lane_id,
       l.is_ordered, r.recipient,
       a.recorded, a.unheard
  FROM jobs j CROSS JOIN LATERAL (
        SELECT count(*) AS recorded, count(*) FILTER (WHERE outcome IN ('TIMED_OUT', 'UNREACHABLE')) AS unheard
          FROM delivery_attempts a WHERE a.account_id = j.account_id AND a.job_id = j.id) a
  JOIN lanes l ON l.account_id = j.account_id AND l.id = j.lane_id
  JOIN endpoints r ON r.account_id = j.account_id AND r.id = j.lane_id
"""


class Found(Struct, kw_only=True):
    """What a check counted, and whatever is not as it must be."""

    problems: list[str]
    customers: int = 0
    events: int = 0
    deliveries: int = 0
    states: dict[str, Counter[str]]
    arrivals: int = 0
    duplicates: int = 0
    broken_off: int = 0
    unheard: int = 0

    def lines(self) -> list[str]:
        """The counts for people."""
        return [
            f"{self.events} events of {self.customers} customers",
            f"{self.deliveries} deliveries, {self.arrivals} requests arrived",
            f"{self.duplicates} arrived again after {self.broken_off} attempts were broken off by a kill",
            *(
                f"{kind}: " + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
                for kind, states in sorted(self.states.items())
            ),
            *(self.problems[:20] or ["nothing is missing, out of order or unexplained"]),
        ]


async def check(world: World, broken_off: Mapping[UUID, int]) -> Found:
    """Look at everything. `broken_off` says how many attempts of a delivery ended with the worker that made them."""
    found = Found(problems=[], states=defaultdict(Counter), broken_off=sum(broken_off.values()))
    await _check_versions(world, found)
    jobs = {f"msg_{row['id']}": row for row in await world.admin.fetch(JOBS)}
    arrivals: dict[str, list[Arrival]] = defaultdict(list)
    for arrival in world.recipients.arrivals:
        arrivals[arrival.message_id].append(arrival)
    found.deliveries, found.arrivals = len(jobs), len(world.recipients.arrivals)
    found.problems += [f"{message_id} arrived and is no delivery" for message_id in arrivals.keys() - jobs.keys()]
    for message_id, job in jobs.items():
        found.states[job["recipient"].rsplit("/", 2)[1]][job["state"]] += 1
        taken = _check_delivery(job, arrivals[message_id], broken_off.get(job["id"], 0), found)
        found.duplicates += max(0, taken - 1)
    if found.duplicates > found.broken_off + found.unheard:
        found.problems.append(f"{found.duplicates} duplicates of {found.broken_off} attempts in flight")
    _check_order(jobs, arrivals, found)
    return found


async def _check_versions(world: World, found: Found) -> None:
    """The events of a customer are its versions, without a gap, and each recipient is to be told of each once."""
    for row in await world.admin.fetch(VERSIONS):
        found.customers += 1
        found.events += row["version"]
        if row["versions"] != list(range(1, row["version"] + 1)):
            found.problems.append(f"customer {row['id']} is at {row['version']} with the events {row['versions']}")
    for row in await world.admin.fetch(MISSING):
        found.problems.append(
            f"{row['jobs']} deliveries of {row['customer_id']} {row['version']} to {row['recipient']}"
        )


def _check_delivery(job: Any, arrivals: list[Arrival], broken_off: int, found: Found) -> int:  # noqa: ANN401 - a row
    """One delivery: it arrived or says why not, each attempt is accounted for. How often it was taken."""
    taken = sum(arrival.is_taken for arrival in arrivals)
    state, attempts, recorded = job["state"], job["attempts"], job["recorded"]
    explained = {
        "DELIVERED": taken > 0 and job["finished_at"] is not None,
        "PENDING": job["finished_at"] is None,
        "FAILED": bool(job["reason"]) and job["finished_at"] is not None,
        "QUARANTINED": bool(job["reason"]) and job["finished_at"] is not None,
        "CANCELLED": bool(job["reason"]) and job["finished_at"] is not None,
    }
    name = f"{job['recipient']} {job['sequence_id']} {job['number']} ({state}, {attempts} attempts)"
    if not explained[state]:
        found.problems.append(f"{name}: taken {taken} times, reason {job['reason']}, finished at {job['finished_at']}")
    # On a machine that is too busy, an answer that was given can come too late.
    unheard = job["unheard"] if taken else 0
    found.unheard += unheard
    if taken > 1 + broken_off + unheard:
        found.problems.append(f"{name}: arrived {taken} times, {broken_off} attempts were broken off")
    # One that was claimed and found to be for nobody has an attempt that was not made.
    if attempts - recorded - broken_off not in ({0, 1} if state == "CANCELLED" else {0}):
        found.problems.append(f"{name}: {recorded} recorded, {broken_off} broken off")
    if len(arrivals) > attempts:
        found.problems.append(f"{name}: {len(arrivals)} requests")
    for arrival in arrivals:
        told = (arrival.url, arrival.event_id, arrival.customer_id, arrival.version, arrival.body)
        meant = (job["recipient"], str(job["event_id"]), str(job["sequence_id"]), job["number"], arrivals[0].body)
        if told != meant:
            found.problems.append(f"{name}: one of its requests was another one's: {arrival.url}, {arrival.version}")
    return taken


def _check_order(jobs: Mapping[str, Any], arrivals: Mapping[str, list[Arrival]], found: Found) -> None:
    """Where order was asked for, nothing arrived before all that comes before it was delivered or given up."""
    sequences: dict[tuple[UUID, UUID], list[tuple[int, str]]] = defaultdict(list)
    for message_id, job in jobs.items():
        if job["is_ordered"]:
            sequences[job["lane_id"], job["sequence_id"]].append((job["number"], message_id))
    for sequence in sequences.values():
        over: datetime | None = None
        is_open = False
        for number, message_id in sorted(sequence):
            came = [arrival.at for arrival in arrivals[message_id]]
            if came and (is_open or (over is not None and min(came) < over.timestamp())):
                found.problems.append(
                    f"{jobs[message_id]['recipient']} {jobs[message_id]['sequence_id']}: {number} too early"
                )
            is_open = is_open or jobs[message_id]["finished_at"] is None
            over = _later(over, jobs[message_id]["finished_at"])
        firsts = _firsts(arrivals[message_id] for _, message_id in sorted(sequence))
        if firsts != sorted(firsts):
            found.problems.append(f"{sequence[0][1]}: first arrivals are not in order")


def _firsts(sequence: Iterable[list[Arrival]]) -> list[float]:
    """When each was taken for the first time, without those that never were."""
    taken = ([arrival.at for arrival in arrivals if arrival.is_taken] for arrivals in sequence)
    return [min(times) for times in taken if times]


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max(one, other) if one is not None and other is not None else one or other
