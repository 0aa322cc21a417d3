"""The numpy side of a batch: crop windows, matrices, parameters; all inputs of DALI but the images.

In: a `Layout`, the images' headers and the batch's origin. Out: a `Plan`, whose arrays are, row by row, a pure function
of (recipe, seed, epoch, sample id, attempt, image size). Never touches pixels, never imports DALI.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamaug.batch import Int64Array, Origin
from streamaug.dali.composition import SUPPORT, Composed, compose, mirroring, needed_part, rectangle, resizing
from streamaug.dali.draws import BatchDraws
from streamaug.dali.feeds import (
    SHAPE,
    START,
    GeometryFeed,
    RowFeed,
    TurnFeed,
    mirror_feed,
    parameter_feed,
    rows_feed,
    selected_feed,
)
from streamaug.dali.layout import Geometry, Layout, View
from streamaug.dali.orientation import Turns, stored_window, turn_matrices, turns
from streamaug.dali.sideways import sideways
from streamaug.geometry import Matrices, translation
from streamaug.ops.base import Draws, Flags, Rectangles
from streamaug.samples.image_header import Header

#: Matrices this close to the identity count as the identity.
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Plan:
    """The numbers of a batch.

    Attributes:
        feeds: Name (see `feeds`) to contiguous array (B, ...), or list of B arrays: the inputs beside the encoded
            images, in a fixed order. V·B rows where the graph joins the views (`Layout.joins_views`).
        matrices: Each view's float64 (B, 3, 3) from source pixels, turned by EXIF if the recipe asks, to output pixels.
        selected: Index of the random stream to bool (B,): the samples that the operation changes.
        draws: Index of the random stream to float64 (B, n): the operation's random numbers.
        shown: Each view's float64 (B, 4), top, left, bottom and right in such source pixels of the part that the crops
            keep. The rest stays cut off, even where a later rotation brings its position back into the frame.
    """

    feeds: dict[str, npt.NDArray[Any] | list[npt.NDArray[Any]]]
    matrices: list[Matrices]
    selected: dict[int, Flags]
    draws: dict[int, Draws]
    shown: list[Rectangles]


class Planner:
    """Makes the plans of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def plan(
        self,
        headers: Sequence[Header],
        origin: Origin,
        attempts: Int64Array | None,
        kept: Rectangles | None = None,
    ) -> Plan:
        """The plan of a batch; see `Plan`.

        Args:
            headers: The rows' image headers.
            origin: Where the rows come from.
            attempts: See `EncodedBatch`.
            kept: float64 (B, 4), the rectangle around each row's boxes in source pixels, turned as in `Plan.matrices`;
                NaN for a row without boxes. None: no row has boxes.
        """
        if kept is None:
            kept = np.full((len(headers), 4), np.nan)
        size = np.array([header[:2] for header in headers], np.float64).reshape(-1, 2)
        upright = None
        if self._layout.recipe.apply_orientation:
            upright = turns(np.array([header.orientation for header in headers], np.int64))
            size = np.where(upright.transposes[:, None], size[:, ::-1], size)
        return _BatchPlanner(self._layout, size, upright, origin, attempts, kept).run()


