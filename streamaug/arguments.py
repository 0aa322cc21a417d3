"""Flags and numbers among the arguments, checked by one rule for all constructors.

In: an argument's name and value. Out: the value as Python's own bool or int, or an error. A flag is never a number, and
a number never a flag, though Python takes True for 1: `ShardReader(shuffle=1000)` was meant otherwise. Operations of a
recipe have checks of their own (`ops/fields.py`), whose errors name the operation.
"""

from operator import index
from typing import Any, TypeGuard

import numpy as np


def flag(name: str, value: object, fix: str = "Leave it out for the default") -> bool:
    """A flag: Python's bool or numpy's.

    Args:
        name: The argument's name in the error.
        value: Its value.
        fix: The advice in the error, without a full stop.

    Raises:
        TypeError: If it is anything else, 0 and 1 included.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: must be True or False, got {value!r}. {fix}.")
    return bool(value)


def is_number(value: object) -> TypeGuard[float]:
    """Whether a value is a real number, of Python or numpy, and no flag."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def as_whole(value: Any) -> int | None:
    """The value as an int, if it is a whole number (of numpy's too) and no flag; else None."""
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return index(value)
    except TypeError:
        return None


def whole(name: str, value: object, fix: str, *, least: int | None = None) -> int:
    """A whole number.

    Args:
        name: The argument's name in the error.
        value: Its value.
        fix: The advice in the error, without a full stop.
        least: The smallest value that is allowed; None: any.

    Raises:
        ValueError: If it is no whole number, or below `least`.
    """
    number = as_whole(value)
    if number is None or (least is not None and number < least):
        bound = "" if least is None else f" of at least {least}"
        raise ValueError(f"{name}: must be an integer{bound}, got {value!r}. {fix}.")
    return number
