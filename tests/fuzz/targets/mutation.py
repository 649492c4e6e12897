"""Inputs without atheris: seeds, and what a few random changes make of them. The same seed makes the same inputs."""

import random
from collections.abc import Callable, Iterator

from tests.fuzz.targets.target import Target

_TELLING = (0, 1, 9, 10, 13, 32, 34, 37, 47, 58, 64, 91, 92, 93, 123, 125, 127, 128, 191, 192, 237, 255)
_MOST_CHANGES = 6
_LONGEST = 8192  # no URL may be longer


def inputs(target: Target, count: int, *, seed: int = 1) -> Iterator[bytes]:
    """The seeds of this target, then mutations of them, `count` in all at least."""
    yield from target.seeds
    chance = random.Random(f"{target.name} {seed}")  # noqa: S311 - nothing depends on its being unpredictable
    for _ in range(count - len(target.seeds)):
        data = chance.choice(target.seeds)
        for _ in range(chance.randint(1, _MOST_CHANGES)):
            data = chance.choice(_CHANGES)(data, target, chance)
        yield data[:_LONGEST]


def _replaced(data: bytes, _target: Target, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    new = chance.choice(_TELLING) if chance.random() < 0.5 else chance.randrange(256)
    return data[:at] + bytes([new]) + data[at + 1 :]


def _inserted(data: bytes, target: Target, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    word = chance.choice(target.words) if target.words and chance.random() < 0.7 else chance.randbytes(4)
    return data[:at] + word + data[at:]


def _cut(data: bytes, _target: Target, chance: random.Random) -> bytes:
    first, last = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + data[last:] if chance.random() < 0.7 else data[:last]


def _repeated(data: bytes, _target: Target, chance: random.Random) -> bytes:
    first, last = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + data[first:last] * chance.randint(2, 5) + data[last:]


def _crossed(data: bytes, target: Target, chance: random.Random) -> bytes:
    other = chance.choice(target.seeds)
    return data[: chance.randrange(len(data) + 1)] + other[chance.randrange(len(other) + 1) :]


_CHANGES: tuple[Callable[[bytes, Target, random.Random], bytes], ...] = (
    _replaced,
    _inserted,
    _cut,
    _repeated,
    _crossed,
)
