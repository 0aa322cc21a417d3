"""Sharpening, by extrapolation from a smoothed image.

In: one uniform draw per sample. Out: one `filter` node with the sample's own weights.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike
from streamaug.ops.nodes import Arguments, Node

#: Pillow's SMOOTH, from which its Sharpness extrapolates.
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpen(Photometric):
    """Blend the image with a smoothed copy, as `PIL.ImageEnhance.Sharpness` does.

    Values differ from Pillow's, which rounds the smoothed image first, by at most 1 + |1 - factor|; beyond the edge the
    image is mirrored, where Pillow leaves the outermost pixels unchanged.

    Args:
        factor: Range of the share of the image itself, at least 0: 0 smooths, 1 changes nothing, above 1 sharpens; one
            number f means (f, f). Uniform.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the range is not ordered or a value lies outside its bounds.
    """

    factor: RangeLike = 2.0
    probability: float = 1.0

    draws = 1
    inputs = frozenset({"kernel"})

    def __post_init__(self) -> None:
        fields.ordered_range(self, "factor", low=0.0, high=100.0)
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        return {"kernel": kernels(fields.between(self.factor, draws[:, 0]))}

    def build(self, image: Node, arguments: Arguments) -> Node:
        return arguments.fn.filter(image, arguments["kernel"])


def kernels(factor: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """float32 (B, 3, 3): weights of the blends with factors (B,)."""
    weights = (1.0 - factor)[:, None, None] * _SMOOTH
    weights[:, 1, 1] += factor
    return weights.astype(np.float32)
