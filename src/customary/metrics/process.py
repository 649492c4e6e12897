"""What one process measures: figures that are found once and then cost a fraction of a microsecond to change."""

from bisect import bisect_left
from pathlib import Path

import structlog
from msgspec import json

from customary.metrics.families import Family
from customary.metrics.memory import Memory, Numbers, Place, own_place

_log = structlog.get_logger("customary.metrics")


class Counter:
    """Something that only grows."""

    __slots__ = ("_at", "_values")

    def __init__(self, values: Numbers, at: int) -> None:
        self._values, self._at = values, at

    def add(self, amount: float = 1.0) -> None:
        """Count so much more."""
        self._values[self._at] += amount


class Gauge:
    """Something that is now."""

    __slots__ = ("_at", "_values")

    def __init__(self, values: Numbers, at: int) -> None:
        self._values, self._at = values, at

    def add(self, amount: float) -> None:
        """So much more than before, or less."""
        self._values[self._at] += amount

    def set(self, value: float) -> None:
        """This is how it is; not a number for what is not known."""
        self._values[self._at] = value


class Histogram:
    """How often something was how large: the sum of all, and behind it a count for each bucket and one for the rest."""

    __slots__ = ("_at", "_buckets", "_first", "_values")

    def __init__(self, values: Numbers, at: int, buckets: tuple[float, ...]) -> None:
        self._values, self._at, self._first, self._buckets = values, at, at + 1, buckets

    def observe(self, value: float) -> None:
        """It was this large once more."""
        self._values[self._first + bisect_left(self._buckets, value)] += 1.0
        self._values[self._at] += value


class Metrics:
    """Makes this process's figures, in the server's file at `path`; without one nobody else sees them.

    Its place is locked for as long as it exists, so whoever makes one keeps it. Measuring must not be what stops the
    service: where the file cannot be used, the log says so.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._memory: Memory | None = None
        self._place = own_place() if path is None else self._shared_place(path)

    def close(self) -> None:
        """Leave the place to another process. What still counts may go on doing so."""
        if self._memory is not None:
            self._place.leave()
            self._memory.close()
            self._memory = None

    def counter(self, family: Family, *labels: str) -> Counter:
        """The figure with these values of its labels."""
        return Counter(*self._numbers(family, labels, 1))

    def gauge(self, family: Family, *labels: str) -> Gauge:
        """The figure with these values of its labels."""
        return Gauge(*self._numbers(family, labels, 1))

    def histogram(self, family: Family, *labels: str) -> Histogram:
        """The figure with these values of its labels."""
        return Histogram(*self._numbers(family, labels, len(family.buckets) + 2), family.buckets)

    def _numbers(self, family: Family, labels: tuple[str, ...], count: int) -> tuple[Numbers, int]:
        return self._place.numbers(json.encode((family.name, *labels)), count, is_momentary=family.is_momentary)

    def _shared_place(self, path: Path) -> Place:
        try:
            self._memory = Memory(path)
            return self._memory.claim()
        except (OSError, ValueError) as error:
            _log.error("metrics_file_not_usable", error=type(error).__name__)
            if self._memory is not None:
                self._memory.close()
                self._memory = None
            return own_place()
