import json
import os
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from servers import http_proxy
from tars import as_webdataset_reads, consecutive, pairs, samples_of, write_tar, write_tars

from streamaug.cli import main
from streamaug.errors import IndexFormatError, ShardError, StorageError
from streamaug.shards import Shard, ShardSet
from streamaug.shards.index import write_index
from streamaug.shards.index_reader import IndexReader
from streamaug.shards.manifest import Entry
from streamaug.shards.manifest import write as write_manifest
from streamaug.shards.node_cache import NodeCache
from streamaug.shards.scanner import Scanner

COUNTS = (5, 1, 12)


def add_indices(folder):
    for path in folder.glob("*.tar"):
        path.with_suffix(".idx").write_text(write_index(samples_of(path)))


def add_manifest(folder):
    entries = [Entry(str(p), len(samples_of(p)), p.stat().st_size) for p in sorted(folder.glob("*.tar"))]
    (folder / "index.json").write_text(write_manifest(entries))


def add_timm(folder):
    names = sorted(p.name for p in folder.glob("*.tar"))
    split = {"filenames": names, "shard_lengths": list(COUNTS)}
    (folder / "_info.json").write_text(json.dumps({"splits": {"train": split}}))


@pytest.fixture
def folder(tmp_path):
    return write_tars(tmp_path, consecutive(COUNTS), digits=6)


def url(folder):
    return str(folder / "x-{000000..000002}.tar")


WAYS = {
    "nothing": [],
    "index": [add_indices],
    "manifest": [add_manifest],
    "both": [add_indices, add_manifest],
    "timm": [add_timm],
}


@pytest.mark.parametrize("way", WAYS)
def test_counts_and_places_are_the_same_however_they_were_found(folder, way):
    for step in WAYS[way]:
        step(folder)
    shards = pickle.loads(pickle.dumps(ShardSet.open(url(folder))))
    assert shards.num_samples == 18
    assert shards.starts.tolist() == [0, 5, 6, 18]
    assert shards.starts.dtype == np.int64
    assert [s.num_samples for s in shards.shards] == list(COUNTS)
    for number, shard in enumerate(shards.shards):
        path = Path(shard.url)
        data = path.read_bytes()
        assert shard == Shard(str(folder / f"x-{number:06d}.tar"), len(data), COUNTS[number])
        for _ in range(2):
            index = shards.index(number)
            found = [
                (key, {"jpg": data[o[0] : o[0] + s[0]], "cls": data[o[1] : o[1] + s[1]]})
                for key, o, s in zip(index.keys, index.offsets, index.sizes, strict=True)
            ]
            assert found == as_webdataset_reads(path)
            assert index.offsets.shape == index.sizes.shape == (COUNTS[number], 2)


def test_the_fingerprint_is_of_names_and_counts_as_listed(folder, tmp_path_factory):
    first = ShardSet.open(url(folder)).fingerprint
    assert len(first) == 64
    add_indices(folder)
    assert ShardSet.open(url(folder)).fingerprint == first
    elsewhere = tmp_path_factory.mktemp("moved")
    for path in folder.glob("*.tar"):
        (elsewhere / path.name).write_bytes(path.read_bytes())
    assert ShardSet.open(url(elsewhere)).fingerprint == first
    urls = [str(folder / f"x-{i:06d}.tar") for i in (1, 0, 2)]
    assert ShardSet.open(urls).fingerprint != first
    assert ShardSet.open(sorted(urls)).fingerprint == first
    assert ShardSet.open(sorted(urls)[:2]).fingerprint != first


def test_a_manifest_may_be_named_itself(folder):
    add_manifest(folder)
    whole = ShardSet.open(str(folder / "index.json"))
    assert [s.url for s in whole.shards] == [str(folder / f"x-{i:06d}.tar") for i in range(3)]
    assert whole.fingerprint == ShardSet.open(url(folder)).fingerprint
    (folder / "index.json").write_text('{"something": "else"}')
    with pytest.raises(ShardError, match="manifest"):
        ShardSet.open(str(folder / "index.json"))


