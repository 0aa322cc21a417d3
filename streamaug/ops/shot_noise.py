"""Shot noise, of the random arrival of photons at a sensor.

In: two uniform draws per sample. Out: the image plus, for each channel of each pixel, a deviation of the variance and
the shape that the Poisson distribution has at its brightness; from a window of a fixed field, two tables and one sum.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike
from streamaug.ops.nodes import Arguments, Node
from streamaug.ops.noise_field import GAUSSIAN_CENTER, GAUSSIAN_STD, gaussian_window, window_starts

#: The shape of the distribution is tabulated in steps of 1/8 photon; beyond 255 steps it is that of 32 photons. A mean
#: takes the step at or below it, since with a higher step a value without any photon would lie below black.
_STEPS_PER_PHOTON = 8.0
_ROUND_DOWN = -0.5 / 255.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShotNoise(Photometric):
    """Replace each value by the count of photons at a sensor.

    Mean and variance are those of the Poisson distribution, but for clipping at white. The shape is that of a mean
    number of photons lower by less than 1/8, and above 32 photons that of 32 (skewness 0.18).

    Args:
        scale: Range of the mean number of photons at white, 1..1,000,000; one number n means (n, n). Uniform.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the range is not ordered or a value lies outside its bounds.
    """

    scale: RangeLike = (20.0, 200.0)
    probability: float = 1.0

    draws = 2
    inputs = frozenset({"strength"})

    def __post_init__(self) -> None:
        fields.ordered_range(self, "scale", low=1.0, high=1e6)
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """`start` of the window; `photons`, table steps per gray level; `strength`, gray levels per √(gray level)."""
        scale = fields.between(self.scale, draws[:, 0])
        return {
            "start": window_starts(draws[:, 1]),
            "photons": (scale / 255.0 * _STEPS_PER_PHOTON).astype(np.float32),
            "strength": np.sqrt(255.0 / scale).astype(np.float32),
        }

    def build(self, image: Node, arguments: Arguments) -> Node:
        """Add the standardised deviation times the square root of the value."""
        fn, types = arguments.fn, arguments.types
        window = gaussian_window(arguments, arguments["start"])
        row = fn.brightness_contrast(image, brightness=arguments["photons"], brightness_shift=_ROUND_DOWN)
        index = row * types.Constant(256, types.UINT16) + window
        deviation = fn.lookup_table(
            index, keys=list(range(1 << 16)), values=standard_deviates().reshape(-1).tolist(), dtype=types.FLOAT
        )
        root = fn.lookup_table(
            image, keys=list(range(256)), values=np.sqrt(np.arange(256.0)).tolist(), dtype=types.FLOAT
        )
        return fn.cast(image + deviation * (root * arguments.beside("strength")), dtype=types.UINT8)


@lru_cache(maxsize=1)
def standard_deviates() -> npt.NDArray[np.float64]:
    """float64 (256, 256): Poisson deviates of mean 0 and variance 1, by mean (row) and number of the Gaussian field.

    Each number stands for a cell of equal quantiles; its deviate is the mean of the Poisson quantiles in the cell.
    """
    from scipy.special import ndtr, pdtr  # 0.4 s to import, which only a graph with noise should pay

    means = np.arange(256) / _STEPS_PER_PHOTON
    means[0] = 0.125 / _STEPS_PER_PHOTON
    edges = ndtr((np.arange(257) - 0.5 - GAUSSIAN_CENTER) / GAUSSIAN_STD)
    edges[[0, 1, 256]] = 0.0, 0.0, 1.0  # the field's lowest and highest numbers, 1 and 255, hold the tails
    weights = np.diff(edges)
    below = pdtr(np.arange(128)[:, None], means)  # (count, mean)
    # The integral of the quantile function from 0 to u is the sum over k of max(0, u - P(count ≤ k)).
    integral = np.stack([np.maximum(0.0, edge - below).sum(axis=0) for edge in edges], axis=1)
    cells = np.diff(integral, axis=1) / np.where(weights > 0, weights, 1.0)
    centered = cells - (cells * weights).sum(axis=1, keepdims=True)
    return np.asarray(centered / np.sqrt((centered**2 * weights).sum(axis=1, keepdims=True)))
