"""Noise has the distribution that is stated, and is a function of the sample."""

import hashlib

import numpy as np
import pytest
from augmenting import frames
from scipy.special import ndtr
from scipy.stats import poisson

from streamaug import ops
from streamaug.ops.noise_field import GAUSSIAN_STD, gaussian_field, uniform_field
from streamaug.ops.shot_noise import standard_deviates

_COUNT = 10


def gray(level, side=160):
    return [np.full((side, side, 3), level, np.uint8)] * _COUNT


def noise(operation, level):
    return frames([operation], gray(level)).astype(np.float64) - level


@pytest.mark.parametrize("std", [0.004, 0.02, 0.1])
def test_gaussian_noise_is_normal_with_the_stated_deviation(std):
    values = noise(ops.GaussianNoise(std=std), 128)
    assert abs(values.mean()) < 0.01 * std * 255 + 0.01
    assert values.std() == pytest.approx(np.hypot(std * 255, np.sqrt(1 / 12)), rel=0.02)
    # The share of values up to each level, against the normal distribution rounded to whole levels.
    levels = np.arange(-3, 4) * np.ceil(std * 255)
    shares = (values[..., None] <= levels).mean(axis=(0, 1, 2, 3))
    assert np.abs(shares - ndtr((levels + 0.5) / (std * 255))).max() < 0.01


@pytest.mark.parametrize("std", [0.3, 0.6, 1.0])
def test_strong_gaussian_noise_is_clipped_as_the_normal_distribution_is(std):
    got = frames([ops.GaussianNoise(std=std)], gray(100)).astype(np.float64)
    normal = np.random.default_rng(1).normal(100, std * 255, got.shape)
    want = np.clip(np.rint(normal), 0, 255)
    assert got.mean() == pytest.approx(want.mean(), abs=1.5)
    assert got.std() == pytest.approx(want.std(), rel=0.02)
    assert (got == 0).mean() == pytest.approx((want == 0).mean(), abs=0.02)
    assert (got == 255).mean() == pytest.approx((want == 255).mean(), abs=0.02)


@pytest.mark.parametrize("operation", [ops.GaussianNoise(std=0.05), ops.ShotNoise(scale=40)])
def test_noise_of_samples_channels_and_pixels_is_uncorrelated(operation):
    values = noise(operation, 128)
    samples = np.corrcoef(values.reshape(_COUNT, -1)) - np.eye(_COUNT)
    channels = np.corrcoef(values.reshape(-1, 3).T) - np.eye(3)
    assert np.abs(samples).max() < 0.03
    assert np.abs(channels).max() < 0.03
    for axis in (1, 2):
        near, far = np.delete(values, -1, axis).ravel(), np.delete(values, 0, axis).ravel()
        assert abs(np.corrcoef(near, far)[0, 1]) < 0.03


@pytest.mark.parametrize("scale", [10, 60, 1000])
@pytest.mark.parametrize("level", [5, 50, 128])
def test_shot_noise_counts_photons(scale, level):
    got = frames([ops.ShotNoise(scale=scale)], gray(level)).astype(np.float64)
    photons = level * scale / 255
    counts = np.random.default_rng(0).poisson(photons, got.shape)
    want = np.clip(np.rint(counts * 255 / scale), 0, 255)
    assert got.mean() == pytest.approx(want.mean(), rel=0.02, abs=0.1)
    assert got.std() == pytest.approx(want.std(), rel=0.04)


def test_shot_noise_has_the_shape_of_the_poisson_distribution():
    field = gaussian_field(1 << 20)
    weights = np.bincount(field, minlength=256) / len(field)
    for row in (8, 40, 255):
        mean = row / 8
        deviates = standard_deviates()[row]
        assert (weights * deviates).sum() == pytest.approx(0, abs=5e-3)
        assert (weights * deviates**2).sum() == pytest.approx(1, abs=5e-3)
        # One cell of the field may hold two counts; between those, the shares are Poisson's.
        for count in range(1, int(2 * mean)):
            share = weights[deviates * np.sqrt(mean) + mean <= count + 0.5].sum()
            assert share == pytest.approx(poisson.cdf(count, mean), abs=0.014), (mean, count)


def test_the_table_of_shot_noise_stays_as_it_is():
    millionths = np.rint(standard_deviates() * 1e6).astype(np.int64)
    assert hashlib.sha256(millionths.tobytes()).hexdigest().startswith("2b0b6dbdcf16f927")


@pytest.mark.parametrize("amount", [0.01, 0.2, 1.0])
def test_salt_and_pepper_replaces_whole_pixels_by_white_and_black_alike(amount):
    got = frames([ops.SaltAndPepper(amount=amount)], gray(90))
    assert (got == got[..., :1]).all()
    share = amount / 2
    tolerance = 5 * np.sqrt(share / got[..., 0].size)
    assert (got[..., 0] == 255).mean() == pytest.approx(share, abs=tolerance)
    assert (got[..., 0] == 0).mean() == pytest.approx(share, abs=tolerance)
    assert set(np.unique(got)) <= {0, 90, 255}


def test_fields_are_the_same_for_every_size_of_image():
    for field in (uniform_field, gaussian_field):
        assert (field(1000) == field(3000)[: len(field(1000))]).all()
    assert gaussian_field(1 << 20).std() == pytest.approx(GAUSSIAN_STD, rel=0.005)
    assert gaussian_field(1 << 20).mean() == pytest.approx(128, abs=0.2)


def test_noise_differs_between_samples_epochs_and_operations():
    images = gray(128, side=32)
    operation = ops.GaussianNoise(std=0.05)
    first, again, other = (frames([operation], images, epoch=epoch) for epoch in (0, 0, 1))
    assert (first == again).all()
    assert not any((a == b).all() for a, b in zip(first, other, strict=True))
    assert len({image.tobytes() for image in first}) == _COUNT
    twice = frames([operation, operation], images).astype(int) - 128
    assert twice.std() == pytest.approx(np.sqrt(2) * 0.05 * 255, rel=0.1)
