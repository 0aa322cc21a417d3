"""Against scipy."""

import numpy as np
import pytest
from augmenting import frames
from scipy import ndimage

from streamaug import ops
from streamaug.ops.gaussian_blur import weights


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 2.2, 5.0])
def test_blur_is_scipy_s(sigma):
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 50, 3), np.uint8)
    got = frames([ops.GaussianBlur(sigma=sigma)], list(images)).astype(float)
    reach = int(np.ceil(3 * sigma))
    options = {"mode": "mirror", "radius": (0, reach, reach, 0)}
    expected = ndimage.gaussian_filter(images.astype(float), (0, sigma, sigma, 0), **options)
    # Both passes round to whole gray levels.
    assert np.abs(got - expected).max() <= 1.01


def test_weights_sum_to_one_and_reach_three_sigma():
    for sigma in (0.1, 0.34, 1.0, 7.7):
        found = weights(sigma)
        assert len(found) == 2 * np.ceil(3 * sigma) + 1
        assert found.sum() == pytest.approx(1.0, abs=1e-6)
        np.testing.assert_array_equal(found, found[::-1])
