"""Operations on values and neighbourhoods, against Pillow and numpy."""

import io

import numpy as np
import pytest
from augmenting import frames
from pictures import pictures
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage, stats

from streamaug import ops
from streamaug.ops.motion_blur import line_kernels

_PICTURES = pictures()


def pillow(function):
    return np.stack([np.asarray(function(Image.fromarray(image))) for image in _PICTURES])


def difference(got, want):
    return np.abs(got.astype(int) - want.astype(int)).max()


def test_grayscale_is_pillows_within_a_level():
    want = pillow(lambda image: ImageOps.grayscale(image).convert("RGB"))
    got = frames([ops.Grayscale(probability=1.0)], _PICTURES)
    assert (got == got[..., :1]).all()
    assert difference(got, want) <= 1


@pytest.mark.parametrize("threshold", [0, 1, 100, 127.5, 255, 256])
def test_solarize_is_pillows(threshold):
    want = pillow(lambda image: ImageOps.solarize(image, threshold))
    assert difference(frames([ops.Solarize(threshold=threshold)], _PICTURES), want) == 0


@pytest.mark.parametrize("bits", range(1, 9))
def test_posterize_is_pillows(bits):
    want = pillow(lambda image: ImageOps.posterize(image, bits))
    assert difference(frames([ops.Posterize(bits=bits)], _PICTURES), want) == 0


def test_posterize_takes_every_number_of_bits_of_its_range():
    ramp = [np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)] * 60
    left = [len(np.unique(image)) for image in frames([ops.Posterize(bits=(2, 4))], ramp)]
    assert set(left) == {4, 8, 16}
    assert min(left.count(levels) for levels in (4, 8, 16)) >= 10


