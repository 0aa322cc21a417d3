"""The engine behind the mixing stages: in place, once, with targets that belong to the pixels."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

from streamaug import mix
from streamaug.batch import Batch, Origin, SparseTargets
from streamaug.errors import TargetError

LANES = 8


def batch(size=16, *, start=0, dtype=torch.float32, lanes=LANES, targets="classes", **changes):
    positions = np.arange(start, start + size)
    flags = np.zeros(size, bool)
    keys = tuple(f"key{position}" for position in positions)
    origin = Origin(3, 1, 0, lanes, positions, positions * 5, keys, flags, flags)
    images = (torch.rand(size, 3, 12, 10, generator=torch.Generator().manual_seed(start)) * 255).to(dtype)
    labels = torch.from_numpy(positions % 7) if targets == "classes" else targets
    return dataclasses.replace(Batch(images, labels, origin), **changes)


def mixer(**options):
    return mix.Mixer(mix.MixSettings(stage="MixupOrCutMix", **({"num_classes": 7} | options)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8])
def test_a_batch_is_mixed_in_place_as_its_plan_says(dtype):
    plain, given = batch(dtype=dtype), batch(dtype=dtype)
    mixed = mixer(label_smoothing=0.1).mix(given)
    assert mixed.images.data_ptr() == given.images.data_ptr()
    plan = mixed.mix
    assert {True, False} == set(plan.is_cutmix.tolist())
    images, soft = mix.apply(plain.images, plain.targets, plan, num_classes=7, label_smoothing=0.1)
    assert torch.equal(mixed.images, images)
    assert torch.equal(mixed.targets, soft)
    assert not torch.equal(mixed.images, plain.images)
    for row, mate in enumerate(plan.partner):
        own, other = plain.images[row].double(), plain.images[mate].double()
        expected = plan.lam[row] * own + (1 - plan.lam[row]) * other
        if plan.is_cutmix[row]:
            y1, y2, x1, x2 = plan.boxes[row]
            expected = own.clone()
            expected[:, y1:y2, x1:x2] = other[:, y1:y2, x1:x2]
        assert (mixed.images[row].double() - expected).abs().max() < (0.6 if dtype != torch.float32 else 1e-4)


def test_sparse_targets_stand_for_the_soft_ones_and_travel_with_the_batch():
    soft = mixer(switch_probability=0.0).mix(batch())
    sparse = mixer(switch_probability=0.0, targets="sparse").mix(batch()).to("cpu")
    assert isinstance(sparse.targets, SparseTargets)
    targets, partner_targets, lam = sparse.targets
    assert (targets.dtype, partner_targets.dtype, lam.dtype) == (torch.int64, torch.int64, torch.float32)
    logits = torch.randn(16, 7, generator=torch.Generator().manual_seed(1))
    expected = mix.soft_target_cross_entropy(logits, soft.targets)
    torch.testing.assert_close(mix.soft_target_cross_entropy(logits, sparse.targets), expected)
    assert torch.equal(sparse.images, soft.images)


def test_rows_that_the_chance_spares_stay_bitwise_as_they_were():
    plain, mixed = batch(64), mixer(probability=0.5).mix(batch(64))
    spared = mixed.mix.lam == 1
    assert 0 < spared.sum() < 64
    assert torch.equal(mixed.images[spared], plain.images[spared])
    assert torch.equal(mixed.targets[spared], torch.eye(7)[plain.targets[spared]])


@pytest.mark.parametrize("size", [1, 2, 7])
def test_batches_of_any_size_are_mixed_within_themselves_and_the_user_is_told_once(size):
    one = mixer(probability=1.0)
    with pytest.warns(UserWarning, match=r"MixupOrCutMix: .* got [127] rows from position 3 on.*multiple of 8 lanes"):
        mixed = one.mix(batch(size, start=3))
    assert mixed.images.shape[0] == size
    if size % 2:
        assert mixed.mix.partner[-1] == size - 1
        assert torch.equal(mixed.images[-1], batch(size, start=3).images[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.mix(batch(size, start=5))


def test_an_odd_number_of_lanes_is_warned_about():
    with pytest.warns(UserWarning, match="even number of lanes, got 5; .* Read with lanes=6"):
        mixer().mix(batch(lanes=5))


def test_whole_slots_give_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = mixer().mix(batch(24, start=8))
    assert not torch.equal(mixed.images, batch(24, start=8).images)


def test_padding_rows_are_mixed_like_any_other():
    padded = batch()
    flags = padded.origin.positions >= 12
    ids = np.where(flags, padded.origin.positions - 12, padded.origin.positions) * 5
    origin = dataclasses.replace(padded.origin, is_padding=flags, sample_ids=ids)
    mixed = mixer().mix(dataclasses.replace(padded, origin=origin))
    np.testing.assert_array_equal(mixed.mix.lam[8:12], mixer().mix(batch()).mix.lam[8:12])
    np.testing.assert_array_equal(mixed.origin.is_padding, flags)


def test_without_targets_only_the_pixels_are_mixed():
    mixed = mixer().mix(batch(targets=None))
    assert mixed.targets is None
    assert torch.equal(mixed.images, mixer().mix(batch()).images)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"views": 2}, ValueError, "images of several views are not mixed, got 2 views"),
        ({"boxes": ()}, ValueError, "images with boxes or keypoints are not mixed"),
        ({"keypoints": ()}, ValueError, "images with boxes or keypoints are not mixed"),
        ({"targets": torch.zeros(16, 7)}, ValueError, r"targets must be class numbers \(B,\)"),
        (
            {"targets": torch.full((16,), 7)},
            TargetError,
            "num_classes: labels must lie in 0..6, got 7 of sample 'key0'",
        ),
    ],
)
def test_batches_that_cannot_be_mixed_are_refused_before_a_pixel_changes(changes, error, message):
    given = batch(**changes)
    with pytest.raises(error, match=f"MixupOrCutMix.*{message}"):
        mixer().mix(given)
    assert torch.equal(given.images, batch().images)


def test_a_batch_is_mixed_once():
    one = mixer()
    with pytest.raises(ValueError, match="a batch is mixed once"):
        one.mix(one.mix(batch()))


def test_encoded_batches_are_refused():
    with pytest.raises(TypeError, match=r"needs batches of decoded images, got str. Put it behind .augment"):
        mixer().mix("no batch")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 0}, "MixupOrCutMix.num_classes: must be at least 1"),
        ({"label_smoothing": -0.1}, "MixupOrCutMix.label_smoothing: must lie in 0..1"),
        ({"mixup_alpha": -1.0}, "MixupOrCutMix.mixup_alpha: must be positive"),
        ({"stage": "Mixup", "mixup_alpha": -1.0}, "Mixup.alpha: must be positive"),
        ({"stage": "CutMix", "cutmix_alpha": -1.0}, "CutMix.alpha: must be positive"),
        ({"targets": "dense"}, 'MixupOrCutMix.targets: must be "soft" or "sparse", got \'dense\''),
        (
            {"targets": "sparse", "label_smoothing": 0.1},
            'MixupOrCutMix.label_smoothing: must be 0 with targets="sparse"',
        ),
    ],
)
def test_wrong_settings_are_named_with_their_stage(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        mix.MixSettings(**({"stage": "MixupOrCutMix", "num_classes": 7} | options))
