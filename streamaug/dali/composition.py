"""The geometry of a batch: each geometry's operations as one matrix a sample, and the part of the image that it needs.

In: a `Geometry`, the images' sizes and the batch's draws. Out: a `Composed`, from which `plan` makes the feeds, and the
rectangles of source pixels to decode. Pure, and float64 throughout.
"""

import numpy as np

from streamaug.dali.draws import BatchDraws
from streamaug.dali.layout import Geometry
from streamaug.geometry import Matrices, identity, scaling, transform_points, translation, window
from streamaug.ops.base import Extent, Flags, Rectangles

#: Half width of the filters, in output pixels (at least in source pixels).
SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}
#: Pixels decoded beyond the filter's need, so that chroma upsampling at the window's edge does not matter.
_MARGIN = 3.0
#: Coordinates this close to a whole number count as that number.
_EPSILON = 1e-6


class Composed:
    """The matrices of a geometry's operations, composed in order.

    Attributes:
        first: float64 (B, 4), the part of the image that the first operation keeps.
        lead: After the operations at the front that only scale, shift and mirror.
        lead_height: The frames' heights there.
        lead_width: Their widths.
        total: After all operations.
        bordered: bool (B,), the samples that show the border.
    """

    __slots__ = ("bordered", "first", "lead", "lead_height", "lead_width", "total")

    def __init__(self, unchanged: Matrices, height: Extent, width: Extent) -> None:
        """Before the first operation: the whole image."""
        self.bordered: Flags = np.zeros(len(unchanged), bool)
        self.first: Rectangles = rectangle(unchanged, height, width)
        self.lead, self.total = unchanged, unchanged
        self.lead_height, self.lead_width = height, width


def compose(geometry: Geometry, height: Extent, width: Extent, kept: Rectangles, batch_draws: BatchDraws) -> Composed:
    """Draw a geometry's operations and multiply their matrices.

    Args:
        geometry: The geometry.
        height: float64 (B,), the images' heights.
        width: float64 (B,), their widths.
        kept: See `Planner.plan`.
        batch_draws: The batch's random numbers.
    """
    total = identity(len(height))
    parts = Composed(total, height, width)
    for number, (index, operation) in enumerate(geometry.operations):
        selected, draws = batch_draws.of(index, operation)
        if operation.keeps_boxes:
            matrix = operation.matrix_keeping(draws, height, width, _moved(kept, total))
        else:
            matrix = operation.matrix(draws, height, width)
        if operation.probability < 1.0:
            matrix = np.where(selected[:, None, None], matrix, operation.unselected(height, width))
        total = matrix @ total
        height, width = operation.frame(height, width)
        if number == 0:
            parts.first = rectangle(matrix, height, width)
        if number == geometry.lead - 1:
            parts.lead, parts.lead_height, parts.lead_width = total, height, width
        if operation.shows() is not None:
            parts.bordered |= selected & operation.exposes(draws) & (matrix != np.eye(3)).any(axis=(1, 2))
    parts.total = total
    return parts


def needed_part(geometry: Geometry, parts: Composed, height: Extent, width: Extent) -> Rectangles:
    """float64 (B, 4), whole numbers: top, left, bottom and right of the part to decode."""
    zero = np.zeros_like(height)
    limits = np.stack([zero, zero, height, width], axis=1)
    if geometry.ignores_outside_window:
        limits = parts.first
    shown = rectangle(parts.lead, parts.lead_height, parts.lead_width)
    if geometry.one_warp and geometry.warps:
        margin = np.zeros((len(zero), 2))  # outside the frame is border
    else:
        # The filter reaches beyond the frame's edge.
        scale = (shown[:, 2:] - shown[:, :2]) / np.stack([parts.lead_height, parts.lead_width], axis=1)
        margin = SUPPORT[geometry.interpolation] * np.maximum(scale, 1.0) + _MARGIN
    low = np.maximum(np.floor(shown[:, :2] - margin), limits[:, :2])
    high = np.minimum(np.ceil(shown[:, 2:] + margin), limits[:, 2:])
    return np.concatenate([low, high], axis=1)


def _moved(rectangles: Rectangles, matrices: Matrices) -> Rectangles:
    """The rectangles around rectangles (B, 4) moved by matrices (B, 3, 3)."""
    corners = rectangles[:, [1, 0, 3, 0, 3, 2, 1, 2]].reshape(-1, 4, 2)
    moved = transform_points(matrices, corners)[..., ::-1]
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)


def mirroring(width: int) -> Matrices:
    """The matrix that mirrors a frame of this width, left to right."""
    return translation(width, 0.0) @ scaling(-1.0, 1.0)


def resizing(shown: Rectangles, size: Rectangles) -> Matrices:
    """float64 (B, 3, 3): a resize of rectangles (B, 4) to heights and widths (B, 2), without mirroring."""
    extent = shown[:, 2:] - shown[:, :2]
    return window(shown[:, 0], shown[:, 1], extent[:, 0], extent[:, 1], (size[:, 0], size[:, 1]))


def rectangle(matrices: Matrices, height: Extent, width: Extent) -> Rectangles:
    """float64 (B, 4): top, left, bottom, right of the part that an aligned matrix maps to a height × width frame."""
    corners = np.empty((len(matrices), 2, 2))  # row, end, axis
    for axis, row, extent in ((0, 1, height), (1, 0, width)):
        scale, shift = matrices[:, row, row], matrices[:, row, 2]
        corners[:, 0, axis], corners[:, 1, axis] = -shift / scale, (extent - shift) / scale
    corners.sort(axis=1)
    whole = np.rint(corners)
    corners = np.where(np.abs(corners - whole) < _EPSILON, whole, corners)
    return corners.reshape(-1, 4)
