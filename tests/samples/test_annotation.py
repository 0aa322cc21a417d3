"""Annotations of every form become the same arrays, and what is malformed is named or left out."""

import json

import numpy as np
import pytest

from streamaug import Annotations, RecipeError
from streamaug.samples.annotation import Form, MalformedError, parse_note

_KEYS = {"boxes": "boxes", "box_format": "xyxy", "labels": "labels", "keypoints": "keypoints"}
_COCO = {"boxes": "bbox", "box_format": "xywh", "labels": "category_id", "keypoints": "keypoints"}


def note(content, **form):
    return parse_note(json.dumps(content).encode(), Form(**{**_KEYS, **form}))


@pytest.mark.parametrize(
    "keypoints",
    [
        [[[1, 2, 2], [3, 4, 0]]],
        [[1, 2, 2, 3, 4, 0]],
        [1, 2, 2, 3, 4, 0],
    ],
)
def test_keypoints_may_be_written_as_points_or_in_one_list(keypoints):
    assert note({"keypoints": keypoints}).keypoints.tolist() == [[[1, 2, 2], [3, 4, 0]]]


def test_objects_without_keypoints_have_none_that_are_visible():
    objects = [{"bbox": [0, 0, 4, 4]}, {"bbox": [1, 1, 2, 2], "keypoints": [1, 2, 2, 3, 4, 1]}]
    found = note(objects, **_COCO)
    assert found.keypoints.tolist() == [[[0, 0, 0], [0, 0, 0]], [[1, 2, 2], [3, 4, 1]]]
    assert found.boxes.tolist() == [[0, 0, 4, 4], [1, 1, 3, 3]]
    assert found.labels.tolist() == [0, 0]


def test_objects_with_keypoints_alone_need_no_boxes():
    found = note([{"keypoints": [1, 2, 2]}, {"keypoints": [3, 4, 2]}], **_COCO)
    assert found.boxes.shape == (0, 4)
    assert found.keypoints[:, 0, 0].tolist() == [1, 3]


@pytest.mark.parametrize("content", [[], {"annotations": []}, {}])
def test_no_objects_are_an_annotation_of_nothing(content):
    found = note(content, **_COCO, objects="annotations")
    assert (found.boxes.shape, found.labels.shape, found.keypoints.shape[0]) == ((0, 4), (0,), 0)


def table(names):
    return Annotations(label_names=names).label_table


@pytest.mark.parametrize(
    ("names", "labels", "expected"),
    [
        (("cat", "dog"), ["dog", "cat", 7], [1, 0, 7]),
        ({"cat": 5, "dog": 2}, ["dog", "cat", 0], [2, 5, 0]),
        ({18: 0, 90: 1}, [90, 18, 18], [1, 0, 0]),
    ],
)
def test_labels_go_through_the_table(names, labels, expected):
    found = note({"boxes": [[0, 0, 1, 1]] * 3, "labels": labels}, table=table(names))
    assert found.labels.tolist() == expected


@pytest.mark.parametrize(
    ("content", "form", "words"),
    [
        ([{"bbox": [0, 0, 1, 1]}, {}], _COCO, "box 1 must be four"),
        ([{"bbox": [0, 0, 1, 1], "category_id": 1}, {"bbox": [0, 0, 1, 1]}], _COCO, "label of box 1"),
        ([{"bbox": [0, 0, 1, 1], "keypoints": 3}], _COCO, "keypoints 0"),
        ([{"keypoints": [1, 2, 2]}, {"keypoints": [1, 2, 2, 3, 4, 2]}], _COCO, "keypoints 1"),
        ({"annotations": {"bbox": 1}}, {"objects": "annotations"}, "annotations must be a list"),
        ({"boxes": [[0, 0, 1, 1]], "labels": ["cow"]}, {"table": {"cat": 0}}, "label_names, got 'cow'"),
        ({"boxes": [[0, 0, 1, 1]], "labels": [3]}, {"table": {18: 0}}, "label_names, got 3"),
        ({"boxes": [[0, 0, 1, 1]], "labels": ["cow"]}, {}, "label_names="),
        ({"boxes": [[0, 0, 1, 1]], "labels": [True]}, {"table": {1: 0}}, "whole number"),
    ],
)
def test_what_is_malformed_is_named(content, form, words):
    with pytest.raises(MalformedError, match=words):
        note(content, **form)


def test_a_malformed_object_is_left_out_with_all_that_belongs_to_it():
    content = {
        "boxes": [[0, 0, 1, 1], [5, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3], [0, 0, 4, 4]],
        "labels": [1, 2, "x", 4, 5],
        "keypoints": [[1, 1, 2], [2, 2, 2], [3, 3, 2], [4, 4], [5, 5, 2]],
    }
    found = note(content, drops=True)
    assert found.boxes[:, 2].tolist() == [1, 4]
    assert found.labels.tolist() == [1, 5]
    assert found.keypoints[:, 0, 0].tolist() == [1, 5]
    assert found.dropped == 3
    with pytest.raises(MalformedError, match="box 1"):
        note(content)


def test_keypoints_of_no_box_are_not_left_out():
    content = {"boxes": [[9, 0, 1, 1]], "keypoints": [[1, 1, 2], [2, 2, 2]]}
    found = note(content, drops=True)
    assert (len(found.boxes), len(found.keypoints), found.dropped) == (0, 2, 1)
    with pytest.raises(MalformedError, match="keypoints 1"):
        note({"boxes": [[0, 0, 1, 1]], "keypoints": [[1, 1, 2], [2], [3, 3, 2]]}, drops=True)


@pytest.mark.parametrize("names", [(), ("cat", "cat"), "cat", {"cat": "dog"}, {}, (1.5,), {"cat": True}, 3])
def test_a_table_that_is_none_is_refused(names):
    with pytest.raises(RecipeError, match=r"^Annotations\.label_names: .+, got .+\. .+\.$"):
        Annotations(label_names=names)


def test_an_unknown_way_with_bad_boxes_is_refused():
    with pytest.raises(RecipeError, match=r"Annotations\.on_bad_box"):
        Annotations(on_bad_box="ignore")


def test_a_large_annotation_is_read_as_it_was():
    rng = np.random.default_rng(0)
    boxes = np.sort(rng.random((50, 2, 2)) * 100, axis=1).reshape(50, 4)
    assert (note({"boxes": boxes.tolist()}).boxes == boxes).all()
