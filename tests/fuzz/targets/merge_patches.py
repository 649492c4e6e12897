"""Merge patches: what comes out is what the procedure of RFC 7396 makes, step by step, and nothing given is changed."""

import copy
import json
from typing import Any, TypeAlias

from tests.fuzz.targets.draw import Draw
from tests.fuzz.targets.target import Target

from customary.domain import merge_patch

Json: TypeAlias = Any
_KEYS = ("a", "b", "c", "", "ä", "__proto__")
_SCALARS: tuple[Json, ...] = (None, True, False, 0, 1, "", "x", 1.5)
_DEEPEST = 64


def check(data: bytes) -> None:
    """Apply one value to another, both made of these bytes or read from them as JSON."""
    first, separator, second = data.partition(b"\xff")
    try:
        target, patch = json.loads(first), json.loads(second if separator else first)
    except (ValueError, RecursionError):
        draw = Draw(data)
        target, patch = _value(draw, 0), _value(draw, 0)
    before = copy.deepcopy((target, patch))
    result = merge_patch.apply(target, patch)
    assert (target, patch) == before, "what was given was changed"
    assert _text(result) == _text(_by_the_book(copy.deepcopy(target), copy.deepcopy(patch)))


def _by_the_book(target: Json, patch: Json) -> Json:
    """Section 2 of RFC 7396 to the letter: it changes the target as it goes."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for name, value in patch.items():
        if value is None:
            if name in target:
                del target[name]
        else:
            target[name] = _by_the_book(target.get(name), value)
    return target


def _value(draw: Draw, depth: int) -> Json:
    kind = draw.number(9)
    if depth >= _DEEPEST or draw.is_empty:
        return draw.choice(_SCALARS)
    if kind <= 1:
        return [_value(draw, depth + 1) for _ in range(draw.number(3))]
    if kind <= 6:
        return {draw.choice(_KEYS): _value(draw, depth + 1) for _ in range(draw.number(4))}
    return draw.choice(_SCALARS)


def _text(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


_SEEDS = (
    b"",
    b'{"a":"b"}\xff{"a":"c"}',
    b'{"a":{"b":"c"}}\xff{"a":{"b":"d","c":null}}',
    b'["a","b"]\xff["c"]',
    b'[1,2]\xff{"a":"b","c":null}',
    b'{}\xff{"a":{"bb":{"ccc":null}}}',
    b'{"e":null}\xff{"a":1}',
    b'{"a":' * 64 + b"1" + b"}" * 64,
    bytes([5, 4, 0, 5, 3, 1, 7, 0, 2, 6, 2, 0, 9, 1, 1, 9, 0] * 4),
    bytes([6, 2, 1, 6, 2, 2, 6, 2] * 20),
)
_WORDS = (b"null", b'{"a":', b"}", b"[]", b"{}", b"\xff", b"\x05\x04", b"\x00", b"\x07\x00")
TARGET = Target(name="merge_patches", check=check, seeds=_SEEDS, words=_WORDS)
