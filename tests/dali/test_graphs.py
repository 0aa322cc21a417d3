"""The graphs, traced for a GPU without one: every operator must exist there."""

import pytest
from augmenting import operators
from nvidia.dali import backend

from streamaug import ops, recipes
from streamaug.recipe import Recipe

_RECIPES = {
    "imagenet_train": recipes.imagenet_train(),
    "imagenet_train, one warp": recipes.imagenet_train(antialias=False, jitter=0.4),
    "imagenet_eval": recipes.imagenet_eval(interpolation="bicubic", dtype="uint8"),
    "imagenet_tta": recipes.imagenet_tta(views="ten_crop"),
}
_OPERATIONS = {
    "VerticalFlip": ops.VerticalFlip(),
    "Rotate": ops.Rotate(degrees=10, probability=0.5),
    "RotateCrop": ops.RotateCrop(degrees=10),
    "Affine": ops.Affine(degrees=10, border="reflect"),
    "Perspective": ops.Perspective(),
    "ColorJitter": ops.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, probability=0.8),
    "GaussianBlur": ops.GaussianBlur(probability=0.5),
    "MotionBlur": ops.MotionBlur(probability=0.5),
    "Grayscale": ops.Grayscale(),
    "Solarize": ops.Solarize(probability=0.5),
    "Posterize": ops.Posterize(probability=0.5),
    "Equalize": ops.Equalize(probability=0.5),
    "GaussianNoise": ops.GaussianNoise(probability=0.5),
    "SaltAndPepper": ops.SaltAndPepper(probability=0.5),
    "ShotNoise": ops.ShotNoise(),
    "JpegArtifacts": ops.JpegArtifacts(quality=(50, 100), probability=0.5),
    "Erase": ops.Erase(count=2),
    "Erase, mean": ops.Erase(fill="mean"),
    "Erase, noise": ops.Erase(fill="noise", size=16),
    "GridMask": ops.GridMask(probability=0.5),
    "RandAugment": ops.RandAugment(probability=0.5),
    "TrivialAugmentWide": ops.TrivialAugmentWide(),
    "AutoAugment": ops.AutoAugment(),
}
_RECIPES |= {
    name: Recipe(
        [ops.Resize(64), each, ops.ColorJitter(hue=0.1)]
        if not isinstance(each, ops.Photometric)
        else [ops.Resize(64), each]
    )
    for name, each in _OPERATIONS.items()
}


@pytest.mark.parametrize("name", _RECIPES)
def test_every_operator_exists_on_a_gpu(name):
    found = operators(_RECIPES[name], "gpu")
    on_gpu, mixed = set(backend.RegisteredGPUOps()), set(backend.RegisteredMixedOps())
    placed = dict(found)
    assert placed["decoders__ImageSlice"] == "mixed"
    assert placed["CropMirrorNormalize"] == "gpu"
    for schema, where in found:
        if where == "cpu":
            # Only what is known of samples, and the choice among them, stays on the CPU.
            assert schema in {"ExternalSource", "_conditional__Split"}, schema
        else:
            assert schema in (on_gpu if where == "gpu" else mixed), (schema, where)


@pytest.mark.parametrize("name", _RECIPES)
def test_the_graph_is_the_same_for_both_devices(name):
    on_cpu = [schema for schema, _ in operators(_RECIPES[name], "cpu")]
    assert on_cpu == [schema for schema, _ in operators(_RECIPES[name], "gpu")]


def test_an_image_is_decoded_once_for_all_views():
    schemas = [schema for schema, _ in operators(recipes.imagenet_tta(views="ten_crop"), "cpu")]
    assert schemas.count("decoders__ImageSlice") == 1
    assert schemas.count("Resize") == 10  # standing and lying on its side, for each of five
    assert schemas.count("CropMirrorNormalize") == 10


def test_all_geometry_is_one_warp():
    stack = [ops.HorizontalFlip(), ops.Rotate(degrees=9), ops.Perspective(), ops.Affine(shear=9), ops.VerticalFlip()]
    one = [schema for schema, _ in operators(Recipe([ops.RandomResizedCrop(64, antialias=False), *stack]), "cpu")]
    # Samples that no bordered operation changes take the other branch, whose edge is not darkened by the border.
    assert one.count("experimental__WarpPerspective") == 2
    assert "Resize" not in one
    plain = [schema for schema, _ in operators(Recipe([ops.RandomResizedCrop(64), ops.HorizontalFlip()]), "cpu")]
    assert "Flip" not in plain
