"""A window of the padded frame at a random position: the crop of CIFAR's recipes.

In: two uniform draws per sample. Out: a shift by whole pixels, so that no pixel is resampled.
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from streamaug.geometry import Matrices, translation
from streamaug.ops import fields
from streamaug.ops.base import Border, Color, Draws, Extent, StaticFrame
from streamaug.ops.bordered import Bordered
from streamaug.ops.fields import Size, refuse
from streamaug.ops.fixed_frame import FixedFrame


@dataclass(frozen=True, slots=True)
class RandomCrop(Bordered, FixedFrame):
    """Keep `size` pixels of the frame at a uniform position, after adding `padding` pixels of border around it.

    Args:
        size: The frame afterwards: (height, width) in pixels, or one number for a square.
        padding: Pixels of border on all four sides, a whole number.
        border, fill: The pixels outside the image, see `Bordered`.

    Raises:
        RecipeError: If a value lies outside its bounds; by the recipe, if the padded frame may be smaller.
    """

    size: int | Size
    _: KW_ONLY
    padding: int = 0
    border: str | None = None
    fill: Color | None = None

    draws = 2
    aligned = True

    def __post_init__(self) -> None:
        fields.size(self)
        fields.integer(self, "padding", low=0)
        self.check_border()

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        size, padding = fields.pair(self.size), self.padding
        top = np.floor(draws[:, 0] * (height + 2 * padding - size[0] + 1)) - padding
        left = np.floor(draws[:, 1] * (width + 2 * padding - size[1] + 1)) - padding
        return translation(-left, -top)

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame:
        size, padding = fields.pair(self.size), self.padding
        if frame is None:
            raise refuse(self, "size", "must follow an operation that sets the frame's size", "Put Resize before it.")
        if size[0] > frame.height + 2 * padding or size[1] > frame.width + 2 * padding:
            must = f"must not exceed {frame.height}×{frame.width} pixels and {padding} on all sides"
            raise refuse(self, "size", must, f"Write {min(frame.height, frame.width) + 2 * padding}.")
        return FixedFrame.static_frame(self, frame)

    def shows(self) -> Border | None:
        """None without padding: then the window lies inside the frame, and the resize cuts it out."""
        return Bordered.shows(self) if self.padding else None
