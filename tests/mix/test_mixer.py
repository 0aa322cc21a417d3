"""The engine behind the mixing stages: in place, once, with targets that belong to the pixels."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from copies import Copies
from hypothesis import given, settings
from hypothesis import strategies as st

from streamaug import mix
from streamaug.batch import Batch, Origin, SparseTargets
from streamaug.errors import TargetError
from streamaug.mix.mixer import Mixer
from streamaug.mix.settings import MixSettings


def batch(size=16, *, start=0, stride=1, dtype=torch.float32, targets="classes", **changes):
    positions = start + stride * np.arange(size)
    flags = np.zeros(size, bool)
    keys = tuple(f"key{position}" for position in positions)
    origin = Origin(3, 1, 0, 8, positions, positions * 5, keys, flags, flags)
    images = (torch.rand(size, 3, 12, 10, generator=torch.Generator().manual_seed(start)) * 255).to(dtype)
    labels = torch.from_numpy(positions % 7) if targets == "classes" else targets
    return dataclasses.replace(Batch(images, labels, origin), **changes)


def mixer(**options):
    return Mixer(MixSettings(stage="MixupOrCutMix", **({"num_classes": 7} | options)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.uint8])
def test_a_batch_is_mixed_in_place_as_its_plan_says(dtype):
    plain, own = batch(dtype=dtype), batch(dtype=dtype)
    mixed = mixer(label_smoothing=0.1).mix(own)
    assert mixed.images.data_ptr() == own.images.data_ptr()
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


@pytest.mark.parametrize("size", [2, 7, 24])
def test_the_batches_of_a_single_rank_are_mixed_within_themselves_without_a_warning(size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = mixer().mix(batch(size, start=3))
    assert mixed.images.shape[0] == size
    assert not torch.equal(mixed.images, batch(size, start=3).images)
    if size % 2:
        assert mixed.mix.partner[-1] == size - 1
        assert torch.equal(mixed.images[-1], batch(size, start=3).images[-1])


@pytest.mark.parametrize(("size", "stride"), [(7, 2), (3, 5), (1, 1)])
def test_an_odd_batch_of_one_rank_of_several_is_warned_about_once(size, stride):
    one = mixer()
    with pytest.warns(UserWarning, match=f"MixupOrCutMix: .*even size.* got {size} rows.*batch_size={size + 1}"):
        one.mix(batch(size, start=3, stride=stride))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.mix(batch(size, start=5, stride=stride))


def test_an_even_batch_of_one_rank_of_several_is_mixed_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mixed = mixer().mix(batch(6, start=3, stride=4))
    assert mixed.mix.partner.tolist() == [3, 4, 5, 0, 1, 2]


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
        ({"targets": torch.zeros(16, 8)}, ValueError, r"num_classes: must be the width of targets .* 7 for float32"),
        ({"targets": torch.zeros(16)}, ValueError, r"num_classes: must be 1 for binary targets"),
        ({"targets": torch.zeros(16, 7, 2)}, ValueError, r"targets: must be class numbers"),
        (
            {"targets": torch.full((16, 7), 0.5).index_fill_(0, torch.tensor([5]), 2.0)},
            TargetError,
            "that are no class numbers must lie in 0..1, got .* of sample 'key5'",
        ),
        ({"targets": torch.full((16, 7), torch.nan)}, TargetError, "must lie in 0..1, got .* of sample 'key0'"),
        ({"targets": SparseTargets(*[torch.zeros(16)] * 3)}, TypeError, "targets must be a tensor, got SparseTargets"),
        (
            {"targets": torch.full((16,), 7)},
            TargetError,
            "num_classes: labels must lie in 0..6, got 7 of sample 'key0'",
        ),
    ],
)
def test_batches_that_cannot_be_mixed_are_refused_before_a_pixel_changes(changes, error, message):
    refused = batch(**changes)
    with pytest.raises(error, match=f"MixupOrCutMix.*{message}"):
        mixer().mix(refused)
    assert torch.equal(refused.images, batch().images)


TABLES = {
    "soft": torch.rand(16, 7, generator=torch.Generator().manual_seed(1)).softmax(1),
    "multi-hot": (torch.rand(16, 7, generator=torch.Generator().manual_seed(2)) < 0.3).float(),
    "multi-hot, integers": (torch.rand(16, 7, generator=torch.Generator().manual_seed(2)) < 0.3).long(),
    "float64": torch.rand(16, 7, generator=torch.Generator().manual_seed(3)).double(),
    "binary": (torch.arange(16) % 3 == 0).float(),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_targets_of_every_kind_are_mixed_like_the_pixels(kind, smoothing):
    table = TABLES[kind]
    classes = 1 if kind == "binary" else 7
    plain, mixed = (
        mixer(num_classes=classes, label_smoothing=smoothing, probability=chance).mix(batch(targets=table.clone()))
        for chance in (0.0, 1.0)
    )
    assert plain.targets.dtype == mixed.targets.dtype == torch.float32
    smooth = table.double() * (1 - smoothing) + smoothing / (2 if kind == "binary" else 7)
    torch.testing.assert_close(plain.targets, smooth.float())
    lam = torch.from_numpy(mixed.mix.lam).view(-1, *[1] * (table.ndim - 1))
    expected = lam * smooth + (1 - lam) * smooth[torch.from_numpy(mixed.mix.partner)]
    torch.testing.assert_close(mixed.targets, expected.float(), atol=1e-6, rtol=0)


def test_sparse_targets_are_of_class_numbers_only():
    with pytest.raises(ValueError, match=r'MixupOrCutMix.targets: "sparse" needs class numbers'):
        mixer(targets="sparse").mix(batch(targets=TABLES["soft"]))


def test_an_error_of_the_schedule_names_the_stage_and_the_place():
    for value in (1.5, -0.1, float("nan"), None, "half", torch.tensor(0.5)):
        with pytest.raises(ValueError, match=r"^MixupOrCutMix.schedule: must return .* for epoch 1, step 0"):
            mixer(schedule=lambda epoch, step, value=value: value).mix(batch())
    with pytest.raises(ValueError, match=r"^mine$"):
        mixer(schedule=lambda epoch, step: float("nan") if epoch != 1 else fail()).mix(batch())


def fail():
    raise ValueError("mine")


@pytest.mark.parametrize("value", [True, np.float32(1.0), 1, np.bool_(True)])
def test_a_schedule_may_return_any_kind_of_number(value):
    mixed = mixer(schedule=lambda epoch, step: value).mix(batch())
    assert torch.equal(mixed.images, mixer().mix(batch()).images)


@pytest.mark.filterwarnings("ignore:MixupOrCutMix. the batches of a rank")
@settings(max_examples=60)
@given(
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from((torch.float32, torch.float16, torch.uint8)),
    st.sampled_from(({}, {"cutmix_minmax": (0.2, 0.9)}, {"lam": "element"}, {"lam": "batch"})),
    st.integers(0, 99),
)
def test_the_share_of_differing_pixels_is_one_minus_lambda(size, height, width, channels_last, dtype, options, seed):
    images = torch.arange(size).view(-1, 1, 1, 1).expand(size, 3, height, width).to(dtype)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    origin = batch(size, start=seed * size).origin
    given_batch = Batch(images.clone(memory_format=memory), torch.arange(size) % 7, origin)
    mixed = mixer(switch_probability=1.0, **options).mix(given_batch)
    share = (mixed.images != images).any(1).double().mean((1, 2)).numpy()
    np.testing.assert_allclose(share, 1 - mixed.mix.lam, atol=1e-12)
    torch.testing.assert_close(mixed.targets.sum(1), torch.ones(size))
    assert mixed.images.is_contiguous(memory_format=memory)
    whole = mixed.mix.lam == 1
    assert torch.equal(mixed.images[whole], images[whole])


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
        ({"num_classes": 0}, "MixupOrCutMix.num_classes: must be an integer of at least 1"),
        ({"num_classes": 7.5}, "MixupOrCutMix.num_classes: must be an integer"),
        ({"label_smoothing": "0.1"}, "MixupOrCutMix.label_smoothing: must lie in 0..1"),
        ({"label_smoothing": -0.1}, "MixupOrCutMix.label_smoothing: must lie in 0..1"),
        ({"mixup_alpha": -1.0}, "MixupOrCutMix.mixup_alpha: must be finite and at least 0"),
        ({"stage": "Mixup", "mixup_alpha": -1.0}, "Mixup.alpha: must be finite and at least 0"),
        ({"stage": "CutMix", "cutmix_alpha": -1.0}, "CutMix.alpha: must be finite and at least 0"),
        ({"targets": "dense"}, 'MixupOrCutMix.targets: must be "soft" or "sparse", got \'dense\''),
        (
            {"targets": "sparse", "label_smoothing": 0.1},
            'MixupOrCutMix.label_smoothing: must be 0 with targets="sparse"',
        ),
    ],
)
def test_wrong_settings_are_named_with_their_stage(options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        MixSettings(**({"stage": "MixupOrCutMix", "num_classes": 7} | options))


def test_sparse_targets_on_another_device_take_one_copy_that_nobody_waits_for():
    here = batch()
    on_device = dataclasses.replace(here, images=here.images.to("meta"), targets=here.targets.to("meta"))
    with Copies() as copies:
        mixer(switch_probability=0.0, targets="sparse").mix(on_device)
    assert copies.waits == [False, False]  # the targets' numbers, and the pixels'
    assert copies.stalls == []
