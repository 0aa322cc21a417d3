"""Probability decides whether a sample is changed, never how, and leaves the other samples as they are, bit for bit."""

import dataclasses

import numpy as np
import pytest
from augmenting import frames
from operations import exported_operations, names
from pictures import pictures

from streamaug import ops
from streamaug.random import Stream, uniform

_HALF = {"probability": 0.5}
#: Operations that change nearly every sample that they are asked to change.
_OPERATIONS = [
    ops.Affine(degrees=10, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=(-8, 8), **_HALF),
    ops.AutoAugment(**_HALF),
    ops.AutoContrast(**_HALF),
    ops.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, **_HALF),
    ops.Equalize(**_HALF),
    ops.Erase(count=(1, 3), **_HALF),
    ops.Erase(fill="mean", **_HALF),
    ops.Erase(fill="noise", size=20, **_HALF),
    ops.Gamma(gamma=(1.5, 2.5), **_HALF),
    ops.GaussianBlur(sigma=(0.5, 3), **_HALF),
    ops.GaussianNoise(std=(0.02, 0.4), **_HALF),
    ops.Grayscale(**_HALF),
    ops.GridMask(ratio=(0.3, 0.6), **_HALF),
    ops.HorizontalFlip(**_HALF),
    ops.Invert(**_HALF),
    ops.JpegArtifacts(quality=(10, 100), **_HALF),
    ops.MotionBlur(length=(3, 20), **_HALF),
    ops.Perspective(distortion_scale=0.3, **_HALF),
    ops.Posterize(bits=(1, 5), **_HALF),
    ops.RandAugment(n=3, magnitude=15, **_HALF),
    ops.RandAugment(n=4, magnitude=9, mstd=0.5, inc=True, tables="timm", **_HALF),
    ops.RandomChoice([ops.Rotate(degrees=20), ops.Invert(), ops.HorizontalFlip(probability=1.0)], **_HALF),
    ops.RandomResizedCrop((40, 56), **_HALF),
    ops.Rotate(degrees=40, **_HALF),
    ops.RotateCrop(degrees=20, **_HALF),
    ops.SaltAndPepper(amount=(0.02, 0.1), **_HALF),
    ops.Sharpen(factor=(1.5, 3), **_HALF),
    ops.ShotNoise(scale=(10, 50), **_HALF),
    ops.Solarize(threshold=(50, 200), **_HALF),
    ops.TrivialAugmentWide(**_HALF),
    ops.VerticalFlip(**_HALF),
]
#: None of them uses the whole range, so that stretching it is an effect.
_PICTURES = [(image * 0.75 + 20).astype(np.uint8) for image in pictures(64, 40, 56)]


def label(operation):
    fill = getattr(operation, "fill", None)
    return type(operation).__name__ + (f", {fill}" if isinstance(fill, str) else "")


@pytest.mark.slow
@pytest.mark.parametrize("operation", _OPERATIONS, ids=label)
def test_an_operation_changes_the_selected_samples_and_no_others(operation):
    got = frames([operation], _PICTURES, batch_size=64)
    selected = uniform(5, 0, np.arange(64), stream=Stream.OPERATIONS + 1, n=1)[:, 0] < 0.5
    changed = (got != np.stack(_PICTURES)).any(axis=(1, 2, 3))
    assert not changed[~selected].any()
    assert changed[selected].mean() > 0.75  # policies have the identity among their sub-operations
    always = frames([dataclasses.replace(operation, probability=1.0)], _PICTURES, batch_size=64)
    assert (got[selected] == always[selected]).all()
    never = frames([dataclasses.replace(operation, probability=0.0)], _PICTURES, batch_size=64)
    assert (never == np.stack(_PICTURES)).all()


@pytest.mark.slow
@pytest.mark.parametrize("operation", _OPERATIONS, ids=label)
def test_an_operation_is_a_function_of_the_sample(operation):
    first = frames([operation], _PICTURES, batch_size=64, num_threads=2)
    for batch_size, num_threads in ((1, 1), (7, 3)):
        assert (frames([operation], _PICTURES, batch_size=batch_size, num_threads=num_threads) == first).all()


#: Operations that need boxes; tests/ops/test_random_box_safe_crop.py asks the same of them.
_ELSEWHERE = {ops.RandomBoxSafeCrop}


def test_every_operation_with_a_probability_is_selected_above():
    selectable = [
        operation
        for operation in exported_operations()
        if "probability" in {field.name for field in dataclasses.fields(operation)}
    ]
    assert names(set(selectable) - {type(operation) for operation in _OPERATIONS} - _ELSEWHERE) == []
