"""The whole image at one size, whatever its aspect ratio was.

In: nothing random. Out: the matrix that takes the image to the frame.
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from streamaug.geometry import Matrices, window
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent, Geometric, StaticFrame
from streamaug.ops.fields import Size


@dataclass(frozen=True, slots=True)
class Resize(Geometric):
    """Resize to exactly `size`; the aspect ratio is not kept.

    Args:
        size: The frame afterwards: (height, width) in pixels, or one number for a square.
        antialias: Filter when shrinking. False is faster: the resize joins the one warp of the recipe.
        interpolation: "bilinear", "bicubic" or "lanczos"; the last two need antialias=True.
        apply_orientation: Turn the image as its EXIF orientation says; ignored by default, as Pillow does.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    size: int | Size
    _: KW_ONLY
    antialias: bool = True
    interpolation: str = "bilinear"
    apply_orientation: bool = False

    probability = 1.0
    aligned = True

    def __post_init__(self) -> None:
        fields.size(self)
        fields.resampling(self)
        fields.flag(self, "apply_orientation")

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        """The whole image to the whole frame."""
        return window(0.0, 0.0, height, width, fields.pair(self.size))

    def frame(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        """`size` for every sample."""
        return np.full_like(height, fields.pair(self.size)[0]), np.full_like(width, fields.pair(self.size)[1])

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame:
        """`size`, exactly."""
        return StaticFrame(*fields.pair(self.size), exact=True)
