"""Gamma: values as a power of their share of white.

In: one uniform draw per sample. Out: the row of a table in which the sample's values are looked up; a power for each
pixel would cost 12 times as much (3.7 core-milliseconds for 224² on CPU, the table 0.3).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike, refuse
from streamaug.ops.nodes import Arguments, Node

#: The number of gammas in a range: rows of the table, whose columns are the values.
STEPS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Gamma(Photometric):
    """Replace each value x by 255·(x/255)^gamma, one gamma an image: above 1 darker, below 1 brighter.

    Args:
        gamma: Range of the exponent, above 0; one number g means (g, g). Uniform over the middles of 256 equal parts of
            the range.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the range is not ordered or a value lies outside its bounds.
    """

    gamma: RangeLike = (0.8, 1.25)
    probability: float = 1.0

    draws = 1
    spatial = False
    inputs = frozenset({"row"})

    def __post_init__(self) -> None:
        fields.ordered_range(self, "gamma", low=0.0, high=100.0)
        if fields.bounds(self.gamma)[0] <= 0:
            raise refuse(self, "gamma", "low must be above 0", "Write (0.8, 1.25).")
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """`row`: the index of the table's row of the sample's gamma."""
        return {"row": (np.floor(draws[:, 0] * STEPS) * 256).astype(np.uint16)}

    def build(self, image: Node, arguments: Arguments) -> Node:
        fn, types = arguments.fn, arguments.types
        table = self.table().reshape(-1).tolist()
        keys = image + arguments.beside("row")
        return fn.lookup_table(keys, keys=list(range(len(table))), values=table, dtype=types.UINT8)

    def table(self) -> npt.NDArray[np.int64]:
        """int64 (256, 256): the new value by the gamma's number and the old value."""
        gammas = fields.between(self.gamma, (np.arange(STEPS) + 0.5) / STEPS)
        return np.rint(255.0 * (np.arange(256) / 255.0) ** gammas[:, None]).astype(np.int64)
