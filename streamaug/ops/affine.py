"""Rotation, shear, zoom and shift in one operation, with a border.

In: five uniform draws per sample. Out: a 3×3 matrix per sample.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.geometry import Matrices, about_center, rotation, scaling, shearing, translation
from streamaug.ops import fields
from streamaug.ops.base import Color, Draws, Extent
from streamaug.ops.bordered import Bordered
from streamaug.ops.fields import Range, RangeLike, refuse


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine(Bordered):
    """Zoom, shear and turn about the centre, in this order, then shift.

    Args:
        degrees: Angle range (low, high), counter-clockwise; one number d means (-d, d).
        translate: (max |x|, max |y|) of the shift, as fractions of the frame's width and height, 0..1.
        scale: Range of the zoom, above 0; above 1 enlarges.
        shear: Range of the horizontal shear angle in degrees, within ±89; one number d means (-d, d).
        border, fill: The pixels outside the image, see `Bordered`.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If a range is not ordered or a value lies outside its bounds.
    """

    degrees: RangeLike = 0.0
    translate: Range = (0.0, 0.0)
    scale: RangeLike = (1.0, 1.0)
    shear: RangeLike = 0.0
    border: str | None = None
    fill: Color | None = None
    probability: float = 1.0

    draws = 5

    def __post_init__(self) -> None:
        fields.symmetric_range(self, "degrees", limit=360.0)
        fields.fractions(self, "translate")
        fields.ordered_range(self, "scale", low=0.0)
        if fields.bounds(self.scale)[0] <= 0:
            raise refuse(self, "scale", "low must be above 0", "Write (0.8, 1.2).")
        fields.symmetric_range(self, "shear", limit=89.0)
        self.check_border()
        fields.probability(self)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        angle = np.deg2rad(fields.between(self.degrees, draws[:, 0]))
        zoom = fields.between(self.scale, draws[:, 1])
        lean = np.deg2rad(fields.between(self.shear, draws[:, 2]))
        x, y = ((2.0 * draws[:, 3 + i] - 1.0) * self.translate[i] for i in range(2))
        about = rotation(angle) @ shearing(lean, np.zeros_like(lean)) @ scaling(zoom, zoom)
        return translation(x * width, y * height) @ about_center(about, height, width)
