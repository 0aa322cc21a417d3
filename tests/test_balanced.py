"""The class-balanced order: equal classes, every sample of a class equally often, elastic and resumable."""

import json

import numpy as np
import pytest
from conftest import drawn_samples, write_shard
from servers import http_proxy
from tars import write_tar

import streamaug as sa
from streamaug.balanced_order import BalancedOrder

LABELS = np.array([0] * 100 + [3] * 5 + [7] * 37 + [9] * 1)


def order(**options):
    return BalancedOrder(LABELS, **({"seed": 2, "lanes": 8} | options))


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


def test_order_is_random_access_and_epochs_differ():
    one = order()
    ids = one.sample_ids(1, np.arange(one.num_positions))
    picks = np.random.default_rng(0).permutation(one.num_positions)
    np.testing.assert_array_equal(order().sample_ids(1, picks), ids[picks])
    assert (one.sample_ids(2, np.arange(one.num_positions)) != ids).mean() > 0.5
    assert (order(seed=3).sample_ids(1, np.arange(one.num_positions)) != ids).mean() > 0.5


def test_lane_runs_are_the_order():
    one = order(window=40)
    ids = one.sample_ids(3, np.arange(one.num_positions))
    for lane in range(8):
        got = [
            (slot, sample)
            for slots, samples in one.lane_runs(3, lane, 2, 17)
            for slot, sample in zip(slots, samples, strict=True)
        ]
        assert got == [(slot, ids[slot * 8 + lane]) for slot in range(2, 17)]


@pytest.fixture(scope="module")
def long_tailed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tail")
    samples = [
        (key, [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][i % 10], jpeg) for i, (key, _, jpeg) in enumerate(drawn_samples(120))
    ]
    for number in range(3):
        write_shard(folder / f"tail-{number:06d}.tar", samples[40 * number : 40 * number + 40])
    return str(folder / "tail-{000000..000002}.tar"), samples


def rows(batches):
    out = {}
    for batch in batches:
        for row, position in enumerate(batch.origin.positions.tolist()):
            assert position not in out
            out[position] = (batch.origin.keys[row], bytes(batch.data[row]), int(batch.extras["cls"][row].tobytes()))
    return out


def test_batches_are_balanced_on_any_number_of_ranks_and_resume(long_tailed):
    url, samples = long_tailed
    shards = sa.ShardSet.open(url).balance_classes()
    truth = {key: (jpeg, label) for key, label, jpeg in samples}

    def reader(world_size=1, rank=0):
        return sa.ShardReader(shards, batch_size=24 // world_size, lanes=8, rank=rank, world_size=world_size)

    alone = rows(reader())
    assert all(truth[key] == (jpeg, label) for key, jpeg, label in alone.values())
    assert np.bincount([label for _, _, label in alone.values()]).tolist() == [40, 40, 40]
    assert rows([batch for rank in range(2) for batch in reader(2, rank)]) == alone
    first = reader()
    stream = iter(first)
    seen = rows([next(stream) for _ in range(3)])
    second = reader()
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert seen | rows(second) == alone
    with pytest.raises(sa.StateError, match="fingerprint"):
        sa.ShardReader(sa.ShardSet.open(url), batch_size=24, lanes=8).load_state_dict(first.state_dict())


def test_labels_that_are_none_are_refused_by_name(tmp_path, drawn):
    path = write_shard(
        tmp_path / "odd-000000.tar", [(key, "cat" if i == 3 else 1, jpeg) for i, (key, _, jpeg) in enumerate(drawn[:8])]
    )
    with pytest.raises(sa.TargetError, match=r"drawn00003.*odd-000000"):
        sa.ShardSet.open(str(path)).balance_classes()
    with pytest.raises(ValueError, match="label"):
        sa.ShardSet.open(str(path), components=("jpg",)).balance_classes()
    with pytest.raises(ValueError, match="lanes"):
        BalancedOrder(LABELS[:4], lanes=8)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"1_0", "must be an ASCII integer, got '1_0'"),
        (b"9" * 19, "must be an ASCII integer, got '9999999999999999999'"),
        (b"7" * 5000, "must be an ASCII integer"),
        (b"-1", "must not be negative, got -1"),
        (b"", "must be an ASCII integer, got ''"),
    ],
)
def test_labels_are_those_that_training_takes(tmp_path, text, reason):
    write_tar(tmp_path / "x.tar", [("a.jpg", b"?"), ("a.cls", b" +3\n"), ("b.jpg", b"?"), ("b.cls", text)])
    with pytest.raises(sa.TargetError) as caught:
        sa.ShardSet.open(str(tmp_path / "x.tar")).balance_classes()
    assert str(caught.value).startswith(f"sample 'b' of shard {tmp_path / 'x.tar'}: its label {reason}")


def test_a_label_that_is_none_does_not_show_the_signature_of_its_url(tmp_path):
    write_tar(tmp_path / "x.tar", [("a.jpg", b"?"), ("a.cls", b"cat")])
    with http_proxy(tmp_path) as (_, base):
        shards = sa.ShardSet.open(base + "/x.tar?sig=planted-secret")
        with pytest.raises(sa.TargetError) as caught:
            shards.balance_classes()
    assert f"{base}/x.tar: its label" in str(caught.value)
    assert "planted" not in str(caught.value)
