"""Predictions put together by position: any batches, any ranks, every sample once."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed

from streamaug import tta
from streamaug.batch import Origin, Prediction


def prediction(positions, *, samples=10, targets=True, **changes):
    """Sample p mod samples at position p; its probabilities and target tell it apart."""
    positions = np.asarray(positions, np.int64)
    ids = positions % samples
    origin = Origin(
        0, 2, 0, 4, positions, ids, tuple(f"key{i}" for i in ids), positions >= samples, np.zeros(len(ids), bool)
    )
    probabilities = torch.from_numpy(np.stack([ids, 100 - ids], 1)).float() / 100
    return Prediction(probabilities, torch.from_numpy(ids) if targets else None, dataclasses.replace(origin, **changes))


@settings(deadline=None)
@given(st.permutations(range(14)), st.integers(1, 14))
def test_any_batches_in_any_order_give_the_same(order, size):
    parts = [prediction(order[first : first + size]) for first in range(0, 14, size)]
    whole = tta.merge_predictions(parts, num_samples=10)
    assert whole.origin.positions.tolist() == list(range(10))
    assert whole.origin.keys == tuple(f"key{i}" for i in range(10))
    assert whole.targets.tolist() == list(range(10))
    assert not whole.origin.is_padding.any()
    torch.testing.assert_close(whole.probabilities[:, 0], torch.arange(10) / 100)


def test_padding_inside_the_epoch_is_dropped_where_it_lies():
    padding = np.array([False, True, False, False])
    whole = tta.merge_predictions([prediction([3, 1, 0, 2], is_padding=padding)])
    assert whole.origin.positions.tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        ([], {}, "predictions: there must be at least one"),
        (
            [prediction([0, 1]), prediction([1, 2])],
            {},
            "each position must come once, got 1 more than once, the first 1",
        ),
        ([prediction([0, 1]), prediction([3, 4])], {}, "no position may be missing, got none for 1 of 5, the first 2"),
        ([prediction([1, 2])], {}, "no position may be missing, got none for 1 of 3, the first 0"),
        ([prediction([0, 1])], {"num_samples": 10}, "must be of 10 samples, got 2"),
        ([prediction([0]), prediction([1], epoch=3)], {}, "must be of one epoch of one reader"),
        ([prediction([0]), prediction([1], targets=False)], {}, "must all have targets or none"),
    ],
)
def test_a_missing_or_duplicated_position_is_an_error(parts, options, message):
    with pytest.raises(ValueError, match=message):
        tta.merge_predictions(parts, **options)


def test_predictions_of_different_numbers_of_classes_are_an_error():
    other = dataclasses.replace(prediction([1]), probabilities=torch.ones(1, 3) / 3)
    with pytest.raises(ValueError, match="must be of one model's classes, got 2 and 3 classes"):
        tta.merge_predictions([prediction([0]), other])


def test_without_targets_there_are_none():
    assert tta.merge_predictions([prediction([0, 1], targets=False)]).targets is None


def test_gathering_alone_is_merging():
    whole = tta.gather_predictions([prediction(range(5, 10)), prediction(range(5))], num_samples=10)
    assert whole.origin.positions.tolist() == list(range(10))


def _rank(rank, store, results):
    distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    mine = [prediction(range(first + rank, min(first + 6, 12), 2)) for first in (0, 6)]
    whole = tta.gather_predictions(mine, num_samples=10)
    results.put((rank, whole.origin.positions.tolist(), whole.targets.tolist(), whole.probabilities.tolist()))
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_ranks_both_get_the_whole(tmp_path):
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    ranks = [context.Process(target=_rank, args=(rank, tmp_path / "store", results)) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(60)
        assert process.exitcode == 0
    expected = tta.merge_predictions([prediction(range(12))])
    for _ in range(2):
        _, positions, targets, probabilities = results.get()
        assert positions == list(range(10)) == targets
        assert probabilities == expected.probabilities.tolist()
