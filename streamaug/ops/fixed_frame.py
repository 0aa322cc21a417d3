"""Operations whose output has one size for all samples, the field `size`.

In: the field. Out: the methods of `Geometric` for the frame's size afterwards.
"""

import numpy as np

from streamaug.ops import fields
from streamaug.ops.base import Extent, Geometric, StaticFrame
from streamaug.ops.fields import Size, refuse


class FixedFrame(Geometric):
    """The base of operations that leave a frame of exactly `size`: (height, width) in pixels, or one number."""

    __slots__ = ()

    size: int | Size

    def frame(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        high, wide = fields.pair(self.size)
        return np.full_like(height, high), np.full_like(width, wide)

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame:
        return StaticFrame(*fields.pair(self.size), exact=True)


class FixedCrop(FixedFrame):
    """The base of crops, which a recipe checks to lie inside the frame before any image is read."""

    __slots__ = ()

    aligned = True

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame:
        size = fields.pair(self.size)
        if frame is None:
            must = "must follow an operation that sets the frame's size"
            raise refuse(self, "size", must, f"Put ResizeShortest({max(size)}) before it.")
        if size[0] > frame.height or size[1] > frame.width:
            must = f"must not exceed the {frame.height}×{frame.width} pixels that the operation before it leaves"
            raise refuse(self, "size", must, f"Write {min(frame.height, frame.width)}.")
        return FixedFrame.static_frame(self, frame)
