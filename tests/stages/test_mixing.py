"""The mixing stages on real chains: the same pairs on any ranks, in place, once."""

import json
import warnings
from itertools import islice

import numpy as np
import pytest
import torch

import streamaug as sa
from streamaug import mix, recipes

SIZE = 16
KINDS = {
    "mixup": lambda pipe: pipe.mixup(num_classes=1000, alpha=0.4),
    "mixup, one lam a batch": lambda pipe: pipe.mixup(num_classes=1000, lam="batch"),
    "mixup, one lam an image": lambda pipe: pipe.mixup(num_classes=1000, lam="element", targets="sparse"),
    "cutmix": lambda pipe: pipe.cutmix(num_classes=1000),
    "mixup_or_cutmix": lambda pipe: pipe.mixup_or_cutmix(num_classes=1000, probability=0.8, label_smoothing=0.1),
}


def plain(url, *, batch_size=32, rank=0, world_size=1, dtype="float32", **options):
    options = {"seed": 4, "lanes": 16, "window": 128} | options
    reader = sa.ShardReader(sa.ShardSet.open(url), batch_size=batch_size, rank=rank, world_size=world_size, **options)
    return reader.augment(recipes.imagenet_eval(size=SIZE, resize=SIZE, dtype=dtype), device="cpu", num_threads=1)


def rows(batches):
    """{position: (image, targets)}."""
    out = {}
    for batch in batches:
        targets = batch.targets if isinstance(batch.targets, torch.Tensor) else torch.stack([*batch.targets], 1)
        for row, position in enumerate(batch.origin.positions.tolist()):
            assert position not in out
            out[position] = (batch.images[row].clone(), targets[row].clone())
    return out


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_mixes_alike_on_two_and_four_ranks(uneven, kind):
    url, _ = uneven
    expected = rows(KINDS[kind](plain(url)))
    for world_size in (2, 4):
        got = rows(
            batch
            for rank in range(world_size)
            for batch in KINDS[kind](plain(url, batch_size=32 // world_size, rank=rank, world_size=world_size))
        )
        assert got.keys() == expected.keys()
        assert all(equal(got[position], expected[position]) for position in expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "uint8"])
def test_every_output_dtype_is_mixed_as_the_plan_says(uneven, dtype):
    url, _ = uneven
    pairs = zip(plain(url, dtype=dtype), KINDS["mixup_or_cutmix"](plain(url, dtype=dtype)), strict=True)
    for before, after in islice(pairs, 3):
        images, targets = mix.apply(before.images, before.targets, after.mix, num_classes=1000, label_smoothing=0.1)
        assert after.images.dtype == before.images.dtype == getattr(torch, dtype)
        assert torch.equal(after.images, images)
        assert torch.equal(after.targets, targets)
        assert not torch.equal(after.images, before.images)


def test_batches_that_were_mixed_stay_as_they_were_handed_out(uneven):
    url, _ = uneven
    held = [(batch.images, batch.images.clone()) for batch in KINDS["mixup_or_cutmix"](plain(url))]
    assert all(torch.equal(images, copy) for images, copy in held)


def test_a_batch_that_starts_at_an_odd_position_is_mixed_and_says_so_once(uneven):
    url, _ = uneven
    small = KINDS["mixup"](plain(url, batch_size=5, lanes=16))
    with pytest.warns(UserWarning, match="Mixup: mixing the same pairs on any number of ranks needs both partners"):
        next(iter(small))
    state = json.loads(json.dumps(small.state_dict()))
    assert state["position"] == 5
    resumed = KINDS["mixup"](plain(url))
    resumed.load_state_dict(state)
    with pytest.warns(UserWarning, match="got 32 rows from position 5 on") as caught:
        batches = list(resumed)
    assert len(caught) == 1
    assert all((batch.mix.partner == np.arange(32) ^ 1).all() for batch in batches)


def test_padded_epochs_are_mixed_to_the_last_row(uneven):
    url, _ = uneven
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = list(KINDS["mixup"](plain(url, tail="pad")))
    assert sum(int(batch.origin.is_padding.sum()) for batch in batches) == 416 - 389
    assert all(len(batch.targets) == 32 for batch in batches)


def test_without_shuffle_neighbouring_blocks_are_partners(uneven):
    url, _ = uneven
    batch = next(iter(KINDS["mixup"](plain(url, shuffle=False, tail="pad"))))
    np.testing.assert_array_equal(batch.mix.partner, np.arange(32) ^ 8)


def test_mixing_twice_or_after_predicting_is_refused_before_anything_is_read(uneven):
    url, _ = uneven
    with pytest.raises(ValueError, match="CutMix: needs images that nothing mixed or merged, got a chain with Mixup"):
        plain(url).mixup(num_classes=1000).map_batch(lambda batch: batch).cutmix(num_classes=1000)
    with pytest.raises(ValueError, match=r"Mixup: needs images .* got a chain with TestTimeAugment"):
        plain(url).tta(torch.nn.Flatten()).mixup(num_classes=1000)


def test_several_views_are_not_mixed(uneven):
    url, _ = uneven
    reader = sa.ShardReader(sa.ShardSet.open(url), batch_size=8, lanes=8, shuffle=False, tail="pad")
    pipe = reader.augment(recipes.imagenet_tta(views="hflip", size=SIZE, resize=SIZE), device="cpu", num_threads=1)
    with pytest.raises(ValueError, match="Mixup: images of several views are not mixed, got 2 views"):
        next(iter(pipe.mixup(num_classes=1000)))


def test_encoded_samples_are_not_mixed(uneven):
    url, _ = uneven
    reader = sa.ShardReader(sa.ShardSet.open(url), batch_size=8, lanes=8)
    with pytest.raises(TypeError, match=r"CutMix: needs batches of decoded images, got EncodedBatch"):
        next(iter(reader.cutmix(num_classes=1000)))


def test_a_label_beyond_the_classes_names_its_sample(uneven):
    url, _ = uneven
    with pytest.raises(sa.TargetError, match=r"Mixup.num_classes: labels must lie in 0..9, got \d+ of sample 'drawn"):
        next(iter(plain(url).mixup(num_classes=10)))


def test_constructors_name_themselves(uneven):
    url, _ = uneven
    pipe = plain(url)
    for build, message in (
        (lambda: pipe.mixup(num_classes=10, alpha=0), "Mixup.alpha: must be positive"),
        (lambda: pipe.cutmix(num_classes=10, alpha=-1), "CutMix.alpha: must be positive"),
        (lambda: pipe.mixup_or_cutmix(num_classes=10, cutmix_alpha=0), "MixupOrCutMix.cutmix_alpha: must be positive"),
        (lambda: sa.Mixup(pipe, num_classes=10, lam="row"), "Mixup.lam: must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            build()
