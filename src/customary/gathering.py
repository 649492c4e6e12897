"""What several tasks want at nearly the same time is asked for together."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeAlias, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Answer = TypeVar("Answer")
_Waiting: TypeAlias = list[tuple[Item, asyncio.Future[Answer]]]

MOST_TOGETHER = 100


class Gathering(Generic[Key, Item, Answer]):
    """Calls `act` for what is wanted under a key, as an account's id: what comes meanwhile goes together the next time.

    So nobody waits for company, the more there is to do, the more goes together, and no answer is older than the
    question. `act` gets at least one item and at most `MOST_TOGETHER`, and answers for each in the same order; what it
    raises is raised to all whose items it had. For each key no more than `most_under_way` calls run at once: with more
    than one, a call that hangs does not keep everybody waiting.
    """

    def __init__(
        self, act: Callable[[Key, Sequence[Item]], Awaitable[Sequence[Answer]]], *, most_under_way: int = 1
    ) -> None:
        self._act, self._most_under_way = act, most_under_way
        self._waiting: dict[Key, _Waiting[Item, Answer]] = {}
        self._under_way: Counter[Key] = Counter()
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key, item: Item) -> Answer:
        """The answer for this item. Raises what `act` raised."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append((item, future))
        if self._under_way[key] < self._most_under_way:
            self._under_way[key] += 1
            task = asyncio.create_task(self._work_off(key))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def _work_off(self, key: Key) -> None:
        """Do what is wanted under a key, until there is nothing more that nobody does."""
        try:
            while waiting := self._waiting[key]:
                together, self._waiting[key] = waiting[:MOST_TOGETHER], waiting[MOST_TOGETHER:]
                wanted = [each for each in together if not each[1].done()]  # the others gave up on it
                if wanted:
                    await self._do(key, wanted)
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]
                _leave(self._waiting.pop(key))

    async def _do(self, key: Key, together: _Waiting[Item, Answer]) -> None:
        try:
            answers = await self._act(key, [item for item, _ in together])
            answered = list(zip(together, answers, strict=True))
        except Exception as error:  # noqa: BLE001 - it is for those who wait to say what this means for them
            for _, future in together:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # seen: whoever is broken off before they see it has nothing to report
        else:
            for (_, future), answer in answered:
                if not future.done():  # as it is where somebody broke off the work on it
                    future.set_result(answer)
        finally:
            _leave(together)


def _leave(waiting: _Waiting[Item, Answer]) -> None:
    """Let nobody wait for ever: those who have no answer by now, because the asking itself was broken off."""
    for _, future in waiting:
        future.cancel()
