"""Histogram equalisation of each channel."""

from dataclasses import dataclass

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.nodes import Arguments, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Equalize(Photometric):
    """Spread the values of each channel evenly, as `PIL.ImageOps.equalize` does.

    Pillow rounds its step to a whole number of pixels, so values differ by at most 1 + 255²/(pixels of the image), two
    levels for 224 × 224.

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
        return equalized(image, arguments)


def equalized(image: Node, arguments: Arguments) -> Node:
    """A uint8 (H, W, 3) image, equalised.

    DALI, like OpenCV, takes the first occupied level to 0, and Pillow the last to 255, so the negative is equalised.
    """
    all_bits = arguments.types.Constant(255, arguments.types.UINT8)
    return arguments.fn.equalize(image ^ all_bits) ^ all_bits
