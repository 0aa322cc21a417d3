"""Erase rectangles of the image: random erasing and cutout.

In: four uniform draws for each rectangle, one for their number, one for noise. Out: `erase` nodes with each
sample's own rectangles. Sources: Zhong et al., "Random erasing data augmentation", 2017; DeVries and Taylor, "Improved
regularization of convolutional neural networks with cutout", 2017.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamaug.ops import fields
from streamaug.ops.base import Color, Draws, Parameters, Photometric
from streamaug.ops.fields import RangeLike, refuse
from streamaug.ops.nodes import Arguments, Node
from streamaug.ops.noise_field import GAUSSIAN_CENTER, GAUSSIAN_STD, gaussian_window, uniform_window, window_starts

_MAX_COUNT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Erase(Photometric):
    """Erase rectangles whose position is uniform: wholly inside the image, or a square that may reach beyond it.

    Args:
        area: Range of a rectangle's area as a fraction of the image's, 0..1; one number a means (a, a). Uniform.
        ratio: Range of width over height, above 0, uniform in the logarithm. Where a rectangle of that area would not
            fit into the image, it gets the nearest ratio with which it fits.
        size: Side in pixels of a square whose centre is uniform over the image (cutout), instead of `area` and
            `ratio`; None: rectangles by these.
        count: Range of the number of rectangles, whole numbers 1..64, both ends included; one number n means (n, n).
        fill: A gray level 0..255 or (red, green, blue); "mean": the mean colour of the image before erasing; "noise":
            uniform in each channel; "normal": normal with mean 0 and standard deviation 1 after normalising, as timm's
            `pixel` mode, painted last (in steps of 1/32, within ±4), which needs an `Output` with mean and std.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If a range is not ordered or a value lies outside its bounds.
    """

    area: RangeLike = (0.02, 0.33)
    ratio: RangeLike = (0.3, 3.3)
    size: int | None = None
    count: RangeLike = 1
    fill: Color | str = 0.0
    probability: float = 0.5

    def __post_init__(self) -> None:
        fields.ordered_range(self, "area", low=0.0, high=1.0)
        fields.ordered_range(self, "ratio", low=0.0)
        if fields.bounds(self.ratio)[0] <= 0:
            raise refuse(self, "ratio", "low must be above 0", "Write (0.3, 3.3).")
        if self.size is not None:
            fields.integer(self, "size", low=1)
        fields.whole_range(self, "count", low=1, high=_MAX_COUNT)
        if isinstance(self.fill, str):
            fields.choice(self, "fill", ("mean", "noise", "normal"))
        else:
            fields.color(self)
        fields.probability(self)

    @property
    def draws(self) -> int:
        return 2 + 4 * self._most

    @property
    def _most(self) -> int:
        return int(fields.bounds(self.count)[1])

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """`anchor` and `shape`, float32 (B, 2·count): y and x of each rectangle in turn, empty beyond the count."""
        numbers = draws[:, 2:].reshape(len(draws), self._most, 4)
        low, high = self._squares(numbers, height, width) if self.size else self._rectangles(numbers, height, width)
        surplus = np.arange(self._most) >= fields.whole_between(self.count, draws[:, 0])[:, None]
        high[surplus] = low[surplus]
        parameters: Parameters = {
            "anchor": low.reshape(len(draws), -1).astype(np.float32),
            "shape": (high - low).reshape(len(draws), -1).astype(np.float32),
        }
        if self.fill in ("noise", "normal"):
            parameters["start"] = window_starts(draws[:, 1])
        return parameters

    def _squares(
        self, numbers: npt.NDArray[np.float64], height: int, width: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        extent = np.array([height, width])
        low = np.floor(numbers[..., :2] * extent) - int(self.size or 0) // 2
        return np.maximum(low, 0), np.minimum(low + int(self.size or 0), extent)

    def _rectangles(
        self, numbers: npt.NDArray[np.float64], height: int, width: int
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """(top, left) and (bottom, right) of rectangles wholly inside, whole numbers, each float64 (B, count, 2)."""
        extent = np.array([height, width])
        fraction = fields.between(self.area, numbers[..., 2])
        ends = np.log(fields.bounds(self.ratio))
        aspect = np.exp(ends[0] + (ends[1] - ends[0]) * numbers[..., 3])
        aspect = np.clip(aspect, fraction * width / height, width / (height * np.maximum(fraction, 1e-12)))
        pixels = fraction * height * width
        shape = np.minimum(np.rint(np.stack([np.sqrt(pixels / aspect), np.sqrt(pixels * aspect)], axis=-1)), extent)
        low = np.floor(numbers[..., :2] * (extent - shape + 1))
        return low, low + shape

    def build(self, image: Node, arguments: Arguments) -> Node:
        """DALI erases with a constant; any other fill is added by a mask, which DALI erases likewise."""
        fn, types = arguments.fn, arguments.types
        if self.finishes:
            return image
        if not isinstance(self.fill, str):
            fill_value = list(self.fill) if isinstance(self.fill, tuple) else self.fill
            return fn.erase(image, fill_value=fill_value, **self._rectangles_of(arguments))
        mask = self._mask(arguments, channels=3, level=255)
        if self.fill == "noise":
            fill = uniform_window(arguments, arguments["start"], channels=3)
        else:
            fill = fn.cast(fn.reductions.mean(image, axes=(0, 1)), dtype=types.UINT8)
        return image ^ ((image ^ fill) & mask)

    def finish(self, image: Node, arguments: Arguments, channels_first: bool) -> Node:
        """Normal noise inside the mask; arithmetic with 0 and 1 leaves the rest unchanged, bit for bit."""
        fn, types = arguments.fn, arguments.types
        mask = self._mask(arguments, channels=1, level=1)
        noise = gaussian_window(arguments, arguments["start"])
        if channels_first:
            height, width = arguments.height, arguments.width
            mask = fn.reshape(mask, shape=[1, height, width], layout="CHW")
            noise = fn.reshape(noise, shape=[3, height, width], layout="CHW")
        normal = (fn.cast(noise, dtype=types.FLOAT) - float(GAUSSIAN_CENTER)) * (1.0 / GAUSSIAN_STD)
        share = fn.cast(mask, dtype=types.FLOAT)
        return image * (1.0 - share) + normal * share

    @property
    def finishes(self) -> bool:
        return self.fill == "normal"

    def _mask(self, arguments: Arguments, *, channels: int, level: int) -> Node:
        """uint8 (H, W, channels), `level` in the rectangles, else 0."""
        shape = [arguments.height, arguments.width, channels]
        blank = arguments.constant([0], shape, arguments.types.UINT8, layout="HWC")
        return arguments.fn.erase(blank, fill_value=level, **self._rectangles_of(arguments))

    @staticmethod
    def _rectangles_of(arguments: Arguments) -> dict[str, Any]:
        return {"anchor": arguments["anchor"], "shape": arguments["shape"], "axes": (0, 1)}

    def hides(self, draws: Draws, points: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.bool_]:
        holes = self.parameters(draws, height, width)
        low = np.asarray(holes["anchor"], np.float64).reshape(len(points), -1, 2)[..., ::-1]
        high = low + np.asarray(holes["shape"], np.float64).reshape(len(points), -1, 2)[..., ::-1]
        inside = (points[:, None] >= low) & (points[:, None] < high)
        return np.asarray(np.any(np.all(inside, axis=2), axis=1), np.bool_)
