"""A choice gives each sample one of its operations, whole: pixels, mirrors, borders, what is hidden."""

import numpy as np
import pytest
from augmenting import augmented, frames, png
from pictures import pictures
from scipy import stats

from streamaug import Output, Recipe, RecipeError, ops
from streamaug.dali.layout import Layout

_PICTURES = pictures(64, 40, 56)
_MIRROR = ops.HorizontalFlip(probability=1.0)


def chosen(operations, **options):
    """Which operation each sample got, all of them having an effect: their numbers, from the pixels."""
    got = frames([ops.RandomChoice(operations, **options)], _PICTURES)
    equal = np.stack([(frames([each], _PICTURES) == got).all((1, 2, 3)) for each in operations])
    assert (equal.sum(0) == 1).all()
    return equal.argmax(0)


def test_chances_are_in_proportion_to_the_weights():
    three = [ops.Invert(), ops.Posterize(bits=2), _MIRROR]
    assert stats.chisquare(np.bincount(chosen(three), minlength=3)).pvalue > 1e-4
    assert set(chosen(three, weights=(0, 1, 0))) == {1}
    choice = ops.RandomChoice(three, weights=(3, 0, 1))
    draws = np.random.default_rng(1).random((20_000, choice.draws))
    counts = [len(turn.rows) for turn in choice._turns(draws)]
    assert stats.chisquare(counts, [15_000, 1e-9, 5_000]).pvalue > 1e-4
    edges = np.array([[0.0, 0.0], [1 - 2**-53, 0.0]])
    behind = ops.RandomChoice(three, weights=(0, 0.3, 0))
    assert [len(turn.rows) for turn in behind._turns(edges)] == [0, 2, 0]


def test_a_choice_with_a_flip_inside_is_no_sure_mirror():
    """Taken for one, every sample was mirrored, and views shared their pixels."""
    choice = ops.RandomChoice([_MIRROR])
    sometimes = ops.RandomChoice([ops.HorizontalFlip(probability=0.5)])
    both = ops.RandomChoice([_MIRROR, ops.VerticalFlip(probability=1.0)])
    stored = np.stack(_PICTURES)
    assert (frames([choice], _PICTURES) == stored[:, :, ::-1]).all()
    mirrored = (frames([sometimes], _PICTURES) == stored[:, :, ::-1]).all((1, 2, 3))
    assert 0.25 < mirrored.mean() < 0.75
    assert set(chosen([_MIRROR, ops.VerticalFlip(probability=1.0)])) == {0, 1}
    recipe = Recipe([ops.Resize((40, 56))], output=Output(dtype="uint8"), views=[(), (_MIRROR,), (both,), (sometimes,)])
    layout = Layout(recipe)
    assert [view.mirrored for view in layout.views] == [False, True, False, False]
    assert [view.geometry for view in layout.views] == [0, 0, 1, 2]


def test_a_choice_among_flips_behind_a_crop_needs_no_region_and_one_that_shifts_does():
    class Shift(ops.Geometric):
        aligned, flips = True, ""

        def matrix(self, draws, height, width):
            return self.unselected(height, width)

    def whole_window(*members):
        recipe = Recipe([ops.RandomResizedCrop(32), ops.RandomChoice(members)])
        return Layout(recipe).geometries[0].whole_window

    assert whole_window(_MIRROR, ops.VerticalFlip())
    assert not whole_window(_MIRROR, Shift())


def test_only_samples_that_chose_a_bordered_operation_show_the_border():
    """A `RotateCrop` of a white image stays white to the edge beside a `Rotate` with a black border."""
    white = [np.full((60, 80, 3), 255, np.uint8)] * 40
    turns = [ops.RotateCrop(degrees=(20, 20)), ops.Rotate(degrees=(20, 20), fill=(0, 0, 9))]
    for antialias in (True, False):
        recipe = Recipe([ops.Resize((60, 80), antialias=antialias), ops.RandomChoice(turns)], Output(dtype="uint8"))
        got = augmented(recipe, [png(image) for image in white])
        least = got[:, 0].flatten(1).min(1).values
        assert set(least.tolist()) == {0, 255}
        assert 8 < (least == 0).sum() < 32


def test_borders_inside_a_choice_must_agree_with_those_of_the_recipe():
    choice = ops.RandomChoice([ops.Invert(), ops.RandomChoice([ops.Rotate(degrees=5, border="wrap")])])
    with pytest.raises(RecipeError, match="wrap"):
        Recipe([ops.Resize(8), choice, ops.Affine(border="reflect")])
    assert Layout(Recipe([ops.Resize(8), choice, ops.Affine()])).geometries[0].border == ("wrap", 0.0)


def test_a_choice_within_a_choice_is_one_of_its_own():
    inner = ops.RandomChoice([ops.Invert(), ops.Posterize(bits=1)])
    got = frames([ops.RandomChoice([inner, _MIRROR])], _PICTURES)
    alone = [frames([each], _PICTURES) for each in (ops.Invert(), ops.Posterize(bits=1), _MIRROR)]
    assert [0.05 < (got == each).all((1, 2, 3)).mean() < 0.8 for each in alone] == [True] * 3
    assert np.any([(got == each).all((1, 2, 3)) for each in alone], axis=0).all()


def test_a_policy_may_be_chosen():
    policy = ops.RandAugment(n=2, magnitude=20)
    got = frames([ops.RandomChoice([policy, ops.Invert()], weights=(1, 0))], _PICTURES)
    changed = (got != np.stack(_PICTURES)).any((1, 2, 3))
    assert changed.mean() > 0.8


def test_geometry_behind_a_choice_follows_the_rule_of_what_it_holds():
    for tones in (ops.RandomChoice([ops.Invert()]), ops.RandomChoice([ops.Rotate(degrees=5)])):
        assert Recipe([ops.Resize(8), tones, ops.Rotate(degrees=9)]).size == (8, 8)
    with pytest.raises(RecipeError, match="RandomChoice"):
        Recipe([ops.Resize(8), ops.RandomChoice([ops.Invert(), ops.GaussianBlur()]), ops.Rotate(degrees=9)])
    with pytest.raises(RecipeError, match="RandomChoice"):
        Recipe([ops.Resize(8), ops.Erase(), ops.RandomChoice([ops.Invert(), ops.HorizontalFlip()])])


def test_what_the_chosen_operation_hides_is_hidden():
    choice = ops.RandomChoice([ops.Erase(area=1.0, probability=1.0), ops.Invert()])
    draws = np.random.default_rng(0).random((400, choice.draws))
    hidden = choice.hides(draws, np.full((400, 2), 5.0), 40, 56)
    assert (hidden == (draws[:, 0] < 0.5)).all()
