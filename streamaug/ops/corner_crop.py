"""One corner of the frame: with the middle, the five crops of test-time augmentation.

In: nothing random. Out: a shift.
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from streamaug.geometry import Matrices, translation
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent, Geometric, StaticFrame
from streamaug.ops.center_crop import cropped_frame
from streamaug.ops.fields import Size

CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")


@dataclass(frozen=True, slots=True)
class CornerCrop(Geometric):
    """Keep `size` pixels at one corner of the frame.

    Args:
        size: The frame afterwards: (height, width) in pixels, or one number for a square.
        corner: "top_left", "top_right", "bottom_left" or "bottom_right".

    Raises:
        RecipeError: If the size is not positive; by the recipe, if the frame before may be smaller.
    """

    size: int | Size
    _: KW_ONLY
    corner: str = "top_left"

    probability = 1.0
    aligned = True

    def __post_init__(self) -> None:
        fields.size(self)
        fields.choice(self, "corner", CORNERS)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        """A shift by whole pixels."""
        high, wide = fields.pair(self.size)
        left = width - wide if self.corner.endswith("right") else np.zeros_like(width)
        top = height - high if self.corner.startswith("bottom") else np.zeros_like(height)
        return translation(-left, -top)

    def frame(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        """`size` for every sample."""
        return np.full_like(height, fields.pair(self.size)[0]), np.full_like(width, fields.pair(self.size)[1])

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame:
        """`size`, exactly."""
        return cropped_frame(self, fields.pair(self.size), frame)
