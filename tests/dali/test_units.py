"""Boxes and keypoints in the wrong unit are noticed once, with the likely unit and the boxes that it cost."""

import json
import re
import warnings

import pytest
from augmenting import encoded_batches, png, refuse
from pictures import pictures

from streamaug import Annotations, Recipe, ops
from streamaug.batch import EncodedBatch
from streamaug.dali.engine import AugmentEngine

_PICTURES = [png(picture) for picture in pictures(8, 48, 64)]
_FRACTIONS = [[0.1, 0.2, 0.5, 0.6], [0.4, 0.4, 0.9, 1.02]]
_PIXELS = [[6, 10, 32, 29], [25, 19, 58, 48]]


def said(note, *, batches=1, **options):
    """The warnings of some batches whose samples all have this note."""
    engine = AugmentEngine(Recipe([ops.Resize(32)]), device="cpu", annotations=Annotations(**options))
    data = [
        EncodedBatch(batch.data, {"json": [json.dumps(note).encode()] * 4}, batch.origin)
        for batch in encoded_batches((_PICTURES * batches)[: 4 * batches], 4)
    ]
    with warnings.catch_warnings(record=True, action="always") as caught:
        list(engine.run(iter(data), refuse))
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("box_format", ["xyxy", "xywh", "cxcywh"])
def test_fractions_that_are_said_to_be_pixels_are_noticed_once(box_format):
    (message,) = said({"boxes": _FRACTIONS}, batches=3, box_format=box_format)
    assert "must be pixels, got 8 boxes and 0 visible keypoints" in message
    assert "look like fractions of the image's size; 8 of these boxes were dropped. Write normalized=True." in message


@pytest.mark.parametrize("box_format", ["xyxy", "xywh", "cxcywh"])
def test_pixels_that_are_said_to_be_fractions_are_noticed_once(box_format):
    (message,) = said({"boxes": _PIXELS}, batches=3, box_format=box_format, normalized=True)
    assert re.search(r"look like pixels; \d of these boxes were dropped\. Write normalized=False\.", message)


def test_keypoints_alone_are_looked_at_and_those_that_are_not_labelled_left_out():
    points = [[[0.25, 0.5, 2], [0, 0, 0], [0.75, 0.5, 1]]]
    assert "got 0 boxes and 8 visible keypoints" in said({"keypoints": points})[0]
    assert said({"keypoints": [[[0, 0, 0], [0, 0, 0]]]}) == []


@pytest.mark.parametrize(
    ("note", "options"),
    [
        ({"boxes": _PIXELS}, {}),
        ({"boxes": _FRACTIONS}, {"normalized": True}),
        ({"boxes": [[0.0, 0.0, 1.3, 1.9]]}, {"normalized": True}),  # reaches far over the edge, in fractions
        ({"boxes": [[0.1, 0.1, 0.9, 0.9], [3, 4, 50, 40]]}, {}),  # one tiny box among others
        ({"boxes": [[0, 0, 1, 1]]}, {}),  # a pixel: too few of them to say
        ({"boxes": []}, {}),
    ],
)
def test_the_unit_that_was_asked_for_is_no_reason_to_warn(note, options):
    assert said(note, **options) == []
