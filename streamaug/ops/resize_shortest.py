"""Resizes the shorter side to a given length and keeps the aspect ratio: the first half of an evaluation.

In: nothing random. Out: the matrix that takes the image to its frame, whose size differs from sample to sample, so that
a crop must follow. The arithmetic is that of torchvision's `Resize(int)`.
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from streamaug.geometry import Matrices, window
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent, Geometric, StaticFrame


@dataclass(frozen=True, slots=True)
class ResizeShortest(Geometric):
    """Resize so that the shorter side is `size` and the longer int(size · long / short).

    Args:
        size: The shorter side afterwards, in pixels.
        antialias: Filter when shrinking. False is faster: the resize joins the one warp of the recipe.
        interpolation: "bilinear", "bicubic" or "lanczos"; the last two need antialias=True.
        apply_orientation: Turn the image as its EXIF orientation says, see docs/operations.md; by default as stored.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    size: int
    _: KW_ONLY
    antialias: bool = True
    interpolation: str = "bilinear"
    apply_orientation: bool = False

    aligned = True

    def __post_init__(self) -> None:
        fields.integer(self, "size", low=1)
        fields.resampling(self)
        fields.flag(self, "apply_orientation")

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        return window(0.0, 0.0, height, width, self.frame(height, width))

    def frame(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        """`size` for the shorter side, int(size · long / short) for the longer."""
        short = np.minimum(height, width)
        return np.floor(self.size * height / short), np.floor(self.size * width / short)

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame:
        return StaticFrame(self.size, self.size, exact=False)
