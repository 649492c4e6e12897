"""What is wanted at nearly the same time is asked together: who waits for what, and nobody gets what is another's."""

import asyncio
import weakref
from collections.abc import Sequence
from random import Random
from typing import TypeAlias
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customary.gathering import MOST_TOGETHER, Gathering

Wanted: TypeAlias = Gathering[object, object, tuple[object, int]]
ONE, OTHER = UUID(int=1), UUID(int=2)
MOST_UNDER_WAY = 2


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


async def turns() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
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


class Oracle:
    """Answers a value by the value and the number of the time it was asked; each time waits until it is let go."""

    def __init__(self) -> None:
        self.asked: list[list[object]] = []
        self.gates: list[asyncio.Future[None]] = []

    async def __call__(self, key: object, values: Sequence[object]) -> Sequence[tuple[object, int]]:
        del key
        self.asked.append(list(values))
        self.gates.append(asyncio.get_running_loop().create_future())
        number = len(self.gates) - 1
        await self.gates[number]
        return [(value, number) for value in values]

    def let_go(self, number: int) -> None:
        self.gates[number].set_result(None)


async def wanted(gathering: Wanted, *values: object) -> list[asyncio.Task[tuple[object, int]]]:
    """Tasks that want these, one after another."""
    tasks: list[asyncio.Task[tuple[object, int]]] = []
    for value in values:
        tasks.append(asyncio.create_task(gathering.ask(ONE, value)))
        await turns()
    return tasks


async def test_what_is_wanted_while_enough_is_under_way_is_asked_as_one() -> None:
    """Nobody waits before that, and nobody gets an answer to what was asked before they came."""
    oracle = Oracle()
    gathering = Gathering(oracle, most_under_way=MOST_UNDER_WAY)
    tasks = await wanted(gathering, *"abcde")
    assert oracle.asked == [["a"], ["b"]]
    oracle.let_go(1)
    await turns()
    assert oracle.asked == [["a"], ["b"], ["c", "d", "e"]]
    oracle.let_go(2)
    oracle.let_go(0)
    assert await asyncio.gather(*tasks) == [("a", 0), ("b", 1), ("c", 2), ("d", 2), ("e", 2)]
    [again] = await wanted(gathering, "a")
    oracle.let_go(3)
    assert await again == ("a", 3)


async def test_no_more_are_asked_as_one_than_there_may_be() -> None:
    """The rest is asked next, in the order in which they came."""
    oracle = Oracle()
    gathering = Gathering(oracle, most_under_way=MOST_UNDER_WAY)
    await wanted(gathering, *range(MOST_UNDER_WAY))
    rest = await wanted(gathering, *range(MOST_TOGETHER + 1))
    oracle.let_go(0)
    await turns()
    assert oracle.asked[-1] == list(range(MOST_TOGETHER))
    oracle.let_go(1)
    await turns()
    assert oracle.asked[-1] == [MOST_TOGETHER]
    for number in (2, 3):
        oracle.let_go(number)
    await asyncio.gather(*rest)


async def test_a_failure_is_that_of_all_who_asked_as_one_and_of_nobody_else() -> None:
    """Whoever waits meanwhile is asked for all the same."""
    oracle = Oracle()
    gathering = Gathering(oracle, most_under_way=MOST_UNDER_WAY)
    first = await wanted(gathering, "a", "b")
    together = await wanted(gathering, "c", "d")
    oracle.let_go(0)
    await turns()
    after = await wanted(gathering, "e")
    oracle.gates[2].set_exception(OSError("gone"))
    await turns()
    for task in together:
        with pytest.raises(OSError, match="gone"):
            await task
    oracle.let_go(1)
    oracle.let_go(3)
    assert [await task for task in (*first, *after)] == [("a", 0), ("b", 1), ("e", 3)]


async def test_who_gives_up_takes_nobody_along_and_is_not_asked_for() -> None:
    """Whether it was asked for already or not yet."""
    oracle = Oracle()
    gathering = Gathering(oracle, most_under_way=MOST_UNDER_WAY)
    asked, other, waits, stays = await wanted(gathering, "a", "b", "c", "d")
    for task in (asked, waits):
        task.cancel()
    await turns()
    for number in (0, 1):
        oracle.let_go(number)
    await turns()
    oracle.let_go(2)
    assert await other == ("b", 1)
    assert await stays == ("d", 2)
    assert oracle.asked == [["a"], ["b"], ["d"]]
    assert asked.cancelled()
    assert waits.cancelled()