def test_equalize_is_pillows_within_what_its_whole_steps_lose():
    dark = [(image // 3).astype(np.uint8) for image in _PICTURES]
    for images in (_PICTURES, dark):
        want = np.stack([np.asarray(ImageOps.equalize(Image.fromarray(image))) for image in images])
        pixels = images[0].shape[0] * images[0].shape[1]
        assert difference(frames([ops.Equalize()], images), want) <= 1 + 255**2 / pixels


def test_equalize_leaves_one_level_alone():
    flat = [np.full((20, 30, 3), level, np.uint8) for level in (0, 77, 255)]
    assert difference(frames([ops.Equalize()], flat), np.stack(flat)) == 0


@pytest.mark.parametrize("quality", [10, 50, 95])
def test_jpeg_artifacts_are_those_of_pillows_encoder(quality):
    def through_jpeg(image):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, subsampling="4:2:0")
        return Image.open(file)

    want = pillow(through_jpeg).astype(float)
    got = frames([ops.JpegArtifacts(quality=quality)], _PICTURES).astype(float)
    damage = np.abs(want - np.stack(_PICTURES)).mean()
    assert np.abs(got - want).mean() < 0.02 * damage + 0.1
    assert damage > 1


def test_jpeg_quality_100_leaves_the_image_alone_and_the_rest_not():
    got = frames([ops.JpegArtifacts(quality=(98, 100))], _PICTURES * 3)
    changed = [(a != b).any() for a, b in zip(got, _PICTURES * 3, strict=True)]
    assert 0 < sum(changed) < len(changed)


@pytest.mark.parametrize("length", [2.0, 5.0, 9.5, 30.0])
def test_motion_blur_is_the_mean_along_a_line(length):
    got = frames([ops.MotionBlur(length=length)], _PICTURES)
    angles = np.pi * draws(2, len(_PICTURES))[:, 1]
    for image, angle, blurred in zip(_PICTURES, angles, got, strict=True):
        total = np.zeros(image.shape)
        along = ((np.arange(256) + 0.5) / 256 - 0.5) * length
        padded = np.pad(image, ((40, 40), (40, 40), (0, 0)), mode="reflect").astype(float)
        for at in along:
            x, y = int(np.rint(at * np.cos(angle))), int(np.rint(at * np.sin(angle)))
            total += padded[40 + y : 40 + y + image.shape[0], 40 + x : 40 + x + image.shape[1]]
        assert np.abs(blurred - total / 256).max() <= 1.0


def draws(count, samples):
    from streamaug.random import Stream, uniform

    ids = np.arange(samples)
    return uniform(5, 0, ids, stream=Stream.OPERATIONS + 1, n=count + 1)[:, 1:]


def test_motion_blur_kernels_are_lines_of_the_asked_length():
    length = np.array([1.0, 3.0, 3.0, 7.0])
    kernels = line_kernels(length, np.array([0.4, 0.0, np.pi / 2, 0.7]))
    assert kernels[0].tolist() == [[1.0]]
    np.testing.assert_allclose(kernels[1], np.full((1, 3), 1 / 3), atol=0.01)
    np.testing.assert_allclose(kernels[2], np.full((3, 1), 1 / 3), atol=0.01)
    ys, xs = np.nonzero(kernels[3])
    assert np.arctan2(ys[-1] - ys[0], xs[-1] - xs[0]) == pytest.approx(0.7, abs=0.15)
    y, x = np.mgrid[: kernels[3].shape[0], : kernels[3].shape[1]]
    spread = ndimage.variance(x, kernels[3]) if kernels[3].shape[0] == 1 else None
    weights = kernels[3] / kernels[3].sum()
    variance = sum((weights * (v - (weights * v).sum()) ** 2).sum() for v in (x, y))
    assert spread is None
    assert variance == pytest.approx(7.0**2 / 12, rel=0.1)


_NEUTRAL = {
    "solarize": ops.Solarize(threshold=256),
    "posterize": ops.Posterize(bits=8),
    "sharpen": ops.Sharpen(factor=1),
    "gamma": ops.Gamma(gamma=1),
    "motion_blur": ops.MotionBlur(length=1),
    "noise": ops.GaussianNoise(std=0),
    "salt": ops.SaltAndPepper(amount=0),
    "jpeg": ops.JpegArtifacts(quality=100),
    "erase": ops.Erase(area=0, probability=1.0),
    "grid_mask": ops.GridMask(ratio=0),
}


@pytest.mark.parametrize("name", _NEUTRAL)
def test_neutral_parameters_are_bitwise_the_identity(name):
    assert (frames([_NEUTRAL[name]], _PICTURES) == np.stack(_PICTURES)).all()


def test_invert_is_pillows():
    assert difference(frames([ops.Invert()], _PICTURES), pillow(ImageOps.invert)) == 0


def test_auto_contrast_is_pillows_within_a_level():
    narrow = [(image // 3 + 40).astype(np.uint8) for image in _PICTURES]
    narrow[0][..., 1] = 90
    want = np.stack([np.asarray(ImageOps.autocontrast(Image.fromarray(image))) for image in narrow])
    got = frames([ops.AutoContrast()], narrow)
    assert difference(got, want) <= 1
    assert (got[0, ..., 1] == 90).all()
    assert (got[1:].min((1, 2)).max(), got[1:].max((1, 2)).min()) == (0, 255)


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0, 5.0])
def test_sharpen_is_pillows_inside_the_frame(factor):
    want = pillow(lambda image: ImageEnhance.Sharpness(image).enhance(factor))
    got = frames([ops.Sharpen(factor=factor)], _PICTURES)
    assert difference(got[:, 1:-1, 1:-1], want[:, 1:-1, 1:-1]) <= 1 + abs(1 - factor)
    assert difference(got, np.stack(_PICTURES)) > 4


@pytest.mark.parametrize("gamma", [0.3, 1.0, 2.5])
def test_gamma_is_the_power_of_each_level(gamma):
    ramp = [np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)]
    want = np.rint(255 * (np.arange(256) / 255) ** gamma).reshape(16, 16, 1)
    assert difference(frames([ops.Gamma(gamma=gamma)], ramp, batch_size=1)[0], want) == 0


def test_a_range_of_gamma_is_uniform_and_one_an_image():
    gray = [np.full((8, 8, 3), 128, np.uint8)] * 600
    got = frames([ops.Gamma(gamma=(0.5, 2.0))], gray, batch_size=64)
    assert (got == got[:, :1, :1, :1]).all()
    found = np.log(got[:, 0, 0, 0] / 255) / np.log(128 / 255)
    assert stats.kstest(found, stats.uniform(0.5, 1.5).cdf).pvalue > 1e-4
