"""A border around the frame.

In: nothing random. Out: a shift by whole pixels.
"""

from dataclasses import dataclass

import numpy as np

from streamaug.geometry import Matrices, translation
from streamaug.ops import fields
from streamaug.ops.base import Color, Draws, Extent, StaticFrame
from streamaug.ops.bordered import Bordered
from streamaug.ops.fields import Size, refuse

#: Pixels at top, bottom, left and right.
Sides = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pad(Bordered):
    """Add pixels of border: up to a size, with the image in the middle, or by amounts.

    Args:
        size: The frame afterwards: (height, width) in pixels, or one number for a square. An odd pixel goes to the
            bottom and to the right.
        amount: Pixels to add, whole numbers of at least 0: (top, bottom, left, right), or one for all. Give exactly one
            of `size` and `amount`.
        border, fill: The pixels outside the image, see `Bordered`.

    Raises:
        RecipeError: If a value lies outside its bounds; by the recipe, if the frame is larger than the size.
    """

    size: int | Size | None = None
    amount: int | Sides | None = None
    border: str | None = None
    fill: Color | None = None

    aligned = True

    def __post_init__(self) -> None:
        if (self.size is None) == (self.amount is None):
            must = "must be given unless amount is" if self.size is None else "must not be given beside amount"
            raise refuse(self, "size", must, "Write Pad(size=256), or Pad(amount=4).")
        if self.size is not None:
            fields.size(self)
        if self.amount is not None:
            fields.sides(self, "amount")
        self.check_border()

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        if self.size is None:
            top, _, left, _ = self._sides
            return translation(np.full_like(width, left), np.full_like(height, top))
        high, wide = fields.pair(self.size)
        return translation((wide - width) // 2, (high - height) // 2)

    def frame(self, height: Extent, width: Extent) -> tuple[Extent, Extent]:
        if self.size is None:
            top, bottom, left, right = self._sides
            return height + (top + bottom), width + (left + right)
        high, wide = fields.pair(self.size)
        return np.full_like(height, high), np.full_like(width, wide)

    def static_frame(self, frame: StaticFrame | None) -> StaticFrame:
        given = "amount" if self.size is None else "size"
        if frame is None:
            raise refuse(self, given, "must follow an operation that sets the frame's size", "Put Resize before it.")
        if self.size is None:
            top, bottom, left, right = self._sides
            return StaticFrame(frame.height + top + bottom, frame.width + left + right, frame.exact)
        high, wide = fields.pair(self.size)
        if not frame.exact:
            must = "must follow an operation that gives all images one size"
            raise refuse(self, "size", must, f"Write Letterbox({self.size!r}) alone, or put CenterCrop before it.")
        if high < frame.height or wide < frame.width:
            must = f"must not be smaller than the {frame.height}×{frame.width} pixels before it"
            raise refuse(self, "size", must, f"Write {max(frame.height, frame.width)}.")
        return StaticFrame(high, wide, exact=True)

    @property
    def _sides(self) -> Sides:
        return self.amount if isinstance(self.amount, tuple) else (int(self.amount or 0),) * 4
