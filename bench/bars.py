"""The bars: what each work has to reach beside its floor, and how the rounds of it came out."""

import statistics
from collections.abc import Sequence

from msgspec import Struct


class Bar(Struct, frozen=True):
    """One bar, as the rounds came out: `ratios` has one figure for each, and the one in the middle is what counts.

    Without `least` and `most` it is told for what it says.
    """

    number: int
    work: str
    ratios: Sequence[float]
    least: float | None = None
    most: float | None = None
    base: str = ""
    other: str = ""

    @property
    def ratio(self) -> float:
        """The middle of the rounds."""
        return statistics.median(self.ratios)

    @property
    def is_met(self) -> bool:
        """Whether the bar is reached."""
        return (self.least is None or self.ratio >= self.least) and (self.most is None or self.ratio <= self.most)

    def row(self) -> tuple[str, ...]:
        """The line of a table: number, work, both sides, ratio, spread, bar, verdict."""
        bars = [
            f"{word} {bar:g}" for word, bar in (("at least", self.least), ("at most", self.most)) if bar is not None
        ]
        spread = f"{min(self.ratios):.2f} to {max(self.ratios):.2f}"
        verdict = "" if not bars else "met" if self.is_met else "MISSED"
        return str(self.number), self.work, self.base, self.other, f"{self.ratio:.2f}", spread, *(bars or [""]), verdict
