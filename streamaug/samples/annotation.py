"""The JSON annotation of a sample: boxes, their labels, keypoints, as they are stored.

In: the bytes of the annotation component. Out: a `Note` of arrays, or the reason why it is malformed. It does no
geometry.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
#: The reasons why objects cannot be used, by their number.
Reasons = dict[int, str]

#: The bound of coordinates: whole numbers of JSON have no bound, and numpy's do.
_LARGEST = 1e12


@dataclass(frozen=True, slots=True, eq=False)
class Note:
    """The contents of a sample's annotation.

    Attributes:
        boxes: float64 (M, 4), x1, y1, x2, y2, as stored: pixels, or fractions if normalised.
        labels: int64 (M,).
        keypoints: float64 (M', K, 3), x, y, visibility; M' is M where there are boxes and keypoints for each.
        dropped: The number of malformed objects that were left out.
    """

    boxes: Array
    labels: npt.NDArray[np.int64]
    keypoints: Array
    dropped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form of annotations.

    Attributes:
        boxes: The field that holds the boxes; of each object its box.
        box_format: "xyxy", "xywh" or "cxcywh".
        labels: The field that holds a label for each box.
        keypoints: The field that holds the keypoints.
        objects: The field that holds a list of objects, each with fields of these names; None: no such field. A JSON
            list is always a list of objects.
        table: The class numbers of labels, which are names or other numbers.
        drops: Whether to leave out a malformed object; else its sample is malformed.
    """

    boxes: str
    box_format: str
    labels: str
    keypoints: str
    objects: str | None = None
    table: Mapping[str | int, int] = field(default_factory=dict)
    drops: bool = False


class MalformedError(Exception):
    """The reason why an annotation cannot be used."""


def parse_note(text: bytes, form: Form) -> Note:
    """Read the annotation of one sample.

    Args:
        text: A JSON object, or a list of objects.
        form: The form of the annotation.

    Raises:
        MalformedError: If it is no such JSON, or boxes, labels or keypoints break a rule.
    """
    listed_boxes, listed_labels, listed_points = _columns(_content(text), form)
    boxes, wrong_boxes = _parse_boxes(listed_boxes, form.box_format)
    labels, wrong_labels = _parse_labels(listed_labels, len(boxes), form.table)
    points, wrong_points = _parse_keypoints(listed_points)
    apart = len(points) != len(boxes)  # keypoints without a box
    for wrong in (wrong_boxes, wrong_labels, wrong_points):
        if wrong and (not form.drops or (apart and wrong is wrong_points)):
            raise MalformedError(wrong[min(wrong)])
    bad = sorted({*wrong_boxes, *wrong_labels, *wrong_points})
    if not bad:
        return Note(boxes, labels, points)
    kept = np.delete(np.arange(len(boxes)), bad)
    return Note(boxes[kept], labels[kept], points if apart else points[kept], len(bad))


def _content(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"it is no JSON ({error})") from error


def _columns(content: Any, form: Form) -> tuple[Any, Any, Any]:
    """The lists of boxes, of labels (None: no labels) and of keypoints."""
    objects = content if isinstance(content, list) else None
    if objects is None and not isinstance(content, dict):
        raise MalformedError(f"it must be an object or a list of objects, got {type(content).__name__}")
    if objects is None and form.objects is not None:
        objects = content.get(form.objects, [])
        if not isinstance(objects, list):
            raise MalformedError(f"{form.objects} must be a list of objects, got {type(objects).__name__}")
    if objects is None:
        return content.get(form.boxes, []), content.get(form.labels), content.get(form.keypoints, [])
    for number, each in enumerate(objects):
        if not isinstance(each, dict):
            raise MalformedError(f"it must be an object or a list of objects, got {each!r:.80} as object {number}")
    boxes, labels, points = ([each.get(name) for each in objects] for name in (form.boxes, form.labels, form.keypoints))
    # A field that no object has is missing; an object without keypoints among others has no visible keypoints.
    have_boxes, have_labels = (any(value is not None for value in column) for column in (boxes, labels))
    longest = max((_count(value) for value in points), default=0)
    filled = [[0.0, 0.0, 0.0] * longest if value is None else value for value in points]
    return boxes if have_boxes else [], labels if have_labels and have_boxes else None, filled if longest else []


def _count(points: Any) -> int:
    """The number of keypoints that are listed for an object."""
    if not isinstance(points, list):
        return 0 if points is None else 1
    return len(points) // 3 if points and not isinstance(points[0], list) else len(points)


def _parse_boxes(listed: Any, box_format: str) -> tuple[Array, Reasons]:
    """float64 (M, 4), zeros where a box is malformed."""
    if not isinstance(listed, list):
        raise MalformedError(f"boxes must be a list, got {type(listed).__name__}")
    wrong: Reasons = {}
    rows = []
    for number, box in enumerate(listed):
        if not isinstance(box, list) or len(box) != 4 or not all(_finite(value) for value in box):
            wrong[number] = f"box {number} must be four finite numbers below 1e12, got {box!r:.80}"
        rows.append([0.0] * 4 if number in wrong else box)
    boxes = np.array(rows, np.float64).reshape(-1, 4)
    if box_format != "xyxy":
        extent = boxes[:, 2:].copy()
        if box_format == "cxcywh":
            boxes[:, :2] -= extent / 2
        boxes[:, 2:] = boxes[:, :2] + extent
    for number in np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(axis=1)).tolist():
        wrong[number] = f"box {number} must not end before it begins, got {listed[number]!r}"
    return boxes, wrong


