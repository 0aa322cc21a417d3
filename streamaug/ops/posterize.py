"""Posterize: only the highest bits of each value are kept."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike
from streamaug.ops.nodes import Arguments, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterize(Photometric):
    """Clear the low bits of each value, as `PIL.ImageOps.posterize` does.

    Args:
        bits: Range of the number of bits that are kept, whole numbers 1..8, both ends included; one number n means (n,
            n).
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the range is not ordered, a value is not whole, or it lies outside its bounds.
    """

    bits: RangeLike = 4
    probability: float = 1.0

    draws = 1
    spatial = False
    inputs = frozenset({"mask"})

    def __post_init__(self) -> None:
        fields.whole_range(self, "bits", low=1, high=8)
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        return {"mask": mask(fields.whole_between(self.bits, draws[:, 0]))}

    def build(self, image: Node, arguments: Arguments) -> Node:
        return image & arguments.beside("mask")


def mask(bits: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """uint8 (B,) with the `bits` (B,) highest bits set."""
    return (256 - (1 << (8 - bits))).astype(np.uint8)
