"""Targets that a user's function makes of a component: a value for each sample, stacked to a batch's array.

In: a component's bytes. Out: int64 for whole numbers, float32 for other numbers, an array's own type for arrays.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

#: From the bytes of a component to the target of a sample.
TargetFunction = Callable[[bytes], int | float | npt.NDArray[Any]]


def checked_target(value: object) -> npt.NDArray[Any]:
    """A function's result as an array, of no axes for a number.

    Raises:
        TypeError: If the result is neither a number nor an array of numbers.
    """
    if isinstance(value, bool | int):
        return np.array(value, np.int64)
    if isinstance(value, float):
        return np.array(value, np.float32)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        return np.asarray(value)
    raise TypeError(f"it must return an int, a float or an array of numbers, got {type(value).__name__}")


def stacked_targets(targets: Sequence[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """The targets of a batch, (B, …); whole and other numbers together are float32, arrays of several types numpy's.

    Raises:
        ValueError: If arrays differ in shape.
    """
    shapes = {target.shape for target in targets}
    if len(shapes) > 1:
        raise ValueError(
            f"augment.targets: must return arrays of one shape for all samples, got {sorted(shapes)}. "
            "Pad them to one shape, or use targets=None and Batch.extras."
        )
    stacked = np.stack(targets)
    if stacked.dtype == np.float64 and all(target.dtype != np.float64 for target in targets):
        return stacked.astype(np.float32)  # numpy's own type for int64 and float32 together
    return stacked
