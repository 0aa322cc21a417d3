"""Checks whether annotations are in the unit of `Annotations.normalized`, since a mistake would drop boxes silently.

In: the boxes and keypoints of a batch as they are stored. Out: one warning, at the first batch whose coordinates look
like the other unit. It does not change the annotations.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from streamaug.samples.annotation import Array, Note

#: Fractions lie within 0..1, or a little beyond where a box reaches over its image's edge; a coordinate of this many
#: widths or heights is no fraction.
_REACH, _BEYOND = 1.5, 2.0
#: This many boxes of a pixel or less, all at the first pixel, are no annotation in pixels.
_ENOUGH = 8


class UnitCheck:
    """Checks each batch's coordinates until it has warned.

    Args:
        normalized: Whether the annotation declares its coordinates to be fractions.
    """

    def __init__(self, normalized: bool) -> None:
        self._normalized = normalized
        self._warned = False

    def look(self, notes: Sequence[Note], dropped: int) -> None:
        """Warn, if this batch is the first whose coordinates look like the other unit.

        Args:
            notes: The batch's annotations as stored.
            dropped: The number of its boxes that were dropped.
        """
        if self._warned:
            return
        boxes = np.concatenate([note.boxes for note in notes]) if notes else np.zeros((0, 4))
        points = [note.keypoints.reshape(-1, 3) for note in notes if note.keypoints.size]
        visible = np.concatenate(points) if points else np.zeros((0, 3))
        visible = visible[visible[:, 2] > 0, :2]  # points that are not labelled are stored as 0, 0
        largest = np.concatenate([np.abs(boxes).max(axis=1), np.abs(visible).max(axis=1)])
        if not len(largest):
            return
        if self._normalized and np.median(largest) > _BEYOND:
            self._warn("fractions of the image's size", "pixels", "False", len(boxes), len(visible), dropped)
        elif not self._normalized and largest.max() <= _REACH and self._fractional(boxes, visible):
            self._warn("pixels", "fractions of the image's size", "True", len(boxes), len(visible), dropped)

    def _fractional(self, boxes: Array, points: Array) -> bool:
        """Whether small coordinates are fractions: some are no whole numbers, or they are too many for chance."""
        whole = bool((boxes == np.rint(boxes)).all() and (points == np.rint(points)).all())
        return not whole or len(boxes) + len(points) >= _ENOUGH

    def _warn(self, expected: str, likely: str, fix: str, boxes: int, points: int, dropped: int) -> None:
        self._warned = True
        warnings.warn(
            f"Annotations.normalized: coordinates must be {expected}, got {boxes} boxes and {points} visible keypoints "
            f"in a batch that look like {likely}; {dropped} of these boxes were dropped. Write normalized={fix}.",
            UserWarning,
            stacklevel=2,
        )
