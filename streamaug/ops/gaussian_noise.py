"""Additive Gaussian noise, independent in every pixel and channel.

In: two uniform draws per sample. Out: a window of a fixed field of normal numbers, scaled, added and clipped in
integers, which DALI vectorises where it does not vectorise the conversion of floating point to uint8.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike
from streamaug.ops.nodes import Arguments, Node
from streamaug.ops.noise_field import GAUSSIAN_CENTER, GAUSSIAN_STD, gaussian_window, window_starts

#: Strong noise does not fit a byte: it is a number that fits times a factor of at most this.
_MAX_STEP = 8
_ZERO = GAUSSIAN_CENTER * _MAX_STEP
_SUMS = _ZERO + 255 * (_MAX_STEP + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class GaussianNoise(Photometric):
    """Add noise to each channel of each pixel.

    The noise is a whole number of gray levels, a multiple of 2 above a standard deviation of 32 levels, of 4 above 64
    and of 8 above 128; it lies within 4 standard deviations.

    Args:
        std: Range of the standard deviation as a fraction of 255, 0..1; one number s means (s, s). Uniform.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If the range is not ordered or a value lies outside its bounds.
    """

    std: RangeLike = (0.0, 0.1)
    probability: float = 1.0

    draws = 2
    inputs = frozenset({"step", "shift"})

    def __post_init__(self) -> None:
        fields.ordered_range(self, "std", low=0.0, high=1.0)
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """`start` of the window, `scale` of its numbers, `step` to multiply by, and `shift` that makes the sum ≥ 0."""
        ratio = fields.between(self.std, draws[:, 0]) * 255.0 / GAUSSIAN_STD
        step = np.exp2(np.ceil(np.log2(np.maximum(ratio, 1.0))))
        sign = np.where(draws[:, 1] < 0.5, -1.0, 1.0)
        return {
            "start": window_starts(draws[:, 1] * 2.0 % 1.0),
            "scale": (sign * ratio / step).astype(np.float32),
            "step": step.astype(np.uint16),
            "shift": (GAUSSIAN_CENTER * (_MAX_STEP - step)).astype(np.uint16),
        }

    def build(self, image: Node, arguments: Arguments) -> Node:
        """The sum of image, noise and an offset; a table takes the offset back and clips."""
        fn, types = arguments.fn, arguments.types
        field = gaussian_window(arguments, arguments["start"])
        noise = fn.brightness_contrast(field, contrast=arguments["scale"], contrast_center=float(GAUSSIAN_CENTER))
        total = image + noise * arguments.beside("step") + arguments.beside("shift")
        clipped = np.clip(np.arange(_SUMS) - _ZERO, 0, 255).tolist()
        return fn.lookup_table(total, keys=list(range(_SUMS)), values=clipped, dtype=types.UINT8)
