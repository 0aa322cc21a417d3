"""The middle of the frame: the second half of an evaluation.

In: nothing random. Out: a shift. The offset is torchvision's: round((side - size) / 2), halves to even.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.geometry import Matrices, translation
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent, Geometric, StaticFrame, refuse
from streamaug.ops.fields import Size


def cropped_frame(operation: Geometric, size: Size, frame: StaticFrame | None) -> StaticFrame:
    """The frame that a crop to `size` leaves; RecipeError where it does not fit, or cannot be known to fit."""
    if frame is None:
        must = "must follow an operation that sets the frame's size"
        raise refuse(operation, "size", must, f"Put ResizeShortest({max(size)}) before it.")
    if size[0] > frame.height or size[1] > frame.width:
        must = f"must not exceed the {frame.height}×{frame.width} pixels that the operation before it leaves"
        raise refuse(operation, "size", must, f"Write {min(frame.height, frame.width)}.")
    return StaticFrame(*size, exact=True)


@dataclass(frozen=True, slots=True)
class CenterCrop(Geometric):
    """Keep the middle `size` of the frame.

    Args:
        size: The frame afterwards: (height, width) in pixels, or one number for a square.

    Raises:
        RecipeError: If the size is not positive; by the recipe, if the frame before may be smaller.
    """

    size: int | Size

    probability = 1.0
    aligned = True

    def __post_init__(self) -> None:
        fields.size(self)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        """A shift by whole pixels."""
        high, wide = fields.pair(self.size)
        return translation(-np.rint((width - wide) / 2), -np.rint((height - high) / 2))

    def frame(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        """`size` for every sample."""
        return np.full_like(height, fields.pair(self.size)[0]), np.full_like(width, fields.pair(self.size)[1])

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame:
        """`size`, exactly."""
        return cropped_frame(self, fields.pair(self.size), frame)