class _BatchPlanner:
    """Makes the plan of one batch, whose parts its methods fill in.

    First each geometry's operations are drawn and composed into matrices. From these follow the part of each image to
    decode, for all views together, and the turn of the decoded part. Then each geometry's feeds are made relative to
    that part: those of a resize with a filter and of a warp after it, or of the one warp alone. Last come the feeds of
    each view: where it is cut out of the image that all views share, or its photometry.
    """

    def __init__(
        self,
        layout: Layout,
        size: Rectangles,
        upright: Turns | None,
        origin: Origin,
        attempts: Int64Array | None,
        kept: Rectangles,
    ) -> None:
        self._layout, self._kept = layout, kept
        self._size, self._upright = size, upright
        self._height, self._width = size[:, 0], size[:, 1]
        self._draws = BatchDraws(origin, attempts)
        self._plan = Plan({}, [], self._draws.selected, self._draws.draws, [])

    def run(self) -> Plan:
        layout = self._layout
        composed = [self._compose(geometry) for geometry in layout.geometries]
        for view in layout.views:
            parts = composed[view.geometry]
            self._plan.matrices.append(mirroring(layout.recipe.size[1]) @ parts.total if view.mirrored else parts.total)
            self._plan.shown.append(rectangle(parts.lead, parts.lead_height, parts.lead_width))
        resampled = composed if layout.cut_from is None else [self._compose(layout.cut_from)]
        # The decoded window holds the windows of all geometries.
        needed = np.stack(
            [needed_part(g, c, self._height, self._width) for g, c in zip(layout.resampled, resampled, strict=True)]
        )
        start = needed[..., :2].min(axis=0)
        end = needed[..., 2:].max(axis=0)
        self._decode(start, end)
        # The feeds of the geometries; each tells which samples are still to be mirrored.
        mirrors = []
        for number, (geometry, parts) in enumerate(zip(layout.resampled, resampled, strict=True)):
            if geometry.one_warp:
                matrices = parts.total @ translation(start[:, 1], start[:, 0])
                mirrors.append(self._warp(number, geometry, parts, matrices))
            else:
                mirrors.append(self._resize(number, geometry, parts, start, end))
        if layout.cut_from is not None:
            self._cut(*resampled)
            return self._plan
        for number, view in enumerate(layout.views):
            self._view(number, view, mirrors[view.geometry])
        if layout.joins_views:
            self._join(mirrors)
        return self._plan

    def _decode(self, start: Rectangles, end: Rectangles) -> None:
        """Feeds of the decoder and of the turn behind it, for the needed part: top and left, bottom and right."""
        feeds, upright = self._plan.feeds, self._upright
        low, high = (start, end) if upright is None else stored_window(start, end, self._size, upright)
        feeds[START] = low.astype(np.int32)
        feeds[SHAPE] = (high - low).astype(np.int32)
        if upright is None:
            return
        feeds[TurnFeed.TURNED] = np.any(upright, axis=0)
        if self._layout.device == "gpu":
            extent = np.where(upright.transposes[:, None], (high - low)[:, ::-1], high - low)
            feeds[TurnFeed.MATRIX] = turn_matrices(upright, extent).astype(np.float32)
            feeds[TurnFeed.SIZE] = extent.astype(np.float32)
        else:
            feeds[TurnFeed.TRANSPOSED] = upright.transposes
            feeds[TurnFeed.TRANSPOSED_SIZE] = (high - low)[:, ::-1].astype(np.float32)
            feeds[TurnFeed.HORIZONTAL] = upright.horizontal.astype(np.int32)
            feeds[TurnFeed.VERTICAL] = upright.vertical.astype(np.int32)

    def _cut(self, parts: Composed) -> None:
        """Feeds of the views that are cut from one resized image."""
        self._fill_up()
        feeds, views, size = self._plan.feeds, len(self._layout.views), self._layout.recipe.size
        # From the resized image, which is not mirrored yet, to each view: whole pixels.
        extent = np.stack([parts.lead_height, parts.lead_width], axis=1)
        resized = np.linalg.inv(resizing(rectangle(parts.lead, *extent.T), extent))
        moves = np.concatenate([matrices @ resized for matrices in self._plan.matrices])
        high, wide = (np.full(len(moves), float(side)) for side in size)
        corner = np.rint(rectangle(moves, high, wide)[:, :2])
        room = np.maximum(np.tile(extent, (views, 1)) - size, 1.0)
        feeds[rows_feed(0)] = self._rows_of(0)
        feeds[RowFeed.SOURCE] = np.tile(np.arange(len(self._height), dtype=np.int32), views)
        feeds[RowFeed.Y], feeds[RowFeed.X] = np.ascontiguousarray((corner / room).T, np.float32)
        feeds[RowFeed.MIRROR] = (moves[:, 0, 0] < 0).astype(np.int32)
        if any("v" in geometry.flips for geometry in self._layout.geometries):
            feeds[RowFeed.VERTICAL] = (moves[:, 1, 1] < 0).astype(np.int32)

    def _join(self, mirrors: list[Flags | None]) -> None:
        """Feeds that put the views' rows one after the other, and their last mirroring."""
        self._fill_up()
        feeds, views = self._plan.feeds, self._layout.views
        for number in range(len(views) - 1):
            feeds[rows_feed(number)] = self._rows_of(number)
        last = np.zeros((len(views), len(self._height)), np.bool_)
        for flags, view in zip(last, views, strict=True):
            mirror = mirrors[view.geometry]
            if not view.mirrors_early:
                flags[:] = view.mirrored if mirror is None else mirror ^ view.mirrored
        feeds[RowFeed.MIRROR] = last.ravel().astype(np.int32)

    def _fill_up(self) -> None:
        """All feeds so far get rows for the other views, which nobody looks at."""
        more = (len(self._layout.views) - 1) * len(self._height)
        for name, values in self._plan.feeds.items():
            fillers = np.zeros((more, *values[0].shape), values[0].dtype)
            self._plan.feeds[name] = (
                [*values, *fillers] if isinstance(values, list) else np.concatenate([values, fillers])
            )

    def _rows_of(self, view: int) -> Flags:
        """Which of the V·B rows are a view's, bool (V·B,)."""
        return np.repeat(np.arange(len(self._layout.views)) == view, len(self._height))

    def _view(self, number: int, view: View, mirror: Flags | None) -> None:
        """The feeds of a view: its last mirroring, and the parameters of its photometry."""
        feeds, size = self._plan.feeds, self._layout.recipe.size
        if mirror is not None and (view.mirrors_early or not self._layout.joins_views):
            feeds[mirror_feed(number)] = (mirror ^ view.mirrored).astype(np.int32)
        for index, operation in view.photometric:
            selected, draws = self._draws.of(index, operation)
            if operation.probability < 1.0:
                feeds[selected_feed(number, index)] = selected
            for name, values in operation.parameters(draws, *size).items():
                feeds[parameter_feed(number, index, name)] = _contiguous(values)

    def _compose(self, geometry: Geometry) -> Composed:
        return compose(geometry, self._height, self._width, self._kept, self._draws)

    def _resize(
        self, number: int, geometry: Geometry, parts: Composed, start: Rectangles, end: Rectangles
    ) -> Flags | None:
        """Feeds of a resize with a filter, and of the warp after it where the recipe has one; the mirror flags.

        Args:
            number: The geometry's index.
            geometry: The geometry.
            parts: Its matrices.
            start: float64 (B, 2), top and left of the decoded window.
            end: float64 (B, 2), its bottom and right.
        """
        feeds = self._plan.feeds
        shown = rectangle(parts.lead, parts.lead_height, parts.lead_width)
        low, high = shown[:, :2] - start, shown[:, 2:] - start
        extent = shown[:, 2:] - shown[:, :2]
        lead = np.stack([parts.lead_height, parts.lead_width], axis=1)
        # The samples to resize lying on their side; only where all frames have one size.
        transposed = np.zeros(len(shown), np.bool_)
        if geometry.may_transpose and geometry.lead_size is not None:
            transposed = sideways(low, high, end - start, geometry.lead_size, SUPPORT[geometry.interpolation])
            feeds[GeometryFeed.TRANSPOSED.of(number)] = transposed
            feeds[GeometryFeed.TRANSPOSED_SIZE.of(number)] = np.ascontiguousarray((end - start)[:, ::-1], np.float32)
        # The region to resize, where it is not the whole decoded window; and the size of the result.
        mirrors = self._layout.mirrors_in_region(number)
        if mirrors or not (geometry.whole_window and len(self._layout.resampled) == 1):
            first, last = self._region(low, high, parts.total, mirrors) if mirrors else (low, high)
            for feed, corner in ((GeometryFeed.ROI_START, first), (GeometryFeed.ROI_END, last)):
                feeds[feed.of(number)] = np.where(transposed[:, None], corner[:, ::-1], corner).astype(np.float32)
        if geometry.lead_size is None:
            feeds[GeometryFeed.SIZE.of(number)] = lead.astype(np.float32)
        # Samples that are enlarged go through a warp instead: output to source, y and x to rows 1 and 0.
        if geometry.warps_enlarged:
            zoom = np.zeros((len(shown), 3, 3), np.float32)
            zoom[:, [1, 0], [1, 0]], zoom[:, [1, 0], 2], zoom[:, 2, 2] = extent / lead, low, 1.0
            feeds[GeometryFeed.ZOOM.of(number)] = zoom
            feeds[GeometryFeed.ENLARGED.of(number)] = np.all(extent <= lead, axis=1)
        # The geometry after the resize: one warp, or a mirroring.
        if geometry.warps:
            return self._warp(number, geometry, parts, parts.total @ np.linalg.inv(resizing(shown, lead)))
        if self._layout.cut_from is not None:
            return None  # the cuts mirror
        if "v" in geometry.flips and "v" not in mirrors:
            feeds[GeometryFeed.VERTICAL.of(number)] = (parts.total[:, 1, 1] < 0).astype(np.int32)
        return parts.total[:, 0, 0] < 0 if "h" in geometry.flips and "h" not in mirrors else None

    @staticmethod
    def _region(low: Rectangles, high: Rectangles, total: Matrices, mirrors: str) -> tuple[Rectangles, Rectangles]:
        """The begins and ends of regions, float64 (B, 2) each: from high to low where the resize mirrors the sample."""
        backwards = np.zeros(low.shape, np.bool_)
        for letter, axis, row in (("v", 0, 1), ("h", 1, 0)):
            if letter in mirrors:
                backwards[:, axis] = total[:, row, row] < 0
        return np.where(backwards, high, low), np.where(backwards, low, high)

    def _warp(self, number: int, geometry: Geometry, parts: Composed, matrices: Matrices) -> Flags | None:
        """Feeds of the warp: matrices, and flags of samples to warp, with a border, to mirror."""
        feeds = self._plan.feeds
        # Mirroring is left to the output, where it costs nothing; or it stays in the matrices.
        mirror = None
        if geometry.flips and self._layout.mirrors_last(number):
            mirror = np.linalg.det(matrices) < 0
            matrices = np.where(mirror[:, None, None], mirroring(geometry.size[1]) @ matrices, matrices)
        inverse = np.linalg.inv(matrices)
        inverse /= inverse[:, 2:, 2:]
        unchanged = np.abs(inverse - np.eye(3)).max(axis=(1, 2)) < _EPSILON
        inverse[unchanged] = np.eye(3)
        feeds[GeometryFeed.MATRIX.of(number)] = inverse.astype(np.float32)
        if not geometry.one_warp:
            warped = ~unchanged if geometry.lead_size == geometry.size else np.ones_like(unchanged)
            feeds[GeometryFeed.WARPED.of(number)] = warped
        if geometry.two_borders:
            feeds[GeometryFeed.BORDERED.of(number)] = parts.bordered.copy()
        return mirror


def _contiguous(values: npt.NDArray[Any] | list[npt.NDArray[Any]]) -> npt.NDArray[Any] | list[npt.NDArray[Any]]:
    if isinstance(values, list):
        return [np.ascontiguousarray(value) for value in values]
    return np.ascontiguousarray(values)
