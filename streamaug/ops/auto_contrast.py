"""Contrast stretched to the whole range, each channel by itself."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.nodes import Arguments, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoContrast(Photometric):
    """Stretch each channel so that its lowest value becomes 0 and its highest 255, as `PIL.ImageOps.autocontrast`.

    Values differ from Pillow's by one level at most. A channel of a single value stays unchanged.

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
        return stretched(image, arguments)


def stretched(image: Node, arguments: Arguments) -> Node:
    """A uint8 (H, W, 3) image, stretched by a table of (range, value above the lowest)."""
    fn, types = arguments.fn, arguments.types
    low, high = (reduce(image, axes=(0, 1), keep_dims=True) for reduce in (fn.reductions.min, fn.reductions.max))
    spread = high - low
    # A channel of a single value stays unchanged: row 0 of the table, with nothing subtracted.
    shift = fn.cast(spread, dtype=types.UINT16) * types.Constant(256, types.UINT16) - low * (spread > 0)
    table = spreads().reshape(-1).tolist()
    return fn.lookup_table(image + shift, keys=list(range(1 << 16)), values=table, dtype=types.UINT8)


@lru_cache(maxsize=1)
def spreads() -> npt.NDArray[np.int64]:
    """int64 (256, 256): ⌊255 · value / range⌋ by range and value; the value itself for a range of 0."""
    spread, value = np.mgrid[:256, :256]
    scaled = np.minimum(value * 255 // np.maximum(spread, 1), 255)
    return np.asarray(np.where(spread == 0, value, scaled))
