"""Mixup of two chains: row by row, one λ a batch, exactly resumable, ending with the shorter."""

import json
import pickle
from itertools import islice

import numpy as np
import pytest
import torch
from reading import reader
from scipy import stats

import streamaug as sa
from streamaug import mix, recipes

CLASSES = 1000


def chain(url, *, dtype="float32", views=None, **options):
    if views is None:
        recipe = recipes.imagenet_eval(size=16, resize=16, dtype=dtype)
    else:
        recipe = recipes.imagenet_tta(views=views, size=16, resize=16)
    return reader(url, **options).augment(recipe, device="cpu", num_threads=1)


def zipped(url, *, b=None, alpha=1.0, label_smoothing=0.0, **options):
    first, second = chain(url, seed=1, **options), chain(url, **({"seed": 2} | options | (b or {})))
    return mix.zip_mixup(first, second, num_classes=CLASSES, alpha=alpha, label_smoothing=label_smoothing)


def bits(batches):
    """What was delivered, comparable by `==`."""
    return [
        (b.origin.epoch, b.origin.step, b.origin.keys, b.images.numpy().tobytes(), b.targets.numpy().tobytes())
        for b in batches
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-5), ("uint8", 0.51), ("bfloat16", 0.02)])
def test_rows_are_mixed_with_rows_of_the_other_chain_by_one_lambda_a_batch(uneven, dtype, close):
    url, _ = uneven
    lams = []
    triples = zip(
        zipped(url, dtype=dtype), chain(url, seed=1, dtype=dtype), chain(url, seed=2, dtype=dtype), strict=True
    )
    for batch, a, b in triples:
        rows = (a.targets != b.targets).nonzero()[:, 0]
        own = batch.targets[rows, a.targets[rows]]
        lam = own[0].item()
        lams.append(lam)
        torch.testing.assert_close(own, torch.full_like(own, lam))
        expected = lam * a.images.double() + (1 - lam) * b.images.double()
        assert (batch.images.double() - expected).abs().max() <= close
        one, other = (torch.nn.functional.one_hot(each.targets, CLASSES) for each in (a, b))
        torch.testing.assert_close(batch.targets, lam * one + (1 - lam) * other, atol=1e-6, rtol=0)
        assert batch.origin.keys == a.origin.keys
        assert batch.extras is a.extras or dict(batch.extras) == dict(a.extras)
        assert batch.mix is None
    assert len(set(lams)) == len(lams) == 12


def test_lambda_is_a_beta_variable_of_the_step_and_the_same_on_all_ranks(uneven):
    url, _ = uneven
    lams = {}
    for world_size in (1, 2):
        for rank in range(world_size):
            for batch in zipped(url, rank=rank, world_size=world_size):
                lams.setdefault(batch.origin.step, set()).add(round(batch.targets.amax(1).min().item(), 5))
    assert all(len(values) == 1 for values in lams.values())
    assert len(lams) == 12
    drawn = mix.beta(0.2, sa.random.uniform(1, 0, np.arange(5000), stream=sa.random.Stream.MIX, n=3)[:, 2])
    assert abs(drawn.var() - stats.beta(0.2, 0.2).var()) < 0.01


def test_an_alpha_of_zero_delivers_the_first_chain_with_soft_targets(uneven):
    url, _ = uneven
    for batch, a in islice(zip(zipped(url, alpha=0, label_smoothing=0.1), chain(url, seed=1), strict=True), 2):
        assert torch.equal(batch.images, a.images)
        expected = torch.nn.functional.one_hot(a.targets, CLASSES) * 0.9 + 0.1 / CLASSES
        torch.testing.assert_close(batch.targets, expected)


SHORTER = {"the second": {"batch_size": 32, "b": {"world_size": 2, "batch_size": 64}}, "neither": {}}


@pytest.mark.parametrize("shorter", ["the second", pytest.param("neither", marks=pytest.mark.slow)])
def test_it_ends_with_the_shorter_and_goes_on_exactly_after_every_batch(uneven, shorter):
    url, _ = uneven
    options = SHORTER[shorter]
    whole = zipped(url, **options)
    assert len(whole) == (6 if "b" in options else 12)
    expected = bits([*whole, *whole])
    assert [row[:2] for row in expected] == [(epoch, step) for epoch in (0, 1) for step in range(len(whole))]
    for stop in (2, len(whole)):
        stopped, resumed = zipped(url, **options), zipped(url, **options)
        taken = []
        while len(taken) < stop:
            taken += bits(islice(stopped, stop - len(taken)))
        resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
        rest = bits([*resumed, *resumed])
        assert taken + rest[: len(expected) - stop] == expected


def test_set_epoch_and_copies(uneven):
    url, _ = uneven
    one = zipped(url)
    next(iter(one))
    other = pickle.loads(pickle.dumps(one))
    assert bits(islice(other, 1))[0][:2] == (0, 1)
    one.set_epoch(3)
    assert bits(islice(one, 1))[0][:2] == (3, 0)
    assert one.epoch == 4
    with one as same:
        assert same is one
    assert repr(one).startswith("zip_mixup(ShardReader")
    assert len(repr(one)) < 500


def test_what_cannot_be_zipped_is_named(uneven):
    url, _ = uneven
    one = chain(url, seed=1)
    with pytest.raises(ValueError, match=r"zip_mixup.b: must have a reader of its own"):
        mix.zip_mixup(one, one.map_batch(lambda batch: batch), num_classes=CLASSES)
    with pytest.raises(TypeError, match=r"zip_mixup.a: must be a chain of streamaug, got list"):
        mix.zip_mixup([1], one, num_classes=CLASSES)
    with pytest.raises(ValueError, match=r"zip_mixup.alpha: must be finite"):
        mix.zip_mixup(one, chain(url), num_classes=CLASSES, alpha=-1)
    with pytest.raises(ValueError, match=r"zip_mixup.num_classes: must be an integer of at least 1"):
        mix.zip_mixup(one, chain(url), num_classes=0)
    with pytest.raises(sa.StateError, match=r"zip_mixup.state: must be what state_dict\(\) gave"):
        zipped(url).load_state_dict(one.state_dict())
    for options, message in (
        ({"b": {"batch_size": 16}}, "must have the same shape, type and device"),
        ({"b": {"dtype": "uint8"}}, "must have the same shape, type and device"),
        ({"views": "hflip"}, "needs images of one view"),
    ):
        with pytest.raises(ValueError, match=message):
            next(iter(zipped(url, **options)))
    with pytest.raises(ValueError, match="that nothing mixed"):
        next(iter(mix.zip_mixup(chain(url, seed=1).mixup(num_classes=CLASSES), chain(url), num_classes=CLASSES)))
