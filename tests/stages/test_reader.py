"""ShardReader: elastic batches, exact state, bounded memory, nothing read twice, nothing left behind."""

import gc
import itertools
import json
import threading
import warnings
from collections import defaultdict

import numpy as np
import pytest
import torch
from reading import reader, readers, rows
from shards_on_disk import write_shard
from watching import going_on

from streamaug.errors import BadSampleError, StateError, StreamaugError
from streamaug.reader import pieces
from streamaug.reader.batch_reader import BatchReader
from streamaug.shards import ShardSet
from streamaug.stages.reader import ShardReader
from streamaug.storage import Storage, StorageOptions

# The unshuffled order is read here with its tail dropped too, of which an evaluation is warned.
pytestmark = pytest.mark.filterwarnings("ignore:ShardReader.tail")


class CountingStorage(Storage):
    """Counts the bytes of every range that is read."""

    def __init__(self, options):
        super().__init__(options)
        self.ranges = defaultdict(list)

    def read(self, url, start, stop):
        self.ranges[url].append((start, stop))
        return super().read(url, start, stop)


def counting(one):
    """Count what a reader reads: the same reads, noted on the way."""
    storage = CountingStorage(one.shards.storage.options)
    one.shards.catalogue.storage = storage
    return storage


def test_rows_are_the_samples_of_the_order(uneven):
    url, listed = uneven
    one = reader(url)
    got = rows(one)
    assert sorted(got) == list(range(384))
    expected = one.order.sample_ids(0, np.arange(384))
    for position, row in got.items():
        assert row.sample_id == expected[position]
        assert (row.key, row.target, row.content) == listed[row.sample_id]


@pytest.mark.slow
@pytest.mark.parametrize("world_size", [2, 3, 4, 8, 16, 32])
@pytest.mark.parametrize("tail", ["drop", "pad"])
def test_ranks_share_the_batches_of_one(uneven, world_size, tail):
    url, _ = uneven
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="ShardReader.lanes")
        alone = list(reader(url, batch_size=96, tail=tail))
        ranks = [list(one) for one in readers(url, world_size, batch_size=96, tail=tail)]
    assert {len(batches) for batches in ranks} == {len(alone)}
    assert rows([batch for batches in ranks for batch in batches]) == rows(alone)


def test_world_sizes_that_share_lanes_are_warned_of(uneven):
    with pytest.warns(UserWarning, match="lanes=6"):
        reader(uneven[0], batch_size=96, world_size=3, lanes=8)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("taken", [0, 1, 5, 11, 12])
def test_resume_is_exact(uneven, shuffle, taken):
    url, _ = uneven
    full = rows(reader(url, shuffle=shuffle))
    first = reader(url, shuffle=shuffle)
    stream = iter(first)
    seen = rows([next(stream) for _ in range(taken)])
    state = first.state_dict()
    assert len(json.dumps(state)) < 1024
    second = reader(url, shuffle=shuffle)
    second.load_state_dict(json.loads(json.dumps(state)))
    if taken == len(first):
        assert (state["epoch"], state["position"], second.epoch) == (1, 0, 1)
    else:
        assert seen | rows(second) == full


def test_another_batch_size_goes_on_at_the_position(uneven):
    url, _ = uneven
    first = reader(url, batch_size=64)
    stream = iter(first)
    seen = rows([next(stream) for _ in range(3)])
    second = reader(url, batch_size=50)
    second.load_state_dict(first.state_dict())
    batches = list(second)
    assert [batch.origin.step for batch in batches] == [3, 4, 5]
    assert sorted(seen | rows(batches)) == list(range(192 + 150))


def test_only_what_is_left_is_fetched_on_resume(uneven, monkeypatch):
    url, _ = uneven
    monkeypatch.setattr(pieces, "MERGE_GAP", 2048)  # the drawn images are small; between real ones 256 KB is little
    first = reader(url, window=16 * 24)
    stream = iter(first)
    for _ in range(6):
        next(stream)
    second = reader(url, window=16 * 24)
    storage = counting(second)
    second.load_state_dict(first.state_dict())
    left = rows(second)
    fetched = sum(stop - start for ranges in storage.ranges.values() for start, stop in ranges)
    needed = sum(len(row.content) for row in left.values())
    assert len(left) == 192
    assert needed <= fetched <= needed + 192 * 3 * 1024  # two tar headers and padding a sample


