"""Mixtures: exact shares, every sample equally often, elastic and resumable as a plain order."""

import json
import tracemalloc

import numpy as np
import pytest
from conftest import drawn_samples, write_shard
from hypothesis import given
from hypothesis import strategies as st

import streamaug as sa
from streamaug.mixture_order import MixtureOrder, by_key

SIZES = [[60, 40], [30, 10, 8], [200]]
WEIGHTS = [3, 1, 2]


def order(**options):
    return MixtureOrder(SIZES, WEIGHTS, **({"seed": 3, "lanes": 8, "window": 160} | options))


def whole(one, epoch):
    return one.sample_ids(epoch, np.arange(one.num_positions))


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


def test_positions_can_be_asked_in_any_order():
    ids = whole(order(), 5)
    picks = np.random.default_rng(0).permutation(len(ids))[:50]
    np.testing.assert_array_equal(order().sample_ids(5, picks), ids[picks])


def test_lane_runs_are_the_order():
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


def test_members_of_a_run_are_of_one_dataset_and_hold_the_sample():
    one = order()
    ids = whole(one, 2)
    for position in range(0, len(ids), 7):
        members = one.run_members(2, position)
        assert ids[position] in members
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
        MixtureOrder(sizes, weights, lanes=8)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture")
    samples = drawn_samples(160, seed=8)
    urls = []
    for name, rows in (("a", samples[:100]), ("b", samples[100:])):
        for number in range(2):
            half = len(rows) // 2
            write_shard(folder / f"{name}-{number:06d}.tar", rows[half * number : half * (number + 1)])
        urls.append(str(folder / f"{name}-{{000000..000001}}.tar"))
    return urls, samples


def mixed(urls, weights=(1, 3)):
    return sa.ShardSet.mix({sa.ShardSet.open(url): weight for url, weight in zip(urls, weights, strict=True)})


def rows(batches):
    out = {}
    for batch in batches:
        for row, position in enumerate(batch.origin.positions.tolist()):
            assert position not in out
            out[position] = (batch.origin.keys[row], bytes(batch.data[row]), bytes(batch.extras["cls"][row]))
    return out


def reader(urls, world_size=1, rank=0, batch_size=32):
    return sa.ShardReader(
        mixed(urls), batch_size=batch_size, seed=1, lanes=8, window=64, rank=rank, world_size=world_size
    )


