"""Gray, by the luma of ITU-R BT.601, in all three channels."""

from dataclasses import dataclass

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.nodes import Arguments, Node

#: Luma from R, G and B: a matrix of one row.
_LUMA = [0.299, 0.587, 0.114]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grayscale(Photometric):
    """Take the colour away: R, G and B all become 0.299 R + 0.587 G + 0.114 B.

    Args:
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the probability lies outside 0..1.
    """

    probability: float = 0.1

    spatial = False

    def __post_init__(self) -> None:
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        return {}

    def build(self, image: Node, arguments: Arguments) -> Node:
        return gray(image, arguments)


def gray(image: Node, arguments: Arguments) -> Node:
    """The luma of a uint8 (H, W, 3) image in each of three channels."""
    fn, types = arguments.fn, arguments.types
    if arguments.device == "gpu":
        return fn.coord_transform(image, M=_LUMA * 3, dtype=types.UINT8)
    return fn.color_space_conversion(luma(image, arguments), image_type=types.GRAY, output_type=types.RGB)


def luma(image: Node, arguments: Arguments) -> Node:
    """The luma of a uint8 (H, W, 3) image: uint8 (H, W, 1).

    A GPU's `color_space_conversion` is a launch for each sample, its `coord_transform` one for all.
    """
    fn, types = arguments.fn, arguments.types
    if arguments.device == "gpu":
        return fn.coord_transform(image, M=_LUMA, dtype=types.UINT8)
    return fn.color_space_conversion(image, image_type=types.RGB, output_type=types.GRAY)
