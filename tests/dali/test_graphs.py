"""The graphs, traced for a GPU without one: every operator must exist there, and none may be there for a CPU's sake."""

from dataclasses import replace
from functools import cache

import pytest
from augmenting import augmented, operators, simulated_gpu, traced
from nvidia.dali import backend
from operations import exported_operations, names

from streamaug import ops, recipes
from streamaug.recipes.output import Output
from streamaug.recipes.recipe import Recipe

_RECIPES = {
    "imagenet_train": recipes.imagenet_train(),
    "imagenet_train, one warp": recipes.imagenet_train(antialias=False, jitter=0.4),
    "imagenet_eval": recipes.imagenet_eval(interpolation="bicubic", dtype="uint8"),
    "Resize": Recipe([ops.Resize(64)]),
    "imagenet_tta": recipes.imagenet_tta(views="ten_crop"),
    "turned": Recipe([ops.RandomResizedCrop(64, apply_orientation=True)]),
    "mirrored early": Recipe(
        [ops.RandomResizedCrop(64), ops.HorizontalFlip(), ops.VerticalFlip(), ops.Erase(probability=1.0)]
    ),
    "mirrored early in a warp": Recipe(
        [ops.RandomResizedCrop(64), ops.Rotate(degrees=10, probability=0.5), ops.HorizontalFlip(), ops.GaussianBlur()]
    ),
}
_OPERATIONS = {
    "HorizontalFlip": ops.HorizontalFlip(),
    "VerticalFlip": ops.VerticalFlip(),
    "Rotate": ops.Rotate(degrees=10, probability=0.5),
    "RotateCrop": ops.RotateCrop(degrees=10),
    "Affine": ops.Affine(degrees=10, border="reflect"),
    "Perspective": ops.Perspective(),
    "AutoContrast": ops.AutoContrast(probability=0.5),
    "Gamma": ops.Gamma(probability=0.5),
    "Invert": ops.Invert(probability=0.5),
    "Sharpen": ops.Sharpen(probability=0.5),
    "Letterbox": ops.Letterbox(64, fill=(124, 116, 104)),
    "Pad": ops.Pad(amount=4, fill=(124, 116, 104)),
    "RandomCrop": ops.RandomCrop(64, padding=4, border="reflect"),
    "RandomCrop, inside": ops.RandomCrop(48),
    "RandomChoice": ops.RandomChoice(
        [ops.Rotate(degrees=9), ops.HorizontalFlip(), ops.RandAugment(), ops.Erase(fill="noise")], weights=(1, 2, 3, 0)
    ),
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
    "Erase, colour": ops.Erase(fill=(124, 116, 104)),
    "Erase, mean": ops.Erase(fill="mean"),
    "Erase, noise": ops.Erase(fill="noise", size=16),
    "GridMask": ops.GridMask(probability=0.5),
    "RandAugment": ops.RandAugment(probability=0.5),
    "RandAugment, timm": ops.RandAugment.from_timm("rand-m9-mstd0.5-inc1", fill=(124, 116, 104)),
    "AutoAugment, CIFAR-10": ops.AutoAugment(policy="cifar10"),
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
#: Recipes that need annotations, or an output of their own; the others are run on a GPU by `make gpu` as they stand.
_OTHERS = {
    "RandomBoxSafeCrop": Recipe([ops.RandomBoxSafeCrop(64)]),
    **{
        f"Erase, normal, {output.dtype}": Recipe([ops.Resize(64), ops.Erase(fill="normal")], output=output)
        for output in (Output(mean=0, std=255), Output(dtype="float16", mean=0, std=255, channels_last=True))
    },
}
_ALL = _RECIPES | _OTHERS


def test_every_operation_is_in_a_recipe_above():
    traced = {type(each) for recipe in _ALL.values() for branch in recipe.branches for each in branch}
    assert names(set(exported_operations()) - traced) == []


@cache
def on_a_gpu(name):
    """The operators of a recipe above, as a GPU has them."""
    return traced(_ALL[name], "gpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", _ALL)
def test_every_operator_exists_on_a_gpu(name):
    found = [(operator.schema, operator.device) for operator in on_a_gpu(name)]
    on_gpu, mixed = set(backend.RegisteredGPUOps()), set(backend.RegisteredMixedOps())
    placed = dict(found)
    assert placed["decoders__Image"] == "mixed"
    assert placed["CropMirrorNormalize"] == "gpu"
    for schema, where in found:
        if where == "cpu":
            # Only the numbers of samples, the choice among them, and a matrix put together of its rows stay on the CPU.
            assert schema in {"ExternalSource", "_conditional__Split", "Stack", "Reshape"}, schema
        else:
            assert schema in (on_gpu if where == "gpu" else mixed), (schema, where)


@pytest.mark.slow
@pytest.mark.parametrize("name", _RECIPES)
def test_on_a_gpu_the_same_pixels_take_fewer_operators(name, photos):
    """The GPU's graph, with its operators on the CPU: at most a level from the CPU's graph."""
    recipe = replace(_RECIPES[name], output=Output(dtype="uint8"))
    with simulated_gpu():
        ours = augmented(recipe, photos[:8], batch_size=8, device="gpu").int()
    levels = (ours - augmented(recipe, photos[:8], batch_size=8).int()).abs()
    assert levels.max() <= 1
    assert levels.double().mean() < 1e-3


def launches(recipe):
    """Schemas of the operators that a GPU runs, the decoder among them."""
    return [schema for schema, where in operators(recipe, "gpu") if where != "cpu"]


def test_training_takes_few_operators_of_a_gpu():
    assert launches(recipes.imagenet_train()) == ["decoders__Image", "Slice", "Resize", "CropMirrorNormalize"]
    assert len(launches(recipes.imagenet_train(antialias=False))) <= 5
    assert len(launches(recipes.imagenet_eval())) <= 5
    jitter = [operator.schema for operator in on_a_gpu("ColorJitter") if operator.device != "cpu"]
    assert jitter[3:-1] == [
        "_conditional__Split",
        "BrightnessContrast",
        "CoordTransform",
        "_conditional__Merge",
    ]
    ten_crop = [operator.schema for operator in on_a_gpu("imagenet_tta") if operator.device != "cpu"]
    assert ten_crop.count("Resize") == 6
    assert len(ten_crop) == 2 + 6 + 10


@pytest.mark.parametrize("name", _ALL)
def test_no_operator_of_a_gpu_is_launched_for_each_sample(name):
    assert not {"Flip", "ColorSpaceConversion"} & {operator.schema for operator in on_a_gpu(name)}


@pytest.mark.parametrize("name", _ALL)
def test_what_a_gpu_computes_with_goes_there_whole(name):
    """A selection of it is copied sample by sample, so it is uploaded before: from the source, not from a split."""
    graph = on_a_gpu(name)
    makers = {output: operator.schema for operator in graph for output in operator.outputs}
    for operator in graph:
        if operator.device != "gpu":
            continue
        assert all(read.endswith(" gpu") for read in operator.inputs), operator
        for read in operator.inputs:
            on_cpu = read.removesuffix(" gpu") + " cpu"
            assert read in makers or makers[on_cpu] == "ExternalSource", operator


def test_a_gpus_resize_takes_many_samples_at_a_launch():
    sizes = [operator.constants.get("minibatch_size") for operator in on_a_gpu("imagenet_train")]
    assert [size for size in sizes if size is not None] == [2]  # the whole batch of the trace


def test_an_image_is_decoded_once_for_all_views():
    schemas = [schema for schema, _ in operators(recipes.imagenet_tta(views="ten_crop"), "cpu")]
    assert schemas.count("decoders__ImageSlice") == 1
    assert schemas.count("Resize") == schemas.count("CropMirrorNormalize") == 1


def test_all_geometry_is_one_warp():
    stack = [ops.HorizontalFlip(), ops.Rotate(degrees=9), ops.Perspective(), ops.Affine(shear=9), ops.VerticalFlip()]
    one = [schema for schema, _ in operators(Recipe([ops.RandomResizedCrop(64, antialias=False), *stack]), "cpu")]
    # Samples that no bordered operation changes take the other branch, whose edge is not darkened by the border.
    assert one.count("experimental__WarpPerspective") == 2
    assert "Resize" not in one
    plain = [schema for schema, _ in operators(Recipe([ops.RandomResizedCrop(64), ops.HorizontalFlip()]), "cpu")]
    assert "Flip" not in plain
