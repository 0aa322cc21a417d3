"""Charts as SVG text: lines over an axis, and rows of dots in panels. Colours and letters are those of chart.py.

In: numbers with names. Out: the text of a picture, the same for the same numbers.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chart import FAINT, INK, dot, text

#: Colours that differ for readers who do not tell red from green; after Okabe and Ito.
COLORS = ("#6e7680", "#0072b2", "#e69f00", "#009e73", "#cc3311", "#aa4499", "#56b4e9", "#000000")
ROW, PANEL, GAP, LETTER = 26, 190, 34, 7.4


@dataclass(frozen=True)
class Line:
    """A curve: its points, and half the height of a band about each; no band where that is empty."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    spread: Sequence[float] = ()


@dataclass(frozen=True)
class Plot:
    """Curves that share two axes."""

    title: str
    across: str
    lines: Sequence[Line]
    percent: bool = False


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that lie in the range."""
    step = 10 ** math.floor(math.log10((high - low) / count))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= count + 1)
    first = math.ceil(low / step - 1e-9)
    return [round(step * number, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def label(value: float, percent: bool) -> str:
    return f"{100 * value:.3g}%" if percent else f"{value:.3g}"


def _plot(plot: Plot, left: float, top: float, width: float, height: float) -> list[str]:
    spreads = [line.spread or [0.0] * len(line.y) for line in plot.lines]
    ends = [
        y + sign * spread
        for line, band in zip(plot.lines, spreads, strict=True)
        for y, spread in zip(line.y, band, strict=True)
        for sign in (-1, 1)
    ]
    low, high = min(ends), max(ends)
    low, high = low - 0.04 * (high - low), high + 0.04 * (high - low)
    first, last = (pick(x for line in plot.lines for x in line.x) for pick in (min, max))

    def at(x: float, y: float) -> str:
        return f"{left + width * (x - first) / (last - first):.1f} {top + height * (high - y) / (high - low):.1f}"

    parts = [text(left, top - 12, plot.title, size=14)]
    for value in ticks(low, high):
        y = top + height * (high - value) / (high - low)
        parts.append(f'<path d="M{left} {y:.1f}h{width}" stroke="#e3e6ea"/>')
        parts.append(text(left - 8, y + 4, label(value, plot.percent), anchor="end", size=11, color=FAINT))
    for value in ticks(first, last):
        x = left + width * (value - first) / (last - first)
        parts.append(text(x, top + height + 16, label(value, False), anchor="middle", size=11, color=FAINT))
    parts.append(text(left + width / 2, top + height + 34, plot.across, anchor="middle", size=12, color=FAINT))
    for number, (line, band) in enumerate(zip(plot.lines, spreads, strict=True)):
        color = COLORS[number]
        if line.spread:
            above = [at(x, y + s) for x, y, s in zip(line.x, line.y, band, strict=True)]
            below = [at(x, y - s) for x, y, s in zip(line.x, line.y, band, strict=True)][::-1]
            parts.append(f'<path d="M{"L".join([*above, *below])}Z" fill="{color}" fill-opacity="0.12"/>')
        path = "L".join(at(x, y) for x, y in zip(line.x, line.y, strict=True))
        parts.append(f'<path d="M{path}" fill="none" stroke="{color}" stroke-width="2"/>')
    return parts


def _picture(width: float, height: float, title: str, notes: Sequence[str], parts: Sequence[str]) -> str:
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" font-family="sans-serif">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="white"/>',
        text(20, 30, title, size=18),
        *(text(20, 52 + 18 * number, note, color=FAINT, size=12) for number, note in enumerate(notes)),
    ]
    return "\n".join([*head, *parts, "</svg>"]) + "\n"


def curves(title: str, notes: Sequence[str], plots: Sequence[Plot]) -> str:
    """Plots beside each other, with one legend for all: their lines have the same names."""
    width, height, names = 380, 270, [line.name for line in plots[0].lines]
    top = 52 + 18 * len(notes) + 24
    parts = []
    for number, plot in enumerate(plots):
        parts += _plot(plot, 70 + number * (width + 80), top, width, height)
    legend = top + height + 62
    for number, name in enumerate(names):
        x, y = 70 + (number % 2) * 400, legend + 20 * (number // 2)
        parts.append(f'<path d="M{x} {y - 4}h24" stroke="{COLORS[number]}" stroke-width="3"/>')
        parts.append(text(x + 32, y, name))
    bottom = legend + 20 * math.ceil(len(names) / 2)
    return _picture(max(70 + len(plots) * (width + 80), 860), bottom + 6, title, notes, parts)


@dataclass(frozen=True)
class Panel:
    """A column of a chart of rows.

    Attributes:
        title: Above it.
        series: By name, a value for each row, or None.
        spreads: By name, half the length of a bar about each value.
        percent: Whether values are shown as percents.
    """

    title: str
    series: dict[str, Sequence[float | None]]
    spreads: dict[str, Sequence[float]]
    percent: bool = False


def _panel(panel: Panel, left: float, top: float, rows: int) -> list[str]:
    known = [
        (value, panel.spreads[name][row] if name in panel.spreads else 0.0)
        for name, values in panel.series.items()
        for row, value in enumerate(values)
        if value is not None
    ]
    low, high = min(value - spread for value, spread in known), max(value + spread for value, spread in known)
    margin = 0.06 * (high - low or 1.0)
    low, high = low - margin, high + margin
    parts = [text(left, top - 26, panel.title, size=13)]
    for value in ticks(low, high, 3):
        x = left + PANEL * (value - low) / (high - low)
        parts.append(f'<path d="M{x:.1f} {top}V{top + ROW * rows}" stroke="#e3e6ea"/>')
        parts.append(text(x, top - 8, label(value, panel.percent), anchor="middle", size=11, color=FAINT))
    for number, (name, values) in enumerate(panel.series.items()):
        color = COLORS[number + 1]
        shift = 0.0 if len(panel.series) == 1 else 7.0 * (number - (len(panel.series) - 1) / 2)
        for row, value in enumerate(values):
            if value is None:
                continue
            x, y = left + PANEL * (value - low) / (high - low), top + ROW * (row + 0.5) + shift
            spread = PANEL * (panel.spreads[name][row] if name in panel.spreads else 0.0) / (high - low)
            if spread:
                parts.append(
                    f'<path d="M{x - spread:.1f} {y:.1f}H{x + spread:.1f}" stroke="{color}" stroke-width="1.5"/>'
                )
            parts.append(dot(x, y, 4, color))
    return parts


def rows_of_dots(title: str, notes: Sequence[str], names: Sequence[str], panels: Sequence[Panel]) -> str:
    """A row for each name, a panel for each figure; a series has its colour, the same in all panels."""
    left = 20 + LETTER * max(len(name) for name in names) + 14
    top = 52 + 18 * len(notes) + 48
    parts = []
    for row, name in enumerate(names):
        parts.append(text(left - 14, top + ROW * (row + 0.5) + 4, name, anchor="end"))
    for number, panel in enumerate(panels):
        parts += _panel(panel, left + number * (PANEL + GAP), top, len(names))
    bottom = top + ROW * len(names) + 26
    longest = max(panels, key=lambda panel: len(panel.series)).series
    if len(longest) > 1:
        x = left
        for number, name in enumerate(longest):
            parts += [dot(x + 5, bottom - 4, 4, COLORS[number + 1]), text(x + 16, bottom, name, color=INK)]
            x += 40 + LETTER * len(name)
    width = max(left + len(panels) * (PANEL + GAP) + 10, 860)
    return _picture(width, bottom + 14, title, notes, parts)
