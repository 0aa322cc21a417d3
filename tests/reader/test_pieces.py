"""Where wanted samples lie: ranges that hold every component, no byte twice, cut as asked."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamaug.reader.pieces import FOREIGN_GAP, MERGE_GAP, locate
from streamaug.reader.schedule import Want
from streamaug.shards import ShardIndex


@st.composite
def datasets(draw):
    """Shards of two components a sample, of which the second may lack, and some of their samples in random order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    counts = draw(st.lists(st.integers(1, 30), min_size=1, max_size=4))
    indexes = {}
    for shard, count in enumerate(counts):
        sizes = np.stack([rng.integers(0, 40_000, count), rng.integers(0, 12, count)], axis=1)
        gaps = rng.choice([512, 2000, 600_000], size=(count, 2), p=[0.7, 0.25, 0.05])
        ends = np.cumsum((sizes + gaps).reshape(-1)).reshape(count, 2)
        offsets = ends - sizes
        offsets[rng.random(count) < 0.2, 1] = -1
        keys = tuple(f"{shard}-{number}" for number in range(count))
        indexes[shard] = ShardIndex(keys, offsets, np.where(offsets < 0, 0, sizes), None)
    starts = np.concatenate([[0], np.cumsum(counts)])
    chosen = rng.permutation(starts[-1])[: draw(st.integers(1, int(starts[-1])))]
    want = Want(np.sort(rng.permutation(1000)[: len(chosen)]), chosen)
    return indexes, starts, want


@given(datasets(), st.booleans(), st.sampled_from([1, 50_000, 10**9]), st.integers(0, 1000))
def test_every_component_lies_in_its_part_and_no_byte_in_two(dataset, exclusive, part_bytes, urgent):
    indexes, starts, want = dataset
    piece = locate(want, starts, indexes, exclusive=exclusive, part_bytes=part_bytes, urgent=urgent)
    users = [set() for _ in piece.parts]
    for row, sample in enumerate(want.sample_ids.tolist()):
        shard = int(np.searchsorted(starts, sample, side="right")) - 1
        index, local = indexes[shard], sample - int(starts[shard])
        assert piece.keys[row] == index.keys[local]
        for places, offset, size in zip(piece.places, index.offsets[local], index.sizes[local], strict=True):
            if offset < 0:
                assert places.part[row] == -1
                continue
            part = piece.parts[places.part[row]]
            users[places.part[row]].add(row)
            assert part.shard == shard
            assert part.start + places.begin[row] == offset
            assert places.end[row] - places.begin[row] == size
            assert part.start + places.end[row] <= part.stop
    ordered = sorted((part.shard, part.start, part.stop) for part in piece.parts)
    assert all(a[0] < b[0] or a[2] <= b[1] for a, b in itertools.pairwise(ordered))
    assert piece.num_bytes == sum(part.stop - part.start for part in piece.parts)
    for rows, part, need in zip(users, piece.parts, piece.needed, strict=True):
        assert need == min(piece.positions[row] for row in rows)
        if need < urgent:
            assert len(rows) == 1
        gap = MERGE_GAP if exclusive else FOREIGN_GAP
        assert part.stop - part.start < part_bytes + 40_012 + 2 * gap or len(rows) == 1


def test_shards_of_any_number_are_told_apart():
    """Their numbers go beyond what fits with a byte offset into one integer."""
    index = ShardIndex(("a",), np.array([[512]]), np.array([[1000]]), None)
    starts = np.arange(5_000_001)
    want = Want(np.arange(2), np.array([4_999_999, 3]))
    piece = locate(want, starts, {4_999_999: index, 3: index}, exclusive=True, part_bytes=10**9, urgent=0)
    assert {(part.shard, part.start, part.stop) for part in piece.parts} == {(3, 512, 1512), (4_999_999, 512, 1512)}
    assert [piece.parts[number].shard for number in piece.places[0].part] == [4_999_999, 3]


@pytest.mark.parametrize(("part_bytes", "expected"), [(10**9, 1), (4000, 3), (1, 10)])
def test_parts_end_where_samples_end(part_bytes, expected):
    offsets = np.arange(10)[:, None] * 1024
    index = ShardIndex(tuple("abcdefghij"), offsets, np.full((10, 1), 1000), None)
    want = Want(np.arange(10), np.arange(10)[::-1].copy())
    piece = locate(want, np.array([0, 10]), {0: index}, exclusive=True, part_bytes=part_bytes, urgent=0)
    assert len(piece.parts) == expected
    assert all(part.start % 1024 == 0 and part.stop % 1024 == 1000 for part in piece.parts)
