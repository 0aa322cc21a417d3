"""Lanes and windows that were not given: by the size of the set, by its ordering, and by the state that is loaded."""

import numpy as np
import pytest
from chains import taken
from shards_on_disk import write_shards

import streamaug as sa
from streamaug.errors import StateError
from streamaug.order.base import default_lanes, default_window


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Makes a set of so many samples of no content; each number is written once."""
    folder, urls = tmp_path_factory.mktemp("tiny"), {}

    def make(*sizes):
        for size in sizes:
            if size not in urls:
                samples = [(f"n{number:05d}", number % 7, b"") for number in range(size)]
                urls[size] = write_shards(folder, f"of{size}", samples, (size,)).replace("{000000..000000}", "000000")
        sets = [sa.ShardSet.open(urls[size]) for size in sizes]
        return sets if len(sets) > 1 else sets[0]

    return make


def order_of(shards, **options):
    """(lanes, window) of a reader."""
    order = sa.ShardReader(shards, batch_size=1, **options).state_dict()["order"]
    return order["lanes"], order["window"]


@pytest.mark.parametrize(
    ("num_samples", "lanes"),
    [
        (1, 1),
        (7, 1),
        (8, 2),
        (23, 2),
        (24, 6),
        (48, 12),
        (95, 12),
        (96, 24),
        (192, 48),
        (383, 48),
        (384, 96),
        (2000, 96),
    ],
)
def test_small_sets_have_the_most_lanes_that_leave_four_samples_a_lane(tiny, num_samples, lanes):
    assert order_of(tiny(num_samples)) == (lanes, 8192)
    assert default_lanes(10**9, 10**9) == 96


def test_given_lanes_and_windows_are_kept_and_each_has_a_default_of_its_own(tiny):
    shards = tiny(384)
    assert order_of(shards, lanes=4) == (4, 8192)
    assert order_of(shards, window=100) == (96, 100)
    assert order_of(shards, lanes=128) == (128, 8192)
    assert order_of(shards, lanes=4, window=77) == (4, 77)
    assert [default_window(lanes) for lanes in (1, 96, 128, 129)] == [8192, 8192, 8192, 64 * 129]


# --- orderings that cannot have any number ----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sizes", "weights", "lanes"),
    [
        ((2000, 500), (1, 1), 96),
        ((2000, 95), (1, 1), 48),
        ((2000, 40), (1, 1), 24),
        ((2000, 1), (1, 1), 1),
        ((2000, 383), (99, 1), 12),  # 1 of 100 slots of a lane: 23 lanes of 103 slots are the most
        ((2000, 383), (1, 2), 96),
        ((24, 40), (1, 1), 12),
    ],
)
def test_a_mixture_has_lanes_for_its_smallest_part_and_its_smallest_weight(tiny, sizes, weights, lanes):
    mixture = sa.ShardSet.mix(dict(zip(tiny(*sizes), weights, strict=True)))
    assert order_of(mixture)[0] == lanes


@pytest.mark.slow
@pytest.mark.parametrize("small", [32, 33, 47, 60, 100])
@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_every_mixture_that_32_lanes_can_have_needs_no_number_of_lanes(tiny, small, share):
    parts = dict(zip(tiny(2000, small), (1 - share, share), strict=True))
    assert order_of(sa.ShardSet.mix(parts), lanes=32)[0] == 32
    lanes, _ = order_of(sa.ShardSet.mix(parts))
    assert lanes in (96, 48, 24, 12, 6, 2)
    reader = sa.ShardReader(sa.ShardSet.mix(parts), batch_size=1)
    ids = reader.order.sample_ids(0, np.arange(reader.order.num_positions))
    slots = (2000 + small) // lanes
    assert np.mean(ids >= 2000) == pytest.approx(share, abs=1 / slots)


def test_the_smallest_part_of_a_mixture_of_mixtures_counts(tiny):
    large, small, other = tiny(2000, 30, 383)
    mixture = sa.ShardSet.mix({sa.ShardSet.mix({large: 1, small: 1}): 1, other: 1})
    assert order_of(mixture)[0] == 24


def test_a_balanced_set_has_lanes_by_its_size(tiny):
    assert order_of(tiny(100).balance_classes())[0] == 24
    assert order_of(tiny(384).balance_classes())[0] == 96


# --- states -----------------------------------------------------------------------------------

#: By version 0.1.0, after 3 batches of 32 of epoch 2: given lanes, and its own default.
OF_0_1_0 = {
    "given": {
        "order": {"lanes": 8, "window": 64, "shuffle": True, "tail": "drop"},
        "sample_ids": [22, 71, 127, 340, 382, 259, 303, 190, 24, 77, 125, 347, 316, 258, 302, 188],
    },
    "default": {
        "order": {"lanes": 32, "window": 8192, "shuffle": True, "tail": "drop"},
        "sample_ids": [17, 29, 45, 57, 72, 77, 96, 109, 115, 130, 145, 322, 332, 347, 358, 373],
    },
}


@pytest.mark.parametrize("saved", OF_0_1_0.values(), ids=OF_0_1_0)
def test_a_state_of_0_1_0_goes_on_exactly(uneven, saved):
    state = {
        "version": 1,
        "fingerprint": "4d8d9aea0d01cbd374f3f8c13ea0385a1733c769e989e48af1c71cb0e7fd8547",
        "seed": 11,
        "epoch": 2,
        "position": 96,
        "order": saved["order"],
    }
    reader = sa.ShardReader(sa.ShardSet.open(uneven[0]), batch_size=32, seed=11)
    reader.load_state_dict(state)
    assert reader.state_dict() == state
    batch = next(iter(reader))
    assert (batch.origin.epoch, batch.origin.step, batch.origin.lanes) == (2, 3, saved["order"]["lanes"])
    assert batch.origin.sample_ids[:16].tolist() == saved["sample_ids"]
    assert len(reader) == 384 // 32


def test_lanes_that_were_given_are_not_those_of_a_state(tiny):
    shards = tiny(384)
    source = sa.ShardReader(shards, batch_size=4, lanes=8, window=64)
    taken(source, 2)
    state = source.state_dict()
    for field, options in (("lanes", {"lanes": 16}), ("window", {"window": 128})):
        chain = sa.ShardReader(shards, batch_size=4, **options)
        before = chain.state_dict()
        with pytest.raises(StateError, match=rf"state\.order\.{field}: must be"):
            chain.load_state_dict(state)
        assert chain.state_dict() == before
    half = sa.ShardReader(shards, batch_size=4, lanes=8)
    half.load_state_dict(state)
    assert half.state_dict() == state


def test_the_lanes_of_a_second_state_replace_those_of_the_first(tiny):
    shards, states = tiny(384), []
    for lanes in (8, 12):
        source = sa.ShardReader(shards, batch_size=4, lanes=lanes)
        taken(source, 2)
        states.append(source.state_dict())
    chain = sa.ShardReader(shards, batch_size=4)
    for state in [*states, states[0]]:
        stream = iter(chain)
        next(stream)
        chain.load_state_dict(state)
        assert chain.state_dict() == state
        with pytest.raises(sa.StreamaugError, match="ended by"):
            next(stream)
    assert next(iter(chain)).origin.lanes == 8


@pytest.mark.parametrize("lanes", [0, -8, 8.0, True, "8", None, 10**6])
def test_a_state_with_impossible_lanes_is_refused_and_changes_nothing(tiny, lanes):
    chain = sa.ShardReader(tiny(384), batch_size=4)
    before = chain.state_dict()
    with pytest.raises(StateError, match=r"state\.order"):
        chain.load_state_dict({**before, "order": {**before["order"], "lanes": lanes}})
    assert chain.state_dict() == before


def test_ranks_that_share_the_lanes_of_a_state_are_warned_of(tiny):
    source = sa.ShardReader(tiny(384), batch_size=4, lanes=8)
    taken(source, 3)
    chain = sa.ShardReader(tiny(384), batch_size=4, rank=0, world_size=3)
    with pytest.warns(UserWarning, match=r"ShardReader\.lanes: should be a multiple of the 3 ranks, got 8"):
        chain.load_state_dict(source.state_dict())
