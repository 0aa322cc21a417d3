"""A picture of accuracy, likelihood and calibration for the fit, the mean, and each view, as SVG text.

In: rows of figures, as `TTAReport` makes them. Out: SVG. It needs no drawing library, and writes no file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_ROW, _TOP, _PANEL, _GAP, _COLUMN, _MARGIN = 26, 96, 180, 70, 80, 20
_LETTER = 7.2  # pixels of a letter of a label, about
_OURS, _PLAIN, _BAD, _INK, _FAINT = "#1668b8", "#9aa3ad", "#c0392b", "#1c2026", "#6e7680"
_PANELS = ("accuracy, right is better", "NLL, left is better", "calibration error, left is better")


@dataclass(frozen=True, slots=True)
class ChartRow:
    """A row of the picture.

    Attributes:
        name: The name of the data, for the title.
        figures: Accuracy, negative log-likelihood, and calibration error.
        weight: Weight of a view; None for other rows.
        agreement: Agreement of a view with the mean of all; None for other rows.
        is_harmful: Whether the mean is better without the view.
    """

    name: str
    figures: tuple[float, float, float]
    weight: float | None = None
    agreement: float | None = None
    is_harmful: bool = False


def draw(rows: Sequence[ChartRow], subtitle: str) -> str:
    """The whole picture; the first row is of the fit, the second of the mean of all views."""
    left = _MARGIN + max(len(row.name) for row in rows) * _LETTER
    columns = left + 16 + len(_PANELS) * (_PANEL + _GAP)
    width, height = columns + 2 * _COLUMN, _TOP + _ROW * len(rows) + 34
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" font-family="sans-serif">',
        f'<rect width="{width:.0f}" height="{height}" fill="white"/>',
        _text(_MARGIN, 28, "What each view adds", size=18),
        _text(_MARGIN, 48, subtitle, color=_FAINT, size=12),
    ]
    for number, row in enumerate(rows):
        shade = _BAD if row.is_harmful else _INK
        parts.append(_text(left, _line(number) + 4, row.name, anchor="end", color=shade))
    for number, title in enumerate(_PANELS):
        parts += _panel(rows, left + 16 + number * (_PANEL + _GAP), number, title)
    for number, title in enumerate(("weight", "agreement")):
        x = columns + number * _COLUMN
        parts.append(_text(x, _TOP - 14, title))
        values = [(row.weight, row.agreement)[number] for row in rows]
        parts += [
            _text(x, _line(i) + 4, f"{value:.3f}", size=11) for i, value in enumerate(values) if value is not None
        ]
    if any(row.is_harmful for row in rows):
        note = "red: the mean has a lower NLL without this view"
        parts.append(_text(_MARGIN, height - 10, note, color=_BAD, size=12))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(number: int) -> float:
    return _TOP + _ROW * (number + 0.5)


def _panel(rows: Sequence[ChartRow], left: float, figure: int, title: str) -> list[str]:
    """A dot for each row, on the scale from the smallest value to the largest, and a line at the mean of all views."""
    values = [row.figures[figure] for row in rows]
    low, span = min(values), (max(values) - min(values)) or 1.0
    places = [left + _PANEL * (value - low) / span for value in values]
    parts = [
        _text(left, _TOP - 14, title),
        f'<path d="M{places[1]:.1f} {_TOP}V{_TOP + _ROW * len(rows)}" stroke="{_FAINT}" stroke-dasharray="4 3"/>',
    ]
    for number, (place, value, row) in enumerate(zip(places, values, rows, strict=True)):
        y = _line(number)
        color = _BAD if row.is_harmful else {0: _OURS, 1: _INK}.get(number, _PLAIN)
        parts.append(f'<path d="M{left:.1f} {y}h{_PANEL}" stroke="{_PLAIN}" stroke-opacity="0.25"/>')
        parts.append(f'<circle cx="{place:.1f}" cy="{y}" r="5" fill="{color}"/>')
        parts.append(_text(place + 9, y + 4, f"{value:.4f}", size=11))
    return parts


def _text(x: float, y: float, words: str, *, color: str = _INK, size: int = 13, anchor: str = "start") -> str:
    """Words on a white ground, so that no line crosses them."""
    style = f'font-size="{size}" fill="{color}" text-anchor="{anchor}"'
    ground = 'stroke="white" stroke-width="3" paint-order="stroke"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style} {ground}>{escape(words)}</text>'
