"""A random part of the image, resized: the crop of Inception and of nearly every ImageNet recipe since.

In: 23 uniform draws per sample. Out: the matrix that takes the window to the frame. The window is that of torchvision's
`RandomResizedCrop`: ten tries at an area and an aspect ratio, then the largest centred window of a permitted ratio.
"""

import math
from dataclasses import KW_ONLY, dataclass

import numpy as np
import numpy.typing as npt

from streamaug.geometry import Matrices, window
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent
from streamaug.ops.fields import Range, Size, refuse
from streamaug.ops.fixed_frame import FixedFrame

_TRIES = 10


@dataclass(frozen=True, slots=True)
class RandomResizedCrop(FixedFrame):
    """Cut out a window of random area and aspect ratio and resize it.

    Args:
        size: The frame afterwards: (height, width) in pixels, or one number for a square.
        scale: Range of the window's area as a fraction of the image's, in (0, 1].
        ratio: Range of its aspect ratio, width / height; uniform in the logarithm.
        antialias: Filter when shrinking. False is faster: the resize joins the one warp of the recipe.
        interpolation: "bilinear", "bicubic" or "lanczos"; the last two need antialias=True.
        probability: Chance that a sample is cropped; other samples are resized whole.
        apply_orientation: Turn the image as its EXIF orientation says, see docs/operations.md; by default as stored.

    Raises:
        RecipeError: If a range is not ordered or a value lies outside its bounds.
    """

    size: int | Size
    _: KW_ONLY
    scale: Range = (0.08, 1.0)
    ratio: Range = (3 / 4, 4 / 3)
    antialias: bool = True
    interpolation: str = "bilinear"
    probability: float = 1.0
    apply_orientation: bool = False

    draws = 2 * _TRIES + 3
    aligned = True
    ignores_outside_window = True

    def __post_init__(self) -> None:
        fields.size(self)
        fields.ordered_range(self, "scale", low=0.0, high=1.0)
        fields.ordered_range(self, "ratio", low=0.0)
        if self.scale[0] <= 0:
            raise refuse(self, "scale", "low must be above 0", f"Write (0.08, {self.scale[1]:g}).")
        if self.ratio[0] <= 0:
            raise refuse(self, "ratio", "low must be above 0", f"Write (0.75, {max(self.ratio[1], 0.75):g}).")
        fields.resampling(self)
        fields.probability(self)
        fields.flag(self, "apply_orientation")

    def windows(self, draws: Draws, height: Extent, width: Extent) -> npt.NDArray[np.float64]:
        """float64 (B, 4), whole numbers: top, left, height and width of each sample's window."""
        area = (height * width)[:, None] * fields.between(self.scale, draws[:, :_TRIES])
        logarithms = (math.log(self.ratio[0]), math.log(self.ratio[1]))
        aspect = np.exp(fields.between(logarithms, draws[:, _TRIES : 2 * _TRIES]))
        wide, high = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
        fits = (wide > 0) & (wide <= width[:, None]) & (high > 0) & (high <= height[:, None])
        rows, first = np.arange(len(draws)), fits.argmax(axis=1)
        any_fits = fits[rows, first]
        whole_high, whole_wide = self._fallback(height, width)
        high = np.where(any_fits, high[rows, first], whole_high)
        wide = np.where(any_fits, wide[rows, first], whole_wide)
        top = np.where(any_fits, np.floor(draws[:, -2] * (height - high + 1)), np.floor((height - high) / 2))
        left = np.where(any_fits, np.floor(draws[:, -1] * (width - wide + 1)), np.floor((width - wide) / 2))
        return np.stack([top, left, high, wide], axis=1)

    def _fallback(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        low, high = self.ratio
        actual = width / height
        tall = np.where(actual < low, np.rint(width / low), height)
        wide = np.where(actual > high, np.rint(height * high), width)
        return np.clip(tall, 1, height), np.clip(wide, 1, width)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        top, left, high, wide = self.windows(draws, height, width).T
        return window(top, left, high, wide, fields.pair(self.size))

    def unselected(self, height: Extent, width: Extent) -> Matrices:
        return window(0.0, 0.0, height, width, fields.pair(self.size))
