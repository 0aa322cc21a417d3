"""The windows are distributed as torchvision's, which is written out here as its source has it."""

import math

import numpy as np
import pytest
from scipy import stats

from streamaug import ops

N = 20_000


def torchvision_window(rng, height, width, scale, ratio):
    """`torchvision.transforms.RandomResizedCrop.get_params`, with numpy's generator."""
    area = height * width
    for _ in range(10):
        target_area = area * rng.uniform(*scale)
        aspect_ratio = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w = round(math.sqrt(target_area * aspect_ratio))
        h = round(math.sqrt(target_area / aspect_ratio))
        if 0 < w <= width and 0 < h <= height:
            return rng.integers(0, height - h + 1), rng.integers(0, width - w + 1), h, w
    in_ratio = width / height
    if in_ratio < min(ratio):
        w = width
        h = round(w / min(ratio))
    elif in_ratio > max(ratio):
        h = height
        w = round(h * max(ratio))
    else:
        w, h = width, height
    return (height - h) // 2, (width - w) // 2, h, w


@pytest.mark.slow
@pytest.mark.parametrize(
    ("height", "width", "scale", "ratio"),
    [
        (375, 500, (0.08, 1.0), (3 / 4, 4 / 3)),
        (500, 333, (0.5, 1.0), (3 / 4, 4 / 3)),
        (40, 400, (0.9, 1.0), (3 / 4, 4 / 3)),  # nearly always the fallback
        (400, 40, (0.9, 1.0), (3 / 4, 4 / 3)),
        (9, 7, (0.01, 1.0), (0.2, 5.0)),
    ],
)
def test_windows_are_distributed_as_torchvision_s(height, width, scale, ratio):
    rng = np.random.default_rng(0)
    expected = np.array([torchvision_window(rng, height, width, scale, ratio) for _ in range(N)], float)
    operation = ops.RandomResizedCrop(224, scale=scale, ratio=ratio)
    draws = rng.random((N, operation.draws))
    got = operation.windows(draws, np.full(N, float(height)), np.full(N, float(width)))
    for column, name in enumerate(("top", "left", "height", "width")):
        if np.ptp(expected[:, column]) == 0:
            assert (got[:, column] == expected[0, column]).all(), name
        else:
            assert stats.ks_2samp(expected[:, column], got[:, column]).pvalue > 1e-4, name
    spread = np.maximum(expected.std(0), 1e-9)
    joint = np.abs(np.cov(got.T) - np.cov(expected.T)) / np.outer(spread, spread)
    assert joint.max() < 0.05


def test_windows_lie_inside_images_of_any_size():
    rng = np.random.default_rng(1)
    height, width = rng.integers(1, 600, (2, N)).astype(float)
    operation = ops.RandomResizedCrop(8)
    top, left, high, wide = operation.windows(rng.random((N, operation.draws)), height, width).T
    assert (high >= 1).all()
    assert (wide >= 1).all()
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + high <= height).all()
    assert (left + wide <= width).all()
