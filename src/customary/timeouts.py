"""Limits of time for what tasks do, at a fraction of what `asyncio.timeout` costs.

That makes a timer in the event loop for each use, and every request has several. Here one timer looks after all of them
and ticks only while there are any, so a limit is noticed up to TICK_SECONDS late.
"""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

TICK_SECONDS = 0.05


class Timeout:
    """Breaks off what the current task does in its block after so many seconds, by `TimeoutError`."""

    __slots__ = ("_cancelling", "_task", "_watch", "has_passed", "seconds", "when")

    def __init__(self, seconds: float) -> None:
        """The time is counted from the beginning of the block."""
        self.seconds = seconds
        self.when = 0.0
        self.has_passed = False
        """Whether it was what broke off its block."""

    def __enter__(self) -> Self:
        """Begin. Raises `RuntimeError` where no task runs."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError
        self._task, self._cancelling = task, task.cancelling()
        self._watch = _watch_of_this_loop()
        self.when = self._watch.now() + self.seconds
        self._watch.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End. Raises `TimeoutError` where it broke off what it was about; somebody else's cancellation passes."""
        if self.ends(kind):
            raise TimeoutError from error

    def ends(self, kind: type[BaseException] | None) -> bool:
        """End, for one without a block; whether an exception of this kind stands for the passed time."""
        self._watch.remove(self)
        return self.has_passed and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError

    def extend(self, seconds: float) -> None:
        """Let the block have so many seconds from its beginning on, instead of those that it was given."""
        self.when += seconds - self.seconds
        self.seconds = seconds

    def expire(self) -> None:
        """Break it off, now."""
        self.has_passed = True
        self._watch.remove(self)
        self._task.cancel()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Do not count the time of this block, which is inside its own."""
        left_seconds = self.when - self._watch.now()
        self._watch.remove(self)
        try:
            yield
        finally:
            self.when = self._watch.now() + left_seconds
            self._watch.add(self)


class _Watch:
    """The running limits of one event loop, and the timer that looks after them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.now = loop.time
        self._running: set[Timeout] = set()
        self._timer: Any = None

    def add(self, timeout: Timeout) -> None:
        self._running.add(timeout)
        if self._timer is None:
            self._timer = self.loop.call_later(TICK_SECONDS, self._tick)

    def remove(self, timeout: Timeout) -> None:
        self._running.discard(timeout)

    def _tick(self) -> None:
        now = self.now()
        for timeout in [each for each in self._running if each.when <= now]:
            timeout.expire()
        self._timer = self.loop.call_later(TICK_SECONDS, self._tick) if self._running else None


_watch: _Watch | None = None


def _watch_of_this_loop() -> _Watch:
    global _watch  # noqa: PLW0603 - a process has one loop at a time; one that had another keeps its own watch
    loop = asyncio.get_running_loop()
    if _watch is None or _watch.loop is not loop:
        _watch = _Watch(loop)
    return _watch
