"""Motion blur: the mean of the image along a line.

In: two uniform draws per sample. Out: one `filter` node with the sample's own weights, cut to the line's extent. On CPU
224² took 0.12 core-milliseconds up to a kernel of 11 × 11 weights, 2.5 above, from where DALI's library uses Fourier
transforms.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamaug.ops import fields
from streamaug.ops.base import Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike
from streamaug.ops.nodes import Arguments, Node

#: The number of points that sample the line; a point counts for the pixel in which it lies.
_POINTS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class MotionBlur(Photometric):
    """Blur along a straight line in a random direction; beyond the edge the image is mirrored.

    Args:
        length: Range of the line's length in pixels, 1..100; one number n means (n, n). Uniform. 1 changes nothing.
        probability: Chance that a sample is blurred at all, 0..1.

    Raises:
        RecipeError: If the range is not ordered or a value lies outside its bounds.
    """

    length: RangeLike = (3.0, 11.0)
    probability: float = 1.0

    draws = 2
    inputs = frozenset({"kernel"})

    def __post_init__(self) -> None:
        fields.ordered_range(self, "length", low=1.0, high=100.0)
        fields.probability(self)

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        return {"kernel": line_kernels(fields.between(self.length, draws[:, 0]), np.pi * draws[:, 1])}

    def build(self, image: Node, arguments: Arguments) -> Node:
        return arguments.fn.filter(image, arguments["kernel"])


def line_kernels(length: npt.NDArray[np.float64], angle: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float32]]:
    """Lines through the middle of a pixel as weights that sum to 1, for lengths (B,) ≥ 1 in pixels and angles (B,).

    Returns:
        B arrays float32 (2a + 1, 2b + 1), as small as the line allows.
    """
    along = ((np.arange(_POINTS) + 0.5) / _POINTS - 0.5) * length[:, None]
    x = np.rint(along * np.cos(angle)[:, None]).astype(np.int64)
    y = np.rint(along * np.sin(angle)[:, None]).astype(np.int64)
    reach_x, reach_y = np.abs(x).max(axis=1), np.abs(y).max(axis=1)
    kernels = []
    for row, (a, b) in enumerate(zip(reach_y.tolist(), reach_x.tolist(), strict=True)):
        columns = 2 * b + 1
        counts = np.bincount((y[row] + a) * columns + x[row] + b, minlength=(2 * a + 1) * columns)
        kernels.append((counts / _POINTS).astype(np.float32).reshape(-1, columns))
    return kernels
