"""Crops, pads and letterboxes against numpy and Pillow: whole pixels, in the right place, with the right border."""

import dataclasses

import numpy as np
import pytest
from augmenting import augmented, frames, png
from pictures import pictures
from PIL import Image

from streamaug import Output, Recipe, RecipeError, ops

_HEIGHT, _WIDTH = 40, 56
_NOISE = list(np.random.default_rng(3).integers(0, 256, (32, _HEIGHT, _WIDTH, 3), dtype=np.uint8))
#: What numpy calls our borders.
_NUMPY = {"constant": "constant", "replicate": "edge", "reflect": "symmetric", "reflect_101": "reflect", "wrap": "wrap"}


def cropped(images, operations):
    """uint8 (N, H, W, 3) after a first resize that changes nothing."""
    recipe = Recipe([ops.Resize(images[0].shape[:2]), *operations], output=Output(dtype="uint8"))
    return augmented(recipe, [png(image) for image in images]).permute(0, 2, 3, 1).numpy()


def places(padded, crops):
    """Where (y, x) each crop lies in its padded image, of which it is a window bit for bit; a wrapped one repeats."""
    high, wide = crops.shape[1:3]
    for image, crop in zip(padded, crops, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(image[..., 0], (high, wide))
        y, x = np.argwhere((windows == crop[..., 0]).all((2, 3)))[0]
        assert (image[y : y + high, x : x + wide] == crop).all()
        yield y, x


@pytest.mark.parametrize("border", _NUMPY)
@pytest.mark.parametrize(("size", "padding"), [((_HEIGHT, _WIDTH), 4), ((17, 30), 9)])
def test_a_random_crop_is_a_window_of_numpys_pad(border, size, padding):
    sides = ((padding, padding), (padding, padding), (0, 0))
    padded = [np.pad(image, sides, mode=_NUMPY[border]) for image in _NOISE]
    found = np.array([*places(padded, cropped(_NOISE, [ops.RandomCrop(size, padding=padding, border=border)]))])
    assert len(np.unique(found, axis=0)) > 20


def test_a_crop_without_padding_is_cut_out_by_the_resize():
    image = pictures(1, 90, 120)[0]
    whole = cropped([image] * 16, [ops.Resize((60, 80))])
    recipe = Recipe([ops.Resize((60, 80)), ops.RandomCrop(32)], output=Output(dtype="uint8"))
    crops = augmented(recipe, [png(image)] * 16).permute(0, 2, 3, 1).numpy().astype(int)
    for crop in crops:
        windows = np.lib.stride_tricks.sliding_window_view(whole[0].astype(int), (32, 32, 3))[:, :, 0]
        assert np.abs(windows - crop).max((2, 3, 4)).min() <= 1


def test_what_a_crop_without_padding_cut_off_does_not_come_back():
    image = np.full((40, 40, 3), 255, np.uint8)
    back = cropped([image], [ops.RandomCrop(20), ops.Pad(size=40)])
    assert (back[0, 10:30, 10:30] == 255).all()
    assert back.sum() == 20 * 20 * 3 * 255


@pytest.mark.parametrize("border", _NUMPY)
def test_pad_is_numpys(border):
    got = cropped(_NOISE[:4], [ops.Pad(amount=(1, 2, 3, 4), border=border)])
    want = [np.pad(image, ((1, 2), (3, 4), (0, 0)), mode=_NUMPY[border]) for image in _NOISE[:4]]
    assert (got == np.stack(want)).all()


def test_pad_to_a_size_puts_the_odd_pixel_at_bottom_and_right():
    got = cropped(_NOISE[:2], [ops.Pad(size=(45, 59), fill=(1, 2, 3))])
    want = np.empty((45, 59, 3), np.uint8)
    want[:] = (1, 2, 3)
    want[2:42, 1:57] = _NOISE[1]
    assert (got[1] == want).all()


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_a_letterbox_is_pillows_resize_in_the_middle(interpolation):
    images = [*pictures(2, 90, 33), *pictures(2, 20, 45), *pictures(2, 70, 70)]
    recipe = Recipe([ops.Letterbox((48, 64), interpolation=interpolation, fill=200)], output=Output(dtype="uint8"))
    got = augmented(recipe, [png(image) for image in images]).permute(0, 2, 3, 1).numpy()
    for image, out in zip(images, got, strict=True):
        scale = min(48 / image.shape[0], 64 / image.shape[1])
        high, wide = (max(1, round(side * scale)) for side in image.shape[:2])
        top, left = (48 - high) // 2, (64 - wide) // 2
        kind = getattr(Image.Resampling, interpolation.upper())
        want = np.full((48, 64, 3), 200)
        want[top : top + high, left : left + wide] = np.asarray(Image.fromarray(image).resize((wide, high), kind))
        difference = np.abs(out - want)
        assert difference[top : top + high, left : left + wide].mean() < 0.7
        assert difference.max() <= 6
        difference[top : top + high, left : left + wide] = 0
        assert difference.max() == 0


def test_a_letterbox_behind_another_size_is_one_of_that_frame():
    got = cropped(_NOISE[:3], [ops.Letterbox((60, 56), fill=9)])
    assert (got[:, 10:50] == np.stack(_NOISE[:3])).all()
    assert (got[:, :10] == 9).all()
    assert (got[:, 50:] == 9).all()


@pytest.mark.parametrize("operation", [ops.Rotate(degrees=(40, 40)), ops.TrivialAugmentWide(), ops.Affine(scale=0.5)])
def test_three_equal_levels_are_a_gray_one(operation):
    gray, three = (dataclasses.replace(operation, fill=fill) for fill in (77, (77, 77, 77)))
    assert three == gray
    assert (frames([three], _NOISE[:8]) == frames([gray], _NOISE[:8])).all()


def test_a_border_of_three_levels_is_each_channels_own():
    by_color = frames([ops.Rotate(degrees=(30, 30), fill=(10, 120, 230))], _NOISE[:6])
    for channel, level in enumerate((10, 120, 230)):
        by_gray = frames([ops.Rotate(degrees=(30, 30), fill=level)], _NOISE[:6])
        assert (by_color[..., channel] == by_gray[..., channel]).all()


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([ops.Resize(32), ops.RandomCrop(41, padding=4)], r"RandomCrop\.size"),
        ([ops.ResizeShortest(32), ops.RandomCrop(33)], r"RandomCrop\.size"),
        ([ops.RandomCrop(8)], r"RandomCrop\.size"),
        ([ops.Resize(32), ops.Pad(size=(40, 31))], r"Pad\.size"),
        ([ops.ResizeShortest(32), ops.Pad(size=64)], r"Pad\.size"),
        ([ops.Pad(amount=1), ops.Resize(8)], r"Pad\.amount"),
        ([ops.Resize(32), ops.Erase(), ops.Pad(amount=1)], "Pad"),
        ([ops.Resize(32), ops.Pad(amount=1, fill=(1, 2, 3)), ops.RandomCrop(32, padding=1, fill=4)], "fill"),
    ],
)
def test_what_cannot_follow_is_refused(operations, message):
    with pytest.raises(RecipeError, match=message):
        Recipe(operations)


def test_a_crop_may_follow_a_size_that_differs_from_image_to_image():
    recipe = Recipe([ops.ResizeShortest(32), ops.RandomCrop((32, 40), padding=4)], output=Output(dtype="uint8"))
    files = [png(image) for image in [*pictures(4, 40, 90), *pictures(4, 90, 40)]]
    assert augmented(recipe, files, batch_size=8).shape == (8, 3, 32, 40)
