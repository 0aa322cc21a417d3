"""An order of one's own: one class for the arithmetic, one that makes it, and nothing of the package is edited."""

import hashlib
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from reading import reader, readers, rows
from tars import consecutive, write_tars

import streamaug as sa
from streamaug.order import Order, Ordering, OrderOptions


class BackwardsOrder(Order):
    """The samples from the last to the first, a lane's in runs of some."""

    def __init__(self, num_samples, options, step):
        super().__init__(options, num_samples=num_samples, num_positions=num_samples // options.lanes * options.lanes)
        self._step = step

    def sample_ids(self, epoch, positions):
        return (self.num_samples - 1 - self.checked(positions) * self._step - epoch) % self.num_samples

    def lane_runs(self, epoch, lane, start, stop):
        for first in range(start, stop, 4):
            slots = np.arange(first, min(first + 4, stop))
            yield slots, self.sample_ids(epoch, slots * self.lanes + lane)

    def run_samples(self, epoch, position):
        return np.arange(self.num_samples)


@dataclass(frozen=True)
class Backwards(Ordering):
    step: int = 1

    def order(self, shard_sizes, options):
        return BackwardsOrder(int(shard_sizes.sum()), options, self.step)

    def fingerprint(self, dataset):
        return hashlib.sha256(f"{dataset} backwards {self.step}".encode()).hexdigest()


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = write_tars(tmp_path_factory.mktemp("backwards"), consecutive([11] * 3))
    return sa.ShardSet.open(str(folder / "x-{0..2}.tar"))


def read(shards):
    return reader(shards, batch_size=8, lanes=4)


def keys(batches):
    return [int(row.key[1:]) for _, row in sorted(rows(batches).items())]


def test_a_set_is_read_in_it_on_any_number_of_ranks(shards):
    ordered = shards.ordered_by(Backwards())
    assert keys(read(ordered)) == list(range(32, 0, -1))
    ranks = readers(ordered, 2, batch_size=8, lanes=4)
    assert keys(batch for one in ranks for batch in one) == list(range(32, 0, -1))


def test_it_resumes_and_its_states_are_its_own(shards):
    ordered = shards.ordered_by(Backwards(2))
    first = read(ordered)
    stream = iter(first)
    head = [next(stream), next(stream)]
    second = read(ordered)
    second.load_state_dict(first.state_dict())
    assert keys([*head, *second]) == keys(read(ordered))
    for other in (shards, shards.ordered_by(Backwards()), shards.balance_classes()):
        with pytest.raises(sa.StateError, match="fingerprint"):
            read(other).load_state_dict(first.state_dict())


def test_bad_samples_have_stand_ins(shards):
    assert sorted(read(shards.ordered_by(Backwards())).stand_in(5, attempt) for attempt in range(32)) == [
        sample for sample in range(33) if sample != 27
    ]


def test_a_set_shares_its_catalogue_and_shows_its_ordering(shards):
    ordered = shards.ordered_by(Backwards(3))
    assert ordered.catalogue is shards.catalogue
    assert repr(ordered) == "ShardSet(3 shards, 33 samples).ordered_by(Backwards(step=3))"
    assert keys(read(pickle.loads(pickle.dumps(ordered)))) == keys(read(ordered))


def test_what_has_an_order_of_its_own_is_neither_mixed_nor_balanced(shards):
    ordered = shards.ordered_by(Backwards())
    with pytest.raises(ValueError, match=r"ShardSet.mix: .*Backwards\(step=1\)\), which has an order of its own"):
        sa.ShardSet.mix({ordered: 1, shards: 1})
    with pytest.raises(ValueError, match=r"balance_classes: must be asked of a plain set"):
        ordered.balance_classes()


def test_what_is_no_ordering_is_refused(shards):
    with pytest.raises(TypeError, match=r"ordered_by: ordering must be a streamaug.order.Ordering, got BackwardsOrder"):
        shards.ordered_by(BackwardsOrder(33, OrderOptions(), 1))
