"""Who stands in: nearest first, then ever farther, each once, for any size of dataset."""

import tracemalloc

import numpy as np
import pytest
from orders import BALANCED, LABELS, LISTED, MIXTURE, ORDERS, PLAIN

from streamaug.bad_samples.stand_ins import StandIns
from streamaug.order import SampleOrder


def tried(order, epoch, position):
    """All stand-ins of a position, in order."""
    stand_ins, out = StandIns(order, epoch, position), []
    while (chosen := stand_ins.nth(len(out))) is not None:
        out.append(chosen)
    return out


@pytest.mark.parametrize(
    ("order", "epoch", "position", "first"),
    [
        (PLAIN, 3, 37, [130, 132, 151, 216, 143, 135, 139, 138, 149, 140, 141, 145, 146, 133, 148, 217, 136, 142, 144]),
        (LISTED, 0, 5, [134, 8, 255, 220, 137, 246, 160, 2, 216, 19, 252, 82]),
        (MIXTURE, 2, 7, [209, 212, 214, 211, 210, 215, 220, 231, 227, 224, 222, 221, 229, 230, 218, 226, 232, 223]),
        (BALANCED, 1, 6, [139, 138, 112, 125, 109, 124, 141, 113, 116, 114, 135, 133, 111, 118, 122, 140, 107, 132]),
    ],
)
def test_the_nearest_are_these_whatever_else_may_change(order, epoch, position, first):
    assert tried(order, epoch, position)[: len(first)] == first


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
def test_every_other_sample_is_tried_once_and_runs_come_first(order):
    for epoch, position in ((0, 0), (1, 3), (7, 100), (2, order.num_positions - 1)):
        (own,) = order.sample_ids(epoch, np.array([position])).tolist()
        chosen = tried(order, epoch, position)
        assert sorted([own, *chosen]) == list(range(order.num_samples))
        run = set(order.run_samples(epoch, position).tolist()) - {own}
        assert set(chosen[: len(run)]) == run


def test_any_attempt_can_be_asked_for_alone():
    chosen = tried(MIXTURE, 4, 55)
    for attempt in (300, 0, 47, 46, 200):
        assert StandIns(MIXTURE, 4, 55).nth(attempt) == chosen[attempt]
    assert StandIns(MIXTURE, 4, 55).nth(-1) is None
    assert StandIns(MIXTURE, 4, 55).nth(len(chosen)) is None


def test_positions_of_a_dead_run_do_not_go_to_the_same_samples():
    order = SampleOrder([1000] * 100, lanes=8, window=8 * 64)
    firsts = []
    for position in range(0, 64 * 8, 8):
        near = len(order.neighbourhood(0, position)) - 1
        firsts.append(StandIns(order, 0, position).nth(near))
    assert len(set(firsts)) > 60


def test_a_mixture_tries_all_of_the_dataset_before_another():
    borders = [100, 148]
    for position in range(0, 300, 17):
        (own,) = MIXTURE.sample_ids(1, np.array([position])).tolist()
        which = np.searchsorted(borders, tried(MIXTURE, 1, position), side="right")
        own_set = int(np.searchsorted(borders, own, side="right"))
        same = int((which == own_set).sum())
        assert same == (100, 48, 200)[own_set] - 1
        assert (which[:same] == own_set).all()


def test_a_balanced_set_tries_all_of_the_class_before_another():
    for position in range(12):
        (own,) = BALANCED.sample_ids(0, np.array([position])).tolist()
        labels = LABELS[tried(BALANCED, 0, position)]
        same = int((labels == LABELS[own]).sum())
        assert (labels[:same] == LABELS[own]).all()


def test_attempts_are_bounded_and_spread_over_the_largest_datasets_without_arrays_of_their_size():
    order = SampleOrder(np.full(20_000, 50_000), lanes=64)
    order.sample_ids(0, np.array([5]))  # the tape of an epoch is the order's own
    tracemalloc.start()
    chosen = np.array(tried(order, 0, 10**8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 << 20
    assert len(set(chosen.tolist())) == len(chosen) < 2000
    far = np.sort(chosen[768:])
    assert len(far) >= 512
    assert np.diff(far, prepend=far[-1] - 10**9).max() < 4 * 10**9 / len(far)
