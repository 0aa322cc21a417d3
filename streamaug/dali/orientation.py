"""EXIF orientation as arithmetic: the turn of an orientation, and the stored position of a window of the upright image.

In: orientations and windows of a batch, as arrays. Out: arrays. The graph decodes images as they are stored, whatever
their tags say, and turns the pixels itself, so all formats share one reader of orientations and one rule.

Orientations 5 to 8 exchange rows and columns. Then 2, 3, 6 and 7 exchange left and right, 3, 4, 7 and 8 top and bottom.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_Flags = npt.NDArray[np.bool_]
_Windows = npt.NDArray[np.float64]


class Turns(NamedTuple):
    """The turn that makes each image upright: rows and columns are exchanged, then it is mirrored; each bool (B,)."""

    transposes: _Flags
    horizontal: _Flags
    vertical: _Flags


def turns(orientations: npt.NDArray[np.int64]) -> Turns:
    """The turns of orientations 1..8, int64 (B,)."""
    return Turns(orientations >= 5, np.isin(orientations, (2, 3, 6, 7)), np.isin(orientations, (3, 4, 7, 8)))


def stored_window(start: _Windows, end: _Windows, extent: _Windows, turned: Turns) -> tuple[_Windows, _Windows]:
    """The windows of upright images in the images as stored.

    Args:
        start: float64 (B, 2), top and left.
        end: float64 (B, 2), bottom and right.
        extent: float64 (B, 2), the upright images' heights and widths.
        turned: The turns that make the stored images upright.

    Returns:
        (top and left, bottom and right), each float64 (B, 2), in pixels of the stored images.
    """
    mirrored = np.stack([turned.vertical, turned.horizontal], axis=1)
    low, high = np.where(mirrored, extent - end, start), np.where(mirrored, extent - start, end)
    swapped = turned.transposes[:, None]
    return np.where(swapped, low[:, ::-1], low), np.where(swapped, high[:, ::-1], high)


def turn_matrices(turned: Turns, extent: _Windows) -> npt.NDArray[np.float64]:
    """The same turns as matrices.

    Args:
        turned: The turns that make the stored images upright.
        extent: float64 (B, 2), the upright images' heights and widths.

    Returns:
        float64 (B, 3, 3): from the numbers of an upright pixel, its column and its row, to those of the stored pixel.
    """
    mirrors = np.zeros((len(extent), 3, 3))
    for axis, flags in ((0, turned.horizontal), (1, turned.vertical)):
        mirrors[:, axis, axis] = np.where(flags, -1.0, 1.0)
        mirrors[:, axis, 2] = np.where(flags, extent[:, 1 - axis] - 1.0, 0.0)
    mirrors[:, 2, 2] = 1.0
    return np.where(turned.transposes[:, None, None], mirrors[:, [1, 0, 2]], mirrors)
