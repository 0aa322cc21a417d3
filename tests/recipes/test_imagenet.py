"""The ready-made recipes hold what they are asked for."""

import pytest

from streamaug import RecipeError, ops, recipes


def kinds(recipe):
    return [type(operation).__name__ for operation in recipe.operations]


def test_imagenet_train_puts_policy_jitter_and_erasing_after_crop_and_flip():
    plain = recipes.imagenet_train()
    assert kinds(plain) == ["RandomResizedCrop", "HorizontalFlip"]
    full = recipes.imagenet_train(policy=ops.RandAugment(), jitter=0.4, erase=0.25)
    assert kinds(full) == [*kinds(plain), "RandAugment", "ColorJitter", "Erase"]
    assert full.operations[3] == ops.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4)
    assert full.operations[4].probability == 0.25
    own = recipes.imagenet_train(flip=0.0, jitter=ops.ColorJitter(hue=0.1))
    assert kinds(own) == ["RandomResizedCrop", "ColorJitter"]


def test_imagenet_train_passes_refusals_on():
    with pytest.raises(RecipeError, match=r"^Erase\.probability"):
        recipes.imagenet_train(erase=1.5)
    with pytest.raises(RecipeError, match=r"^ColorJitter\.brightness"):
        recipes.imagenet_train(jitter=-0.4)
