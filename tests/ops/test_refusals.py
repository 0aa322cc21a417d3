"""Impossible parameters are refused where they are written, with what must hold and one fix."""

import dataclasses
import math

import pytest
from operations import exported_operations

from streamaug import RecipeError, ops

_TWO = {"operations": (ops.Invert(), ops.AutoContrast())}
#: For each operation its required fields, and values that its fields refuse. Every `probability` is added below.
_IMPOSSIBLE = [
    (ops.Affine, {}, {"degrees": [(30, 10), -5, math.nan, "x"], "scale": [(0, 1), (2, 1)], "shear": [90]}),
    (ops.Affine, {}, {"translate": [0.1, (0.1, 2)], "border": ["mirror"], "fill": [300]}),
    (ops.AutoAugment, {}, {"policy": ["mnist"], "border": ["wobble"], "fill": [-1, (0, 0, 300)]}),
    (ops.AutoContrast, {}, {}),
    (ops.CenterCrop, {}, {"size": [0, (8, 8, 8), True]}),
    (ops.ColorJitter, {}, {"brightness": [1.5], "contrast": [-0.1], "saturation": [(2, 1)], "hue": [3]}),
    (ops.CornerCrop, {"size": 8}, {"size": [0], "corner": ["top"]}),
    (
        ops.Erase,
        {},
        {"area": [(0.5, 0.1)], "ratio": [(0, 1)], "size": [0], "count": [0], "fill": ["median", 256, (1, 2)]},
    ),
    (ops.Gamma, {}, {"gamma": [0, (2, 1), "dark"]}),
    (ops.GaussianBlur, {}, {"sigma": [(-1, 2), 0]}),
    (ops.GaussianNoise, {}, {"std": [-0.1, 12]}),
    (ops.GridMask, {}, {"ratio": [1.5], "tile": [0]}),
    (ops.Invert, {}, {}),
    (ops.JpegArtifacts, {}, {"quality": [0, (50, 101)]}),
    (ops.Letterbox, {"size": 8}, {"size": [0, (8, 8, 8)], "interpolation": ["cubic"], "apply_orientation": [1]}),
    (ops.Letterbox, {"size": 8}, {"border": ["mirror"], "fill": [(1, 2)]}),
    (ops.MotionBlur, {}, {"length": [0.5, "long"]}),
    (ops.Pad, {}, {"size": [None, 0, (8, 8, 8)]}),
    (
        ops.Pad,
        {"amount": 1},
        {"size": [8], "amount": [-1, 0.5, (1, 2, 3)], "border": ["mirror"], "fill": [(0, 0, 300)]},
    ),
    (ops.Perspective, {}, {"distortion_scale": [2], "border": ["mirror"], "fill": ["black"]}),
    (ops.Posterize, {}, {"bits": [0, 2.5, (3, 9)]}),
    (ops.RandAugment, {}, {"n": [0], "magnitude": [31, 4.5], "border": ["wobble"], "fill": [256]}),
    (ops.RandAugment, {}, {"mstd": [-1, "x"], "inc": [1, True], "tables": ["keras"]}),
    (ops.RandAugment, {"tables": "timm"}, {"magnitude": [10.5, -1], "mstd": [math.inf]}),
    (
        ops.RandomChoice,
        {},
        {"operations": [(), (3,), ops.Invert(), (ops.Invert(), ops.Resize(8)), (ops.Pad(amount=1),)]},
    ),
    (ops.RandomChoice, _TWO, {"weights": [1, (1,), (1, -1), (0, 0), (1, math.nan), (1, "x")]}),
    (ops.RandomBoxSafeCrop, {"size": 8}, {"size": [0], "scale": [(0, 1)], "ratio": [(0, 1)]}),
    (ops.RandomBoxSafeCrop, {"size": 8}, {"antialias": [1], "interpolation": ["cubic"], "apply_orientation": ["no"]}),
    (ops.RandomCrop, {"size": 8}, {"size": [0], "padding": [-1, 1.5], "border": ["mirror"], "fill": ["black"]}),
    (ops.RandomResizedCrop, {"size": 8}, {"size": [0], "scale": [(0.5, 0.1), (0, 1)], "ratio": [(-1, 1), (0, 1)]}),
    (ops.RandomResizedCrop, {"size": 8}, {"antialias": [1], "interpolation": ["cubic"], "apply_orientation": ["no"]}),
    (ops.Resize, {"size": 8}, {"size": [(8, 8, 8)], "antialias": [None], "interpolation": ["cubic"]}),
    (ops.Resize, {"size": 8}, {"apply_orientation": [1]}),
    (ops.ResizeShortest, {"size": 8}, {"size": [(8, 8), 0], "antialias": ["no"], "interpolation": ["nearest"]}),
    (ops.ResizeShortest, {"size": 8}, {"apply_orientation": [None]}),
    (ops.Rotate, {"degrees": 5}, {"degrees": [(30, 10), -5, 400], "border": ["mirror"], "fill": [300]}),
    (ops.RotateCrop, {"degrees": 5}, {"degrees": [-5, (0, math.inf)]}),
    (ops.SaltAndPepper, {}, {"amount": [1.5]}),
    (ops.Sharpen, {}, {"factor": [-1, (2, 1), math.inf]}),
    (ops.ShotNoise, {}, {"scale": [0]}),
    (ops.Solarize, {}, {"threshold": [300, (200, 100)]}),
    (ops.TrivialAugmentWide, {}, {"border": ["wobble"], "fill": [math.nan]}),
]
_REQUIRED = {operation: required for operation, required, _ in _IMPOSSIBLE}


def fields(operation):
    return {field.name for field in dataclasses.fields(operation)}


def rows():
    for operation, required, refused in _IMPOSSIBLE:
        for field, values in refused.items():
            yield from ((operation, required | {field: value}, field) for value in values)
    for operation in exported_operations():
        if "probability" in fields(operation):
            required = _REQUIRED.get(operation, {})
            yield from ((operation, required | {"probability": value}, "probability") for value in (2, -0.5, "often"))


@pytest.mark.parametrize(("operation", "arguments", "field"), list(rows()))
def test_impossible_parameters_are_refused(operation, arguments, field):
    with pytest.raises(RecipeError, match=rf"^{operation.__name__}\.{field}: .+, got .+\. .+\.$"):
        operation(**arguments)


def test_every_field_of_every_operation_refuses_something():
    asked = {(operation.__name__, field) for operation, _, field in rows()}
    written = {(operation.__name__, field) for operation in exported_operations() for field in fields(operation)}
    assert written - asked == set()
