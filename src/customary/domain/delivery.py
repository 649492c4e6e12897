"""Deliveries: what an attempt came to, when the next one is due, and when a recipient is given a rest.

Everything here is decided from values: the time, the chance and the answer come in as arguments.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

MAXIMUM_ATTEMPTS = 12
HOLD = timedelta(days=30)
LONGEST_ATTEMPT_SECONDS = 15.0
MOST_IN_FLIGHT = 4
MOST_DEATHS = 3
KEPT_BODY_BYTES = 1024  # of a recipient's answer, from its beginning
WEBHOOK_ID_PREFIX = "msg_"

# Between an attempt and the next. Each is lengthened or shortened by up to a fifth, so that what failed together does
# not come back together; shortened all along they still span more than 120 hours.
PAUSES = tuple(
    timedelta(seconds=seconds) for seconds in (5, 60, 300, 1800, 7200, 21_600, 43_200, 86_400, 86_400, 129_600, 172_800)
)
JITTER = 0.2
_FAILURES_TO_PAUSE = 4
_SHORTEST_PROBE = timedelta(seconds=60)
_LONGEST_PROBE = timedelta(minutes=15)
_PROBE_SHARE = 10


class Outcome(StrEnum):
    """How an attempt ended."""

    DELIVERED = "DELIVERED"  # the recipient said so
    REJECTED = "REJECTED"  # it answered, and not with success
    GONE = "GONE"  # it answered that it wants no more
    TIMED_OUT = "TIMED_OUT"  # no whole answer in time
    UNREACHABLE = "UNREACHABLE"  # no connection, or one that broke
    FORBIDDEN = "FORBIDDEN"  # the address is none that may be spoken to


class Answer(Struct, frozen=True, kw_only=True):
    """What one attempt came to. `error` is a sentence for people; `body` the first bytes of an answer.

    `retry_after_seconds` is what the recipient asked for, None where it asked for nothing sensible.
    """

    outcome: Outcome
    seconds: float
    status: int | None = None
    body: bytes = b""
    error: str | None = None
    retry_after_seconds: float | None = None


class State(StrEnum):
    """Where a delivery is."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    QUARANTINED = "QUARANTINED"


class EndpointState(StrEnum):
    """How a recipient of a policy does."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"  # it only failed: one attempt now and then, everything else waits
    DISABLED = "DISABLED"  # it answered 410 Gone: everything waits until somebody resumes it
    REMOVED = "REMOVED"


# Why what is pending is not attempted for now.
_HELD = {
    EndpointState.PAUSED: "The recipient only failed lately. One delivery is tried now and then, the others wait until"
    " one succeeds or somebody resumes the recipient.",
    EndpointState.DISABLED: "The recipient answered 410 Gone. Everything waits until somebody resumes it.",
    EndpointState.REMOVED: "The recipient was removed from the policy: this is about to be cancelled.",
}


def held_because(state: EndpointState) -> str | None:
    """Why what is pending for a recipient in this state is held; None where it is not."""
    return _HELD.get(state)


def event_headers(event_id: UUID, version: int) -> dict[str, str]:
    """What a webhook says of its event beside the published headers; the signatures do not cover it."""
    return {"Customary-Event-Id": str(event_id), "Customary-Resource-Version": str(version)}


def webhook_id(delivery_id: UUID) -> str:
    """What a webhook is known by to its recipient: the same however often it is sent."""
    return f"{WEBHOOK_ID_PREFIX}{delivery_id}"


class Health(Struct, frozen=True, kw_only=True):
    """How a recipient did lately. `failures` are those in a row, `opens_at` is when it is spoken to again.

    Without `opens_at` that is now, or for a disabled one never.
    """

    state: EndpointState = EndpointState.ACTIVE
    failures: int = 0
    failing_since: datetime | None = None
    opens_at: datetime | None = None
    reason: str | None = None


class RecipientStates(Struct, frozen=True):
    """How recipients of a policy do, as its activities show it."""

    recipient_states: dict[str, str]


class Next(Struct, frozen=True, kw_only=True):
    """What becomes of a delivery after an attempt: the state, and when it is due again while it is pending."""

    state: State
    attempts_left: int
    due_at: datetime | None = None
    reason: str | None = None


def after_attempt(
    answer: Answer,
    health: Health,
    *,
    attempts_left: int,
    queued_at: datetime,
    now: datetime,
    chance: float,
    opens_at: datetime | None = None,
) -> Next:
    """What becomes of a delivery. `attempts_left` counts without the one that is over, `chance` is from 0 to 1.

    An attempt on a recipient that is paused is a probe and costs the delivery nothing. Where this one paused it, or
    was such a probe, `opens_at` is when the next probe is: the delivery is ready for that, behind all that wait longer.
    What is older than the hold is given up however many attempts are left.
    """
    if answer.outcome is Outcome.DELIVERED:
        return Next(state=State.DELIVERED, attempts_left=attempts_left)
    is_probe = health.state is not EndpointState.ACTIVE
    left = attempts_left + 1 if is_probe or answer.outcome is Outcome.GONE else attempts_left
    if now - queued_at >= HOLD:
        return Next(state=State.FAILED, attempts_left=left, reason="It could not be delivered for 30 days.")
    if left <= 0:
        reason = f"It failed {MAXIMUM_ATTEMPTS} times, the last time: {answer.error or answer.outcome.value}"
        return Next(state=State.FAILED, attempts_left=0, reason=reason)
    due_at = now + pause_after(left, chance, answer.retry_after_seconds)
    return Next(state=State.PENDING, attempts_left=left, due_at=min(due_at, opens_at or due_at))


def pause_after(attempts_left: int, chance: float, retry_after_seconds: float | None = None) -> timedelta:
    """How long to wait before the next attempt, as the recipient asked if that is within once and twice our own."""
    number = min(max(MAXIMUM_ATTEMPTS - attempts_left, 1), len(PAUSES))
    own = PAUSES[number - 1] * (1 - JITTER + 2 * JITTER * chance)
    if retry_after_seconds is None:
        return own
    return min(max(own, timedelta(seconds=min(retry_after_seconds, own.total_seconds() * 2))), own * 2)


def in_flight(health: Health) -> int:
    """How many attempts may run at once: one where each is only a probe."""
    return MOST_IN_FLIGHT if health.state in {EndpointState.ACTIVE, EndpointState.REMOVED} else 1


def after_answer(health: Health, answer: Answer, *, now: datetime) -> Health:
    """How a recipient does after an attempt: four failures in a row pause it, a success resumes it, 410 disables it."""
    if health.state is EndpointState.REMOVED:
        return health
    if answer.outcome is Outcome.DELIVERED:
        return Health()
    failing_since = health.failing_since or now
    failed = replace(health, failures=health.failures + 1, failing_since=failing_since, reason=answer.error)
    if answer.outcome is Outcome.GONE or health.state is EndpointState.DISABLED:
        return replace(failed, state=EndpointState.DISABLED, opens_at=None)
    if failed.failures < _FAILURES_TO_PAUSE:
        return failed
    probe = min(max((now - failing_since) / _PROBE_SHARE, _SHORTEST_PROBE), _LONGEST_PROBE)
    return replace(failed, state=EndpointState.PAUSED, opens_at=now + probe)
