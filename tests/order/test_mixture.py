"""The mixture's order: exact shares, every sample of a dataset equally often, in little memory."""

import tracemalloc

import numpy as np
import pytest
from orders import whole

from streamaug.order import OrderOptions
from streamaug.order.mixture import MixtureOrder

SIZES = [[60, 40], [30, 10, 8], [200]]
WEIGHTS = [3, 1, 2]


def order():
    return MixtureOrder(SIZES, WEIGHTS, OrderOptions(seed=3, lanes=8, window=160))


def test_every_epoch_has_the_shares_that_were_asked_for():
    one = order()
    for epoch in (0, 1, 7):
        ids = whole(one, epoch)
        counts = np.histogram(ids, [0, 100, 148, 348])[0]
        np.testing.assert_array_equal(counts, np.array([22, 7, 14]) * 8)  # 43 slots a lane: 21.5, 7.17, 14.33


def test_all_samples_of_a_dataset_are_seen_equally_often():
    one = order()
    seen = np.zeros(348, np.int64)
    for epoch in range(40):
        seen += np.bincount(whole(one, epoch), minlength=348)
    for first, last in ((0, 100), (100, 148), (148, 348)):
        mean = seen[first:last].mean()
        assert np.abs(seen[first:last] - mean).max() <= 0.2 * mean + 2


def test_lane_runs_go_on_past_the_end_of_a_lane():
    one = order()
    ids = whole(one, 3)
    for lane in range(8):
        got = {}
        firsts = []
        for slots, samples in one.lane_runs(3, lane, 4, 60):
            firsts.append(slots[0])
            got |= dict(zip(slots.tolist(), samples.tolist(), strict=True))
        assert firsts == sorted(firsts)
        assert got == {slot: ids[slot % 43 * 8 + lane] for slot in range(4, 60)}


def test_the_samples_of_a_run_are_of_one_dataset():
    one = order()
    for position in range(0, one.num_positions, 7):
        members = one.run_samples(2, position)
        assert len(set(np.searchsorted([100, 148, 348], members, side="right").tolist())) == 1


@pytest.mark.parametrize(
    ("sizes", "weights", "match"),
    [
        (SIZES, [1, 1], "weights"),
        (SIZES, [1, 0, 1], "weights"),
        (SIZES, [1, 1e-6, 1], "leave it out"),
        ([[5], [100]], [1, 1], "lanes=5"),
        ([], [], "weights"),
    ],
)
def test_impossible_mixtures_are_refused(sizes, weights, match):
    with pytest.raises(ValueError, match=match):
        MixtureOrder(sizes, weights, OrderOptions(lanes=8))


def test_the_order_stays_what_saved_states_rely_on():
    golden = [19, 27, 102, 41, 284, 290, 44, 266]
    assert order().sample_ids(5, np.array([0, 1, 2, 50, 51, 200, 300, 343])).tolist() == golden


def test_a_large_mixture_takes_a_few_bytes_a_slot():
    one = MixtureOrder([[10_000] * 50, [10_000] * 150], [1, 3], OrderOptions(lanes=4))
    tracemalloc.start()
    ids = one.sample_ids(0, np.arange(0, 4 * 1024))
    runs = [next(one.lane_runs(0, lane, 0, 500_000)) for lane in range(4)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ids) == 4096
    assert all(len(slots) <= 256 for slots, _ in runs)
    assert held < 2 * 2_000_000
