"""Limits of time that share a timer: what they break off, and what they leave alone."""

import asyncio
import time

import pytest

from customary import timeouts
from customary.timeouts import TICK_SECONDS, Timeout

SHORT_SECONDS = 0.01
LONG_SECONDS = 60.0


async def forever() -> None:
    await asyncio.Event().wait()


async def test_what_takes_too_long_is_broken_off() -> None:
    """At the next tick at the latest, by an exception that says so; the task goes on as if nothing had been."""
    began = time.monotonic()
    with pytest.raises(TimeoutError) as raised, Timeout(SHORT_SECONDS) as timeout:
        await forever()
    assert SHORT_SECONDS <= time.monotonic() - began < SHORT_SECONDS + TICK_SECONDS + 1
    assert timeout.has_passed
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_what_ends_in_time_is_left_alone() -> None:
    with Timeout(LONG_SECONDS) as timeout:
        await asyncio.sleep(0)
    assert not timeout.has_passed


async def test_an_exception_from_inside_passes() -> None:
    with pytest.raises(LookupError), Timeout(LONG_SECONDS):
        raise LookupError


async def test_somebody_elses_cancellation_passes() -> None:
    """It is not taken for the passed time."""

    async def limited() -> None:
        with Timeout(LONG_SECONDS):
            await forever()

    task = asyncio.create_task(limited())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(("inner", "outer"), [(SHORT_SECONDS, LONG_SECONDS), (LONG_SECONDS, SHORT_SECONDS)])
async def test_one_inside_another(inner: float, outer: float) -> None:
    """The shorter one is what passes, and only that."""
    inside, outside = Timeout(inner), Timeout(outer)
    with pytest.raises(TimeoutError), outside, inside:
        await forever()
    assert (inside.has_passed, outside.has_passed) == (inner < outer, outer < inner)


async def test_time_that_is_not_counted() -> None:
    """A pause is as long as it is; what is left afterwards is what was left before."""
    with Timeout(TICK_SECONDS) as timeout:
        with timeout.paused():
            await asyncio.sleep(4 * TICK_SECONDS)
        assert not timeout.has_passed
        with pytest.raises(asyncio.CancelledError):
            await forever()
        assert timeout.ends(asyncio.CancelledError)


async def test_more_time_than_it_was_given() -> None:
    with Timeout(SHORT_SECONDS) as timeout:
        timeout.extend(LONG_SECONDS)
        await asyncio.sleep(2 * TICK_SECONDS)
    assert not timeout.has_passed


async def test_less_time_than_it_was_given() -> None:
    async def limited() -> None:
        with Timeout(LONG_SECONDS) as timeout:
            timeout.extend(SHORT_SECONDS)
            await forever()

    with pytest.raises(TimeoutError):
        await limited()


async def test_many_at_once() -> None:
    """Each breaks off its own task."""

    async def limited(seconds: float) -> bool:
        try:
            with Timeout(seconds):
                await asyncio.sleep(3 * TICK_SECONDS)
        except TimeoutError:
            return True
        return False

    limits = [SHORT_SECONDS, LONG_SECONDS] * 50
    assert await asyncio.gather(*map(limited, limits)) == [seconds == SHORT_SECONDS for seconds in limits]


async def test_nothing_ticks_where_nothing_runs() -> None:
    """An idle process is not woken up."""
    with Timeout(LONG_SECONDS):
        pass
    watch = timeouts._watch
    assert watch is not None
    assert watch._timer is not None
    watch._tick()  # the next one finds nothing to look after
    assert watch._timer is None


def test_each_event_loop_has_its_own() -> None:
    async def limited() -> bool:
        with Timeout(SHORT_SECONDS):
            await forever()
        return False

    for _ in range(2):
        with pytest.raises(TimeoutError):
            asyncio.run(limited())


def test_it_is_for_tasks() -> None:
    with pytest.raises(RuntimeError), Timeout(LONG_SECONDS):
        pass
