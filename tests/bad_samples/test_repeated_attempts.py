"""A row that is replaced again and again costs each attempt once: its stand-ins are not worked out anew."""

import numpy as np
import pytest
from tars import pairs, write_tar

import streamaug as sa
from streamaug.bad_samples import substitution
from streamaug.order import Ordering, SampleOrder


class CountingOrder(SampleOrder):
    """Counts how often the kin of a position is asked for."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.asked = []

    def run_samples(self, epoch, position):
        self.asked.append((epoch, position))
        return super().run_samples(epoch, position)


class Counting(Ordering):
    def order(self, shard_sizes, options):
        self.made = CountingOrder(shard_sizes, seed=options.seed, lanes=options.lanes, tail=options.tail)
        return self.made

    def fingerprint(self, dataset):
        return dataset


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    path = write_tar(tmp_path_factory.mktemp("attempts") / "x-0.tar", pairs(160, size=20))
    return sa.ShardSet.open(str(path))


@pytest.mark.parametrize("batch_size", [1, 16, 80])
def test_the_kin_of_a_rejected_position_is_asked_for_once(shards, batch_size):
    ordering = Counting()
    reader = sa.ShardReader(shards.ordered_by(ordering), batch_size=batch_size, lanes=2)
    calls = []

    def only_the_sevenths(key, components):
        calls.append(key)
        return components if int(key[1:]) % 7 == 0 else None

    batches = list(reader.map_samples(only_the_sevenths))
    replaced = int(sum(batch.origin.is_substitute.sum() for batch in batches))
    assert len(calls) > 4 * replaced > 400
    assert len(ordering.made.asked) == len(set(ordering.made.asked)) == replaced


def test_what_is_kept_does_not_grow_with_the_epoch(shards):
    reader = sa.ShardReader(shards, batch_size=4, lanes=2)
    list(reader.map_samples(lambda key, components: None if int(key[1:]) % 2 else components))
    assert len(reader._reading.substitution._stand_ins) <= substitution._BATCHES_KEPT * 4


def test_attempts_in_any_sequence_are_the_same_samples(shards):
    order = sa.SampleOrder([160], lanes=2)
    reader = sa.ShardReader(shards, batch_size=4, lanes=2)
    alone = [substitution.StandIns(order, 0, 9).nth(attempt) for attempt in range(159)]
    for attempt in np.random.default_rng(0).permutation(159).tolist():
        assert reader.stand_in(9, attempt) == alone[attempt]
        reader.stand_in(attempt, 0)
