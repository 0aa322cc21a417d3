"""The numpy side of a batch: random numbers, crop windows, matrices, parameters. Everything that DALI is told.

In: a `Layout`, the images' headers and the batch's origin. Out: a `Plan`, whose arrays are, row by row, a pure function
of (recipe, seed, epoch, sample id, attempt, image size). Never touches pixels, never imports DALI.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamaug.batch import Int64Array, Origin
from streamaug.dali.layout import Geometry, Layout
from streamaug.dali.sideways import sideways
from streamaug.geometry import Matrices, identity, scaling, translation, window
from streamaug.image_header import Header
from streamaug.ops.base import Draws, Extent, Operation
from streamaug.random import Stream, uniform

Flags = npt.NDArray[np.bool_]
Rectangles = npt.NDArray[np.float64]

#: Half width of the filters, in output pixels (at least in source pixels).
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}
#: More of the image than the filter needs is decoded, so that chroma upsampling at the window's edge does not matter.
_MARGIN = 3.0
#: Coordinates so close to a whole number are that number; matrices so close to the identity are the identity.
_EPSILON = 1e-6
_SUBSTITUTE_STRIDE = 4096


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to a batch.

    Attributes:
        feeds: Name to contiguous array (B, ...), or list of B arrays: the inputs beside the encoded images, in a
            fixed order.
        matrices: Each view's float64 (B, 3, 3) from source pixels, turned by EXIF if the recipe asks, to output pixels.
        selected: Index of the random stream to bool (B,): the samples that the operation changes.
        draws: Index of the random stream to float64 (B, n): the operation's random numbers.
        shown: Each view's float64 (B, 4), top, left, bottom and right in such source pixels: what lies beyond is cut
            off, and stays so where a later turn brings its place back into the frame.
    """

    feeds: dict[str, npt.NDArray[Any] | list[npt.NDArray[Any]]]
    matrices: list[Matrices]
    selected: dict[int, Flags]
    draws: dict[int, Draws]
    shown: list[Rectangles]


class Planner:
    """Makes the plans of one layout.

    Args:
        layout: The layout.
        turns: Whether samples may be resized lying on their side, which pays on the CPU only.
    """

    def __init__(self, layout: Layout, *, turns: bool) -> None:
        self._layout, self._turns = layout, turns
        self._turned = layout.recipe.apply_orientation

    def plan(self, headers: Sequence[Header], origin: Origin, attempts: Int64Array | None) -> Plan:
        """The plan of a batch; see `Plan`."""
        size = np.array([header[:2] for header in headers], np.float64).reshape(-1, 2)
        if self._turned:
            sideways = np.array([header.orientation >= 5 for header in headers])
            size = np.where(sideways[:, None], size[:, ::-1], size)
        return _BatchPlanner(self._layout, self._turns, size[:, 0], size[:, 1], origin, attempts).run()


