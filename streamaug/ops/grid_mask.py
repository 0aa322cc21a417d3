"""GridMask: a grid of black squares at a random shift (Chen et al., 2020, arXiv 2001.04086)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike
from streamaug.ops.nodes import Arguments, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class GridMask(Photometric):
    """Paint black squares in rows and columns, one in each tile, with the whole grid shifted at random.

    Args:
        ratio: Range of a square's side as a fraction of the tile's, 0..1; one number r means (r, r). Uniform.
        tile: Range of the tile's side in pixels, whole numbers 1..10,000; one number n means (n, n).
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If a range is not ordered or a value lies outside its bounds.
    """

    ratio: RangeLike = 0.5
    tile: RangeLike = (32, 96)
    probability: float = 1.0

    draws = 4

    def __post_init__(self) -> None:
        fields.ordered_range(self, "ratio", low=0.0, high=1.0)
        fields.whole_range(self, "tile", low=1, high=10_000)
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """`ratio`, `tile`, and the shift of the grid's origin in pixels."""
        tile = fields.whole_between(self.tile, draws[:, 1])
        return {
            "ratio": fields.between(self.ratio, draws[:, 0]).astype(np.float32),
            "tile": tile.astype(np.int32),
            "shift_x": np.floor(draws[:, 2] * tile).astype(np.float32),
            "shift_y": np.floor(draws[:, 3] * tile).astype(np.float32),
        }

    def build(self, image: Node, arguments: Arguments) -> Node:
        return arguments.fn.grid_mask(image, **arguments.nodes)

    def hides(self, draws: Draws, points: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.bool_]:
        """The points inside a square, by DALI's own arithmetic."""
        grid = {name: np.asarray(values, np.float32) for name, values in self.parameters(draws, height, width).items()}
        shift = np.stack([grid["shift_x"], grid["shift_y"]], axis=1)
        tile = grid["tile"][:, None]
        tiles = np.floor(points).astype(np.float32) * (np.float32(1) / tile) - shift / tile
        return np.asarray((tiles - np.floor(tiles) < grid["ratio"][:, None]).all(axis=1), np.bool_)
