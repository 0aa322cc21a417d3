"""A random part of the image with all of its boxes, resized: the crop for detectors that must lose no object.

In: the draws of `RandomResizedCrop`, and the rectangle around each sample's boxes. Out: the matrix that takes the
window to the frame. The window is that of `RandomResizedCrop`, at least as high and as wide as the rectangle, and its
position is uniform over those at which it holds the rectangle.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.geometry import Matrices, window
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent, Rectangles
from streamaug.ops.random_resized_crop import RandomResizedCrop


@dataclass(frozen=True, slots=True)
class RandomBoxSafeCrop(RandomResizedCrop):
    """Cut out a window of random area and aspect ratio that holds every box of the image whole, and resize it.

    The window exceeds the ranges where the boxes need it, in height, width or both; keypoints do not count. An image
    without boxes is cropped as by `RandomResizedCrop`. It needs annotations: `augment(…, annotations=…)`. A rotation or
    a crop behind it may still cut a box off.

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

    keeps_boxes = True

    def matrix_keeping(self, draws: Draws, height: Extent, width: Extent, kept: Rectangles) -> Matrices:
        free = self.windows(draws, height, width)
        extent = np.stack([height, width], axis=1)
        # Whole pixels around the boxes, as far as the frame reaches.
        low = np.clip(np.floor(kept[:, :2]), 0.0, extent)
        high = np.clip(np.ceil(kept[:, 2:]), 0.0, extent)
        size = np.maximum(free[:, 2:], high - low)
        first, last = np.maximum(high - size, 0.0), np.minimum(low, extent - size)
        place = first + np.floor(draws[:, -2:] * (last - first + 1))
        bound = np.concatenate([place, size], axis=1)
        top, left, high_side, wide_side = np.where(np.isnan(kept), free, bound).T
        return window(top, left, high_side, wide_side, fields.pair(self.size))
