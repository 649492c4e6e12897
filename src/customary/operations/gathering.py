"""What is wanted of one account at nearly the same time is asked of the database together."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeAlias, TypeVar
from uuid import UUID

Item = TypeVar("Item")
Answer = TypeVar("Answer")
_Waiting: TypeAlias = list[tuple[Item, asyncio.Future[Answer]]]


class Gathering(Generic[Item, Answer]):
    """Calls `act` for what is wanted of an account, once at a time: what comes meanwhile goes together the next time.

    So nobody waits for company, and the more there is to do, the more goes together. `act` gets at least one item and
    answers for each in the same order; what it raises is raised to all whose items it had.
    """

    def __init__(self, act: Callable[[UUID, Sequence[Item]], Awaitable[Sequence[Answer]]]) -> None:
        self._act = act
        self._waiting: dict[UUID, _Waiting[Item, Answer]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, account_id: UUID, item: Item) -> Answer:
        """The answer for this item. Raises what `act` raised."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if account_id in self._waiting:
            self._waiting[account_id].append((item, future))
        else:
            self._waiting[account_id] = [(item, future)]
            task = asyncio.create_task(self._work_off(account_id))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def _work_off(self, account_id: UUID) -> None:
        """Do all that is wanted of an account, until there is nothing more."""
        try:
            while together := [each for each in self._waiting[account_id] if not each[1].done()]:
                self._waiting[account_id] = []
                await self._do(account_id, together)
        finally:
            del self._waiting[account_id]

    async def _do(self, account_id: UUID, together: _Waiting[Item, Answer]) -> None:
        try:
            answers = await self._act(account_id, [item for item, _ in together])
            answered = list(zip(together, answers, strict=True))
        except Exception as error:  # noqa: BLE001 - it is for those who wait to say what this means for them
            for _, future in together:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), answer in answered:
                if not future.done():  # as it is where somebody broke off the work on it
                    future.set_result(answer)
