"""The rules of deliveries: when to try again, when to give up, and when to give a recipient a rest."""

from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.strategies import NOW

from customary.domain.delivery import (
    HOLD,
    JITTER,
    MAXIMUM_ATTEMPTS,
    MOST_IN_FLIGHT,
    PAUSES,
    Answer,
    EndpointState,
    Health,
    Next,
    Outcome,
    State,
    after_answer,
    after_attempt,
    in_flight,
    pause_after,
)

SECOND = timedelta(seconds=1)
chances = st.floats(0, 1)
failures = st.sampled_from([Outcome.REJECTED, Outcome.TIMED_OUT, Outcome.UNREACHABLE, Outcome.FORBIDDEN])
# What is left after an attempt, which has counted itself.
lefts = st.integers(0, MAXIMUM_ATTEMPTS - 1)
resting = st.sampled_from(
    [
        Health(state=EndpointState.PAUSED, failures=4, failing_since=NOW, opens_at=NOW),
        Health(state=EndpointState.DISABLED, failures=1, failing_since=NOW),
    ]
)


def answer(outcome: Outcome, retry_after_seconds: float | None = None) -> Answer:
    error = None if outcome is Outcome.DELIVERED else "It said no."
    return Answer(outcome=outcome, seconds=0.1, error=error, retry_after_seconds=retry_after_seconds)


def attempt(
    outcome: Outcome,
    attempts_left: int,
    *,
    health: Health | None = None,
    chance: float = 0.5,
    age: timedelta = timedelta(),
    retry_after_seconds: float | None = None,
    opens_at: datetime | None = None,
) -> Next:
    """What becomes of a delivery that was tried now."""
    return after_attempt(
        answer(outcome, retry_after_seconds),
        health or Health(),
        attempts_left=attempts_left,
        queued_at=NOW - age,
        now=NOW,
        chance=chance,
        opens_at=opens_at,
    )


# --- One delivery ---


@given(st.lists(st.tuples(failures, chances), min_size=MAXIMUM_ATTEMPTS, max_size=MAXIMUM_ATTEMPTS))
def test_twelve_attempts_span_120_hours_however_chance_falls(drawn: list[tuple[Outcome, float]]) -> None:
    """Between the first attempt and the last one, after which it is given up and says so."""
    left, span = MAXIMUM_ATTEMPTS, timedelta()
    for number, (outcome, chance) in enumerate(drawn, 1):
        following = attempt(outcome, left - 1, chance=chance)
        left = following.attempts_left
        if number < MAXIMUM_ATTEMPTS:
            assert (following.state, left, following.reason) == (State.PENDING, MAXIMUM_ATTEMPTS - number, None)
            assert following.due_at is not None
            pause = following.due_at - NOW
            own = PAUSES[number - 1]
            assert own * (1 - JITTER) - SECOND <= pause <= own * (1 + JITTER) + SECOND
            span += pause
        else:
            assert (following.state, left, following.due_at) == (State.FAILED, 0, None)
            assert following.reason == "It failed 12 times, the last time: It said no."
    assert span >= timedelta(hours=120)


@given(lefts.filter(bool), chances, st.floats(0, 1e9))
def test_what_a_recipient_asks_for_counts_within_once_and_twice_our_own_pause(
    left: int, chance: float, seconds: float
) -> None:
    own = pause_after(left, chance)
    pause = pause_after(left, chance, seconds)
    assert own <= pause <= own * 2
    if own <= timedelta(seconds=seconds) <= own * 2:
        assert abs(pause - timedelta(seconds=seconds)) < timedelta(milliseconds=1)
    assert attempt(Outcome.REJECTED, left, chance=chance, retry_after_seconds=seconds).due_at == NOW + pause


@given(failures, lefts, chances, resting)
def test_an_attempt_on_a_recipient_that_rests_costs_nothing(
    outcome: Outcome, left: int, chance: float, health: Health
) -> None:
    """Also where it would have been the last one: what is held is not given up for it."""
    following = attempt(outcome, left, health=health, chance=chance)
    assert (following.state, following.attempts_left) == (State.PENDING, left + 1)
    assert following.due_at is not None
    assert following.due_at > NOW


@given(failures, lefts.filter(bool), chances, st.integers(0, 10**6))
def test_what_is_held_is_ready_for_the_next_probe(outcome: Outcome, left: int, chance: float, seconds: int) -> None:
    """It does not have to wait for its own pause as well, which may be days."""
    opens_at = NOW + seconds * SECOND
    following = attempt(outcome, left, chance=chance, opens_at=opens_at)
    assert following.due_at == min(opens_at, NOW + pause_after(left, chance))


