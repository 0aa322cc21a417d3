"""Gray, by the luma of ITU-R BT.601, in all three channels."""

from dataclasses import dataclass

from streamaug.ops import fields
from streamaug.ops.base import Arguments, Draws, Node, Parameters, Photometric


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
        """None."""
        return {}

    def build(self, image: Node, arguments: Arguments) -> Node:
        """To one channel and back to three."""
        return gray(image, arguments)


def gray(image: Node, arguments: Arguments) -> Node:
    """The luma of a uint8 (H, W, 3) image in each of three channels."""
    fn, types = arguments.fn, arguments.types
    luma = fn.color_space_conversion(image, image_type=types.RGB, output_type=types.GRAY)
    return fn.color_space_conversion(luma, image_type=types.GRAY, output_type=types.RGB)