class _BatchPlanner:
    def __init__(
        self,
        layout: Layout,
        turns: bool,
        height: Extent,
        width: Extent,
        origin: Origin,
        attempts: Int64Array | None,
    ) -> None:
        self._layout, self._turns = layout, turns
        self._height, self._width = height, width
        self._origin = origin
        self._attempts = attempts if attempts is not None and attempts.any() else None
        self._plan = Plan({}, [], {}, {}, [])

    def run(self) -> Plan:
        layout, feeds = self._layout, self._plan.feeds
        composed = [self._compose(geometry) for geometry in layout.geometries]
        needed = np.stack([self._needed(g, c) for g, c in zip(layout.geometries, composed, strict=True)])
        start = needed[..., :2].min(axis=0)
        end = needed[..., 2:].max(axis=0)
        feeds["start"] = start.astype(np.int32)
        feeds["shape"] = (end - start).astype(np.int32)
        mirrors = []
        for number, (geometry, parts) in enumerate(zip(layout.geometries, composed, strict=True)):
            if geometry.one_warp:
                mirrors.append(self._warp_window(number, geometry, parts, start))
            else:
                mirrors.append(self._resize(number, geometry, parts, start, end))
        for number, view in enumerate(layout.views):
            mirror, total = mirrors[view.geometry], composed[view.geometry].total
            if mirror is not None:
                feeds[f"view{number}.mirror"] = (mirror ^ view.mirrored).astype(np.int32)
            width = layout.recipe.size[1]
            self._plan.matrices.append(_mirror(width) @ total if view.mirrored else total)
            parts = composed[view.geometry]
            self._plan.shown.append(_rectangle(parts.lead, parts.lead_height, parts.lead_width))
            for index, operation in view.photometric:
                selected, draws = self._draw(index, operation)
                if operation.probability < 1.0:
                    feeds[f"view{number}.{index}.selected"] = selected
                for name, values in operation.parameters(draws, *layout.recipe.size).items():
                    feeds[f"view{number}.{index}:{name}"] = _contiguous(values)
        return self._plan

    def _draw(self, index: int, operation: Operation) -> tuple[Flags, Draws]:
        """Which samples operation `index` changes, and its random numbers; the first draw decides the former."""
        if index not in self._plan.selected:
            count = operation.draws + 1
            if operation.draws == 0 and operation.probability in (0.0, 1.0):
                numbers = np.zeros((len(self._height), 1))
            else:
                numbers = self._uniform(index, count)
            self._plan.selected[index] = numbers[:, 0] < operation.probability
            self._plan.draws[index] = numbers[:, 1:]
        return self._plan.selected[index], self._plan.draws[index]

    def _uniform(self, index: int, count: int) -> Draws:
        origin = self._origin
        numbers = uniform(origin.seed, origin.epoch, origin.sample_ids, stream=Stream.OPERATIONS + index, n=count)
        if self._attempts is not None:
            for attempt in np.unique(self._attempts[self._attempts > 0]).tolist():
                rows = self._attempts == attempt
                stream = Stream.SUBSTITUTE_OPERATIONS + attempt * _SUBSTITUTE_STRIDE + index
                ids = origin.sample_ids[rows]
                numbers[rows] = uniform(origin.seed, origin.epoch, ids, stream=stream, n=count)
        return numbers

    def _compose(self, geometry: Geometry) -> "_Composed":
        height, width = self._height, self._width
        total, parts = identity(len(height)), _Composed(len(height))
        for number, (index, operation) in enumerate(geometry.operations):
            selected, draws = self._draw(index, operation)
            matrix = operation.matrix(draws, height, width)
            if operation.probability < 1.0:
                matrix = np.where(selected[:, None, None], matrix, operation.unselected(height, width))
            total = matrix @ total
            height, width = operation.frame(height, width)
            if number == 0:
                parts.first = _rectangle(matrix, height, width)
            if number == geometry.lead - 1:
                parts.lead, parts.lead_height, parts.lead_width = total, height, width
            if operation.shows() is not None:
                parts.bordered |= selected & (matrix != np.eye(3)).any(axis=(1, 2))
        parts.total = total
        return parts

    def _needed(self, geometry: Geometry, parts: "_Composed") -> Rectangles:
        """float64 (B, 4), whole numbers: top, left, bottom and right of what must be decoded."""
        zero = np.zeros_like(self._height)
        limits = np.stack([zero, zero, self._height, self._width], axis=1)
        if geometry.isolates:
            limits = parts.first
        shown = _rectangle(parts.lead, parts.lead_height, parts.lead_width)
        if geometry.one_warp and geometry.warps:
            margin = np.zeros((len(zero), 2))  # what lies outside the frame is border
        else:
            scale = (shown[:, 2:] - shown[:, :2]) / np.stack([parts.lead_height, parts.lead_width], axis=1)
            margin = _SUPPORT[geometry.interpolation] * np.maximum(scale, 1.0) + _MARGIN
        low = np.maximum(np.floor(shown[:, :2] - margin), limits[:, :2])
        high = np.minimum(np.ceil(shown[:, 2:] + margin), limits[:, 2:])
        return np.concatenate([low, high], axis=1)

    def _resize(
        self, number: int, geometry: Geometry, parts: "_Composed", start: Rectangles, end: Rectangles
    ) -> Flags | None:
        """Feeds of a resize with a filter, and of the warp after it where the recipe has one; the mirror flags."""
        feeds, name = self._plan.feeds, f"geometry{number}"
        shown = _rectangle(parts.lead, parts.lead_height, parts.lead_width)
        first, last = shown[:, :2] - start, shown[:, 2:] - start
        turned = np.zeros(len(shown), np.bool_)
        if geometry.lead_size is not None:
            if self._turns:
                turned = sideways(first, last, end - start, geometry.lead_size, _SUPPORT[geometry.interpolation])
            feeds[f"{name}.turned"] = turned
            feeds[f"{name}.turned_size"] = np.ascontiguousarray((end - start)[:, ::-1], np.float32)
        if not (geometry.whole_window and len(self._layout.geometries) == 1):
            feeds[f"{name}.roi_start"] = np.where(turned[:, None], first[:, ::-1], first).astype(np.float32)
            feeds[f"{name}.roi_end"] = np.where(turned[:, None], last[:, ::-1], last).astype(np.float32)
        if geometry.lead_size is None:
            sizes = np.stack([parts.lead_height, parts.lead_width], axis=1)
            feeds[f"{name}.size"] = sizes.astype(np.float32)
        high, wide = shown[:, 2] - shown[:, 0], shown[:, 3] - shown[:, 1]
        if geometry.warps_enlarged:
            zoom = np.zeros((len(shown), 3, 3), np.float32)
            zoom[:, 0, 0], zoom[:, 1, 1], zoom[:, 2, 2] = wide / parts.lead_width, high / parts.lead_height, 1.0
            zoom[:, 0, 2], zoom[:, 1, 2] = shown[:, 1] - start[:, 1], shown[:, 0] - start[:, 0]
            feeds[f"{name}.zoom"] = zoom
            feeds[f"{name}.enlarged"] = (wide <= parts.lead_width) & (high <= parts.lead_height)
        if geometry.warps:
            resized = window(shown[:, 0], shown[:, 1], high, wide, (parts.lead_height, parts.lead_width))
            return self._warp(name, geometry, parts, parts.total @ np.linalg.inv(resized))
        if "v" in geometry.flips:
            feeds[f"{name}.vertical"] = (parts.total[:, 1, 1] < 0).astype(np.int32)
        return parts.total[:, 0, 0] < 0 if "h" in geometry.flips else None

    def _warp_window(self, number: int, geometry: Geometry, parts: "_Composed", start: Rectangles) -> Flags | None:
        return self._warp(f"geometry{number}", geometry, parts, parts.total @ translation(start[:, 1], start[:, 0]))

    def _warp(self, name: str, geometry: Geometry, parts: "_Composed", matrices: Matrices) -> Flags | None:
        """Feeds of the warp: output-to-source matrices, who is warped, who shows a border; the mirror flags."""
        feeds = self._plan.feeds
        mirror = None
        if geometry.flips:
            mirror = np.linalg.det(matrices) < 0
            matrices = np.where(mirror[:, None, None], _mirror(geometry.size[1]) @ matrices, matrices)
        inverse = np.linalg.inv(matrices)
        inverse /= inverse[:, 2:, 2:]
        rest = np.abs(inverse - np.eye(3)).max(axis=(1, 2)) < _EPSILON
        inverse[rest] = np.eye(3)
        feeds[f"{name}.matrix"] = inverse.astype(np.float32)
        if not geometry.one_warp:
            feeds[f"{name}.warped"] = ~rest if geometry.lead_size == geometry.size else np.ones_like(rest)
        if geometry.two_borders:
            feeds[f"{name}.bordered"] = parts.bordered.copy()
        return mirror