@given(lefts)
def test_an_answer_that_wants_no_more_costs_nothing_either(left: int) -> None:
    following = attempt(Outcome.GONE, left)
    assert (following.state, following.attempts_left) == (State.PENDING, left + 1)


@given(st.sampled_from(Outcome), lefts, chances, resting | st.just(Health()), st.integers(0, 10**6))
def test_what_is_older_than_thirty_days_is_given_up_unless_it_arrived(
    outcome: Outcome, left: int, chance: float, health: Health, seconds: int
) -> None:
    following = attempt(outcome, left, health=health, chance=chance, age=HOLD + seconds * SECOND)
    if outcome is Outcome.DELIVERED:
        assert (following.state, following.reason) == (State.DELIVERED, None)
    else:
        assert (following.state, following.reason) == (State.FAILED, "It could not be delivered for 30 days.")


@given(failures, lefts.filter(bool))
def test_a_second_before_thirty_days_it_is_still_tried(outcome: Outcome, left: int) -> None:
    assert attempt(outcome, left, age=HOLD - SECOND).state is State.PENDING


@given(lefts, resting | st.just(Health()))
def test_what_arrived_is_over(left: int, health: Health) -> None:
    assert attempt(Outcome.DELIVERED, left, health=health) == Next(state=State.DELIVERED, attempts_left=left)


# --- One recipient ---


@given(st.lists(st.tuples(st.sampled_from(Outcome), st.integers(0, 10**5)), max_size=30))
def test_a_recipient_rests_after_four_failures_in_a_row_and_is_well_after_one_success(
    drawn: list[tuple[Outcome, int]],
) -> None:
    """What it is like depends on what came since the last success, and on nothing else."""
    health, now = Health(), NOW
    since: list[tuple[Outcome, datetime]] = []
    for outcome, seconds in drawn:
        now += seconds * SECOND
        health = after_answer(health, answer(outcome), now=now)
        since = [] if outcome is Outcome.DELIVERED else [*since, (outcome, now)]
        if not since:
            assert health == Health()
            continue
        assert (health.failures, health.failing_since, health.reason) == (len(since), since[0][1], "It said no.")
        if any(each is Outcome.GONE for each, _ in since):
            assert (health.state, health.opens_at) == (EndpointState.DISABLED, None)
        elif len(since) < 4:
            assert (health.state, health.opens_at) == (EndpointState.ACTIVE, None)
        else:
            assert health.state is EndpointState.PAUSED
            assert health.opens_at is not None
            rest = min(max((now - since[0][1]) / 10, timedelta(minutes=1)), timedelta(minutes=15))
            assert health.opens_at - now == rest


@given(st.sampled_from(Outcome))
def test_who_was_removed_stays_removed(outcome: Outcome) -> None:
    removed = Health(state=EndpointState.REMOVED, failures=2)
    assert after_answer(removed, answer(outcome), now=NOW) == removed


@pytest.mark.parametrize("state", EndpointState)
def test_a_recipient_that_rests_gets_one_attempt_at_a_time(state: EndpointState) -> None:
    expected = 1 if state in {EndpointState.PAUSED, EndpointState.DISABLED} else MOST_IN_FLIGHT
    assert in_flight(Health(state=state)) == expected


# --- Both together, over days ---


@given(
    st.lists(st.integers(0, 3 * 24 * 3600), min_size=1, max_size=6),
    st.integers(4, 26 * 24),
    st.randoms(use_true_random=False),
    failures,
)
def test_a_recipient_that_was_away_for_weeks_gets_everything_soon_after(
    queued: list[int], hours_away: int, chance: Random, outcome: Outcome
) -> None:
    """It answers nothing for up to 26 days: nothing is given up, and all arrives within three days of its return."""
    back_at = NOW + timedelta(hours=hours_away)
    waiting = {number: (NOW + seconds * SECOND, MAXIMUM_ATTEMPTS) for number, seconds in enumerate(queued)}
    queued_at = {number: due_at for number, (due_at, _) in waiting.items()}
    health, now = Health(), NOW
    while waiting:
        number, (due_at, left) = min(waiting.items(), key=lambda item: item[1])
        now = max(now, due_at, health.opens_at or now)
        made = Outcome.DELIVERED if now >= back_at else outcome
        before, health = health, after_answer(health, answer(made), now=now)
        following = after_attempt(
            answer(made),
            before,
            attempts_left=left - 1,
            queued_at=queued_at[number],
            now=now,
            chance=chance.random(),
            opens_at=health.opens_at,
        )
        assert following.state in {State.DELIVERED, State.PENDING}
        del waiting[number]
        if following.due_at is not None:
            waiting[number] = (following.due_at, following.attempts_left)
    assert now <= max(back_at, *queued_at.values()) + timedelta(days=3)
