"""Curves as SVG: one file for each chart, readable on a dark page too because it brings its own light ground.

The x axis is logarithmic, or has its values side by side where one of them is zero; the y axis is logarithmic where the
values lie far apart and starts at zero otherwise, so that what stays the same looks flat.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from xml.sax.saxutils import escape

from msgspec import Struct

WIDTH, HEIGHT = 780, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 200, 56, 58
_FONTS = "Helvetica, Arial, DejaVu Sans, sans-serif"
_FAR_APART = 20.0
_TICKS = 5
_NEXT = 15.0  # so far apart labels at the ends of the curves have to be
# Colours that people with any colour vision tell apart, each with a shape of its own.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56606b", "#b8860b")
_DASHES = ("", "7 3", "2 3", "9 3 2 3", "4 4", "1 4")


class Chart(Struct, frozen=True):
    """What is drawn: for each series its values, one for each of `xs`; None where there is none."""

    title: str
    x_label: str
    y_label: str
    xs: Sequence[float]
    series: Mapping[str, Sequence[float | None]]


class _Axes(Struct, frozen=True):
    """Where values are on the paper, and which of them are written beside the axes."""

    x: Callable[[float], float]
    y: Callable[[float], float]
    y_ticks: Sequence[float]


def drawn(chart: Chart) -> str:
    """The chart as the text of an SVG file."""
    axes = _axes(chart)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_FONTS}" font-size="13" fill="#1f2328">',
        f"<title>{escape(chart.title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff" stroke="#d0d7de"/>',
        f'<text x="{_LEFT}" y="30" font-size="16" font-weight="bold">{escape(chart.title)}</text>',
        *_grid(chart, axes),
        *_curves(chart, axes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def told(value: float) -> str:
    """A number as short as it can be read: three digits, and no powers of ten."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{digits}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _axes(chart: Chart) -> _Axes:
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    values = [value for series in chart.series.values() for value in series if value is not None]
    if min(chart.xs) > 0:
        low, high = math.log(min(chart.xs)), math.log(max(chart.xs))
        places = {x: _LEFT + width * (math.log(x) - low) / (high - low) for x in chart.xs}
    else:
        places = {x: _LEFT + width * position / (len(chart.xs) - 1) for position, x in enumerate(chart.xs)}
    if max(values) > _FAR_APART * min(values):
        ticks = _decades(min(values), max(values))
        bottom, top = math.log(ticks[0]), math.log(ticks[-1])
        return _Axes(places.__getitem__, lambda y: _TOP + height * (top - math.log(y)) / (top - bottom), ticks)
    ticks = _steps(max(values))
    return _Axes(places.__getitem__, lambda y: _TOP + height * (1 - y / ticks[-1]), ticks)


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    return [10.0**power for power in range(first, last + 1)]


def _steps(high: float) -> list[float]:
    """From zero to at least this, in steps that people count in."""
    rough = high / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 5, 10) if each * power >= rough)
    return [number * step for number in range(math.ceil(high / step) + 1)]


def _grid(chart: Chart, axes: _Axes) -> list[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    lines = list[str]()
    for tick in axes.y_ticks:
        y = axes.y(tick) if tick or axes.y_ticks[0] == 0 else bottom
        lines.append(f'<line x1="{_LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#e4e8ec"/>')
        lines.append(f'<text x="{_LEFT - 8}" y="{y + 4.5:.1f}" text-anchor="end">{told(tick)}</text>')
    for value in chart.xs:
        x = axes.x(value)
        lines.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#f0f2f4"/>')
        lines.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{value:,.0f}</text>')
    path = f"M{_LEFT} {_TOP}V{bottom}H{right}"
    lines.append(f'<path d="{path}" fill="none" stroke="#8c959f"/>')
    middle = (_LEFT + right) / 2
    lines.append(f'<text x="{middle:.1f}" y="{HEIGHT - 14}" text-anchor="middle">{escape(chart.x_label)}</text>')
    lines.append(f'<text x="{_LEFT}" y="{_TOP - 9}" fill="#57606a">{escape(chart.y_label)}</text>')
    return lines


def _curves(chart: Chart, axes: _Axes) -> list[str]:
    lines, ends = list[str](), list[tuple[float, str, str]]()
    for position, (name, values) in enumerate(chart.series.items()):
        colour, dash = _COLOURS[position % len(_COLOURS)], _DASHES[position % len(_DASHES)]
        pairs = zip(chart.xs, values, strict=True)
        points = [(axes.x(x), axes.y(value)) for x, value in pairs if value is not None]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        lines.append(f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="2.2"{dashes}/>')
        lines.extend(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.6" fill="{colour}"/>' for x, y in points)
        ends.append((points[-1][1], name, colour))
    return [*lines, *_names(ends)]


def _names(ends: list[tuple[float, str, str]]) -> list[str]:
    """The name of each curve beside its end, moved down as far as that of another is in the way."""
    placed = list[tuple[float, str, str]]()
    for y, name, colour in sorted(ends):
        lowest = placed[-1][0] + _NEXT if placed else 0.0
        placed.append((max(y, lowest), name, colour))
    too_low = max(0.0, placed[-1][0] - (HEIGHT - _BOTTOM)) if placed else 0.0
    x = WIDTH - _RIGHT + 12
    return [
        f'<text x="{x}" y="{y - too_low + 4.5:.1f}" fill="{colour}" font-weight="bold">{escape(name)}</text>'
        for y, name, colour in placed
    ]
