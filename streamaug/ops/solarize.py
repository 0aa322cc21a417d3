"""Solarize: bright values are inverted."""

from dataclasses import dataclass

import numpy as np

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike
from streamaug.ops.nodes import Arguments, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Solarize(Photometric):
    """Replace values x from the threshold on by 255 − x, as `PIL.ImageOps.solarize` does.

    Args:
        threshold: Range of the threshold in gray levels, 0..256; one number t means (t, t). Uniform. 0 inverts all
            values, 256 none.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the range is not ordered or a value lies outside its bounds.
    """

    threshold: RangeLike = 128.0
    probability: float = 1.0

    draws = 1
    spatial = False
    inputs = frozenset({"threshold"})

    def __post_init__(self) -> None:
        fields.ordered_range(self, "threshold", low=0.0, high=256.0)
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        return {"threshold": np.ceil(fields.between(self.threshold, draws[:, 0])).astype(np.int16)}

    def build(self, image: Node, arguments: Arguments) -> Node:
        return solarized(image, arguments.beside("threshold"), arguments)


def solarized(image: Node, threshold: Node, arguments: Arguments) -> Node:
    """A uint8 image with the values from `threshold`, int16 (), on inverted."""
    types = arguments.types
    return image ^ ((image >= threshold) * types.Constant(255, types.UINT8))