def test_a_manifest_of_other_shards_is_no_help_and_no_harm(folder):
    (folder / "index.json").write_text(write_manifest([Entry("other.tar", 3, 10), Entry("x-000000.tar", 5, 20480)]))
    assert ShardSet.open(url(folder)).num_samples == 18
    (folder / "index.json").write_text('{"version": 2, "shards": []}')
    assert ShardSet.open(url(folder)).num_samples == 18


def test_a_missing_shard_is_named(folder):
    for add in (lambda folder: None, add_indices):
        add(folder)
        with pytest.raises(StorageError, match=r"x-000003\.tar"):
            ShardSet.open(url(folder).replace("2}", "3}"))


def test_a_missing_shard_with_a_manifest_is_named_when_it_is_needed(folder):
    add_manifest(folder)
    (folder / "x-000001.tar").unlink()
    shards = ShardSet.open(url(folder))
    shards.index(0)
    with pytest.raises(StorageError, match=r"x-000001\.tar"):
        shards.index(1)


def test_a_truncated_shard_is_named_whatever_lies_beside_it(folder):
    path = folder / "x-000002.tar"
    whole = path.read_bytes()
    add_indices(folder)
    path.write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(ShardError, match="x-000002"):
        ShardSet.open(url(folder)).index(2)
    for other in folder.glob("*.idx"):
        other.unlink()
    with pytest.raises(ShardError, match=r"x-000002\.tar at offset \d+.*truncated"):
        ShardSet.open(url(folder))


@pytest.mark.parametrize("what", ["smaller", "larger", "same size, other members", "one less", "cut at the end"])
def test_a_stale_index_is_an_error_and_never_wrong_bytes(folder, what):
    path = folder / "x-000002.tar"
    before = path.stat().st_size
    add_indices(folder)
    if what == "cut at the end":
        last = max(m.offset for s in samples_of(path) for m in s.members.values())
        path.write_bytes(path.read_bytes()[: last + 512])
    else:
        new = {
            "smaller": pairs(12, size=100),
            "larger": pairs(12, size=1500),
            "same size, other members": pairs(12, size=705),
            "one less": pairs(11, start=1),
        }[what]
        write_tar(path, new)
        if what == "same size, other members":
            assert path.stat().st_size == before
    os.utime(folder / "x-000002.idx", ns=(1, 1))
    with pytest.raises(ShardError, match=r"x-000002\.(idx|tar)") as caught:
        ShardSet.open(url(folder)).index(2)
    assert "streamaug index" in str(caught.value) or "write it again" in str(caught.value)


def test_a_change_in_the_middle_is_found_when_the_shard_is_newer_than_its_index(folder):
    path = folder / "x-000002.tar"
    add_indices(folder)
    listed = pairs(12, start=6)
    listed[8] = (listed[8][0], listed[8][1] + b"!")
    before = path.stat().st_size
    write_tar(path, listed)
    assert path.stat().st_size == before
    os.utime(folder / "x-000002.idx", ns=(1, 1))
    with pytest.raises(IndexFormatError, match=r"x-000002\.idx.*k00010\.jpg"):
        ShardSet.open(url(folder)).index(2)


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize(
    "between", [[], [("README", b"read"), ("e", None), ("._x.jpg", b""), ("z.jpg", b"1"), ("z.__bad__", b"x")]]
)
def test_samples_that_were_appended_after_the_index_are_not_left_out(folder, is_local, between):
    path = folder / "x-000002.tar"
    add_indices(folder)
    with http_proxy(folder) as (_, base):
        where = path if is_local else f"{base}/x-000002.tar"
        write_tar(path, [*pairs(12, start=6), *between, ("k00017.json", b"{}")])
        assert len(ShardSet.open(where).index(0).keys) == 12
        write_tar(path, [*pairs(12, start=6), *between, *pairs(1, start=18)])
        with pytest.raises(IndexFormatError, match=r"x-000002\.idx: must list every sample of .* got none of 'k00018'"):
            ShardSet.open(where).index(0)


def test_a_shard_rewritten_after_it_was_scanned_is_an_error_and_never_wrong_bytes(folder):
    shards = ShardSet.open(url(folder))
    path = folder / "x-000002.tar"
    write_tar(path, pairs(12, start=60))
    os.utime(path, ns=(10**18, 10**18))
    index = shards.index(2)
    with pytest.raises(StorageError, match=r"x-000002\.tar: must not change"):
        shards.storage.read(str(path), int(index.offsets[0, 0]), int(index.offsets[0, 0]) + 10)


