"""Sets with balanced classes: read on any number of ranks and resumed; labels are those that training takes."""

import json

import numpy as np
import pytest
from pictures import drawn_samples
from reading import reader, readers, rows
from servers import http_proxy
from shards_on_disk import write_shard, write_shards
from tars import write_tar

import streamaug as sa


@pytest.fixture(scope="module")
def long_tailed(tmp_path_factory):
    samples = [
        (key, [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][i % 10], jpeg) for i, (key, _, jpeg) in enumerate(drawn_samples(120))
    ]
    return write_shards(tmp_path_factory.mktemp("tail"), "tail", samples, [40] * 3), samples


def test_batches_are_balanced_on_any_number_of_ranks_and_resume(long_tailed):
    url, samples = long_tailed
    shards = sa.ShardSet.open(url).balance_classes()
    truth = {key: (jpeg, label) for key, label, jpeg in samples}
    options = {"batch_size": 24, "lanes": 8}
    alone = rows(reader(shards, **options))
    assert all(truth[row.key] == (row.content, row.target) for row in alone.values())
    assert np.bincount([row.target for row in alone.values()]).tolist() == [40, 40, 40]
    assert rows(batch for one in readers(shards, 2, **options) for batch in one) == alone
    first = reader(shards, **options)
    stream = iter(first)
    seen = rows([next(stream) for _ in range(3)])
    second = reader(shards, **options)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert seen | rows(second) == alone
    with pytest.raises(sa.StateError, match="fingerprint"):
        reader(url, **options).load_state_dict(first.state_dict())


def test_labels_that_are_none_are_refused_by_name(tmp_path, drawn):
    path = write_shard(
        tmp_path / "odd-000000.tar", [(key, "cat" if i == 3 else 1, jpeg) for i, (key, _, jpeg) in enumerate(drawn[:8])]
    )
    with pytest.raises(sa.TargetError, match=r"drawn00003.*odd-000000"):
        sa.ShardSet.open(str(path)).balance_classes()
    with pytest.raises(ValueError, match="label"):
        sa.ShardSet.open(str(path), components=("jpg",)).balance_classes()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"1_0", "must be an ASCII integer, got '1_0'"),
        (b"9" * 19, "must have at most 18 digits, so that it fits int64, got '9999999999999999999'"),
        (b"7" * 5000, "must have at most 18 digits"),
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
