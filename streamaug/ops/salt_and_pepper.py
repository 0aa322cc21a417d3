"""Salt and pepper: some pixels become white, as many black.

In: two uniform draws per sample. Out: a window of a fixed field of 16-bit uniform numbers, one for each pixel, and two
thresholds.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike
from streamaug.ops.nodes import Arguments, Node
from streamaug.ops.noise_field import uniform_window, window_starts

_LEVELS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SaltAndPepper(Photometric):
    """Replace whole pixels by white or by black, with equal chances.

    Args:
        amount: Range of the fraction of pixels that are replaced, 0..1; one number a means (a, a). Uniform.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the range is not ordered or a value lies outside its bounds.
    """

    amount: RangeLike = (0.0, 0.05)
    probability: float = 1.0

    draws = 2
    inputs = frozenset({"white", "black"})

    def __post_init__(self) -> None:
        fields.ordered_range(self, "amount", low=0.0, high=1.0)
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """`start` of the window; numbers below `white` make white pixels, numbers from `black` on black pixels."""
        half = np.rint(fields.between(self.amount, draws[:, 0]) * _LEVELS / 2).astype(np.int32)
        return {"start": window_starts(draws[:, 1]), "white": half, "black": _LEVELS - half}

    def build(self, image: Node, arguments: Arguments) -> Node:
        """A white pixel has all its bits set, a black one none."""
        numbers = uniform_window(arguments, arguments["start"], channels=1, width=2)
        white = (numbers < arguments.beside("white")) * arguments.types.Constant(255, arguments.types.UINT8)
        return (image | white) * (numbers < arguments.beside("black"))
