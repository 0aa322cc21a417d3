"""Resizes the whole image to one size, whatever its aspect ratio.

In: nothing random. Out: the matrix that takes the image to the frame.
"""

from dataclasses import KW_ONLY, dataclass

from streamaug.geometry import Matrices, window
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent
from streamaug.ops.fields import Size
from streamaug.ops.fixed_frame import FixedFrame


@dataclass(frozen=True, slots=True)
class Resize(FixedFrame):
    """Resize to exactly `size`; the aspect ratio is not kept.

    Args:
        size: The frame afterwards: (height, width) in pixels, or one number for a square.
        antialias: Filter when shrinking. False is faster: the resize joins the one warp of the recipe.
        interpolation: "bilinear", "bicubic" or "lanczos"; the last two need antialias=True.
        apply_orientation: Turn the image as its EXIF orientation says, see docs/operations.md; by default as stored.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    size: int | Size
    _: KW_ONLY
    antialias: bool = True
    interpolation: str = "bilinear"
    apply_orientation: bool = False

    aligned = True

    def __post_init__(self) -> None:
        fields.size(self)
        fields.resampling(self)
        fields.flag(self, "apply_orientation")

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        return window(0.0, 0.0, height, width, fields.pair(self.size))
