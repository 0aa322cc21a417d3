"""Impossible parameters are refused where they are written, with what must hold and one fix."""

import pytest

from streamaug import RecipeError, ops

_IMPOSSIBLE = [
    (ops.Solarize, {"threshold": 300}),
    (ops.Solarize, {"threshold": (200, 100)}),
    (ops.Posterize, {"bits": 0}),
    (ops.Posterize, {"bits": 2.5}),
    (ops.Posterize, {"bits": (3, 9)}),
    (ops.JpegArtifacts, {"quality": 0}),
    (ops.JpegArtifacts, {"quality": (50, 101)}),
    (ops.MotionBlur, {"length": 0.5}),
    (ops.MotionBlur, {"length": "long"}),
    (ops.GaussianNoise, {"std": -0.1}),
    (ops.GaussianNoise, {"std": 12}),
    (ops.SaltAndPepper, {"amount": 1.5}),
    (ops.ShotNoise, {"scale": 0}),
    (ops.Erase, {"area": (0.5, 0.1)}),
    (ops.Erase, {"ratio": (0, 1)}),
    (ops.Erase, {"count": 0}),
    (ops.Erase, {"fill": "median"}),
    (ops.Erase, {"fill": 256}),
    (ops.Erase, {"size": 0}),
    (ops.GridMask, {"ratio": 1.5}),
    (ops.GridMask, {"tile": 0}),
    (ops.Equalize, {"probability": 2}),
    (ops.Grayscale, {"probability": -0.5}),
]


@pytest.mark.parametrize(("operation", "fields"), _IMPOSSIBLE)
def test_impossible_parameters_are_refused(operation, fields):
    (field,) = fields
    with pytest.raises(RecipeError, match=rf"^{operation.__name__}\.{field}: .+, got .+\. .+\.$"):
        operation(**fields)