async def test_nobody_is_left_waiting_where_the_asking_itself_is_broken_off() -> None:
    """As at the end of the event loop; nor whoever waited for their turn. The next one is asked for as ever."""
    oracle = Oracle()
    gathering = Gathering(oracle, most_under_way=MOST_UNDER_WAY)
    [task] = await wanted(gathering, "a")
    oracle.gates[0].cancel()
    await turns()
    assert task.cancelled()
    asked, other, waits = await wanted(gathering, "a", "b", "c")
    for number in (1, 2):
        oracle.gates[number].cancel()
    await turns()
    assert [each.cancelled() for each in (asked, other, waits)] == [True, True, True]
    [again] = await wanted(gathering, "a")
    oracle.let_go(3)
    assert await again == ("a", 3)


class Key:
    """What things are wanted under, and can be seen to be forgotten."""


async def test_nothing_is_left_of_a_key_under_which_nobody_wants_anything() -> None:
    """So that there is as much as there are accounts in use, also where all who asked have given up."""
    oracle = Oracle()
    gathering: Wanted = Gathering(oracle, most_under_way=MOST_UNDER_WAY)
    key = Key()
    tasks: list[asyncio.Task[tuple[object, int]]] = []
    for value in "abc":
        tasks.append(asyncio.create_task(gathering.ask(key, value)))
        await turns()
    while tasks:
        tasks.pop().cancel()
    left = weakref.ref(key)
    await turns()
    del key
    assert left() is not None, "it is still asking"
    for number in (0, 1):
        oracle.let_go(number)
    await turns()
    assert left() is None


async def test_accounts_and_statements_are_not_mixed() -> None:
    """What is asked as one is of one account and one statement, where these are the key."""
    asked: list[tuple[UUID, str, list[object]]] = []

    async def ask(key: tuple[UUID, str], values: Sequence[object]) -> Sequence[object]:
        asked.append((*key, list(values)))
        await asyncio.sleep(0)
        return [(*key, value) for value in values]

    gathering, one, two = Gathering(ask, most_under_way=MOST_UNDER_WAY), uuid4(), uuid4()
    wants = [((one, "x"), 1), ((two, "x"), 2), ((one, "y"), 3), ((one, "x"), 4)]
    answers = await asyncio.gather(*(gathering.ask(*want) for want in wants))
    assert answers == [(*key, value) for key, value in wants]
    assert sorted(asked, key=str) == sorted([(one, "x", [1, 4]), (two, "x", [2]), (one, "y", [3])], key=str)


@given(st.lists(st.sampled_from(["want", "answer", "fail", "give up"]), max_size=60), st.randoms())
def test_everybody_gets_their_own_answer_or_failure(steps: list[str], chosen: Random) -> None:
    """However wants, answers, failures and givings up follow each other: nobody waits for ever."""

    async def walk() -> None:
        oracle = Oracle()
        gathering = Gathering(oracle, most_under_way=MOST_UNDER_WAY)
        tasks: list[asyncio.Task[tuple[object, int]]] = []
        for step in steps:
            open_gates = [gate for gate in oracle.gates if not gate.done()]
            if step == "want":
                tasks += await wanted(gathering, len(tasks))
            elif step == "give up" and tasks:
                chosen.choice(tasks).cancel()
            elif open_gates and step == "answer":
                chosen.choice(open_gates).set_result(None)
            elif open_gates and step == "fail":
                chosen.choice(open_gates).set_exception(OSError())
            await turns()
            assert len(open_gates) <= MOST_UNDER_WAY
        while not all(task.done() for task in tasks):
            open_gates = [gate for gate in oracle.gates if not gate.done()]
            assert open_gates
            open_gates[0].set_result(None)
            await turns()
        for number, task in enumerate(tasks):
            if not task.cancelled() and task.exception() is None:
                value, asked = task.result()
                assert value == number
                assert number in oracle.asked[asked]

    asyncio.run(walk())