class _Composed:
    """The matrices of a geometry on their way: after the first operation, after the leading ones, after all."""

    __slots__ = ("bordered", "first", "lead", "lead_height", "lead_width", "total")

    def __init__(self, count: int) -> None:
        self.bordered: Flags = np.zeros(count, bool)
        self.first: Rectangles
        self.lead: Matrices
        self.lead_height: Extent
        self.lead_width: Extent
        self.total: Matrices


def _contiguous(values: npt.NDArray[Any] | list[npt.NDArray[Any]]) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
    if isinstance(values, list):
        return [np.ascontiguousarray(value) for value in values]
    return np.ascontiguousarray(values)


def _mirror(width: int) -> Matrices:
    return translation(width, 0.0) @ scaling(-1.0, 1.0)


def _rectangle(matrices: Matrices, height: Extent, width: Extent) -> Rectangles:
    """float64 (B, 4): top, left, bottom and right of what an aligned matrix takes to a whole height × width frame."""
    corners = np.empty((len(matrices), 2, 2))  # row, end, axis
    for axis, row, extent in ((0, 1, height), (1, 0, width)):
        scale, shift = matrices[:, row, row], matrices[:, row, 2]
        corners[:, 0, axis], corners[:, 1, axis] = -shift / scale, (extent - shift) / scale
    corners.sort(axis=1)
    whole = np.rint(corners)
    corners = np.where(np.abs(corners - whole) < _EPSILON, whole, corners)
    return corners.reshape(-1, 4)
