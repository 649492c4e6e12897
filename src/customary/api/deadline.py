"""How long a request may take. The time that its client takes to send the body is not counted: that has limits too."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

# A client that waits ten seconds for an answer gets one, and so does one whose server is told to stop meanwhile.
DEADLINE_SECONDS = 7.5


class Deadline:
    """Breaks off what runs in its block after DEADLINE_SECONDS, by `TimeoutError`."""

    def __init__(self) -> None:
        """The time is counted from here on."""
        self._timeout = asyncio.timeout(DEADLINE_SECONDS)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._timeout.__aexit__(kind, error, trace)

    @property
    def has_passed(self) -> bool:
        """Whether it was what broke off its block."""
        return self._timeout.expired()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Do not count the time of this block."""
        loop = asyncio.get_running_loop()
        left_seconds = (self._timeout.when() or loop.time()) - loop.time()
        self._timeout.reschedule(None)
        try:
            yield
        finally:
            self._timeout.reschedule(loop.time() + left_seconds)
