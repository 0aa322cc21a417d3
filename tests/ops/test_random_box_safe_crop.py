"""The box-safe crop loses no box, is as random as the boxes let it be, and is a function of the sample."""

import json

import numpy as np
import pytest
import torch
from augmenting import encoded_batches, png, refuse
from pictures import pictures
from scipy import stats

from streamaug import Annotations, Output, Recipe, RecipeError, ops
from streamaug.batch import EncodedBatch
from streamaug.dali.engine import AugmentEngine
from streamaug.geometry import transform_points

_PICTURES = pictures(64, 90, 120)
_FILES = [png(image) for image in _PICTURES]


def boxes_of(seed, most=4):
    """For each picture up to `most` boxes x1, y1, x2, y2 in pixels, in every fourth none."""
    rng = np.random.default_rng(seed)
    out = []
    for row in range(len(_PICTURES)):
        corners = np.sort(rng.random((0 if row % 4 == 0 else rng.integers(1, most + 1), 2, 2)), axis=1)
        corners[:, 1] = np.maximum(corners[:, 1], corners[:, 0] + 0.05)
        out.append((np.minimum(corners, 1.0) * (120, 90)).reshape(-1, 4).tolist())
    return out


def run(operations, boxes, *, epoch=0, batch_size=64, annotations=None, size=(48, 48)):
    notes = [json.dumps({"boxes": each}).encode() for each in boxes]
    recipe = Recipe([*operations], output=Output(dtype="uint8"))
    engine = AugmentEngine(recipe, device="cpu", num_threads=2, annotations=annotations or Annotations(min_area=0.0))
    batches = [
        EncodedBatch(each.data, {"json": [notes[int(i)] for i in each.origin.sample_ids]}, each.origin)
        for each in encoded_batches(_FILES, batch_size, epoch=epoch)
    ]
    done = list(engine.run(iter(batches), refuse))
    return torch.cat([batch.images for batch in done]), [each for batch in done for each in batch.boxes]


@pytest.mark.parametrize(
    "front",
    [
        [ops.RandomBoxSafeCrop(48, scale=(0.01, 0.3))],
        [ops.RandomBoxSafeCrop((48, 64), scale=(0.01, 0.3), antialias=False, probability=0.5)],
        [ops.HorizontalFlip(), ops.VerticalFlip(), ops.RandomBoxSafeCrop(48, scale=(0.01, 0.2))],
        [ops.Resize((60, 50)), ops.RandomBoxSafeCrop(48, scale=(0.01, 0.2))],
    ],
    ids=["first", "one warp", "after flips", "after a resize"],
)
def test_every_box_stays_whole(front):
    for epoch in range(2):
        boxes = boxes_of(epoch)
        _, found = run(front, boxes, epoch=epoch, annotations=Annotations(min_area=0.0, min_visibility=1 - 1e-6))
        assert [len(each) for each in found] == [len(each) for each in boxes]


def test_boxes_and_pixels_go_through_the_same_window():
    rng = np.random.default_rng(0)
    images, boxes = [], []
    for _ in range(64):
        y, x = rng.integers(5, 60), rng.integers(5, 90)
        image = np.zeros((90, 120, 3), np.uint8)
        image[y : y + 20, x : x + 25] = 255
        images.append(png(image))
        boxes.append([[int(x), int(y), int(x) + 25, int(y) + 20]])
    notes = [json.dumps({"boxes": each}).encode() for each in boxes]
    (batch,) = encoded_batches(images, 64)
    recipe = Recipe([ops.RandomBoxSafeCrop(60, scale=(0.05, 0.4))], output=Output(dtype="uint8"))
    engine = AugmentEngine(recipe, device="cpu", annotations=Annotations())
    (done,) = engine.run(iter([EncodedBatch(batch.data, {"json": notes}, batch.origin)]), refuse)
    for image, (box,) in zip(done.images[:, 0].numpy(), done.boxes, strict=True):
        bright = np.argwhere(image > 127)
        assert np.abs(box[:2].numpy() - bright.min(0)[::-1]).max() < 1.0
        assert np.abs(box[2:].numpy() - bright.max(0)[::-1] - 1).max() < 1.0


