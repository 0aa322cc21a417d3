"""Rotation without a border: the image is turned, and enlarged until no pixel from outside is in view.

In: one uniform draw per sample. Out: a 3×3 matrix per sample. The operation keeps the largest centred rectangle of the
frame's own aspect ratio, so the output is not distorted.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.geometry import Matrices, about_center, inscribed_zoom, rotation, scaling
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent, Geometric
from streamaug.ops.fields import RangeLike


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateCrop(Geometric):
    """Turn the image about its centre and enlarge it so that no border shows.

    Args:
        degrees: Angle range (low, high), counter-clockwise; one number d means (-d, d). Uniform.
        probability: Chance that a sample is turned at all, 0..1.

    Raises:
        RecipeError: If a range is not ordered or a value lies outside its bounds.
    """

    degrees: RangeLike
    probability: float = 1.0

    draws = 1

    def __post_init__(self) -> None:
        fields.symmetric_range(self, "degrees", limit=360.0)
        fields.probability(self)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        """A rotation about the frame's centre, and the enlargement that hides the border."""
        angle = np.deg2rad(fields.between(self.degrees, draws[:, 0]))
        zoom = inscribed_zoom(width, height, angle)
        return about_center(scaling(zoom, zoom) @ rotation(angle), height, width)
