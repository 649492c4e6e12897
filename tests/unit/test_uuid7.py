"""Ids of version 7: their form, their order whatever the clock does, and that no two makers make the same."""

import importlib
import multiprocessing
import os
import re
import threading
import time
import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customary import uuid7 as module
from customary.uuid7 import Maker

WRITTEN = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
LAST_MILLISECOND = (1 << 48) - 100_000
milliseconds = st.integers(1, LAST_MILLISECOND)


def at(*times: int) -> Callable[[], int]:
    """A clock that shows these milliseconds one after another, and then stands still."""
    left = list(times)
    return lambda: (left.pop(0) if len(left) > 1 else left[0]) * 1_000_000 + 999_999


@given(milliseconds)
def test_the_form_is_that_of_the_rfc(now: int) -> None:
    made = Maker(at(now))()
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == now
    assert UUID(str(made)) == made
    assert hash(UUID(str(made))) == hash(made)


@given(st.lists(milliseconds, min_size=1, max_size=40), st.lists(st.booleans(), min_size=40, max_size=40))
def test_ids_are_in_the_order_in_which_they_were_made(times: list[int], written: list[bool]) -> None:
    """Whether the clock stands, jumps or goes backwards, and whether they are made as text or not."""
    make = Maker(at(*times))
    made = [make.text() if as_text else str(make()) for _, as_text in zip(times, written, strict=False)]
    assert all(WRITTEN.fullmatch(each) for each in made)
    assert all(before < after for before, after in pairwise(made))


@given(st.lists(milliseconds, min_size=1, max_size=40))
def test_an_id_has_the_latest_time_that_the_clock_has_shown(times: list[int]) -> None:
    make = Maker(at(*times))
    assert [make().int >> 80 for _ in times] == [max(times[: index + 1]) for index in range(len(times))]


@given(milliseconds, st.binary(min_size=8, max_size=8))
def test_a_counter_that_is_used_up_goes_on_in_the_next_millisecond(now: int, random: bytes) -> None:
    make = Maker(at(now), lambda size: random * (size // 8))
    first = make()
    make._counter = (1 << 28) - 2
    last, following = make(), make()
    assert first < last < following
    assert [each.int >> 80 for each in (last, following)] == [now, now + 1]


def test_each_millisecond_has_room_for_more_ids_than_can_be_made_in_it() -> None:
    """Also where everything that is drawn is the largest that can be."""
    make = Maker(at(1), lambda size: b"\xff" * size)
    make()
    assert (1 << 28) - make._counter > 100_000_000


def test_two_makers_at_the_same_moment_make_different_ids() -> None:
    makers = [Maker(at(1)) for _ in range(20)]
    assert len({make() for make in makers for _ in range(500)}) == 10_000


def test_threads_get_different_ids() -> None:
    make, made = Maker(at(1)), list[list[UUID]]()

    def many() -> None:
        made.append([make() for _ in range(5_000)])

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each for some in made for each in some}) == 20_000
    assert all(before < after for some in made for before, after in pairwise(some))


def test_a_forked_process_repeats_none_of_its_parents_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor do two of them each other's, though all of them go on from one state in a millisecond that stands still."""
    monkeypatch.setattr(module._maker, "_clock", at(LAST_MILLISECOND))
    monkeypatch.setattr(module._maker, "_milliseconds", module._maker._milliseconds)
    before = module._maker()
    parts = [_of_fork(lambda: [module._maker.text() for _ in range(200)]) for _ in range(2)]
    parts.append([module._maker.text() for _ in range(200)])
    assert len({each for part in parts for each in part}) == 600
    assert len({each[24:] for part in parts for each in part}) == 600
    assert all(str(before) < each for part in parts for each in part)


def test_a_process_that_is_forked_while_an_id_is_made_can_make_some() -> None:
    with module._maker._lock:
        made = _of_fork(lambda: [module._maker.text()])
    assert len(made) == 1


def test_the_module_asks_the_real_clock() -> None:
    before = time.time_ns() // 1_000_000
    made, text = module.uuid7(), module.uuid7_text()
    after = time.time_ns() // 1_000_000
    assert before <= made.int >> 80 <= int(text.replace("-", "")[:12], 16) <= after + 1
    assert type(made) is UUID
    assert WRITTEN.fullmatch(text)


def test_the_standard_librarys_own_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def theirs() -> UUID:
        return UUID(int=7)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(uuid, "uuid7", theirs, raising=False)
            assert importlib.reload(module).uuid7 is theirs
    finally:
        importlib.reload(module)


def _of_fork(made: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever is made
    """What a forked process makes."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        theirs.send(made())
        os._exit(0)
    assert ours.poll(20)
    found = ours.recv()
    os.waitpid(pid, 0)
    return found
