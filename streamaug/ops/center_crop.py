"""The middle of the frame: the second half of an evaluation.

In: nothing random. Out: a shift. The offset is torchvision's: round((side - size) / 2), halves to even.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.geometry import Matrices, translation
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent
from streamaug.ops.fields import Size
from streamaug.ops.fixed_frame import FixedCrop


@dataclass(frozen=True, slots=True)
class CenterCrop(FixedCrop):
    """Keep the middle `size` of the frame.

    Args:
        size: The frame afterwards: (height, width) in pixels, or one number for a square.

    Raises:
        RecipeError: If the size is not positive; by the recipe, if the frame before may be smaller.
    """

    size: int | Size

    def __post_init__(self) -> None:
        fields.size(self)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        high, wide = fields.pair(self.size)
        return translation(-np.rint((width - wide) / 2), -np.rint((height - high) / 2))
