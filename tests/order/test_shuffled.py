"""The order: every sample once, random access, even spread, elastic lanes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orders import whole

from streamaug.order import SampleOrder

SIZES = (31, 1, 120, 64, 99, 7, 67)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12).filter(lambda sizes: sum(sizes) > 0),
    lanes=st.integers(1, 9),
    window=st.one_of(st.none(), st.integers(1, 90)),
    tail=st.sampled_from(["drop", "pad"]),
    seed=st.integers(0, 3),
    epoch=st.integers(0, 5),
    sticky=st.booleans(),
)
def test_an_epoch_holds_every_sample_once_but_for_its_tail(sizes, lanes, window, tail, seed, epoch, sticky):
    total = sum(sizes)
    if total < lanes:
        with pytest.raises(ValueError, match=f"lanes={total}"):
            SampleOrder(sizes, lanes=lanes, window=window, tail=tail, seed=seed)
        return
    order = SampleOrder(sizes, lanes=lanes, window=window, tail=tail, seed=seed, sticky_lanes=sticky)
    ids = whole(order, epoch)
    if tail == "drop":
        assert order.num_positions == total // lanes * lanes == len(set(ids.tolist()))
    else:
        padding = order.is_padding(epoch, np.arange(order.num_positions))
        assert sorted(ids[~padding].tolist()) == list(range(total))
        assert padding.sum() == order.num_positions - total


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_positions_can_be_asked_in_any_order_and_number(data):
    lanes = data.draw(st.integers(1, 16))
    order = SampleOrder(SIZES, seed=4, lanes=lanes, window=data.draw(st.integers(1, 400)))
    ids = whole(order, 3)
    picks = np.array(data.draw(st.lists(st.integers(0, order.num_positions - 1), max_size=20)), np.int64)
    np.testing.assert_array_equal(order.sample_ids(3, picks), ids[picks])


def test_a_run_is_a_contiguous_part_of_the_tape():
    order = SampleOrder([50] * 20, lanes=4, window=80, seed=1)
    for lane in range(4):
        slot = 0
        while slot < order.lane_length(lane):
            start, stop = (int(b[0]) for b in order.run_bounds(np.array([lane]), np.array([slot])))
            assert start == slot
            ((_, ids),) = order.lane_runs(0, lane, start, stop)
            np.testing.assert_array_equal(ids, order.sample_ids(0, np.arange(start, stop) * 4 + lane))
            steps = np.diff(np.sort(ids))
            assert ((steps == 1) | (steps > 20)).all()  # contiguous but where the tape goes on in another shard
            assert (steps > 20).sum() <= 2
            assert sorted(order.run_samples(0, start * 4 + lane).tolist()) == sorted(ids.tolist())
            slot = stop


def test_first_runs_end_at_different_slots():
    order = SampleOrder([1000], lanes=8, window=320)
    ends = [int(order.run_bounds(np.array([lane]), np.array([0]))[1][0]) for lane in range(8)]
    assert ends == [5, 10, 15, 20, 25, 30, 35, 40]


def test_padding_wraps_each_lane_to_its_start():
    order = SampleOrder(SIZES, seed=4, lanes=16, window=128, tail="pad")
    padding = order.is_padding(0, np.arange(order.num_positions))
    assert padding[: 24 * 16].sum() == 0
    ids = whole(order)
    for position in np.flatnonzero(padding).tolist():
        assert ids[position] == ids[position % 16]
    beyond = order.sample_ids(0, np.arange(400, 448))
    assert set(beyond.tolist()) <= set(range(389))
    assert order.is_padding(0, np.arange(400, 448)).all()


def test_shards_and_rotation_differ_between_epochs_and_seeds():
    ids = [whole(SampleOrder([100] * 40, seed=seed, lanes=16), epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert all((a == b).mean() < 0.02 for i, a in enumerate(ids) for b in ids[:i])


def test_no_sample_prefers_a_part_of_the_epoch():
    order = SampleOrder((5, 180, 9, 90, 3, 113), seed=2, lanes=16, window=256)
    place = np.full((400, 200), np.nan)
    for epoch in range(200):
        place[whole(order, epoch), epoch] = np.arange(order.num_positions) / order.num_positions
    assert np.abs(np.nanmean(place, axis=1) - 0.5).max() < 0.12


def test_a_billion_samples_are_no_problem():
    order = SampleOrder(np.full(100_000, 10_000), seed=7, lanes=2048)
    positions = np.arange(10**9 - 10**9 % 2048 - 64, 10**9 - 10**9 % 2048)
    ids = order.sample_ids(12, positions)
    assert len(set(ids.tolist())) == 64
    assert 0 <= ids.min() <= ids.max() < 10**9


def test_without_shuffle_position_is_sample():
    for tail in ("drop", "pad"):
        order = SampleOrder(SIZES, lanes=500, shuffle=False, tail=tail)
        np.testing.assert_array_equal(whole(order), np.arange(389))
    np.testing.assert_array_equal(order.sample_ids(0, np.array([389, 400])), [0, 11])
    np.testing.assert_array_equal(order.is_padding(0, np.array([388, 389])), [False, True])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"lanes": 0}, "lanes"),
        ({"window": 0}, "window"),
        ({"tail": "wrap"}, "tail"),
        ({"lanes": 390}, "lanes=389"),
    ],
)
def test_wrong_parameters_are_named(options, match):
    with pytest.raises(ValueError, match=match):
        SampleOrder(SIZES, **options)


@pytest.mark.parametrize("sizes", [[], [0, 0], [3, -1]])
def test_no_samples_are_an_error(sizes):
    with pytest.raises(ValueError, match="shard_sizes"):
        SampleOrder(sizes)


@pytest.mark.parametrize("position", [-1, 384])
def test_positions_outside_are_an_index_error(position):
    with pytest.raises(IndexError, match=r"0\.\.383"):
        SampleOrder(SIZES, lanes=16).sample_ids(0, np.array([position]))
