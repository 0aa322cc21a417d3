"""Repeated augmentation: copies of a sample in consecutive slots of a lane, as many samples the fewer."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from orders import BALANCED, LABELS, PARTS, SIZES

from streamaug.order import OrderOptions, SampleOrder
from streamaug.order.mixture import Mixture
from streamaug.order.repeated import RepeatedOrder


def lanes_of(order, epoch):
    """The samples of each lane, slot by slot: (slots, L)."""
    return order.sample_ids(epoch, np.arange(order.num_positions)).reshape(-1, order.lanes)


@given(st.integers(2, 7), st.integers(1, 9), st.integers(0, 5), st.booleans())
def test_an_epoch_keeps_its_positions_and_takes_each_of_its_samples_so_often(repeats, lanes, epoch, sticky):
    plain = SampleOrder(SIZES, lanes=lanes, window=64, sticky_lanes=sticky)
    order = RepeatedOrder(plain, repeats)
    assert order.num_positions == plain.num_positions
    columns = lanes_of(order, epoch)
    slots = len(columns)
    for column in columns.T:
        heads = column[::repeats]
        np.testing.assert_array_equal(np.repeat(heads, repeats)[:slots], column)
    counts = Counter(columns.ravel().tolist())
    last = slots % repeats or repeats
    assert set(counts.values()) <= {repeats, last}
    assert sum(count == last for count in counts.values()) >= lanes
    assert len(counts) == lanes * -(-slots // repeats)


@given(st.integers(2, 5), st.integers(0, 3))
def test_as_many_epochs_as_repeats_take_each_sample(repeats, first):
    plain = SampleOrder(SIZES, lanes=8, window=64)
    order = RepeatedOrder(plain, repeats)
    epochs = range(first * repeats, (first + 1) * repeats)
    taken = [set(order.sample_ids(epoch, np.arange(order.num_positions)).tolist()) for epoch in epochs]
    assert set().union(*taken) == set(plain.sample_ids(first, np.arange(plain.num_positions)).tolist())
    for one, next_one in itertools.pairwise(taken):
        assert len(one & next_one) <= 8  # where repeats do not divide a lane's slots, a sample of each lane


def test_a_tail_that_is_padded_marks_what_is_there_twice():
    plain = SampleOrder(SIZES, lanes=16, window=64, tail="pad")
    order, counts = RepeatedOrder(plain, 3), Counter()
    assert order.num_positions == plain.num_positions == 16 * 25
    for epoch in range(3):
        positions = np.arange(order.num_positions)
        ids, padding = order.sample_ids(epoch, positions), order.is_padding(epoch, positions)
        counts += Counter(ids[~padding].tolist())
    assert len(counts) == 389  # none is left out
    beyond = order.num_positions + np.arange(32)
    assert order.is_padding(0, beyond).all()
    np.testing.assert_array_equal(order.sample_ids(0, beyond), order.sample_ids(0, beyond - order.num_positions))
    runs = dict(
        pair for slots, ids in order.lane_runs(0, 5, 20, 30) for pair in zip(slots.tolist(), ids.tolist(), strict=True)
    )
    assert runs == {slot: int(order.sample_ids(0, np.array([slot * 16 + 5]))[0]) for slot in range(20, 30)}


def test_each_epoch_of_a_repeated_mixture_has_its_shares():
    mixture, options = Mixture(PARTS, [3, 1, 2], ["a", "b", "c"]), OrderOptions(seed=3, lanes=8, window=160)
    order = mixture.repeated(np.concatenate(PARTS), options, 3)
    assert order.num_positions == 43 * 8
    seen = Counter()
    for epoch in range(30):
        heads = lanes_of(order, epoch)[::3]
        assert np.histogram(heads, [0, 100, 148, 348])[0].tolist() == [8 * 8, 2 * 8, 5 * 8]  # of 15 samples a lane
        seen += Counter(heads.ravel().tolist())
    of_first = [seen[sample] for sample in range(100)]
    assert max(of_first) - min(of_first) <= 3  # 19.2 on average


def test_classes_stay_balanced():
    order = RepeatedOrder(BALANCED, 2)
    heads = lanes_of(order, 1)[::2].ravel()
    classes = LABELS[heads[: len(heads) // 4 * 4]].reshape(-1, 4)
    assert all(len(set(four)) == 4 for four in classes.tolist())


def test_what_cannot_be_repeated_is_refused_with_what_helps():
    listed = SampleOrder(SIZES, shuffle=False)
    with pytest.raises(ValueError, match=r"repeats: must be 1 where shuffle is False, got 3\. .*recipe with views"):
        RepeatedOrder(listed, 3)
    with pytest.raises(ValueError, match=r"repeats: must lie in 1\.\.24, the slots of a lane of 384 .* got 25"):
        RepeatedOrder(SampleOrder(SIZES, lanes=16), 25)
