"""The class-balanced order: classes equally often in every stretch, and every sample of a class equally often."""

import numpy as np
import pytest

from streamaug.order import OrderOptions
from streamaug.order.balanced import BalancedOrder

LABELS = np.array([0] * 100 + [3] * 5 + [7] * 37 + [9] * 1)


def order(seed=2):
    return BalancedOrder(LABELS, OrderOptions(seed=seed, lanes=8))


def test_every_class_is_equally_often_in_every_stretch():
    one = order()
    ids = one.sample_ids(4, np.arange(one.num_positions))
    for start in range(0, one.num_positions, 4):
        assert sorted(LABELS[ids[start : start + 4]].tolist()) == [0, 3, 7, 9]


def test_all_samples_of_a_class_are_seen_equally_often():
    one = order()
    seen = np.zeros(len(LABELS), np.int64)
    for epoch in range(30):
        seen += np.bincount(one.sample_ids(epoch, np.arange(one.num_positions)), minlength=len(LABELS))
    for label in (0, 3, 7, 9):
        counts = seen[label == LABELS]
        assert counts.max() - counts.min() <= 1


def test_seeds_differ():
    first, second = (order(seed).sample_ids(1, np.arange(136)) for seed in (2, 3))
    assert (first != second).mean() > 0.5


def test_fewer_samples_than_lanes_are_refused():
    with pytest.raises(ValueError, match=r"lanes: must lie in 1\.\.4, the number of samples, got 8"):
        BalancedOrder(LABELS[:4], OrderOptions(lanes=8))
