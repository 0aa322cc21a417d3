"""Where wanted samples lie: ranges that hold every component, no byte twice, cut as asked."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamaug.reader.pieces import FOREIGN_GAP, MERGE_GAP, locate, locate_all
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
def test_every_component_lies_in_its_part_and_no_byte_in_two(dataset, may_read_gaps, part_bytes, before):
    indexes, starts, want = dataset
    options = {"may_read_gaps": may_read_gaps, "part_bytes": part_bytes, "single_fetch_before": before}
    piece = locate(want, starts, indexes, **options)
    users = [set() for _ in piece.parts]
    for row, sample in enumerate(want.sample_ids.tolist()):
        shard = int(np.searchsorted(starts, sample, side="right")) - 1
        index, local = indexes[shard], sample - int(starts[shard])
        assert piece.keys[row] == index.keys[local]
        for spans, offset, size in zip(piece.spans, index.offsets[local], index.sizes[local], strict=True):
            if offset < 0:
                assert spans.part[row] == -1
                continue
            part = piece.parts[spans.part[row]]
            users[spans.part[row]].add(row)
            assert part.shard == shard
            assert part.start + spans.begin[row] == offset
            assert spans.end[row] - spans.begin[row] == size
            assert part.start + spans.end[row] <= part.stop
    ordered = sorted((part.shard, part.start, part.stop) for part in piece.parts)
    assert all(a[0] < b[0] or a[2] <= b[1] for a, b in itertools.pairwise(ordered))
    assert piece.num_bytes == sum(part.stop - part.start for part in piece.parts)
    for rows, part, need in zip(users, piece.parts, piece.needed, strict=True):
        assert need == min(piece.positions[row] for row in rows)
        if need < before:
            assert len(rows) == 1
        gap = MERGE_GAP if may_read_gaps else FOREIGN_GAP
        assert part.stop - part.start < part_bytes + 40_012 + 2 * gap or len(rows) == 1


@given(datasets(), st.lists(st.integers(1, 400), max_size=5), st.booleans(), st.sampled_from([1, 50_000, 10**9]))
def test_wants_are_located_together_as_each_alone(dataset, cuts, may_read_gaps, part_bytes):
    indexes, starts, want = dataset
    wants = []
    for cut in cuts:
        if cut < len(want.positions):
            first, want = want.split(cut)
            wants.append(first)
    # The same samples may be wanted twice, and each want keeps ranges of its own.
    wants += [want, Want(want.positions + 1000, want.sample_ids)]
    options = {"may_read_gaps": may_read_gaps, "part_bytes": part_bytes, "single_fetch_before": 500}
    pieces = locate_all(wants, starts, indexes, **options)
    assert [piece.want for piece in pieces] == wants
    for piece, own in zip(pieces, wants, strict=True):
        alone = locate(own, starts, indexes, **options)
        for name in ("positions", "sample_ids", "keys", "spans", "parts", "needed", "num_bytes"):
            assert getattr(piece, name) == getattr(alone, name)


def test_shards_of_any_number_are_told_apart():
    """Their numbers go beyond what fits with a byte offset into one integer."""
    index = ShardIndex(("a",), np.array([[512]]), np.array([[1000]]), None)
    starts = np.arange(5_000_001)
    want = Want(np.arange(2), np.array([4_999_999, 3]))
    piece = locate(
        want, starts, {4_999_999: index, 3: index}, may_read_gaps=True, part_bytes=10**9, single_fetch_before=0
    )
    assert {(part.shard, part.start, part.stop) for part in piece.parts} == {(3, 512, 1512), (4_999_999, 512, 1512)}
    assert [piece.parts[number].shard for number in piece.spans[0].part] == [4_999_999, 3]


@pytest.mark.parametrize(("part_bytes", "expected"), [(10**9, 1), (4000, 3), (1, 10)])
def test_parts_end_where_samples_end(part_bytes, expected):
    offsets = np.arange(10)[:, None] * 1024
    index = ShardIndex(tuple("abcdefghij"), offsets, np.full((10, 1), 1000), None)
    want = Want(np.arange(10), np.arange(10)[::-1].copy())
    piece = locate(
        want, np.array([0, 10]), {0: index}, may_read_gaps=True, part_bytes=part_bytes, single_fetch_before=0
    )
    assert len(piece.parts) == expected
    assert all(part.start % 1024 == 0 and part.stop % 1024 == 1000 for part in piece.parts)


@given(datasets(), st.integers(2, 4), st.booleans(), st.integers(0, 1000))
def test_copies_of_samples_share_the_parts_of_their_first(dataset, repeats, may_read_gaps, before):
    indexes, starts, want = dataset
    options = {"may_read_gaps": may_read_gaps, "part_bytes": 50_000}
    once = locate(want, starts, indexes, single_fetch_before=before, **options)
    positions = (want.positions[:, None] * repeats + np.arange(repeats)).ravel()
    copied = Want(positions, np.repeat(want.sample_ids, repeats))
    piece = locate(copied, starts, indexes, single_fetch_before=before * repeats, **options)
    assert (piece.parts, piece.num_bytes) == (once.parts, once.num_bytes)
    assert piece.needed == [need * repeats for need in once.needed]
    assert piece.keys == np.repeat(once.keys, repeats).tolist()
    for spans, of_first in zip(piece.spans, once.spans, strict=True):
        assert [column[::repeats] for column in spans] == list(of_first)
        assert all(column == np.repeat(column[::repeats], repeats).tolist() for column in spans)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(1, 30))
def test_a_want_is_split_between_samples_and_not_between_copies(copies, count):
    samples = np.repeat(np.arange(len(copies)), copies)
    want = Want(np.arange(len(samples)), samples)
    whole = want.whole(count)
    ends = np.cumsum(copies).tolist()
    assert whole == max([end for end in ends if end <= count], default=ends[0])
    first, rest = want.split(whole)
    assert not set(first.sample_ids.tolist()) & set(rest.sample_ids.tolist())