def test_an_image_without_boxes_is_cropped_as_by_random_resized_crop():
    boxes = boxes_of(3)
    safe, _ = run([ops.RandomBoxSafeCrop(48)], boxes)
    plain, _ = run([ops.RandomResizedCrop(48)], boxes)
    same = (safe == plain).flatten(1).all(1).numpy()
    assert same[::4].all()
    assert not same.all()


def test_the_place_of_the_window_is_uniform_over_those_that_hold_the_boxes():
    crop = ops.RandomBoxSafeCrop(10, scale=(0.25, 0.25), ratio=(1.0, 1.0))
    draws = np.random.default_rng(2).random((6000, crop.draws))
    extent, kept = np.full(6000, 40.0), np.tile([[8.3, 30.0, 20.0, 39.5]], (6000, 1))  # y1, x1, y2, x2
    matrices = crop.matrix_keeping(draws, extent, extent, kept)
    corners = transform_points(np.linalg.inv(matrices), np.tile([[[0.0, 0.0], [10.0, 10.0]]], (6000, 1, 1)))
    assert np.allclose(corners, np.rint(corners))
    left, top, right, bottom = np.rint(corners.reshape(-1, 4)).T.astype(int)
    assert ((right - left, bottom - top) == np.full((2, 6000), 20)).all()
    assert set(left) == {20}  # 30 to 40 in a window of 20 pixels of 40
    assert set(top) == set(range(9))
    assert stats.chisquare(np.bincount(top)).pvalue > 1e-4


def test_a_window_is_as_large_as_the_boxes_need_and_no_larger():
    crop = ops.RandomBoxSafeCrop(10, scale=(0.01, 0.01), ratio=(1.0, 1.0))
    draws = np.random.default_rng(2).random((50, crop.draws))
    extent = np.full(50, 100.0)
    matrices = crop.matrix_keeping(draws, extent, extent, np.tile([[-5.0, 20.5, 130.0, 40.2]], (50, 1)))
    corners = transform_points(np.linalg.inv(matrices), np.tile([[[0.0, 0.0], [10.0, 10.0]]], (50, 1, 1)))
    np.testing.assert_allclose(corners.reshape(-1, 4), np.tile([[20.0, 0.0, 41.0, 100.0]], (50, 1)), atol=1e-9)


def test_it_changes_the_selected_samples_and_is_a_function_of_the_sample():
    boxes = boxes_of(5)
    whole, _ = run([ops.Resize(48)], boxes)
    always, _ = run([ops.RandomBoxSafeCrop(48, scale=(0.1, 0.5))], boxes)
    half, _ = run([ops.RandomBoxSafeCrop(48, scale=(0.1, 0.5), probability=0.5)], boxes)
    as_whole, as_always = ((half == each).flatten(1).all(1) for each in (whole, always))
    assert (as_whole | as_always).all()
    assert 16 < as_always.sum() < 48
    for batch_size in (1, 7):
        again, _ = run([ops.RandomBoxSafeCrop(48, scale=(0.1, 0.5))], boxes, batch_size=batch_size)
        assert torch.equal(again[:64], always)
    other, _ = run([ops.RandomBoxSafeCrop(48, scale=(0.1, 0.5))], boxes, epoch=1)
    assert (other != always).flatten(1).any(1).float().mean() > 0.6  # boxes that span the image leave no choice


def test_fractions_are_kept_as_pixels_are():
    boxes = boxes_of(6)
    share = [[[x1 / 120, y1 / 90, x2 / 120, y2 / 90] for x1, y1, x2, y2 in each] for each in boxes]
    crop = [ops.RandomBoxSafeCrop(48, scale=(0.05, 0.3))]
    pixels, _ = run(crop, boxes)
    fractions, found = run(crop, share, annotations=Annotations(normalized=True, min_area=0.0, min_visibility=0.999))
    assert (pixels == fractions).flatten(1).all(1).float().mean() > 0.9  # a rounding may move a side by a pixel
    assert [len(each) for each in found] == [len(each) for each in boxes]


def test_without_annotations_it_is_refused():
    (batch,) = encoded_batches(_FILES[:4], 4)
    engine = AugmentEngine(Recipe([ops.RandomBoxSafeCrop(8)]), device="cpu")
    with pytest.raises(RecipeError, match=r"augment\.annotations: .*RandomBoxSafeCrop"):
        next(engine.run(iter([batch]), refuse))
