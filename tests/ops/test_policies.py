"""Policies choose as published, and each sub-operation does what Pillow does."""

from collections import Counter

import numpy as np
import pytest
from augmenting import frames
from pictures import pictures
from PIL import Image, ImageEnhance, ImageOps
from scipy import ndimage, stats

from streamaug import RecipeError, ops
from streamaug.ops import timm_steps
from streamaug.ops.policy import Step
from streamaug.ops.sub_policies import SUB_POLICIES
from streamaug.random import Stream, uniform

_HEIGHT, _WIDTH = 96, 128
_PICTURES = pictures(240, _HEIGHT, _WIDTH)
_POLICIES = {
    "RandAugment": ops.RandAugment(),
    "RandAugment of three": ops.RandAugment(n=3, magnitude=20),
    "TrivialAugmentWide": ops.TrivialAugmentWide(),
    "AutoAugment": ops.AutoAugment(),
    "AutoAugment of CIFAR-10": ops.AutoAugment(policy="cifar10"),
    "timm's RandAugment": ops.RandAugment.from_timm("rand-m7-n3-mstd2-inc1"),
}


def chosen(policy, count, *, index=1):
    """What the policy chooses for samples 0, 1, …, as operation `index` of a recipe."""
    draws = uniform(5, 0, np.arange(count), stream=Stream.OPERATIONS + index, n=policy.draws + 1)[:, 1:]
    return policy.choose(draws, np.full(count, float(_HEIGHT)), np.full(count, float(_WIDTH)))


