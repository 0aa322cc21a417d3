"""The whole image in a frame of one size, its aspect ratio kept, as for detectors.

In: nothing random. Out: a resize to whole pixels and a shift by whole pixels, as two parts, so that the resize ends at
the image's edge and no seam is blended.
"""

from dataclasses import KW_ONLY, dataclass

import numpy as np

from streamaug.geometry import Matrices, window
from streamaug.ops import fields
from streamaug.ops.base import Color, Draws, Extent, Geometric, StaticFrame
from streamaug.ops.bordered import Bordered
from streamaug.ops.fields import Size
from streamaug.ops.fixed_frame import FixedFrame
from streamaug.ops.pad import Pad


@dataclass(frozen=True, slots=True)
class Letterbox(Bordered, FixedFrame):
    """Resize the image, up or down, as far as it fits into `size`, and put it in the middle; the rest is border.

    The image becomes max(1, round(h·scale)) × max(1, round(w·scale)) pixels, with scale = min(H/h, W/w); an odd pixel
    of border goes to the bottom and to the right. Boxes follow the exact ratio of the whole sizes.

    Args:
        size: The frame afterwards: (height, width) in pixels, or one number for a square.
        interpolation: "bilinear", "bicubic" or "lanczos"; filtered when shrinking.
        apply_orientation: Turn the image as its EXIF orientation says, see docs/operations.md; by default as stored.
        border, fill: The pixels outside the image, see `Bordered`.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    size: int | Size
    _: KW_ONLY
    interpolation: str = "bilinear"
    apply_orientation: bool = False
    border: str | None = None
    fill: Color | None = None

    aligned = True

    def __post_init__(self) -> None:
        fields.size(self)
        fields.resampling(self)
        fields.flag(self, "apply_orientation")
        self.check_border()

    def parts(self) -> tuple[Geometric, ...]:
        return (
            _Fit(self.size, interpolation=self.interpolation),
            Pad(size=self.size, border=self.border, fill=self.fill),
        )

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        fit, pad = self.parts()
        return pad.matrix(draws, *fit.frame(height, width)) @ fit.matrix(draws, height, width)


@dataclass(frozen=True, slots=True)
class _Fit(Geometric):
    """The resize of a `Letterbox`."""

    size: int | Size
    _: KW_ONLY
    interpolation: str = "bilinear"

    aligned = True

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        return window(0.0, 0.0, height, width, self.frame(height, width))

    def frame(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        high, wide = fields.pair(self.size)
        scale = np.minimum(high / height, wide / width)
        return np.maximum(np.rint(height * scale), 1.0), np.maximum(np.rint(width * scale), 1.0)

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame:
        if frame is None or not frame.exact:
            return StaticFrame(1, 1, exact=False)
        high, wide = self.frame(np.array([float(frame.height)]), np.array([float(frame.width)]))
        return StaticFrame(int(high[0]), int(wide[0]), exact=True)
