"""What a target is, and how one is found by its name."""

from collections.abc import Callable
from importlib import import_module

from msgspec import Struct

from customary.errors import Failure


class Target(Struct, frozen=True, kw_only=True):
    """A property of something that reads bytes.

    `check` takes any bytes and raises whatever shows that the property does not hold. `seeds` are inputs to start from
    and `words` what inputs are likely to be made of. `quick_runs` is how many of them the tests try.
    """

    name: str
    check: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    quick_runs: int = 1500


def named(name: str) -> Target:
    """The target of this name, which is that of its module."""
    target: Target = import_module(f"tests.fuzz.targets.{name}").TARGET
    return target


def refused(attempt: Callable[[], object]) -> Failure | None:
    """How this is refused, None where it is not. Only a `Failure` is a refusal; everything else is passed on."""
    found = None
    try:
        attempt()
    except Failure as failure:
        found = failure
    assert found is None or found.message.strip(), "a refusal needs a sentence"
    return found
