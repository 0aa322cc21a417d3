"""Lanes that hold the same samples in every epoch, for disk caches that stay warm."""

import numpy as np
import pytest
from orders import LABELS, PARTS, SIZES
from reading import readers, rows
from tars import consecutive, write_tars

import streamaug as sa
from streamaug.order import OrderOptions, SampleOrder
from streamaug.order.balanced import BalancedOrder
from streamaug.order.mixture import MixtureOrder

SHARDS = np.full(200, 80)


def of_nodes(order, epoch, nodes, ranks_a_node=8):
    """The samples that each node reads in an epoch, sorted."""
    positions = np.arange(order.num_positions)
    ids, node = order.sample_ids(epoch, positions), positions % (nodes * ranks_a_node) // ranks_a_node
    return [np.sort(ids[node == number]) for number in range(nodes)]


def hits(order, nodes):
    """The share of a node's samples of the second epoch that it read in the first, the worst node's."""
    first, second = of_nodes(order, 0, nodes), of_nodes(order, 1, nodes)
    return min(np.isin(now, before).mean() for before, now in zip(first, second, strict=True))


@pytest.mark.parametrize("nodes", [2, 4, 8])
def test_a_node_meets_its_samples_again_in_the_next_epoch(nodes):
    options = {"lanes": 128, "window": 128 * 16}
    assert hits(SampleOrder(SHARDS, sticky_lanes=True, **options), nodes) > 0.97
    assert hits(SampleOrder(SHARDS, **options), nodes) < 0.6


def test_a_lane_holds_its_samples_in_each_epoch_and_the_tail_that_is_dropped_changes():
    order = SampleOrder(SIZES, lanes=16, window=64, sticky_lanes=True)
    epochs = [order.sample_ids(epoch, np.arange(order.num_positions)).reshape(-1, 16) for epoch in range(40)]
    owners = np.full(order.num_samples, -1)
    for ids in epochs:
        for lane in range(16):
            mine = ids[:, lane]
            assert np.isin(owners[mine], [-1, lane]).all()
            owners[mine] = lane
    assert (owners >= 0).all()  # no sample is left out for good
    assert len({ids[:, 3].tobytes() for ids in epochs}) == 40


def test_pieces_of_a_lane_come_in_another_order_in_each_epoch():
    order = SampleOrder([10] * 60, lanes=2, window=2, sticky_lanes=True)
    first = {tuple(order.sample_ids(epoch, np.arange(0, 600, 2)) // 10)[::10] for epoch in range(20)}
    assert len(first) == 20


def test_seeds_deal_the_shards_to_other_lanes():
    lanes = [
        set(SampleOrder(SHARDS, seed=seed, lanes=8, sticky_lanes=True).sample_ids(0, np.arange(0, 16000, 8)).tolist())
        for seed in (0, 1)
    ]
    assert len(lanes[0] & lanes[1]) < 0.5 * len(lanes[0])


def test_a_mixture_has_sticky_lanes_too():
    order = MixtureOrder(PARTS, [3, 1, 2], OrderOptions(seed=3, lanes=8, window=160, sticky_lanes=True))
    seen = [set() for _ in range(8)]
    for epoch in range(6):
        ids = order.sample_ids(epoch, np.arange(order.num_positions))
        for lane in range(8):
            seen[lane] |= set(ids[lane::8].tolist())
    assert sum(map(len, seen)) <= order.num_samples  # no two lanes share a sample


def test_orders_without_lanes_of_their_own_refuse_them():
    with pytest.raises(ValueError, match="sticky_lanes: must be False for balanced classes"):
        BalancedOrder(LABELS, OrderOptions(lanes=8, sticky_lanes=True))
    with pytest.raises(ValueError, match="sticky_lanes: must be False where shuffle is False"):
        SampleOrder(SIZES, shuffle=False, sticky_lanes=True)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = write_tars(tmp_path_factory.mktemp("sticky"), consecutive([11, 30, 7]))
    return sa.ShardSet.open(str(folder / "x-{0..2}.tar"))


def test_any_number_of_ranks_reads_the_same_global_batches(shards):
    def delivered(world_size):
        ranks = readers(shards, world_size, batch_size=12 // world_size, lanes=6, sticky_lanes=True, seed=1)
        return {position: row.key for position, row in rows(batch for one in ranks for batch in one).items()}

    assert delivered(1) == delivered(2) == delivered(3)


def test_states_of_sticky_lanes_and_of_others_are_not_exchanged(shards):
    sticky, plain = (
        sa.ShardReader(shards, batch_size=12, lanes=6, window=384, sticky_lanes=value) for value in (True, False)
    )
    assert "sticky_lanes" not in plain.state_dict()["order"]
    sticky.load_state_dict(sticky.state_dict())
    with pytest.raises(sa.StateError, match=r"state\.order\.sticky_lanes: must be False, got True"):
        plain.load_state_dict(sticky.state_dict())
    with pytest.raises(sa.StateError, match=r"state\.order\.sticky_lanes: must be True, got False"):
        sticky.load_state_dict(plain.state_dict())
