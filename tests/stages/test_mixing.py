"""The mixing stages on real chains: the same pairs on any ranks, in place, once."""

import copy
import json
import warnings
from itertools import islice

import numpy as np
import pytest
import torch
from reading import reader, rows

import streamaug as sa
from streamaug import mix, recipes

SIZE = 16


def thirds(epoch, step):
    """Less in each third step than in others."""
    return (1 + step % 3) / 3


KINDS = {
    "mixup": lambda pipe: pipe.mixup(num_classes=1000, alpha=0.4),
    "mixup, one lam a batch": lambda pipe: pipe.mixup(num_classes=1000, lam="batch"),
    "mixup, one lam an image": lambda pipe: pipe.mixup(num_classes=1000, lam="element", targets="sparse"),
    "cutmix": lambda pipe: pipe.cutmix(num_classes=1000),
    "mixup_or_cutmix, scheduled": lambda pipe: pipe.mixup_or_cutmix(
        num_classes=1000, lam="element", schedule=thirds, cutmix_minmax=(0.2, 0.8), targets="sparse"
    ),
    "mixup_or_cutmix": lambda pipe: pipe.mixup_or_cutmix(num_classes=1000, probability=0.8, label_smoothing=0.1),
}


def plain(url, *, dtype="float32", **options):
    recipe = recipes.imagenet_eval(size=SIZE, resize=SIZE, dtype=dtype)
    return reader(url, **options).augment(recipe, device="cpu", num_threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_mixes_alike_on_any_number_of_ranks(uneven, kind):
    url, _ = uneven
    expected = rows(KINDS[kind](plain(url)))
    for world_size in (2, 4, 8) if "scheduled" in kind else (2, 4):
        ranks = [KINDS[kind](plain(url, rank=rank, world_size=world_size)) for rank in range(world_size)]
        assert rows(batch for one in ranks for batch in one) == expected


def mixed_on(url, world_size, state=None, steps=None, **options):
    """What all ranks of a job are given, from a state on, and the state that the job leaves behind."""
    got, left = [], None
    for rank in range(world_size):
        chain = KINDS["mixup_or_cutmix"](plain(url, batch_size=48, rank=rank, world_size=world_size, **options))
        if state is not None:
            chain.load_state_dict(state)
        got += list(islice(chain, steps))
        left = json.loads(json.dumps(chain.state_dict()))
    return rows(got), left


@pytest.mark.slow
@pytest.mark.parametrize("lanes", [5, 8, 32, 96])
@pytest.mark.filterwarnings("ignore:ShardReader.lanes")
def test_a_job_killed_on_two_ranks_and_resumed_on_others_keeps_its_pairs_whatever_the_lanes(uneven, lanes):
    url, _ = uneven
    whole, _ = mixed_on(url, 1, lanes=lanes)
    first, state = mixed_on(url, 2, lanes=lanes, steps=3)
    for world_size in (1, 2, 3, 4, 6):
        rest, _ = mixed_on(url, world_size, state, lanes=lanes)
        assert not first.keys() & rest.keys()
        assert first | rest == whole


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


def test_a_resume_point_between_slots_changes_no_partner(uneven):
    url, _ = uneven
    small = KINDS["mixup"](plain(url, batch_size=5, lanes=16))
    next(iter(small))
    state = json.loads(json.dumps(small.state_dict()))
    assert state["position"] == 5
    resumed = KINDS["mixup"](plain(url))
    resumed.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = list(resumed)
    assert batches[0].origin.positions[0] == 5
    assert all((batch.mix.partner == (np.arange(32) + 16) % 32).all() for batch in batches)


def test_a_schedule_is_met_where_a_run_goes_on(uneven):
    url, _ = uneven
    whole = KINDS["mixup_or_cutmix, scheduled"](plain(url))
    expected = rows(whole)
    shares = [np.mean(batch.mix.lam < 1) for batch in KINDS["mixup_or_cutmix, scheduled"](plain(url))]
    assert min(shares[2::3]) > max(shares[::3])
    stopped, resumed = (KINDS["mixup_or_cutmix, scheduled"](plain(url)) for _ in range(2))
    stream = iter(stopped)
    first = rows(next(stream) for _ in range(4))
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert first | rows(resumed) == expected


def test_from_an_epoch_on_batches_are_as_they_are_with_targets_of_the_mixed_kind(uneven):
    url, _ = uneven
    chain = plain(url).mixup_or_cutmix(num_classes=1000, label_smoothing=0.1, schedule=mix.off_from(1))
    bare = plain(url)
    for one in (chain, bare):
        one.set_epoch(1)
    for batch, before in islice(zip(chain, bare, strict=True), 3):
        assert torch.equal(batch.images, before.images)
        assert (batch.mix.lam == 1).all()
        expected = torch.nn.functional.one_hot(before.targets, 1000) * 0.9 + 0.1 / 1000
        torch.testing.assert_close(batch.targets, expected.float())
    again = copy.deepcopy(chain)
    assert (next(iter(again)).mix.lam == 1).all()
    chain.set_epoch(0)
    assert (next(iter(chain)).mix.lam < 1).mean() > 0.8


def test_odd_batches_of_several_ranks_say_once_that_a_row_stays_alone(uneven):
    url, _ = uneven
    chain = KINDS["mixup"](plain(url, batch_size=14, rank=1, world_size=2))
    with pytest.warns(UserWarning, match=r"Mixup: .* even size .* got 7 rows.* Read with batch_size=8") as caught:
        batches = list(chain)
    assert len(caught) == 1
    assert all(batch.mix.partner.tolist() == [3, 4, 5, 0, 1, 2, 6] for batch in batches)
    assert all(batch.mix.lam[6] == 1 for batch in batches)


def test_padded_epochs_are_mixed_to_the_last_row(uneven):
    url, _ = uneven
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = list(KINDS["mixup"](plain(url, tail="pad")))
    assert sum(int(batch.origin.is_padding.sum()) for batch in batches) == 416 - 389
    assert all(len(batch.targets) == 32 for batch in batches)


def test_without_shuffle_a_rank_mixes_the_halves_of_its_block(uneven):
    url, _ = uneven
    for world_size in (1, 2):
        chain = KINDS["mixup"](plain(url, rank=world_size - 1, world_size=world_size, shuffle=False, tail="pad"))
        size = 32 // world_size
        np.testing.assert_array_equal(next(iter(chain)).mix.partner, (np.arange(size) + size // 2) % size)


def test_mixing_twice_or_after_predicting_is_refused_before_anything_is_read(uneven):
    url, _ = uneven
    with pytest.raises(ValueError, match="CutMix: needs images that nothing mixed or merged, got a chain with Mixup"):
        plain(url).mixup(num_classes=1000).map_batch(lambda batch: batch).cutmix(num_classes=1000)
    with pytest.raises(ValueError, match=r"Mixup: needs images .* got a chain with TestTimeAugment"):
        plain(url).tta(torch.nn.Flatten()).mixup(num_classes=1000)


def test_several_views_are_not_mixed(uneven):
    url, _ = uneven
    one = reader(url, batch_size=8, lanes=8, shuffle=False, tail="pad")
    pipe = one.augment(recipes.imagenet_tta(views="hflip", size=SIZE, resize=SIZE), device="cpu", num_threads=1)
    with pytest.raises(ValueError, match="Mixup: images of several views are not mixed, got 2 views"):
        next(iter(pipe.mixup(num_classes=1000)))


def test_encoded_samples_are_not_mixed(uneven):
    url, _ = uneven
    with pytest.raises(TypeError, match=r"CutMix: needs batches of decoded images, got EncodedBatch"):
        next(iter(reader(url, batch_size=8, lanes=8).cutmix(num_classes=1000)))


def test_a_label_beyond_the_classes_names_its_sample(uneven):
    url, _ = uneven
    with pytest.raises(sa.TargetError, match=r"Mixup.num_classes: labels must lie in 0..9, got \d+ of sample 'drawn"):
        next(iter(plain(url).mixup(num_classes=10)))


def test_constructors_name_themselves(uneven):
    url, _ = uneven
    pipe = plain(url)
    for build, message in (
        (lambda: pipe.mixup(num_classes=10, alpha=-1), "Mixup.alpha: must be finite and at least 0"),
        (lambda: pipe.cutmix(num_classes=10, alpha=-1), "CutMix.alpha: must be finite and at least 0"),
        (
            lambda: pipe.mixup_or_cutmix(num_classes=10, cutmix_alpha=-1),
            "MixupOrCutMix.cutmix_alpha: must be finite and at least 0",
        ),
        (lambda: pipe.cutmix(num_classes=10, alpha=0, cutmix_minmax=(0.2, 0.8)), "CutMix.alpha: must be above 0 with"),
        (lambda: pipe.mixup(num_classes=10, schedule=0.5), "Mixup.schedule: must be a function"),
        (lambda: sa.Mixup(pipe, num_classes=10, lam="row"), "Mixup.lam: must be one of"),
    ):
        with pytest.raises(ValueError, match=message):
            build()
