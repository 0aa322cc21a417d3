"""Against the formulas in numpy, and against Pillow where it has the same operation."""

import colorsys

import numpy as np
import pytest
from augmenting import frames
from PIL import Image, ImageEnhance

from streamaug import ops
from streamaug.ops.color_jitter import color_matrices


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(0).integers(0, 256, (12, 30, 40, 3), np.uint8))


def test_neutral_factors_are_bitwise_the_identity(images):
    neutral = ops.ColorJitter(brightness=(1, 1), contrast=(1, 1), saturation=(1, 1), hue=(0, 0))
    assert np.array_equal(frames([neutral], images), images)
    # The same with the nodes in the graph, at the neutral end of a range.
    nearly = ops.ColorJitter(brightness=(1, 1 + 1e-12), saturation=(1, 1 + 1e-15), hue=(0, 1e-300))
    assert np.array_equal(frames([nearly], images), images)


@pytest.mark.parametrize("factor", [0.0, 0.4, 0.9, 1.3, 2.0])
def test_brightness_is_pillow_s(images, factor):
    got = frames([ops.ColorJitter(brightness=(factor, factor))], images).astype(int)
    expected = [np.asarray(ImageEnhance.Brightness(Image.fromarray(i)).enhance(factor), int) for i in images]
    assert np.abs(got - expected).max() <= 1


@pytest.mark.parametrize("factor", [0.0, 0.4, 0.9, 1.3, 2.0])
def test_saturation_is_pillow_s(images, factor):
    got = frames([ops.ColorJitter(saturation=(factor, factor))], images).astype(int)
    expected = [np.asarray(ImageEnhance.Color(Image.fromarray(i)).enhance(factor), int) for i in images]
    # Pillow rounds the gray before it blends: up to |1 - factor| / 2 more.
    assert np.abs(got - expected).max() <= 1 + abs(1 - factor)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.6])
def test_contrast_is_about_mid_gray(images, factor):
    got = frames([ops.ColorJitter(contrast=(factor, factor))], images).astype(float)
    expected = np.clip(128 + factor * (np.array(images, float) - 128), 0, 255)
    assert np.abs(got - expected).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("turns", [-0.5, -0.2, 0.1, 0.3])
def test_hue_is_the_matrix(images, turns):
    got = frames([ops.ColorJitter(hue=(turns, turns))], images).astype(float)
    (matrix,) = color_matrices(np.ones(1), np.array([turns]))
    expected = np.clip(np.array(images, float) @ matrix.T, 0, 255)
    assert np.abs(got - expected).max() <= 0.5 + 1e-3


def test_hue_keeps_gray_and_luma_and_goes_the_way_of_hsv():
    matrices = color_matrices(np.ones(50), np.linspace(-0.5, 0.5, 50))
    luma = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(matrices.sum(-1), 1.0, atol=2e-3)
    np.testing.assert_allclose(luma @ matrices, np.broadcast_to(luma, (50, 3)), atol=1e-9)
    reddish = np.array([0.7, 0.4, 0.4])
    red, green, blue = color_matrices(np.ones(1), np.array([0.1]))[0] @ reddish
    assert 0.05 < colorsys.rgb_to_hsv(red, green, blue)[0] < 0.2


def test_parameters_cover_their_ranges():
    operation = ops.ColorJitter(brightness=0.4, contrast=(0.5, 3.0))
    found = operation.parameters(np.random.default_rng(0).random((5000, 4)), 8, 8)
    assert set(found) == {"brightness", "contrast"}
    for name, low, high in (("brightness", 0.6, 1.4), ("contrast", 0.5, 3.0)):
        assert found[name].dtype == np.float32
        assert low <= found[name].min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < found[name].max() <= high
