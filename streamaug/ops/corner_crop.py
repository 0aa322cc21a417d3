"""One corner of the frame: with the middle, the five crops of test-time augmentation.

In: nothing random. Out: a shift.
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from streamaug.geometry import Matrices, translation
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent
from streamaug.ops.fields import Size
from streamaug.ops.fixed_frame import FixedCrop

CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")


@dataclass(frozen=True, slots=True)
class CornerCrop(FixedCrop):
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

    def __post_init__(self) -> None:
        fields.size(self)
        fields.choice(self, "corner", CORNERS)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        high, wide = fields.pair(self.size)
        left = width - wide if self.corner.endswith("right") else np.zeros_like(width)
        top = height - high if self.corner.startswith("bottom") else np.zeros_like(height)
        return translation(-left, -top)
