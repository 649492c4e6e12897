"""Questions that are asked as one, without a database: who waits for what, and who gets which answer."""

import asyncio
import weakref
from collections.abc import Sequence
from random import Random
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customary.storage import batches
from customary.storage.batches import Batcher, Batchers


class Oracle:
    """Answers a value by the value and the number of the time it was asked; each time waits until it is let go."""

    def __init__(self) -> None:
        self.asked: list[list[object]] = []
        self.gates: list[asyncio.Future[None]] = []

    async def __call__(self, values: list[object]) -> Sequence[object]:
        self.asked.append(values)
        self.gates.append(asyncio.get_running_loop().create_future())
        number = len(self.gates) - 1
        await self.gates[number]
        return [(value, number) for value in values]

    def let_go(self, number: int) -> None:
        self.gates[number].set_result(None)


async def wanted(batcher: Batcher, *values: object) -> list[asyncio.Task[object]]:
    """Tasks that want these, one after another."""
    tasks: list[asyncio.Task[object]] = []
    for value in values:
        tasks.append(asyncio.create_task(batcher.answer(value)))
        await settled()
    return tasks


async def settled() -> None:
    """Let everybody go as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_is_wanted_while_enough_is_under_way_is_asked_as_one() -> None:
    """Nobody waits before that, and nobody gets an answer to what was asked before they came."""
    oracle = Oracle()
    batcher = Batcher(oracle)
    tasks = await wanted(batcher, *"abcde")
    assert oracle.asked == [["a"], ["b"]]
    oracle.let_go(1)
    await settled()
    assert oracle.asked == [["a"], ["b"], ["c", "d", "e"]]
    oracle.let_go(2)
    oracle.let_go(0)
    assert await asyncio.gather(*tasks) == [("a", 0), ("b", 1), ("c", 2), ("d", 2), ("e", 2)]
    [again] = await wanted(batcher, "a")
    oracle.let_go(3)
    assert await again == ("a", 3)


async def test_no_more_are_asked_as_one_than_there_may_be() -> None:
    """The rest is asked next, in the order in which they came."""
    oracle = Oracle()
    batcher = Batcher(oracle)
    await wanted(batcher, *range(batches.MOST_UNDER_WAY))
    rest = await wanted(batcher, *range(batches.MOST_TOGETHER + 1))
    oracle.let_go(0)
    await settled()
    assert oracle.asked[-1] == list(range(batches.MOST_TOGETHER))
    oracle.let_go(1)
    await settled()
    assert oracle.asked[-1] == [batches.MOST_TOGETHER]
    for number in (2, 3):
        oracle.let_go(number)
    await asyncio.gather(*rest)


async def test_a_failure_is_that_of_all_who_asked_as_one_and_of_nobody_else() -> None:
    """Whoever waits meanwhile is asked for all the same."""
    oracle = Oracle()
    batcher = Batcher(oracle)
    first = await wanted(batcher, "a", "b")
    together = await wanted(batcher, "c", "d")
    oracle.let_go(0)
    await settled()
    after = await wanted(batcher, "e")
    oracle.gates[2].set_exception(OSError("gone"))
    await settled()
    for task in together:
        with pytest.raises(OSError, match="gone"):
            await task
    oracle.let_go(1)
    oracle.let_go(3)
    assert [await task for task in (*first, *after)] == [("a", 0), ("b", 1), ("e", 3)]


async def test_who_gives_up_takes_nobody_along_and_is_not_asked_for() -> None:
    """Whether it was asked for already or not yet."""
    oracle = Oracle()
    batcher = Batcher(oracle)
    asked, other, waits, stays = await wanted(batcher, "a", "b", "c", "d")
    for task in (asked, waits):
        task.cancel()
    await settled()
    for number in (0, 1):
        oracle.let_go(number)
    await settled()
    oracle.let_go(2)
    assert await other == ("b", 1)
    assert await stays == ("d", 2)
    assert oracle.asked == [["a"], ["b"], ["d"]]
    assert asked.cancelled()
    assert waits.cancelled()


async def test_nobody_is_left_waiting_where_the_asking_itself_is_broken_off() -> None:
    """As at the end of the event loop."""
    oracle = Oracle()
    [task] = await wanted(Batcher(oracle), "a")
    oracle.gates[0].cancel()
    await settled()
    assert task.cancelled()


async def test_nothing_is_left_of_one_that_nobody_uses() -> None:
    """So that there is one for each account in use and no more, also where all who asked have given up."""
    oracle = Oracle()
    batcher = Batcher(oracle)
    tasks = await wanted(batcher, "a", "b", "c")
    while tasks:
        tasks.pop().cancel()
    left = weakref.ref(batcher)
    await settled()
    del batcher
    assert left() is not None, "it is still asking"
    for number in (0, 1):
        oracle.let_go(number)
    await settled()
    assert left() is None


async def test_accounts_and_statements_are_not_mixed() -> None:
    """What is asked as one is of one account and one statement."""
    asked: list[tuple[UUID, str, list[object]]] = []

    async def ask(account_id: UUID, text: str, values: list[object]) -> Sequence[object]:
        asked.append((account_id, text, values))
        await asyncio.sleep(0)
        return [(account_id, text, value) for value in values]

    batchers, one, two = Batchers(ask), uuid4(), uuid4()
    wants = [(1, one, "x"), (2, two, "x"), (3, one, "y"), (4, one, "x")]
    answers = await asyncio.gather(*(batchers.answer(*want) for want in wants))
    assert answers == [(account_id, text, value) for value, account_id, text in wants]
    assert sorted(asked, key=str) == sorted([(one, "x", [1, 4]), (two, "x", [2]), (one, "y", [3])], key=str)


@given(st.lists(st.sampled_from(["want", "answer", "fail", "give up"]), max_size=60), st.randoms())
def test_everybody_gets_their_own_answer_or_failure(steps: list[str], chosen: Random) -> None:
    """However wants, answers, failures and givings up follow each other: nobody waits for ever."""

    async def walk() -> None:
        oracle = Oracle()
        batcher = Batcher(oracle)
        tasks: list[asyncio.Task[object]] = []
        for step in steps:
            open_gates = [gate for gate in oracle.gates if not gate.done()]
            if step == "want":
                tasks += await wanted(batcher, len(tasks))
            elif step == "give up" and tasks:
                chosen.choice(tasks).cancel()
            elif open_gates and step == "answer":
                chosen.choice(open_gates).set_result(None)
            elif open_gates and step == "fail":
                chosen.choice(open_gates).set_exception(OSError())
            await settled()
            assert len(open_gates) <= batches.MOST_UNDER_WAY
        while not all(task.done() for task in tasks):
            open_gates = [gate for gate in oracle.gates if not gate.done()]
            assert open_gates
            open_gates[0].set_result(None)
            await settled()
        for number, task in enumerate(tasks):
            if not task.cancelled() and task.exception() is None:
                value, asked = task.result()  # pyright: ignore[reportGeneralTypeIssues]
                assert value == number
                assert number in oracle.asked[asked]

    asyncio.run(walk())
