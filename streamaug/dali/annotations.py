"""Boxes and keypoints: read from JSON, taken through the same matrix as the pixels, clipped and filtered.

In: the annotation component of a batch, image sizes, and a `Plan`. Out: a tensor a sample, in output pixels with (0, 0)
at the outer corner of the first. All rows of a batch are transformed together. Pixels are never touched.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from streamaug.batch import EncodedBatch, Problem
from streamaug.dali.layout import Layout
from streamaug.dali.plan import Plan
from streamaug.errors import BadSampleError, RecipeError
from streamaug.geometry import transform_points
from streamaug.image_header import Header
from streamaug.ops.annotations import Annotations
from streamaug.ops.base import Photometric

Array = npt.NDArray[np.float64]

#: No coordinate is so large; whole numbers of JSON have no bound, and numpy's do.
_LARGEST = 1e12


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """What one sample's annotation says.

    Attributes:
        boxes: float64 (M, 4), x1, y1, x2, y2, as stored: pixels, or fractions if normalised.
        labels: int64 (M,).
        keypoints: float64 (M', K, 3), x, y, visibility; M' is M where there are boxes and keypoints for each.
    """

    boxes: Array
    labels: npt.NDArray[np.int64]
    keypoints: Array


class Transformed(NamedTuple):
    """A batch's annotations in output pixels, and how many boxes reached beyond their image and were clipped to it."""

    boxes: tuple[torch.Tensor, ...]
    labels: tuple[torch.Tensor, ...]
    keypoints: tuple[torch.Tensor, ...]
    clipped: int


class _MalformedError(Exception):
    """Why an annotation cannot be used."""


class Annotator:
    """Reads and transforms the annotations of one recipe.

    Args:
        annotations: Where they are and what to keep of them.
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
        self._size = layout.recipe.size
        self._turned = layout.recipe.apply_orientation
        photometric = layout.views[0].photometric
        self._hiding = [(index, each) for index, each in photometric if type(each).hides is not Photometric.hides]

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
                notes.append(self._parse(bytes(text)))
            except _MalformedError as reason:
                problems[row] = Problem(f"its component {name!r} is malformed: {reason}", BadSampleError, name, True)
        return notes, problems

    def transform(self, notes: Sequence[Note], headers: Sequence[Header], plan: Plan) -> Transformed:
        """All annotations of a batch in output pixels."""
        matrices = plan.matrices[0]
        sizes = np.array([self._extent(header) for header in headers], np.float64).reshape(-1, 2)
        counts = [len(note.boxes) for note in notes]
        owner = np.repeat(np.arange(len(notes)), counts)
        stored = np.concatenate([note.boxes for note in notes]) if notes else np.zeros((0, 4))
        shown = plan.shown[0][:, [1, 0, 3, 2]]
        boxes, keep, clipped = self._boxes(stored, sizes[owner], matrices[owner], shown[owner])
        points = self._points([note.keypoints for note in notes], sizes, plan)
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
        return Transformed(tuple(out[0]), tuple(out[1]), tuple(out[2]), clipped)

    def _extent(self, header: Header) -> tuple[int, int]:
        """(width, height) of the image as the matrices see it."""
        if self._turned and header.orientation >= 5:
            return header.height, header.width
        return header.width, header.height

    def _boxes(
        self, stored: Array, sizes: Array, matrices: Array, shown: Array
    ) -> tuple[Array, npt.NDArray[np.bool_], int]:
        """Boxes (M, 4) in output pixels, which of them to keep, and how many were clipped to their image.

        What lies beyond `shown` (M, 4), x1, y1, x2, y2, was cut off before anything was turned.
        """
        if not len(stored):
            return stored, np.zeros(0, np.bool_), 0
        extent = np.concatenate([sizes, sizes], axis=1)
        pixels = stored * extent if self._annotations.normalized else stored
        inside = np.clip(pixels, 0.0, extent)
        clipped = int((np.abs(inside - pixels) > 1e-6).any(axis=1).sum())
        corners = inside[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
        whole = _enclosing(matrices, corners)
        part = np.clip(inside, shown[:, [0, 1, 0, 1]], shown[:, [2, 3, 2, 3]])
        height, width = self._size
        left = _enclosing(matrices, part[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2))
        boxes = np.clip(left, 0.0, [width, height, width, height])
        area, full = _area(boxes), _area(whole)
        visible = area / np.maximum(full, 1e-12)
        # A corner behind the plane of projection has no place; such a box spans the horizon and says nothing.
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
        place = flat[:, :2] * sizes[owner] if self._annotations.normalized else flat[:, :2]
        moved = transform_points(plan.matrices[0][owner], place[:, None])[:, 0]
        height, width = self._size
        shown = plan.shown[0][owner]
        seen: npt.NDArray[np.bool_] = np.asarray(
            ((moved >= 0) & (moved < [width, height])).all(axis=1)
            & ((place >= shown[:, 1::-1]) & (place <= shown[:, :1:-1])).all(axis=1)
        )
        for index, operation in self._hiding:
            chosen = np.flatnonzero(plan.selected[index][owner])
            if len(chosen):
                seen[chosen] &= ~operation.hides(plan.draws[index][owner[chosen]], moved[chosen], height, width)
        out = np.concatenate([moved, np.where(seen, flat[:, 2], 0.0)[:, None]], axis=1)
        parts = np.split(out, np.cumsum(counts)[:-1])
        mirrored = np.linalg.det(plan.matrices[0]) < 0
        return [
            self._paired(part.reshape(points.shape)) if flipped else part.reshape(points.shape)
            for part, points, flipped in zip(parts, stored, mirrored, strict=True)
        ]

    def _paired(self, points: Array) -> Array:
        """Keypoints (M, K, 3) of a mirrored sample: each takes the place of its counterpart."""
        order = np.arange(points.shape[1])
        for left, right in self._annotations.flip_pairs:
            if max(left, right) < len(order):
                order[[left, right]] = order[[right, left]]
        return points[:, order]

    def _parse(self, text: bytes) -> Note:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _MalformedError(f"it is no JSON ({error})") from error
        if not isinstance(content, dict):
            raise _MalformedError(f"it must be an object, got {type(content).__name__}")
        boxes = self._parse_boxes(content.get(self._annotations.boxes, []))
        labels = _parse_labels(content.get(self._annotations.labels), len(boxes))
        return Note(boxes, labels, _parse_keypoints(content.get(self._annotations.keypoints, [])))

    def _parse_boxes(self, listed: Any) -> Array:
        if not isinstance(listed, list):
            raise _MalformedError(f"boxes must be a list, got {type(listed).__name__}")
        for number, box in enumerate(listed):
            if not isinstance(box, list) or len(box) != 4 or not all(_finite(value) for value in box):
                raise _MalformedError(f"box {number} must be four finite numbers below 1e12, got {box!r:.80}")
        boxes = np.array(listed, np.float64).reshape(-1, 4)
        if self._annotations.box_format != "xyxy":
            extent = boxes[:, 2:].copy()
            if self._annotations.box_format == "cxcywh":
                boxes[:, :2] -= extent / 2
            boxes[:, 2:] = boxes[:, :2] + extent
        wrong = np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(axis=1))
        if len(wrong):
            number = int(wrong[0])
            raise _MalformedError(f"box {number} must not end before it begins, got {listed[number]!r}")
        return boxes


def _parse_labels(listed: Any, count: int) -> npt.NDArray[np.int64]:
    """A class number for each box; zeros where the annotation has none."""
    if listed is None:
        return np.zeros(count, np.int64)
    if not isinstance(listed, list) or len(listed) != count:
        length = len(listed) if isinstance(listed, list) else type(listed).__name__
        raise _MalformedError(f"there must be a label for each of {count} boxes, got {length}")
    for number, label in enumerate(listed):
        if isinstance(label, bool) or not isinstance(label, int) or not -(1 << 63) <= label < 1 << 63:
            raise _MalformedError(f"the label of box {number} must be a whole number of 64 bits, got {label!r:.80}")
    return np.array(listed, np.int64).reshape(count)


def _parse_keypoints(listed: Any) -> Array:
    """float64 (M, K, 3); points written without a visibility have 2, "labelled and visible", as COCO has it."""
    if not isinstance(listed, list):
        raise _MalformedError(f"keypoints must be a list, got {type(listed).__name__}")
    rows: list[list[list[float]]] = []
    for number, points in enumerate(listed):
        if not isinstance(points, list) or (rows and len(points) != len(rows[0])):
            raise _MalformedError(f"keypoints {number} must be a list as long as the others, got {points!r:.80}")
        for point in points:
            if not isinstance(point, list) or len(point) not in (2, 3) or not all(_finite(value) for value in point):
                raise _MalformedError(f"keypoints {number} must be (x, y) or (x, y, visibility), got {point!r:.80}")
        rows.append([point if len(point) == 3 else [*point, 2.0] for point in points])
    if not rows or not rows[0]:
        return np.zeros((len(rows), 0, 3))
    return np.array(rows, np.float64)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _enclosing(matrices: Array, corners: Array) -> Array:
    """Boxes (M, 4) around what becomes of corners (M, 4, 2)."""
    moved = transform_points(matrices, corners)
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)


def _area(boxes: Array) -> Array:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))
