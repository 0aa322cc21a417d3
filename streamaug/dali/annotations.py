"""Boxes and keypoints: reads them from JSON, moves them by the same matrix as the pixels, clips and filters them.

In: the annotation component of a batch, image sizes, and a `Plan`. Out: a tensor a sample, in output pixels with (0, 0)
at the outer corner of the first. It transforms all rows of a batch together, and never touches pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from streamaug.batch import EncodedBatch
from streamaug.dali.layout import Layout
from streamaug.dali.plan import Plan
from streamaug.dali.units import UnitCheck
from streamaug.errors import BadSampleError, RecipeError
from streamaug.geometry import transform_points
from streamaug.ops.base import Photometric
from streamaug.recipes.annotations import Annotations
from streamaug.samples.annotation import Array, Form, MalformedError, Note, parse_note
from streamaug.samples.image_header import Header
from streamaug.samples.problem import Problem

#: Matrices move a point on an edge by less than this, in pixels.
_ROUNDING = 1e-6


class Transformed(NamedTuple):
    """A batch's annotations in output pixels.

    Attributes:
        boxes, labels, keypoints: A tensor a sample.
        clipped: The number of boxes that reached beyond their image and were clipped to it.
        dropped: The number of malformed boxes that were left out.
    """

    boxes: tuple[torch.Tensor, ...]
    labels: tuple[torch.Tensor, ...]
    keypoints: tuple[torch.Tensor, ...]
    clipped: int
    dropped: int


class Annotator:
    """Reads and transforms the annotations of one recipe.

    Args:
        annotations: Where the annotations are, and which of them to keep.
        layout: The recipe's layout.

    Raises:
        RecipeError: If the recipe has several views, whose boxes would differ.
    """

    def __init__(self, annotations: Annotations, layout: Layout) -> None:
        if len(layout.views) > 1:
            raise RecipeError(
                f"augment.annotations: a recipe must have one view for boxes and keypoints, got {len(layout.views)}. "
                "Leave out views or annotations."
            )
        self._annotations = annotations
        self._form = Form(
            boxes=annotations.boxes,
            box_format=annotations.box_format,
            labels=annotations.labels,
            keypoints=annotations.keypoints,
            objects=annotations.objects,
            table=annotations.label_table,
            drops=annotations.on_bad_box == "drop",
        )
        self._units = UnitCheck(annotations.normalized)
        self._size = layout.recipe.size
        self._turned = layout.recipe.apply_orientation
        photometric = layout.views[0].photometric
        self._hiding = [
            (index, operation) for index, operation in photometric if type(operation).hides is not Photometric.hides
        ]

    def read(self, batch: EncodedBatch) -> tuple[list[Note], dict[int, Problem]]:
        """Each row's annotation, and the rows whose annotation is malformed.

        Raises:
            RecipeError: If the batch has no such component.
        """
        name = self._annotations.component
        if name not in batch.extras:
            raise RecipeError(
                f"Annotations.component: must be one of the components that were opened, {list(batch.extras)}, got "
                f'{name!r}. Open the shards with components=(…, "{name}").'
            )
        notes, problems = [], {}
        for row, text in enumerate(batch.extras[name]):
            try:
                notes.append(parse_note(bytes(text), self._form))
            except MalformedError as reason:
                problems[row] = Problem(f"its component {name!r} is malformed: {reason}", BadSampleError, name, True)
        return notes, problems

    def around_boxes(self, notes: Sequence[Note], headers: Sequence[Header]) -> Array:
        """float64 (B, 4): top, left, bottom, right in source pixels around all boxes of a row; NaN without boxes."""
        out = np.full((len(notes), 4), np.nan)
        for row, (note, header) in enumerate(zip(notes, headers, strict=True)):
            extent = np.array(self._extent(header) * 2, np.float64)
            pixels = np.clip(note.boxes * extent if self._annotations.normalized else note.boxes, 0.0, extent)
            pixels = pixels[_area(pixels) > 0]
            if len(pixels):
                out[row, [1, 0, 3, 2]] = [*pixels[:, :2].min(axis=0), *pixels[:, 2:].max(axis=0)]
        return out

    def transform(self, notes: Sequence[Note], headers: Sequence[Header], plan: Plan) -> Transformed:
        """All annotations of a batch in output pixels."""
        # All boxes and all keypoints of the batch at once.
        matrices = plan.matrices[0]
        sizes = np.array([self._extent(header) for header in headers], np.float64).reshape(-1, 2)
        counts = [len(note.boxes) for note in notes]
        owner = np.repeat(np.arange(len(notes)), counts)
        stored = np.concatenate([note.boxes for note in notes]) if notes else np.zeros((0, 4))
        shown = plan.shown[0][:, [1, 0, 3, 2]]
        boxes, keep, clipped = self._boxes(stored, sizes[owner], matrices[owner], shown[owner])
        points = self._points([note.keypoints for note in notes], sizes, plan)
        self._units.look(notes, dropped=int((~keep).sum()))
        # Back to a tensor a sample; a box that is dropped takes its label and its keypoints with it.
        out: tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]] = ([], [], [])
        first = 0
        for note, moved in zip(notes, points, strict=True):
            mine = slice(first, first + len(note.boxes))
            first, kept = mine.stop, keep[mine]
            if len(moved) and len(moved) == len(note.boxes):
                moved = moved[kept]
            out[0].append(torch.from_numpy(boxes[mine][kept].astype(np.float32)))
            out[1].append(torch.from_numpy(note.labels[kept]))
            out[2].append(torch.from_numpy(moved.astype(np.float32)))
        return Transformed(tuple(out[0]), tuple(out[1]), tuple(out[2]), clipped, sum(note.dropped for note in notes))

    def _extent(self, header: Header) -> tuple[int, int]:
        """(width, height) of the image as the matrices see it."""
        if self._turned and header.orientation >= 5:
            return header.height, header.width
        return header.width, header.height

    def _boxes(
        self, stored: Array, sizes: Array, matrices: Array, shown: Array
    ) -> tuple[Array, npt.NDArray[np.bool_], int]:
        """Boxes (M, 4) in output pixels, which of them to keep, and how many were clipped to their image.

        Parts beyond `shown` (M, 4), x1, y1, x2, y2, were cut off before any turn.
        """
        if not len(stored):
            return stored, np.zeros(0, np.bool_), 0
        # Boxes in source pixels, clipped to their image.
        extent = np.concatenate([sizes, sizes], axis=1)
        pixels = stored * extent if self._annotations.normalized else stored
        inside = np.clip(pixels, 0.0, extent)
        clipped = int((np.abs(inside - pixels) > 1e-6).any(axis=1).sum())
        # The whole box in the output, and the part of it that the crops keep.
        corners = inside[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        whole = _enclosing(matrices, corners)
        part = np.clip(inside, shown[:, [0, 1, 0, 1]], shown[:, [2, 3, 2, 3]])
        height, width = self._size
        left = _enclosing(matrices, part[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2))
        boxes = np.clip(left, 0.0, [width, height, width, height])
        # Boxes that are still large enough.
        area, full = _area(boxes), _area(whole)
        visible = area / np.maximum(full, 1e-12)
        # A corner behind the plane of projection has no position in the output; such a box spans the horizon.
        behind = (np.einsum("mij,mkj->mki", matrices[:, 2:, :2], corners)[..., 0] + matrices[:, 2:, 2]) <= 0
        keep = (
            (_area(part) > 0)
            & (area > 0)
            & (area >= self._annotations.min_area)
            & (visible >= self._annotations.min_visibility)
        )
        return boxes, keep & ~behind.any(axis=1), clipped

    def _points(self, stored: Sequence[Array], sizes: Array, plan: Plan) -> list[Array]:
        """Each sample's keypoints (M, K, 3) in output pixels; visibility is 0 where they are out of view or hidden."""
        counts = [points.shape[0] * points.shape[1] for points in stored]
        if not any(counts):
            return list(stored)
        owner = np.repeat(np.arange(len(stored)), counts)
        flat = np.concatenate([points.reshape(-1, 3) for points in stored])
        source = flat[:, :2] * sizes[owner] if self._annotations.normalized else flat[:, :2]
        moved = transform_points(plan.matrices[0][owner], source[:, None])[:, 0]
        # A point is seen inside the frame, unless a crop cut it off or an operation painted over it.
        height, width = self._size
        shown = plan.shown[0][owner]
        seen: npt.NDArray[np.bool_] = np.asarray(
            _within(moved, np.zeros(2), np.array([width, height])) & _within(source, shown[:, 1::-1], shown[:, :1:-1])
        )
        for index, operation in self._hiding:
            chosen = np.flatnonzero(plan.selected[index][owner])
            if len(chosen):
                seen[chosen] &= ~operation.hides(plan.draws[index][owner[chosen]], moved[chosen], height, width)
        # Back to an array a sample, with the points of mirrored samples exchanged.
        out = np.concatenate([moved, np.where(seen, flat[:, 2], 0.0)[:, None]], axis=1)
        parts = np.split(out, np.cumsum(counts)[:-1])
        mirrored = np.linalg.det(plan.matrices[0]) < 0
        return [
            self._paired(part.reshape(points.shape)) if flipped else part.reshape(points.shape)
            for part, points, flipped in zip(parts, stored, mirrored, strict=True)
        ]

    def _paired(self, points: Array) -> Array:
        """Keypoints (M, K, 3) of a mirrored sample, the two of each flip pair exchanged."""
        order = np.arange(points.shape[1])
        for left, right in self._annotations.flip_pairs:
            if max(left, right) < len(order):
                order[[left, right]] = order[[right, left]]
        return points[:, order]


def _enclosing(matrices: Array, corners: Array) -> Array:
    """Boxes (M, 4) around moved corners (M, 4, 2)."""
    moved = transform_points(matrices, corners)
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)


def _within(points: Array, low: Array, high: Array) -> npt.NDArray[np.bool_]:
    """Which points (M, 2) lie in their rectangles, all edges included, since a mirroring exchanges the edges."""
    return np.asarray(((points >= low - _ROUNDING) & (points <= high + _ROUNDING)).all(axis=1), np.bool_)


def _area(boxes: Array) -> Array:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
