"""Two sides measured in turn, so that whatever else the machine does meets both."""

import statistics
from collections.abc import Callable, Sequence

from msgspec import Struct

from bench.wrk import Load

ROUNDS, ROUND_SECONDS, WARM_UP_SECONDS = 5, 4.0, 2.0
QUICK = 3, 1.0  # how many, of how many seconds


class Compared(Struct, frozen=True):
    """What each round saw of the base and of what is compared with it; the warm-ups count for nothing."""

    base: Sequence[Load]
    other: Sequence[Load]
    warm_ups: Sequence[Load] = ()

    @property
    def base_rate(self) -> float:
        """Answers a second of the base, in the middle of the rounds."""
        return statistics.median(each.rate for each in self.base)

    @property
    def other_rate(self) -> float:
        """Answers a second of the other side, in the middle of the rounds."""
        return statistics.median(each.rate for each in self.other)

    def rates(self) -> list[float]:
        """What each round makes of the other rate over that of the base."""
        return [other.rate / base.rate for base, other in zip(self.base, self.other, strict=True)]

    def p99s(self) -> list[float]:
        """What each round makes of the other's slowest of a hundred over the base's."""
        pairs = zip(self.base, self.other, strict=True)
        return [other.p99_milliseconds / base.p99_milliseconds for base, other in pairs]


def compare(base: Callable[[float], Load], other: Callable[[float], Load], *, rounds: int, seconds: float) -> Compared:
    """So many rounds of so many seconds for each side, behind a warm-up that does not count and is no longer."""
    warm_up_seconds = min(WARM_UP_SECONDS, seconds)
    warm_ups = base(warm_up_seconds), other(warm_up_seconds)
    found = [(base(seconds), other(seconds)) for _ in range(rounds)]
    return Compared([each for each, _ in found], [each for _, each in found], warm_ups)
