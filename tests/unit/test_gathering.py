"""What is wanted of one account at nearly the same time is asked together, and nobody gets what is another's."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest

from customary.operations.gathering import Gathering

ONE, OTHER = UUID(int=1), UUID(int=2)


class Acting:
    """Answers items with their double once it may, and notes what it was asked for together."""

    def __init__(self) -> None:
        self.calls: list[tuple[UUID, list[int]]] = []
        self.may = asyncio.Event()
        self.refused: set[int] = set()

    async def __call__(self, account_id: UUID, items: Sequence[int]) -> list[int]:
        self.calls.append((account_id, list(items)))
        await self.may.wait()
        if self.refused & set(items):
            raise LookupError(items)
        return [2 * item for item in items]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_comes_at_once_goes_together_and_what_comes_meanwhile_goes_next() -> None:
    acting = Acting()
    gathering = Gathering(acting)
    first = [asyncio.create_task(gathering.ask(ONE, item)) for item in (1, 2, 3)]
    await turns()
    second = [asyncio.create_task(gathering.ask(ONE, item)) for item in (4, 5)]
    await turns()
    assert acting.calls == [(ONE, [1, 2, 3])], "an account is asked once at a time"
    acting.may.set()
    assert await asyncio.gather(*first, *second) == [2, 4, 6, 8, 10]
    assert acting.calls == [(ONE, [1, 2, 3]), (ONE, [4, 5])]


async def test_accounts_do_not_wait_for_each_other() -> None:
    acting = Acting()
    gathering = Gathering(acting)
    asked = [asyncio.create_task(gathering.ask(account, 1)) for account in (ONE, OTHER)]
    await turns()
    assert acting.calls == [(ONE, [1]), (OTHER, [1])]
    acting.may.set()
    await asyncio.gather(*asked)


async def test_a_failure_is_for_those_who_were_asked_for_together() -> None:
    """Whoever comes afterwards is asked for anew."""
    acting = Acting()
    acting.may.set()
    acting.refused.add(2)
    gathering = Gathering(acting)
    failed = await asyncio.gather(*(gathering.ask(ONE, item) for item in (1, 2)), return_exceptions=True)
    assert [type(each) for each in failed] == [LookupError, LookupError]
    assert await gathering.ask(ONE, 3) == 6


async def test_an_answer_for_each_is_demanded() -> None:
    async def forget(account_id: UUID, items: Sequence[int]) -> list[int]:
        del account_id
        return list(items[1:])

    gathering = Gathering(forget)
    with pytest.raises(ValueError, match="shorter"):
        await gathering.ask(ONE, 1)


async def test_whoever_is_broken_off_does_not_take_the_others_with_them() -> None:
    """Not while it is being asked, nor while it waits for its turn."""
    acting = Acting()
    gathering = Gathering(acting)
    asked = [asyncio.create_task(gathering.ask(ONE, item)) for item in (1, 2)]
    await turns()
    waiting = [asyncio.create_task(gathering.ask(ONE, item)) for item in (3, 4)]
    await turns()
    asked[0].cancel()
    waiting[0].cancel()
    await turns()
    acting.may.set()
    assert await asked[1] == 4
    assert await waiting[1] == 8
    assert acting.calls == [(ONE, [1, 2]), (ONE, [4])]