def test_a_mixture_reads_the_right_bytes_on_any_number_of_ranks_and_resumes(sets):
    urls, samples = sets
    truth = {key: (jpeg, str(label).encode()) for key, label, jpeg in samples}
    alone = rows(reader(urls))
    assert all(truth[key] == (jpeg, label) for key, jpeg, label in alone.values())
    assert len(alone) == 160
    assert sum(key >= samples[100][0] for key, _, _ in alone.values()) == 120
    for world_size in (2, 4):
        ranks = [reader(urls, world_size, rank, 32 // world_size) for rank in range(world_size)]
        assert rows([batch for one in ranks for batch in one]) == alone
    first = reader(urls)
    stream = iter(first)
    seen = rows([next(stream) for _ in range(2)])
    second = reader(urls, 2, 0, 16)
    third = reader(urls, 2, 1, 16)
    for one in (second, third):
        one.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert seen | rows([*second, *third]) == alone


def test_weights_and_members_are_part_of_the_state(sets):
    urls, _ = sets
    state = reader(urls).state_dict()
    other = sa.ShardReader(mixed(urls, (1, 2)), batch_size=32, seed=1, lanes=8, window=64)
    with pytest.raises(sa.StateError, match="fingerprint"):
        other.load_state_dict(state)


def test_a_mixture_has_no_unshuffled_order_and_one_kind_of_components(sets):
    urls, _ = sets
    with pytest.raises(ValueError, match="shuffle"):
        sa.ShardReader(mixed(urls), batch_size=8, shuffle=False)
    with pytest.raises(ValueError, match="components"):
        sa.ShardSet.mix({sa.ShardSet.open(urls[0]): 1, sa.ShardSet.open(urls[1], components=("jpg",)): 1})
    with pytest.raises(ValueError, match="at least one"):
        sa.ShardSet.mix({})


def opened(urls):
    return [sa.ShardSet.open(url) for url in urls]


def order_of(shards):
    one = shards.order(seed=4, lanes=8, window=64, shuffle=True, tail="drop")
    return one.sample_ids(3, np.arange(one.num_positions)).tolist()


def test_a_mixture_of_mixtures_is_the_mixture_of_its_leaves(sets):
    one, two = opened(sets[0])
    three = sa.ShardSet.open(sets[0][0])
    nested = sa.ShardSet.mix({sa.ShardSet.mix({one: 6, two: 2}): 1, three: 3})
    flat = sa.ShardSet.mix({one: 0.75, two: 0.25, three: 3})
    assert order_of(nested) == order_of(flat)
    assert nested.fingerprint == flat.fingerprint
    counts = np.histogram(order_of(nested), [0, 100, 160, 260])[0]
    assert counts.tolist() == [6 * 8, 2 * 8, 24 * 8]  # of 32 slots in each of 8 lanes
    assert [nested.index(number).keys for number in range(6)] == [flat.index(number).keys for number in range(6)]


def test_a_dataset_that_comes_twice_has_both_weights(sets):
    one, two = opened(sets[0])
    twice = sa.ShardSet.mix({one: 1, sa.ShardSet.mix({one: 1, two: 1}): 2})
    assert twice.num_samples == 160
    assert order_of(twice) == order_of(sa.ShardSet.mix({one: 2, two: 1}))


def test_what_would_lose_its_own_order_is_refused(sets):
    one, two = opened(sets[0])
    balanced, mixture = two.balance_classes(), sa.ShardSet.mix({one: 1, two: 2})
    with pytest.raises(ValueError, match=r"ShardSet.mix: .*balance_classes\(\), which has an order of its own"):
        sa.ShardSet.mix({one: 1, balanced: 1})
    for shards in (mixture, balanced):
        with pytest.raises(ValueError, match=r"balance_classes: must be asked of a plain set, got ShardSet"):
            shards.balance_classes()


def test_weights_that_give_one_order_give_one_fingerprint(sets):
    one, two = opened(sets[0])
    first, second, other = (sa.ShardSet.mix({one: a, two: b}) for a, b in ((1, 3), (2, 6), (2, 6.1)))
    assert first.fingerprint == second.fingerprint != other.fingerprint
    assert order_of(first) == order_of(second)


@pytest.mark.parametrize("weight", ["3", True, None, 0, -1, float("nan"), float("inf"), 10**400, 1e308])
def test_a_weight_that_is_no_share_is_refused_by_name(sets, weight):
    one, two = opened(sets[0])
    with pytest.raises(ValueError, match=r"weights: ") as caught:
        sa.ShardSet.mix({one: 1.5e308, two: weight})
    assert repr(weight) in str(caught.value)


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 1500), st.integers(0, 300))))
def test_labels_are_sorted_by_key_as_by_a_stable_sort(pairs):
    keys = np.array([key for key, _ in pairs], np.uint64)
    labels = np.array([label for _, label in pairs], np.uint16)
    np.testing.assert_array_equal(by_key(keys, labels), labels[np.argsort(keys, kind="stable")])


def test_the_order_stays_what_saved_states_rely_on():
    golden = [19, 27, 102, 41, 284, 290, 44, 266]
    assert order().sample_ids(5, np.array([0, 1, 2, 50, 51, 200, 300, 343])).tolist() == golden


def test_a_large_mixture_takes_a_few_bytes_a_slot():
    one = MixtureOrder([[10_000] * 50, [10_000] * 150], [1, 3], lanes=4)
    tracemalloc.start()
    ids = one.sample_ids(0, np.arange(0, 4 * 1024))
    runs = [next(one.lane_runs(0, lane, 0, 500_000)) for lane in range(4)]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ids) == 4096
    assert all(len(slots) <= 256 for slots, _ in runs)
    assert held < 2 * 2_000_000