def test_what_the_first_batch_needs_is_read_first_and_alone(uneven):
    one = reader(uneven[0], storage=StorageOptions(concurrency=1))  # so that reads come in the order of asking
    storage = counting(one)
    order = []
    read = storage.read
    storage.read = lambda url, start, stop: order.append(stop - start) or read(url, start, stop)
    first = next(iter(one))
    needed = sum(len(image) + len(label) for image, label in zip(first.data, first.extras["cls"], strict=True))
    one.close()
    assert needed <= sum(order[:32]) <= needed + 32 * 2 * 1024  # a tar header and padding between image and label
    assert max(order[:32]) < min(sum(order[:32]), max(len(image) for image in first.data) + 4096)


@pytest.mark.parametrize("world_size", [1, 2, 4])
@pytest.mark.parametrize("shuffle", [True, False])
def test_no_byte_is_read_twice_by_any_rank(uneven, world_size, shuffle):
    url, _ = uneven
    read = defaultdict(list)
    for one in readers(url, world_size, shuffle=shuffle):
        storage = counting(one)
        list(one)
        for shard, ranges in storage.ranges.items():
            read[shard] += ranges
    for ranges in read.values():
        ranges.sort()
        overlap = sum(max(0, a[1] - b[0]) for a, b in itertools.pairwise(ranges))
        assert overlap == 0


@pytest.mark.parametrize("limit", [100_000, 600_000, 3_000_000])
def test_memory_stays_within_its_limit_and_order_is_the_same(uneven, limit, monkeypatch):
    url, _ = uneven
    expected = rows(reader(url))
    peaks = []
    original = BatchReader._assemble

    def watched(self, epoch, start, prefetcher):
        result = original(self, epoch, start, prefetcher)
        peaks.append(prefetcher.peak_bytes)
        return result

    monkeypatch.setattr(BatchReader, "_assemble", watched)
    one = reader(url, storage=StorageOptions(memory_limit=limit))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert rows(one) == expected
    messages = [str(warning.message) for warning in caught]
    total = sum(len(image) for _, _, image in uneven[1])
    if total > limit:
        assert any("window" in message for message in messages)
    batch = max(sum(len(row.content) for p, row in expected.items() if p // 32 == step) for step in range(12))
    assert max(peaks) <= max(limit, 2 * batch)
    if limit > 2 * batch:
        assert max(peaks) <= limit
        assert not any("memory_limit: must hold" in message for message in messages)


def test_passes_follow_each_other_and_a_second_iter_ends_the_first(uneven):
    one = reader(uneven[0])
    assert [{batch.origin.epoch for batch in one} for _ in range(2)] == [{0}, {1}]
    first = iter(one)
    assert next(first).origin.epoch == 2
    second = iter(one)
    assert next(second).origin.epoch == 3
    with pytest.raises((RuntimeError, StreamaugError)):
        next(first)
    assert next(second).origin.step == 1
    assert one.epoch == 4


def test_set_epoch_keeps_a_loaded_position_only_for_its_epoch(uneven):
    url, _ = uneven
    one = reader(url)
    stream = iter(one)
    for _ in range(5):
        next(stream)
    state = one.state_dict()
    for epoch, position in ((0, 160), (1, 0)):
        other = reader(url)
        other.load_state_dict(state)
        other.set_epoch(epoch)
        assert (other.state_dict()["epoch"], other.state_dict()["position"]) == (epoch, position)
        assert next(iter(other)).origin.positions[0] == position
    other.set_epoch(1)
    assert next(iter(other)).origin.positions[0] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [({"seed": 4}, "seed"), ({"lanes": 8}, "lanes"), ({"window": 64}, "window"), ({"tail": "pad"}, "tail")],
)
def test_a_state_of_another_order_is_refused_by_field(uneven, change, field):
    state = reader(uneven[0]).state_dict()
    with pytest.raises(StateError, match=field):
        reader(uneven[0], **change).load_state_dict(state)


def test_a_state_of_another_dataset_or_with_a_missing_field_is_refused(uneven):
    url, _ = uneven
    state = reader(url).state_dict()
    with pytest.raises(StateError, match="fingerprint"):
        reader(url.replace("000006", "000005")).load_state_dict(state)
    del state["position"]
    with pytest.raises(StateError, match="position"):
        reader(url).load_state_dict(state)


def test_a_state_behind_the_end_of_its_epoch_is_refused_and_changes_nothing(uneven):
    one = reader(uneven[0])
    state = one.state_dict() | {"epoch": 1}
    one.load_state_dict(state | {"position": 384})  # where a state of another batch size may stand
    with pytest.raises(StateError, match=r"position: must lie in 0\.\.384.*got 385"):
        one.load_state_dict(state | {"position": 385})
    assert one.state_dict()["position"] == 384


def fail_in_the_loop(one):
    for _ in one:
        raise RuntimeError("an error of the user")


@pytest.mark.parametrize("leave", ["break", "error", "close"])
def test_leaving_a_pass_leaves_no_thread(uneven, leave):
    before = set(threading.enumerate())
    one = reader(uneven[0])
    if leave == "error":
        with pytest.raises(RuntimeError, match="of the user"):
            fail_in_the_loop(one)
    elif leave == "break":
        for _ in one:
            break
    else:
        with one:
            stream = iter(one)
            next(stream)
    gc.collect()
    assert not going_on(set(threading.enumerate()) - before)


@pytest.mark.slow
def test_a_data_loader_worker_is_told_what_to_do(uneven):
    loader = torch.utils.data.DataLoader(reader(uneven[0]), batch_size=None, num_workers=1)
    with pytest.raises(StreamaugError, match="num_workers=0"):
        next(iter(loader))
    plain = torch.utils.data.DataLoader(
        reader(uneven[0]), batch_size=None, num_workers=0, collate_fn=lambda batch: batch
    )
    assert next(iter(plain)).origin.step == 0


def test_ranks_come_from_the_environment(uneven, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    one = ShardReader(ShardSet.open(uneven[0]), batch_size=8, lanes=16)
    assert (next(iter(one)).origin.positions % 2 == 1).all()
    with pytest.raises(ValueError, match="both or neither"):
        ShardReader(ShardSet.open(uneven[0]), batch_size=8, rank=0)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"batch_size": 0}, "batch_size"),
        ({"lanes": "4"}, r"ShardReader\.lanes: must be an integer of at least 1, got '4'"),
        ({"shuffle": "False"}, r"ShardReader\.shuffle: must be True or False, got 'False'"),
        ({"shuffle": None}, r"ShardReader\.shuffle: must be True or False, got None"),
        ({"sticky_lanes": "no"}, r"ShardReader\.sticky_lanes: must be True or False, got 'no'"),
        ({"read_ahead": 5}, r"ShardReader\.read_ahead: must be True or False, got 5"),
        ({"quarantine": b"x"}, r"ShardReader\.quarantine: must be the path of a file, got b'x'"),
        ({"batch_size": 400}, "at most 384"),
        ({"lanes": 400}, "lanes=389"),
        ({"on_bad_sample": "skip"}, "on_bad_sample"),
        ({"shuffle": 1000}, "shuffle: must be True or False, got 1000.*window"),
        ({"shuffle": "no"}, "shuffle: must be True or False, got 'no'"),
        ({"sticky_lanes": "no"}, "sticky_lanes: must be True or False, got 'no'"),
        ({"read_ahead": 2}, r"ShardReader\.read_ahead: must be True or False, got 2"),
    ],
)
def test_impossible_parameters_are_refused(uneven, options, match):
    with pytest.raises((ValueError, TypeError), match=match):
        reader(uneven[0], **options)


