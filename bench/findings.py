"""What a measurement came to, and whether that is within its bar."""

import sys

from msgspec import Struct

_WHOLE = 1_000  # what is larger is told without a fraction


class Finding(Struct, frozen=True):
    """One figure. `most` and `least` are its bar where it has one; without any it is told for what it says."""

    name: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None

    @property
    def is_within(self) -> bool:
        """Whether the figure is within its bar."""
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    def line(self) -> str:
        """The figure for people."""
        bars = [
            f"{word} {bar:g}" for word, bar in (("at most", self.most), ("at least", self.least)) if bar is not None
        ]
        verdict = "" if not bars else f"  ({' and '.join(bars)}: {'yes' if self.is_within else 'NO'})"
        value = f"{self.value:,.0f}" if self.value == int(self.value) or self.value >= _WHOLE else f"{self.value:.4g}"
        return f"{self.name}: {value} {self.unit}{verdict}"


def report(findings: list[Finding]) -> None:
    """Print these figures at once."""
    for finding in findings:
        sys.stdout.write(f"  {finding.line()}\n")
    sys.stdout.flush()
