"""Mixtures: exact shares, every sample equally often, elastic and resumable as a plain order."""

import json

import numpy as np
import pytest
from conftest import drawn_samples, write_shard

import streamaug as sa
from streamaug.mixture_order import MixtureOrder

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
