"""Checks of an operation's fields, made when it is constructed.

Each check takes the operation and the name of one of its fields, writes the field's canonical form back (a range as a
tuple of two floats, a size as a tuple of two ints), and raises a `RecipeError` with the rule and a fix. `channels`,
`bounds`, `pair` and the functions below them read checked fields.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from streamaug.arguments import is_number
from streamaug.errors import RecipeError
from streamaug.ops.base import Color, Geometric, Operation

#: (low, high).
Range = tuple[float, float]
#: A range, or one number for a range.
RangeLike = float | Range
#: (height, width).
Size = tuple[int, int]

BORDERS = ("constant", "replicate", "reflect", "reflect_101", "wrap")
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos")


def field_name(operation: object, field: str) -> str:
    """A field as messages name it: `Rotate.degrees`."""
    return f"{type(operation).__name__}.{field}"


def refuse(operation: object, field: str, must: str, fix: str) -> RecipeError:
    """The error for a field: the rule, the value given, one fix."""
    return RecipeError(f"{field_name(operation, field)}: {must}, got {getattr(operation, field)!r}. {fix}")


def _set(operation: Operation, field: str, value: Any) -> None:
    object.__setattr__(operation, field, value)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def number(operation: Operation, field: str, *, low: float = -math.inf, high: float = math.inf) -> None:
    """A finite number in [low, high]."""
    value = getattr(operation, field)
    if not is_number(value) or not math.isfinite(value) or not low <= value <= high:
        raise refuse(operation, field, f"must be a number{_within(low, high)}", f"Write {_inside(low, high)}.")
    _set(operation, field, float(value))


def integer(operation: Operation, field: str, *, low: int, high: int | None = None) -> None:
    """A whole number in [low, high]."""
    value = getattr(operation, field)
    if not _is_whole(value) or value < low or (high is not None and value > high):
        bounds = f"at least {low}" if high is None else f"within {low}..{high}"
        raise refuse(operation, field, f"must be a whole number {bounds}", f"Write {low}.")
    _set(operation, field, int(value))


def probability(operation: Operation, field: str = "probability") -> None:
    """A chance, 0..1."""
    number(operation, field, low=0.0, high=1.0)


def flag(operation: Operation, field: str) -> None:
    """True or False."""
    if not isinstance(getattr(operation, field), bool):
        raise refuse(operation, field, "must be True or False", "Write True.")


def choice(operation: Operation, field: str, allowed: Sequence[str]) -> None:
    """A string, among those that are allowed."""
    if getattr(operation, field) not in allowed:
        names = ", ".join(f'"{name}"' for name in allowed)
        raise refuse(operation, field, f"must be one of {names}", f'Write "{allowed[0]}".')


def border_mode(operation: Operation, field: str = "border") -> None:
    """A name of `BORDERS`, or None."""
    if getattr(operation, field) is not None:
        choice(operation, field, BORDERS)


def color(operation: Operation, field: str = "fill", *, optional: bool = False) -> None:
    """A gray level 0..255, or (red, green, blue); or None, if optional. Three equal numbers are that gray level."""
    value = getattr(operation, field)
    if value is None and optional:
        return
    levels = tuple(value) if isinstance(value, tuple | list) else (value,) * 3
    if len(levels) != 3 or not all(is_number(level) and 0 <= level <= 255 for level in levels):
        must = "must be a gray level within 0..255 or (red, green, blue) of such"
        raise refuse(operation, field, must, "Write 127.5, or (124.0, 116.0, 104.0).")
    red, green, blue = (float(level) for level in levels)
    _set(operation, field, red if red == green == blue else (red, green, blue))


def channels(color: Color) -> list[float]:
    """The three levels of a checked colour."""
    return list(color) if isinstance(color, tuple) else [color] * 3


def size(operation: Operation, field: str = "size") -> None:
    """A positive whole number for a square, or (height, width)."""
    value = getattr(operation, field)
    pair = (value, value) if not isinstance(value, tuple | list) else tuple(value)
    if len(pair) != 2 or not all(map(_is_whole, pair)) or min(pair) < 1:
        fix = "Write 224, or (224, 224)."
        raise refuse(operation, field, "must be a positive whole number or (height, width) of such", fix)
    _set(operation, field, (int(pair[0]), int(pair[1])))


def resampling(operation: Geometric) -> None:
    """The fields `interpolation` and `antialias` of an operation that resizes."""
    choice(operation, "interpolation", INTERPOLATIONS)
    flag(operation, "antialias")
    if operation.interpolation != "bilinear" and not operation.antialias:
        fix = 'Write interpolation="bilinear", or antialias=True.'
        raise refuse(operation, "interpolation", 'must be "bilinear" where antialias=False', fix)


def ordered_range(operation: Operation, field: str, *, low: float = -math.inf, high: float = math.inf) -> None:
    """(a, b) with low ≤ a ≤ b ≤ high; one number d is (d, d)."""
    value = getattr(operation, field)
    _range(operation, field, (value, value) if is_number(value) else value, low, high)


def whole_range(operation: Operation, field: str, *, low: int, high: int) -> None:
    """Whole numbers (a, b) with low ≤ a ≤ b ≤ high; one number d is (d, d)."""
    ordered_range(operation, field, low=low, high=high)
    value = getattr(operation, field)
    if any(end != int(end) for end in value):
        raise refuse(operation, field, "both ends must be whole numbers", f"Write ({low}, {high}).")
    _set(operation, field, (int(value[0]), int(value[1])))


def symmetric_range(operation: Operation, field: str, *, limit: float) -> None:
    """(a, b) with -limit ≤ a ≤ b ≤ limit; one number d ≥ 0 is (-d, d)."""
    value = getattr(operation, field)
    if is_number(value) and value < 0:
        raise refuse(operation, field, "one number d means (-d, d) and must not be negative", f"Write {-value}.")
    _range(operation, field, (0.0 - value, value) if is_number(value) else value, -limit, limit)


def factor_range(operation: Operation, field: str) -> None:
    """Factors (a, b) with 0 ≤ a ≤ b; one number d in 0..1 is (1 - d, 1 + d)."""
    value = getattr(operation, field)
    if is_number(value) and not 0 <= value <= 1:
        raise refuse(operation, field, "one number d means (1 - d, 1 + d) and must lie within 0..1", "Write 0.4.")
    _range(operation, field, (1 - value, 1 + value) if is_number(value) else value, 0.0, math.inf)


def fractions(operation: Operation, field: str) -> None:
    """A pair of fractions, each 0..1, in any order."""
    value = getattr(operation, field)
    fits = isinstance(value, tuple | list) and len(value) == 2 and all(is_number(v) and 0 <= v <= 1 for v in value)
    if not fits:
        raise refuse(operation, field, "must be two fractions within 0..1", "Write (0.1, 0.1).")
    _set(operation, field, (float(value[0]), float(value[1])))


def sides(operation: Operation, field: str) -> None:
    """A whole number of at least 0 for all sides, or (top, bottom, left, right)."""
    value = getattr(operation, field)
    four = tuple(value) if isinstance(value, tuple | list) else (value,) * 4
    if len(four) != 4 or not all(map(_is_whole, four)) or min(four) < 0:
        must = "must be a whole number of at least 0, or (top, bottom, left, right) of such"
        raise refuse(operation, field, must, "Write 4, or (4, 4, 0, 0).")
    top, bottom, left, right = (int(v) for v in four)
    _set(operation, field, top if top == bottom == left == right else (top, bottom, left, right))


def weights(operation: Operation, field: str, count: int) -> None:
    """`count` finite numbers of at least 0, not all 0."""
    value = getattr(operation, field)
    fits = isinstance(value, tuple | list) and len(value) == count
    if not fits or not all(is_number(v) and math.isfinite(v) and v >= 0 for v in value) or not sum(value) > 0:
        must = f"must be {count} numbers of at least 0, not all 0"
        raise refuse(operation, field, must, f"Write {(1.0,) * count}.")
    _set(operation, field, tuple(float(v) for v in value))


def _range(operation: Operation, field: str, pair: Any, low: float, high: float) -> None:
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(is_number(v) for v in pair):
        inside = _inside(low, high)
        raise refuse(operation, field, "must be a number or (low, high)", f"Write ({inside}, {inside}).")
    first, second = float(pair[0]), float(pair[1])
    if not (math.isfinite(first) and math.isfinite(second)) or min(first, second) < low or max(first, second) > high:
        inside = _inside(low, high)
        raise refuse(operation, field, f"both ends must be finite{_within(low, high)}", f"Write ({inside}, {inside}).")
    if first > second:
        raise refuse(operation, field, "low must not exceed high", f"Write ({pair[1]}, {pair[0]}).")
    _set(operation, field, (first, second))


def _within(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return ""
    if math.isinf(high):
        return f" and at least {low:g}"
    return f" and within {low:g}..{high:g}"


def _inside(low: float, high: float) -> str:
    if math.isinf(low):
        return "0.0" if high >= 0 else f"{high:g}"
    return f"{low:g}" if math.isinf(high) else f"{(low + high) / 2:g}"


def bounds(value: RangeLike) -> Range:
    """The (low, high) of a checked field, for the type checker."""
    return value if isinstance(value, tuple) else (value, value)


def pair(value: int | Size) -> Size:
    """The (height, width) of a checked size, for the type checker."""
    return value if isinstance(value, tuple) else (value, value)


def between(value: RangeLike, draws: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Uniform numbers of a range, from uniform numbers of [0, 1), of the same shape."""
    low, high = bounds(value)
    return low + (high - low) * draws


def whole_between(value: RangeLike, draws: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Whole numbers of a range, both ends included, equally often, from uniform numbers of [0, 1)."""
    low, high = bounds(value)
    return np.asarray(np.floor(low + (high - low + 1) * draws), np.int64)
