"""A bad sample never ends a run that has a usable one, wherever that is."""

import numpy as np
import pytest
from pictures import drawn_samples
from reading import readers, rows
from shards_on_disk import write_shard

import streamaug as sa
from streamaug import recipes

SAMPLES = drawn_samples(120, seed=11)
TRAIN = recipes.imagenet_train(size=16)


def shard(path, samples, bad):
    """The samples as a shard, those whose keys are bad cut off."""
    return str(write_shard(path, [(key, label % 3, jpeg[:60] if key in bad else jpeg) for key, label, jpeg in samples]))


def keys_of(samples):
    return {key for key, _, _ in samples}


def delivered(shards, world_size=1, **options):
    """The rows of an epoch, over all ranks."""
    options = {"seed": 0, "lanes": 32, "window": None} | options
    ranks = readers(shards, world_size, batch_size=8, on_bad_sample="substitute", **options)
    return rows(batch for one in ranks for batch in one.augment(TRAIN, device="cpu", num_threads=2))


def keys(got):
    return {row.key for row in got.values()}


def substitutes(got):
    return sum(row.is_substitute for row in got.values())


def test_one_bad_sample_of_forty_in_lanes_of_one(tmp_path):
    bad = {SAMPLES[7][0]}
    shards = sa.ShardSet.open(shard(tmp_path / "few-000000.tar", SAMPLES[:40], bad))
    for seed in range(4):  # 32 lanes of one or two samples: some runs have no other
        got = delivered(shards, lanes=32, seed=seed)
        assert len(got) == 32
        assert not keys(got) & bad


@pytest.mark.parametrize("options", [{"shuffle": False}, {"lanes": 8}, {"lanes": 2, "window": 8}])
def test_a_shard_without_a_usable_sample(tmp_path, options):
    bad = keys_of(SAMPLES[50:60])
    urls = [
        shard(tmp_path / f"dead-{number:06d}.tar", SAMPLES[first:last], bad)
        for number, (first, last) in enumerate(((0, 50), (50, 60), (60, 120)))
    ]
    shards = sa.ShardSet.open(urls)
    alone = delivered(shards, **options)
    assert substitutes(alone) == 10
    assert not keys(alone) & bad
    assert delivered(shards, 2, **options) == alone


def test_a_small_part_of_a_mixture_without_a_usable_sample(tmp_path):
    bad = keys_of(SAMPLES[:8])
    shards = sa.ShardSet.mix(
        {
            sa.ShardSet.open(shard(tmp_path / "tiny-000000.tar", SAMPLES[:8], bad)): 1,
            sa.ShardSet.open(shard(tmp_path / "large-000000.tar", SAMPLES[8:], bad)): 3,
        }
    )
    alone = delivered(shards, lanes=8)
    assert substitutes(alone) >= len(alone) // 5
    assert not keys(alone) & bad
    assert delivered(shards, 4, lanes=8) == alone


def test_a_class_whose_only_sample_is_bad(tmp_path):
    listed = [(key, 9 if number == 31 else number % 2, jpeg) for number, (key, _, jpeg) in enumerate(SAMPLES[:48])]
    bad = listed[31][0]
    path = write_shard(
        tmp_path / "classes-000000.tar",
        [(key, label, jpeg[:60] if key == bad else jpeg) for key, label, jpeg in listed],
    )
    shards = sa.ShardSet.open(str(path)).balance_classes()
    alone = delivered(shards, lanes=8)
    assert substitutes(alone) == len(alone) // 3
    assert bad not in keys(alone)
    assert delivered(shards, 2, lanes=8) == alone


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"shuffle": False}])
def test_the_only_usable_sample_of_all_is_found(tmp_path, options):
    good = SAMPLES[77][0]
    shards = sa.ShardSet.open(shard(tmp_path / "one-000000.tar", SAMPLES, keys_of(SAMPLES) - {good}))
    assert keys(delivered(shards, **options)) == {good}


def test_a_dataset_without_any_usable_sample_is_an_error_that_says_so(tmp_path):
    shards = sa.ShardSet.open(shard(tmp_path / "none-000000.tar", SAMPLES[:64], keys_of(SAMPLES)))
    with pytest.raises(sa.BadSampleError, match="the dataset must have a usable sample, got none in 63 attempts"):
        delivered(shards)


def test_stand_ins_are_a_function_of_epoch_position_and_attempt(tmp_path):
    path = shard(tmp_path / "few-000000.tar", SAMPLES[:40], set())
    shards = sa.ShardSet.open(path)
    one, other = (sa.ShardReader(shards, batch_size=8, lanes=32, rank=r, world_size=4) for r in (0, 3))
    wanted = {(epoch, 5, a): None for epoch in (0, 1) for a in range(39)}
    for epoch, position, attempt in wanted:
        one.set_epoch(epoch)
        wanted[epoch, position, attempt] = one.stand_in(position, attempt)
    for epoch, position, attempt in np.random.default_rng(0).permutation(list(wanted)).tolist():
        other.set_epoch(epoch)
        assert other.stand_in(position, attempt) == wanted[epoch, position, attempt]
    assert [wanted[0, 5, a] for a in range(39)] != [wanted[1, 5, a] for a in range(39)]