def test_a_stale_manifest_is_an_error(folder):
    add_indices(folder)
    add_manifest(folder)
    write_tar(folder / "x-000001.tar", pairs(2))
    add_indices(folder)
    with pytest.raises(ShardError, match=r"x-000001\.tar.*stale"):
        ShardSet.open(url(folder)).index(1)


def test_a_sample_without_a_component_has_no_place(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a.png", b"1"), ("b.jpg", b"2"), ("b.cls", b"3"), ("c.txt", b"4")])
    index = ShardSet.open(str(path)).index(0)
    assert index.keys == ["a", "b", "c"]
    assert (index.offsets >= 0).tolist() == [[True, False], [True, True], [False, False]]
    assert index.sizes.tolist() == [[1, -1], [1, 1], [-1, -1]]
    other = ShardSet.open(str(path), components=("txt",))
    assert other.components == (("txt",),)
    assert other.index(0).sizes.tolist() == [[-1], [-1], [1]]


def test_a_shard_without_samples_counts_none(tmp_path):
    write_tar(tmp_path / "a-0.tar", [])
    write_tar(tmp_path / "a-1.tar", pairs(3))
    shards = ShardSet.open(str(tmp_path / "a-{0..1}.tar"))
    assert shards.starts.tolist() == [0, 0, 3]
    assert shards.index(0).keys == []
    add_indices(tmp_path)
    assert ShardSet.open(str(tmp_path / "a-{0..1}.tar")).index(0).offsets.shape == (0, 2)


def test_many_threads_may_ask(folder):
    add_manifest(folder)
    shards = ShardSet.open(url(folder))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: shards.index(i % 3).offsets.tolist(), range(60)))
    assert all(found[i] == found[i % 3] for i in range(60))


@pytest.mark.parametrize("limit", [0, 400, 1 << 20])
def test_indexes_are_the_same_kept_or_read_again(folder, limit):
    main(["index", url(folder), "--checksum"])
    shards = ShardSet.open(url(folder))
    scanner = Scanner(shards.storage, NodeCache.of_user(), fills_cache=False)
    reader = IndexReader(shards.storage, scanner, shards.components, {}, np.ones(3, np.int8), {}, kept_limit=limit)

    def read(number):
        shard = shards.shards[number]
        return reader.read(number, shard.url, shard.num_samples, shard.num_bytes)

    first = [read(number) for number in range(3)]
    assert reader.num_kept == {0: 0, 400: 2, 1 << 20: 3}[limit]
    for number in range(3):
        again = read(number)
        assert again.keys == first[number].keys
        for name in ("offsets", "sizes", "checksums"):
            assert getattr(again, name).tolist() == getattr(first[number], name).tolist()


@pytest.mark.slow
def test_a_hundred_thousand_shards_open_with_one_read(tmp_path):
    """The shards do not exist: none is touched."""
    entries = [Entry(f"/nowhere/part-{i:08d}.tar", 1000 + i % 7, 10**8) for i in range(100_000)]
    (tmp_path / "index.json").write_text(write_manifest(entries))
    tracemalloc.start()
    shards = ShardSet.open(str(tmp_path / "part-{00000000..00099999}.tar"))
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert shards.num_samples == sum(entry.num_samples for entry in entries)
    assert shards.shards[99_999].num_samples == 1000 + 99_999 % 7
    assert [s.num_samples for s in shards.shards[-2:]] == [entry.num_samples for entry in entries[-2:]]
    assert held < 40e6


def test_shards_of_one_name_are_told_apart_by_their_folders(tmp_path):
    """Listed the other way round they are another set, wherever both folders lie."""
    for place in ("here", "there"):
        for folder in ("a", "b"):
            (tmp_path / place / folder).mkdir(parents=True)
            write_tar(tmp_path / place / folder / "x.tar", pairs(3))
    first, second, other = (
        ShardSet.open([str(tmp_path / place / folder / "x.tar") for folder in folders]).fingerprint
        for place, folders in (("here", "ab"), ("here", "ba"), ("there", "ab"))
    )
    assert first == other
    assert first != second