def _parse_labels(listed: Any, count: int, table: Mapping[str | int, int]) -> tuple[npt.NDArray[np.int64], Reasons]:
    """A class number for each box; zeros where the annotation has no labels, or a label is malformed."""
    labels = np.zeros(count, np.int64)
    if listed is None:
        return labels, {}
    if not isinstance(listed, list) or len(listed) != count:
        length = len(listed) if isinstance(listed, list) else type(listed).__name__
        raise MalformedError(f"there must be a label for each of {count} boxes, got {length}")
    wrong: Reasons = {}
    by_number = any(not isinstance(key, str) for key in table)
    for number, label in enumerate(listed):
        whole = isinstance(label, int) and not isinstance(label, bool)
        if isinstance(label, str) and not table:
            wrong[number] = f"the label of box {number} is a name, {label!r:.80}: pass Annotations(label_names=…)"
        elif isinstance(label, str) or (whole and by_number):
            if label in table:
                labels[number] = table[label]
            else:
                wrong[number] = f"the label of box {number} must be among Annotations.label_names, got {label!r:.80}"
        elif not whole or not -(1 << 63) <= label < 1 << 63:
            wrong[number] = f"the label of box {number} must be a whole number of 64 bits, got {label!r:.80}"
        else:
            labels[number] = label
    return labels, wrong


def _parse_keypoints(listed: Any) -> tuple[Array, Reasons]:
    """float64 (M, K, 3), zeros where they are malformed; points without a visibility have 2, "labelled and visible".

    The points of an object are written as lists, or as COCO does in one list of x, y, visibility, x, …
    """
    if not isinstance(listed, list):
        raise MalformedError(f"keypoints must be a list, got {type(listed).__name__}")
    if listed and not any(isinstance(points, list) for points in listed):
        listed = [listed]  # those of the only object, in one list
    wrong: Reasons = {}
    rows: list[list[list[float]]] = []
    count: int | None = None
    for number, points in enumerate(listed):
        parsed = _points_of(number, points)
        if not isinstance(parsed, str) and count is not None and len(parsed) != count:
            parsed = f"keypoints {number} must be a list as long as the others, got {points!r:.80}"
        if isinstance(parsed, str):
            wrong[number] = parsed
        else:
            count = len(parsed)
        rows.append([] if isinstance(parsed, str) else parsed)
    count = count or 0
    filled = [row or [[0.0] * 3] * count for row in rows]
    return np.array(filled, np.float64).reshape(len(rows), count, 3), wrong


def _points_of(number: int, points: Any) -> list[list[float]] | str:
    """The keypoints of object `number` as (x, y, visibility) each, or the reason why they are malformed."""
    if not isinstance(points, list):
        return f"keypoints {number} must be a list as long as the others, got {points!r:.80}"
    if points and not isinstance(points[0], list):
        if len(points) % 3 or not all(_finite(value) for value in points):
            return f"keypoints {number} in one list must be x, y, visibility of each point, got {points!r:.80}"
        points = [points[first : first + 3] for first in range(0, len(points), 3)]
    for point in points:
        if not isinstance(point, list) or len(point) not in (2, 3) or not all(_finite(value) for value in point):
            return f"keypoints {number} must be (x, y) or (x, y, visibility), got {point!r:.80}"
    return [point if len(point) == 3 else [*point, 2.0] for point in points]


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST
