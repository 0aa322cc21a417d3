"""Erased rectangles have the stated areas, ratios, places, number and fill; grids the stated squares."""

import numpy as np
import pytest
import torch
from augmenting import augmented, frames, png
from pictures import pictures
from scipy import ndimage

from streamaug import Output, Recipe, RecipeError, ops

_HEIGHT, _WIDTH = 90, 150
_WHITE = [np.full((_HEIGHT, _WIDTH, 3), 255, np.uint8)] * 80


def holes(operation, images=_WHITE):
    """Each image's hole as a bool (H, W)."""
    return (frames([operation], images) == 0).all(axis=-1)


def rectangles(found):
    return [ndimage.find_objects(ndimage.label(hole)[0]) for hole in found]


def test_rectangles_have_the_area_and_the_ratio_of_the_ranges():
    areas, ratios = [], []
    for hole in holes(ops.Erase(area=(0.05, 0.25), ratio=(0.5, 2.0), probability=1.0)):
        ((rows, columns),) = ndimage.find_objects(hole.astype(int))
        height, width = rows.stop - rows.start, columns.stop - columns.start
        assert hole.sum() == height * width
        areas.append(height * width / (_HEIGHT * _WIDTH))
        ratios.append(width / height)
    assert 0.045 < min(areas) < 0.08
    assert 0.22 < max(areas) < 0.26
    assert 0.45 < min(ratios) < 0.65
    assert 1.6 < max(ratios) < 2.2
    assert 0.35 < np.mean(np.array(ratios) < 1) < 0.65


def test_a_rectangle_that_would_not_fit_keeps_its_area():
    for hole in holes(ops.Erase(area=0.6, ratio=0.1, probability=1.0)):
        assert hole.mean() == pytest.approx(0.6, abs=0.02)
    assert holes(ops.Erase(area=1.0, probability=1.0)).all()


def test_rectangles_reach_every_edge_and_are_everywhere_alike():
    total = holes(ops.Erase(area=0.04, ratio=1.0, probability=1.0), _WHITE * 5).sum(axis=0)
    side = np.sqrt(0.04 * _HEIGHT * _WIDTH)
    inner = total[int(side) : -int(side), int(side) : -int(side)]
    expected = 400 * side**2 / ((_HEIGHT - side) * (_WIDTH - side))
    assert inner.mean() == pytest.approx(expected, rel=0.2)
    assert min(total[0].sum(), total[-1].sum(), total[:, 0].sum(), total[:, -1].sum()) > 0


@pytest.mark.parametrize("size", [1, 20, 31])
def test_cutout_squares_are_centred_anywhere_and_clipped(size):
    shapes = [found[0] for found in rectangles(holes(ops.Erase(size=size, probability=1.0)))]
    heights = [rows.stop - rows.start for rows, _ in shapes]
    widths = [columns.stop - columns.start for _, columns in shapes]
    assert max(heights) == max(widths) == size
    if size > 1:
        assert min(heights) < size
        assert min(heights) >= size // 2


def test_count_is_how_many_rectangles_there_are():
    found = rectangles(holes(ops.Erase(size=4, count=(1, 4), probability=1.0)))
    counts = [len(each) for each in found]
    assert max(counts) == 4
    assert min(counts) == 1
    exact = [len(each) for each in rectangles(holes(ops.Erase(size=2, count=3, probability=1.0)))]
    assert sorted(exact)[len(exact) // 2] == 3  # a few touch


def test_mean_fill_is_the_mean_colour_of_the_image():
    images = pictures(12, _HEIGHT, _WIDTH)
    zero = frames([ops.Erase(area=0.3, fill=0, probability=1.0)], images)
    mean = frames([ops.Erase(area=0.3, fill="mean", probability=1.0)], images)
    for image, black, filled in zip(images, zero, mean, strict=True):
        hole = (black != image).any(axis=-1)
        assert (filled[~hole] == image[~hole]).all()
        assert np.abs(filled[hole] - image.mean(axis=(0, 1))).max() <= 1.0


def test_noise_fill_is_uniform_and_differs_between_samples():
    gray = [np.full((_HEIGHT, _WIDTH, 3), 100, np.uint8)] * 6
    filled = frames([ops.Erase(area=1.0, fill="noise", probability=1.0)], gray).reshape(6, -1).astype(float)
    assert filled.mean() == pytest.approx(127.5, abs=1.0)
    assert filled.std() == pytest.approx(255 / np.sqrt(12), rel=0.01)
    assert np.abs(np.corrcoef(filled) - np.eye(6)).max() < 0.03


def test_constant_fill_is_the_gray_level():
    got = frames([ops.Erase(area=0.2, fill=77, probability=1.0)], _WHITE[:5])
    assert set(np.unique(got)) == {77, 255}


def test_a_coloured_fill_is_the_colour():
    got = frames([ops.Erase(area=0.2, fill=(250, 120, 7), probability=1.0)], _WHITE[:5])
    hole = (got == (250, 120, 7)).all(axis=-1)
    assert hole.mean() == pytest.approx(0.2, abs=0.02)
    assert (got[~hole] == 255).all()


_NORMAL = {"mean": (120.0, 110.0, 100.0), "std": (50.0, 60.0, 70.0)}


@pytest.mark.parametrize(("dtype", "channels_last"), [("float32", False), ("float32", True), ("float16", False)])
def test_normal_fill_is_normal_after_normalising_where_the_rectangles_are(dtype, channels_last):
    images = [png(image) for image in pictures(32, _HEIGHT, _WIDTH)]
    output = Output(dtype=dtype, channels_last=channels_last, **_NORMAL)

    def run(fill, probability):
        erase = ops.Erase(area=(0.2, 0.4), count=2, fill=fill, probability=probability)
        front = [ops.Resize((_HEIGHT, _WIDTH)), ops.HorizontalFlip(), erase, ops.Invert()]
        return augmented(Recipe(front, output=output), images)

    plain, black, normal = run("normal", 0.0), run(0, 1.0), run("normal", 1.0)
    hole = (black != plain).any(1, keepdim=True).expand_as(plain)
    assert torch.equal(normal[~hole], plain[~hole])
    values = normal[hole].double()
    assert values.mean().item() == pytest.approx(0, abs=0.01)
    assert values.std().item() == pytest.approx(1, abs=0.01)
    assert values.abs().max() <= 4
    colors = normal.permute(1, 0, 2, 3)[:, hole[:, 0]].double()
    assert np.abs(np.corrcoef(colors.numpy()) - np.eye(3)).max() < 0.02
    half = run("normal", 0.5)
    same = (half == plain).flatten(1).all(1)
    assert 8 < same.sum() < 24
    assert torch.equal(half[~same], normal[~same])
    assert half.stride() == plain.stride()


def test_normal_fill_inside_a_choice_is_painted_last_too():
    images = [png(image) for image in pictures(32, _HEIGHT, _WIDTH)]
    erase = ops.Erase(area=1.0, fill="normal", probability=1.0)
    choice = ops.RandomChoice([erase, ops.RandomChoice([ops.Invert()])])
    got = augmented(Recipe([ops.Resize((_HEIGHT, _WIDTH)), choice], output=Output(**_NORMAL)), images)
    erased = (got.flatten(1).std(1) - 1).abs() < 0.02
    assert 8 < erased.sum() < 24


def test_normal_fill_without_normalising_is_refused():
    for output in (Output(), Output(dtype="uint8")):
        with pytest.raises(RecipeError, match="mean and std"):
            Recipe([ops.Resize(8), ops.RandomChoice([ops.Erase(fill="normal")])], output=output)


def test_grid_mask_has_one_square_in_each_tile_at_any_shift():
    found = holes(ops.GridMask(ratio=0.5, tile=30))
    assert np.abs(found.mean(axis=(1, 2)) - 0.25).max() < 0.01  # 90 and 150 are whole numbers of tiles
    for hole in found:
        np.testing.assert_array_equal(hole[30:], hole[:-30])
        np.testing.assert_array_equal(hole[:, 30:], hole[:, :-30])
        assert {int(hole.any(axis=1)[:30].sum()), int(hole.any(axis=0)[:30].sum())} == {15}
    assert len({hole.tobytes() for hole in found}) > 60
    shares = holes(ops.GridMask(ratio=(0.2, 0.8), tile=(10, 40))).mean(axis=(1, 2))
    assert shares.min() < 0.1
    assert shares.max() > 0.5
