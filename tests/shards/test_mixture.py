"""Mixtures: read on any number of ranks and resumed as a plain set; what cannot be mixed is refused."""

import json

import numpy as np
import pytest
from pictures import drawn_samples
from reading import reader, readers, rows
from shards_on_disk import write_shards

import streamaug as sa


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixture")
    samples = drawn_samples(160, seed=8)
    return [
        write_shards(folder, "a", samples[:100], [50] * 2),
        write_shards(folder, "b", samples[100:], [30] * 2),
    ], samples


def mixed(urls, weights=(1, 3)):
    return sa.ShardSet.mix({sa.ShardSet.open(url): weight for url, weight in zip(urls, weights, strict=True)})


SHORT = {"seed": 1, "lanes": 8, "window": 64}


def test_a_mixture_reads_the_right_bytes_on_any_number_of_ranks_and_resumes(sets):
    urls, samples = sets
    truth = {key: (jpeg, label) for key, label, jpeg in samples}
    alone = rows(reader(mixed(urls), **SHORT))
    assert all(truth[row.key] == (row.content, row.target) for row in alone.values())
    assert len(alone) == 160
    assert sum(row.key >= samples[100][0] for row in alone.values()) == 120
    for world_size in (2, 4):
        assert rows(batch for one in readers(mixed(urls), world_size, **SHORT) for batch in one) == alone
    first = reader(mixed(urls), **SHORT)
    stream = iter(first)
    seen = rows([next(stream) for _ in range(2)])
    second, third = readers(mixed(urls), 2, **SHORT)
    for one in (second, third):
        one.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert seen | rows([*second, *third]) == alone


def test_weights_and_members_are_part_of_the_state(sets):
    urls, _ = sets
    state = reader(mixed(urls), **SHORT).state_dict()
    other = reader(mixed(urls, (1, 2)), **SHORT)
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


def ramp(epoch):
    """0 in epoch 0, then ever more, at most 3."""
    return min(epoch, 6) / 2


def turned(epoch):
    """As `ramp` until epoch 3, and another weight from it on."""
    return ramp(epoch) if epoch < 3 else 0.1


def nothing(epoch):
    return 0 if epoch == 2 else 1


def no_number(epoch):
    return "much" if epoch == 2 else 1


def below(epoch):
    return -1 if epoch == 2 else 1


def failing(epoch):
    return [1, 1][epoch]


def shares_of(shards, epoch):
    """Samples of an epoch that come from the first 100."""
    one = shards.order(seed=4, lanes=8, window=64, shuffle=True, tail="drop")
    return int((one.sample_ids(epoch, np.arange(one.num_positions)) < 100).sum())


def test_weights_may_be_functions_of_the_epoch(sets):
    shards = mixed(sets[0], (1, ramp))
    # Of 20 slots in each of 8 lanes, 1 / (1 + weight).
    assert [shares_of(shards, epoch) for epoch in (0, 1, 2, 4, 6, 9)] == [160, 104, 80, 56, 40, 40]
    assert repr(shards).endswith("60 samples): ramp})")
    one, two = opened(sets[0])
    nested = sa.ShardSet.mix({sa.ShardSet.mix({one: 1, two: ramp}): 2, sa.ShardSet.open(sets[0][1]): ramp})
    counts = np.histogram(order_of(nested), [0, 100, 160, 220])[0]  # of epoch 3: 2 · 0.4, 2 · 0.6, 1.5 of 27 slots
    assert counts.tolist() == [6 * 8, 9 * 8, 12 * 8]


def test_all_samples_of_a_dataset_are_seen_equally_often_under_weights_that_vary(sets):
    order = mixed(sets[0], (1, ramp)).order(seed=4, lanes=8, window=64, shuffle=True, tail="drop")
    seen = np.zeros(160, np.int64)
    for epoch in range(60):
        seen += np.bincount(order.sample_ids(epoch, np.arange(order.num_positions)), minlength=160)
    for part in (seen[:96], seen[104:]):
        assert part.max() - part.min() <= 0.15 * part.mean() + 2


def test_a_mixture_whose_weights_vary_goes_on_in_any_epoch_on_any_number_of_ranks(sets):
    urls, _ = sets
    whole = reader(mixed(urls, (1, ramp)), **SHORT)
    epochs = [rows(whole) for _ in range(5)]
    stopped = reader(mixed(urls, (1, ramp)), **SHORT)
    stopped.set_epoch(3)
    stream = iter(stopped)
    seen = rows([next(stream) for _ in range(2)])
    state = json.loads(json.dumps(stopped.state_dict()))
    assert len(json.dumps(state)) < 1024
    ranks = readers(mixed(urls, (1, ramp)), 2, **SHORT)
    for one in ranks:
        one.load_state_dict(state)
    assert seen | rows(batch for one in ranks for batch in one) == epochs[3]
    assert rows(batch for one in ranks for batch in one) == epochs[4]


def test_a_state_knows_the_weights_until_then_and_none_after(sets):
    urls, _ = sets
    first, second = reader(mixed(urls, (1, ramp)), **SHORT), reader(mixed(urls, (1, turned)), **SHORT)
    assert first.shards.fingerprint == second.shards.fingerprint
    assert "weights" not in reader(mixed(urls), **SHORT).state_dict()["order"]
    for epoch, step, agree in ((0, 0, True), (2, 3, True), (3, 0, True), (3, 1, False), (4, 0, False)):
        first.seek(epoch, step)
        state = json.loads(json.dumps(first.state_dict()))
        if agree:
            second.load_state_dict(state)
            continue
        with pytest.raises(
            sa.StateError, match=r"state\.order\.weights: .* Mix with the weights that the epochs until"
        ):
            second.load_state_dict(state)
    with pytest.raises(sa.StateError, match="fingerprint"):
        reader(mixed(urls), **SHORT).load_state_dict(first.state_dict())


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (below, r"weights: must be a number of at least 0 in each epoch, got -1 of below for epoch 2\. Return 0"),
        (no_number, r"weights: must be a number of at least 0 in each epoch, got 'much' of no_number for epoch 2"),
        (nothing, r"weights: must be at least one above 0, with a finite sum, got \[0, 0\], in epoch 2"),
    ],
)
def test_a_bad_weight_is_an_error_that_names_the_epoch(sets, weight, message):
    one = reader(mixed(sets[0], (weight, weight)), **SHORT)
    assert len(rows(one)) == len(rows(one)) == 160
    with pytest.raises(ValueError, match=message):
        next(iter(one))


def test_an_error_of_a_function_of_weights_says_which_epoch_it_was_asked_for(sets):
    one = reader(mixed(sets[0], (1, failing)), **SHORT)
    one.set_epoch(2)
    with pytest.raises(IndexError) as caught:
        next(iter(one))
    assert "weights: failing was asked for epoch 2" in caught.value.__notes__
    with pytest.raises(ValueError, match=r"got -1 of .*lambda.* for epoch 0"):
        mixed(sets[0], (1, lambda _: -1))


def test_a_state_after_the_last_epoch_asks_for_no_weight_beyond(sets):
    one = reader(mixed(sets[0], (1, failing)), **SHORT)
    for _ in range(2):
        list(one)
    assert one.state_dict()["epoch"] == 2
