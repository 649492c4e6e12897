"""Questions of several tasks, asked of the database as one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

MOST_UNDER_WAY = 2  # more than one, so that a connection whose other end is gone does not keep everybody waiting
MOST_TOGETHER = 100


class Batcher:
    """Asks `ask` for a list of values, and gives each answer to whoever wanted that one.

    Nobody waits for others to come: what is wanted is asked for at once, unless enough is under way already. Then it
    goes with whatever is wanted meanwhile, so the busier it is, the more is asked as one. No answer is older than the
    question.
    """

    def __init__(self, ask: Callable[[list[object]], Awaitable[Sequence[Any]]]) -> None:
        """`ask` answers as many as it is given, in their order."""
        self._ask = ask
        self._waiting: list[tuple[object, asyncio.Future[Any]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def answer(self, value: object) -> Any:  # noqa: ANN401 - what `ask` answers
        """The answer for this value. Raises what `ask` raises."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((value, future))
        if len(self._under_way) < MOST_UNDER_WAY:
            self._under_way.add(asyncio.create_task(self._ask_until_nobody_waits()))
        return await future

    async def _ask_until_nobody_waits(self) -> None:
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
                wanted = [(value, future) for value, future in together if not future.done()]  # nobody gave up on it
                if wanted:
                    await self._answer_all(wanted)
        finally:
            self._under_way.discard(asyncio.current_task())  # pyright: ignore[reportArgumentType] - it is one

    async def _answer_all(self, wanted: "Sequence[tuple[object, asyncio.Future[Any]]]") -> None:
        try:
            answers = await self._ask([value for value, _ in wanted])
        except BaseException as error:
            for _, future in wanted:
                _fail(future, error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), answer in zip(wanted, answers, strict=True):
            if not future.done():
                future.set_result(answer)


class Batchers:
    """A batcher for each account and statement, for as long as somebody wants something of it."""

    def __init__(self, ask: Callable[[UUID, str, list[object]], Awaitable[Sequence[Any]]]) -> None:
        """`ask` answers what a statement says of each of these values, in their order."""
        self._ask = ask
        self._used: WeakValueDictionary[tuple[UUID, str], Batcher] = WeakValueDictionary()

    async def answer(self, value: object, account_id: UUID, text: str) -> Any:  # noqa: ANN401 - what `ask` answers
        """What this statement says of the value. Raises what `ask` raises."""
        batcher = self._used.get((account_id, text))
        if batcher is None:
            batcher = self._used[account_id, text] = Batcher(partial(self._ask, account_id, text))
        return await batcher.answer(value)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, Exception):
        future.set_exception(error)
        future.exception()  # seen: whoever waits may be broken off before they see it, which is nothing to report
    else:
        future.cancel()