def warped(image, coefficients):
    return image.transform(image.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def black(image):
    return Image.new("RGB", image.size)


#: What Pillow's users write for each step; coefficients are output to input.
_PILLOW = {
    Step.IDENTITY: lambda image, amount: image,
    Step.SHEAR_X: lambda image, amount: warped(image, (1, amount, 0, 0, 1, 0)),
    Step.SHEAR_Y: lambda image, amount: warped(image, (1, 0, 0, amount, 1, 0)),
    Step.TRANSLATE_X: lambda image, amount: warped(image, (1, 0, -int(amount), 0, 1, 0)),
    Step.TRANSLATE_Y: lambda image, amount: warped(image, (1, 0, 0, 0, 1, -int(amount))),
    Step.ROTATE: lambda image, amount: image.rotate(amount, Image.Resampling.BILINEAR),
    Step.BRIGHTNESS: lambda image, amount: ImageEnhance.Brightness(image).enhance(1 + amount),
    Step.COLOR: lambda image, amount: ImageEnhance.Color(image).enhance(1 + amount),
    Step.CONTRAST: lambda image, amount: ImageEnhance.Contrast(image).enhance(1 + amount),
    Step.SHARPNESS: lambda image, amount: ImageEnhance.Sharpness(image).enhance(1 + amount),
    Step.POSTERIZE: lambda image, amount: ImageOps.posterize(image, int(amount)) if amount else black(image),
    Step.SOLARIZE: ImageOps.solarize,
    Step.AUTO_CONTRAST: lambda image, amount: ImageOps.autocontrast(image),
    Step.EQUALIZE: lambda image, amount: ImageOps.equalize(image),
    Step.INVERT: lambda image, amount: ImageOps.invert(image),
    Step.SOLARIZE_ADD: lambda image, amount: image.point([v + int(amount) * (v < 128) for v in range(256)] * 3),
}
#: Gray levels by which values may differ: rounding, and for Equalize what whole steps lose.
_TOLERANCE = dict.fromkeys(Step, 1) | {
    Step.IDENTITY: 0,
    Step.COLOR: 2,
    Step.POSTERIZE: 0,
    Step.SOLARIZE: 0,
    Step.EQUALIZE: 1 + 255**2 / (_HEIGHT * _WIDTH),
    Step.INVERT: 0,
    Step.SOLARIZE_ADD: 0,
}


_ONE_STEP = {
    "TrivialAugmentWide": ops.TrivialAugmentWide(),
    "strong RandAugment": ops.RandAugment(n=1, magnitude=30),
    "timm's RandAugment": ops.RandAugment(n=1, magnitude=9, mstd=0.5, inc=True, tables="timm"),
    "timm's RandAugment that falls": ops.RandAugment(n=1, magnitude=4.5, mstd=101, tables="timm"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", _ONE_STEP)
def test_each_step_is_pillows(name):
    policy = _ONE_STEP[name]
    got = frames([policy], _PICTURES)
    steps, amounts = chosen(policy, len(_PICTURES))
    for image, step, amount, result in zip(_PICTURES, steps[:, 0], amounts[:, 0], got, strict=True):
        want = np.asarray(_PILLOW[Step(step)](Image.fromarray(image), amount)).astype(int)
        difference = np.abs(result - want)
        if step == Step.SHARPNESS:  # Pillow leaves the outermost pixels as they are
            difference = difference[1:-1, 1:-1]
        if Step.SHEAR_X <= step <= Step.ROTATE:  # at the border the two mix with black in different ways
            inside = np.asarray(_PILLOW[Step(step)](Image.new("L", (_WIDTH, _HEIGHT), 255), amount)) == 255
            difference = difference[ndimage.binary_erosion(inside, np.ones((3, 3)))]
        if difference.size:
            assert difference.max() <= _TOLERANCE[Step(step)], (Step(step).name, amount)
            assert difference.mean() <= 0.55 or step == Step.EQUALIZE, Step(step).name
    assert set(steps[:, 0].tolist()) == policy.uses | {Step.IDENTITY}


def test_auto_augment_inverts_equalizes_and_turns_in_the_order_of_its_table():
    policy = ops.AutoAugment()
    got = frames([policy], _PICTURES)
    steps, amounts = chosen(policy, len(_PICTURES))
    checked = 0
    for image, pair, strength, result in zip(_PICTURES, steps, amounts, got, strict=True):
        if ((pair >= Step.SHEAR_X) & (pair <= Step.ROTATE)).any() or Step.SHARPNESS in pair:
            continue
        want = Image.fromarray(image)
        for step, amount in zip(pair, strength, strict=True):
            want = _PILLOW[Step(step)](want, amount)
        # A few levels' difference in the first step may move a value across a threshold of the second.
        far = np.abs(result - np.asarray(want).astype(int)) > 2 * _TOLERANCE[Step.EQUALIZE]
        assert far.mean() < 0.02, [Step(step).name for step in pair]
        checked += 1
    assert checked > 100


def test_magnitudes_are_torchvisions():
    """Values of torchvision 0.2x `v2._auto_augment`, by hand."""
    draws = np.zeros((14, 2))
    draws[:, 0] = (np.arange(14) + 0.5) / 14
    draws[:, 1] = 0.9  # positive
    extent = np.full(14, 224.0), np.full(14, 448.0)
    steps, amounts = ops.RandAugment(n=1, magnitude=9).choose(draws, *extent)
    assert steps[:, 0].tolist() == list(range(14))
    shear, shift = 0.3 * 9 / 30, 150 / 331 * 9 / 30
    want = [0, shear, shear, shift * 448, shift * 224, 9.0, 0.27, 0.27, 0.27, 0.27, 7, 255 * 0.7, 0, 0]
    np.testing.assert_allclose(amounts[:, 0], want)
    wide = np.column_stack([draws[:, 0], np.full(14, 30.5 / 31), np.full(14, 0.2)])
    _, amounts = ops.TrivialAugmentWide().choose(wide, *extent)
    want = [0, -0.99, -0.99, -32, -32, -135, -0.99, -0.99, -0.99, -0.99, 2, 0, 0, 0]
    np.testing.assert_allclose(amounts[:, 0], want)


@pytest.mark.parametrize("name", ["RandAugment", "TrivialAugmentWide"])
def test_all_fourteen_are_chosen_alike_with_either_sign(name):
    steps, amounts = chosen(_POLICIES[name], 20_000)
    assert stats.chisquare(np.bincount(steps.ravel(), minlength=14)).pvalue > 1e-4
    signed = amounts[(steps >= Step.SHEAR_X) & (steps <= Step.SHARPNESS)]
    assert (signed[signed != 0] > 0).mean() == pytest.approx(0.5, abs=0.02)


def test_trivial_augment_uses_all_its_bins():
    steps, amounts = chosen(ops.TrivialAugmentWide(), 20_000)
    assert len(set(np.abs(amounts[steps == Step.ROTATE]).tolist())) == 31


@pytest.mark.parametrize("data", SUB_POLICIES)
def test_auto_augment_applies_each_step_with_its_chance(data):
    steps, _ = chosen(ops.AutoAugment(policy=data), 50_000)
    got = Counter(map(tuple, steps.tolist()))
    want = Counter()
    for (first, first_chance, _), (second, second_chance, _) in SUB_POLICIES[data]:
        for one, p in ((first, first_chance), (Step.IDENTITY, 1 - first_chance)):
            for other, q in ((second, second_chance), (Step.IDENTITY, 1 - second_chance)):
                want[int(one), int(other)] += 50_000 * p * q / 25
    assert {pair for pair, number in want.items() if number} == set(got)
    for pair, number in want.items():
        assert got[pair] == pytest.approx(number, abs=5 * np.sqrt(number) + 1)


def test_auto_augment_of_cifar10_has_the_published_table():
    """Against the paper's table 7, with torchvision's bins: in it TranslateX moves 9/9 of 150/331 of the width."""
    draws = np.tile([[1.5 / 25, 0.0, 0.0, 0.9, 0.9]], (1, 1))  # the second row: Rotate 2, TranslateX 9
    steps, amounts = ops.AutoAugment(policy="cifar10").choose(draws, np.array([32.0]), np.array([64.0]))
    assert steps.tolist() == [[Step.ROTATE, Step.TRANSLATE_X]]
    np.testing.assert_allclose(amounts, [[30 * 2 / 9, 150 / 331 * 64]])
    assert all(len(pairs) == 25 for pairs in SUB_POLICIES.values())
    assert len(set(SUB_POLICIES.values())) == 3


def levels(inc, level):
    """The amounts of each of timm's fifteen at a level, positive, in a frame of 100 x 200."""
    policy = ops.RandAugment(n=1, magnitude=level, inc=inc, tables="timm")
    draws = np.column_stack([(np.arange(15) + 0.5) / 15, np.full(15, 0.9), np.zeros(15)])
    steps, amounts = policy.choose(draws, np.full(15, 100.0), np.full(15, 200.0))
    assert steps[:, 0].tolist() == timm_steps.FIFTEEN.tolist()
    return dict(zip(steps[:, 0].tolist(), amounts[:, 0].tolist(), strict=True))


@pytest.mark.parametrize("level", [0.0, 3.0, 9.0, 10.0])
def test_timms_strengths_are_those_of_its_formulas(level):
    """Values of timm 1.0's `_level_to_arg` functions, by hand."""
    share = level / 10
    moves = {
        Step.ROTATE: 30 * share, Step.SHEAR_X: 0.3 * share, Step.SHEAR_Y: 0.3 * share,
        Step.TRANSLATE_X: 0.45 * share * 200, Step.TRANSLATE_Y: 0.45 * share * 100,
        Step.SOLARIZE_ADD: int(share * 110), Step.AUTO_CONTRAST: 0, Step.EQUALIZE: 0, Step.INVERT: 0,
    }  # fmt: skip
    colors = (Step.BRIGHTNESS, Step.COLOR, Step.CONTRAST, Step.SHARPNESS)
    rising = {Step.POSTERIZE: 4 - int(share * 4), Step.SOLARIZE: 256 - int(share * 256)}
    falling = {Step.POSTERIZE: int(share * 4), Step.SOLARIZE: int(share * 256)}
    assert levels(True, level) == pytest.approx(moves | rising | dict.fromkeys(colors, 0.9 * share))
    assert levels(False, level) == pytest.approx(moves | falling | dict.fromkeys(colors, share * 1.8 - 0.9))


def test_timms_steps_have_a_chance_of_one_half_and_strengths_about_the_magnitude():
    policy = ops.RandAugment(n=2, magnitude=6, mstd=2.0, inc=True, tables="timm")
    steps, amounts = chosen(policy, 40_000)
    counts = np.bincount(steps.ravel(), minlength=16)
    assert counts[Step.IDENTITY] == pytest.approx(40_000, rel=0.02)
    assert stats.chisquare(counts[counts > 0][1:]).pvalue > 1e-4
    strength = np.abs(amounts[steps == Step.ROTATE]) / 3
    assert np.median(strength) == pytest.approx(6, abs=0.15)
    inside = strength[(strength > 0) & (strength < 10)]
    law = stats.truncnorm(-3, 2, loc=6, scale=2)
    assert stats.kstest(inside, law.cdf).pvalue > 1e-4
    assert (strength == 10).mean() == pytest.approx(stats.norm.sf(2), abs=0.01)


def test_torchvisions_strengths_vary_over_its_bins():
    steps, amounts = chosen(ops.RandAugment(n=2, magnitude=15, mstd=3.0), 20_000)
    bins = np.abs(amounts[steps == Step.ROTATE])
    assert (bins == np.rint(bins)).all()  # a degree a bin
    assert bins.mean() == pytest.approx(15, abs=0.3)
    assert bins.std() == pytest.approx(3, abs=0.2)
    steps, amounts = chosen(ops.RandAugment(n=2, magnitude=20, mstd=101), 20_000)
    bins = np.abs(amounts[steps == Step.ROTATE])
    assert set(bins.tolist()) == set(range(21))


def test_a_string_of_timms_is_read():
    want = ops.RandAugment(n=3, magnitude=9, mstd=0.5, inc=True, tables="timm", fill=(124, 116, 104))
    assert ops.RandAugment.from_timm("rand-m9-n3-mstd0.5-inc1", fill=(124, 116, 104)) == want
    assert ops.RandAugment.from_timm("rand") == ops.RandAugment(magnitude=10, tables="timm")
    for config in ("rand-m9-p0.3", "augmix-m5", "rand-m9-", "rand-m"):
        with pytest.raises(RecipeError, match="from_timm"):
            ops.RandAugment.from_timm(config)


@pytest.mark.slow
@pytest.mark.parametrize("name", _POLICIES)
def test_a_policy_is_a_function_of_the_sample(name):
    images = pictures(64, 40, 56)
    operations = [_POLICIES[name], ops.HorizontalFlip()]
    first = frames(operations, images, batch_size=64, num_threads=2)
    for batch_size, num_threads in ((1, 1), (7, 3)):
        assert (frames(operations, images, batch_size=batch_size, num_threads=num_threads) == first).all()
    assert (frames(operations, images, epoch=1) != first).any()


def test_unselected_samples_and_identities_are_untouched():
    policy = ops.TrivialAugmentWide(probability=0.5)
    images = pictures(64, 40, 56)
    got = frames([policy], images)
    selected = uniform(5, 0, np.arange(64), stream=Stream.OPERATIONS + 1, n=1)[:, 0] < 0.5
    steps, _ = chosen(policy, 64)
    touched = (got != np.stack(images)).any(axis=(1, 2, 3))
    still = ~selected | (steps[:, 0] == Step.IDENTITY)
    assert not touched[still].any()
    assert touched[~still].mean() > 0.85  # some have a strength of 0


def test_geometry_of_a_policy_joins_the_recipes():
    images = pictures(16, 40, 56)
    photometric = [ops.RandAugment(), ops.ColorJitter(brightness=0.2), ops.Rotate(degrees=10)]
    assert (frames(photometric, images) != np.stack(images)).any()
    with pytest.raises(RecipeError, match="RandAugment"):
        frames([ops.Erase(), ops.RandAugment()], images)
    with pytest.raises(RecipeError, match="border"):
        frames([ops.Rotate(degrees=5, border="reflect"), ops.AutoAugment(fill=128)], images)
