"""Invert: the negative."""

from dataclasses import dataclass

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.nodes import Arguments, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Invert(Photometric):
    """Replace every value x by 255 − x, as `PIL.ImageOps.invert` does.

    Args:
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the probability lies outside 0..1.
    """

    probability: float = 1.0

    spatial = False

    def __post_init__(self) -> None:
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        return {}

    def build(self, image: Node, arguments: Arguments) -> Node:
        return image ^ arguments.types.Constant(255, arguments.types.UINT8)
