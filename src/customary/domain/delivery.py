"""Deliveries: what an attempt came to, when the next one is due, and when a recipient is given a rest.

Everything here is decided from values: the time, the chance and the answer come in as arguments.
"""

from datetime import datetime, timedelta
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

MAXIMUM_ATTEMPTS = 12
HOLD = timedelta(days=30)
LONGEST_ATTEMPT_SECONDS = 15.0
MOST_IN_FLIGHT = 4
MOST_DEATHS = 3

# Between an attempt and the next. Each is lengthened or shortened by up to a fifth, so that what failed together does
# not come back together; shortened all along they still span more than 120 hours.
PAUSES = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 60, 300, 1800, 7200, 21_600, 43_200, 86_400, 86_400, 129_600, 172_800)
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


class Health(Struct, frozen=True, kw_only=True):
    """How a recipient did lately. `failures` are those in a row, `opens_at` is when it is spoken to again.

    Without `opens_at` that is now, or for a disabled one never.
    """

    state: EndpointState = EndpointState.ACTIVE
    failures: int = 0
    failing_since: datetime | None = None
    opens_at: datetime | None = None
    reason: str | None = None


class Next(Struct, frozen=True, kw_only=True):
    """What becomes of a delivery after an attempt: the state, and when it is due again while it is pending."""

    state: State
    attempts_left: int
    due_at: datetime | None = None
    reason: str | None = None


def after_attempt(
    answer: Answer, health: Health, *, attempts_left: int, created_at: datetime, now: datetime, chance: float
) -> Next:
    """What becomes of a delivery. `attempts_left` counts without the one that is over, `chance` is from 0 to 1.

    An attempt on a recipient that is paused is a probe and costs the delivery nothing. What is older than the hold is
    given up however many attempts are left.
    """
    if answer.outcome is Outcome.DELIVERED:
        return Next(state=State.DELIVERED, attempts_left=attempts_left)
    is_probe = health.state is not EndpointState.ACTIVE
    left = attempts_left + 1 if is_probe or answer.outcome is Outcome.GONE else attempts_left
    if now - created_at >= HOLD:
        return Next(state=State.FAILED, attempts_left=left, reason="It could not be delivered for 30 days.")
    if left <= 0:
        reason = f"It failed {MAXIMUM_ATTEMPTS} times, the last time: {answer.error or answer.outcome.value}"
        return Next(state=State.FAILED, attempts_left=0, reason=reason)
    pause = pause_after(left, chance, answer.retry_after_seconds)
    return Next(state=State.PENDING, attempts_left=left, due_at=now + pause)


def pause_after(attempts_left: int, chance: float, retry_after_seconds: float | None = None) -> timedelta:
    """How long to wait before the next attempt, as the recipient asked if that is within once and twice our own."""
    number = min(max(MAXIMUM_ATTEMPTS - attempts_left, 1), len(PAUSES))
    own = PAUSES[number - 1] * (1 - JITTER + 2 * JITTER * chance)
    if retry_after_seconds is None:
        return own
    return min(max(own, timedelta(seconds=min(retry_after_seconds, own.total_seconds() * 2))), own * 2)


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
