"""Rotation about the centre, with a border.

In: one uniform draw per sample. Out: a 3×3 matrix per sample, source to output, composed with the other geometry and
resampled once by the graph. Never touches pixels itself.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.geometry import Matrices, about_center, rotation
from streamaug.ops import fields
from streamaug.ops.base import Color, Draws, Extent
from streamaug.ops.bordered import Bordered
from streamaug.ops.fields import RangeLike


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate(Bordered):
    """Turn the image about its centre; border pixels may come into view.

    Args:
        degrees: Angle range (low, high), counter-clockwise; one number d means (-d, d). Uniform.
        border, fill: The pixels outside the image, see `Bordered`.
        probability: Chance that a sample is turned at all, 0..1.

    Raises:
        RecipeError: If a range is not ordered or a value lies outside its bounds.
    """

    degrees: RangeLike
    border: str | None = None
    fill: Color | None = None
    probability: float = 1.0

    draws = 1

    def __post_init__(self) -> None:
        fields.symmetric_range(self, "degrees", limit=360.0)
        self.check_border()
        fields.probability(self)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        return about_center(rotation(np.deg2rad(fields.between(self.degrees, draws[:, 0]))), height, width)
