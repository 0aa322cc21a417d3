"""Perspective: the four corners move independently, with a border.

In: eight uniform draws per sample. Out: a 3×3 matrix per sample.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.geometry import Matrices, homography
from streamaug.ops import fields
from streamaug.ops.base import Color, Draws, Extent
from streamaug.ops.bordered import Bordered

#: The corners, as fractions of (width, height), and their directions inward.
_CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
_INWARD = 1.0 - 2.0 * _CORNERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Perspective(Bordered):
    """Move each corner inward by up to `distortion_scale` times half the frame, uniformly, as torchvision does.

    Args:
        distortion_scale: How far a corner may move, as a fraction of half the frame's width and height, 0..1.
        border, fill: The pixels outside the image, see `Bordered`.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    distortion_scale: float = 0.5
    border: str | None = None
    fill: Color | None = None
    probability: float = 1.0

    draws = 8

    def __post_init__(self) -> None:
        fields.number(self, "distortion_scale", low=0.0, high=1.0)
        self.check_border()
        fields.probability(self)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        """The map that takes the frame's corners to the drawn positions."""
        size = np.stack([width, height], axis=1)[:, None]
        moved = draws.reshape(-1, 4, 2) * _INWARD * (self.distortion_scale / 2.0)
        return homography(_CORNERS * size, (_CORNERS + moved) * size)