def test_a_path_in_place_of_a_set_is_told_how_to_open_it(uneven):
    with pytest.raises(TypeError, match=r"got str. Open the shards first: ShardReader\(ShardSet.open"):
        ShardReader(uneven[0], batch_size=4)


def test_a_sample_without_a_component_is_bad(uneven, drawn, tmp_path):
    path = write_shard(tmp_path / "lacking-000000.tar", drawn[:40])
    shards = ShardSet.open(str(path), components=("jpg", "cls", "json"))
    with pytest.raises(BadSampleError, match=r"drawn000\d\d.*lacking-000000.*json"):
        next(iter(ShardReader(shards, batch_size=4, lanes=2)))


def test_stand_ins_are_other_samples_of_the_run(uneven):
    one = reader(uneven[0])
    members = one.order.run_samples(0, 37)
    own = one.order.sample_ids(0, np.array([37]))[0]
    picked = [one.stand_in(37, attempt) for attempt in range(len(members) - 1)]
    assert sorted([*picked, own]) == sorted(members.tolist())
    wide = one.order.neighbourhood(0, 37)
    further = [one.stand_in(37, attempt) for attempt in range(len(members) - 1, len(wide) - 1)]
    assert sorted([*picked, *further, own]) == sorted(wide.tolist())
    farther = [one.stand_in(37, attempt) for attempt in range(len(wide) - 1, 388)]
    assert sorted([*picked, *further, *farther, own]) == list(range(389))
    for attempt in (-1, 388):
        with pytest.raises(BadSampleError, match="usable"):
            one.stand_in(37, attempt)
