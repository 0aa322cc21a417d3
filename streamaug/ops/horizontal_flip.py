"""Left and right exchanged.

In: nothing random but the selection. Out: a mirroring matrix.
"""

from dataclasses import dataclass

from streamaug.geometry import Matrices, scaling, translation
from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent, Geometric


@dataclass(frozen=True, slots=True, kw_only=True)
class HorizontalFlip(Geometric):
    """Exchange left and right.

    Args:
        probability: Chance that a sample is flipped, 0..1.

    Raises:
        RecipeError: If the probability lies outside its bounds.
    """

    probability: float = 0.5

    aligned = True
    flips = "h"

    def __post_init__(self) -> None:
        fields.probability(self)

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        return translation(width, 0.0) @ scaling(-1.0, 1.0)
