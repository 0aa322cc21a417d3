"""Gaps of an index: samples that it lacks before its last, and what may stand between samples and is none."""

import io
import subprocess
import tarfile

import pytest
from servers import http_proxy
from tars import pairs, write_tar

from streamaug.cli import main
from streamaug.errors import IndexFormatError
from streamaug.shards import ShardSet
from streamaug.shards.index import read_index, write_index

FOREIGN = [("README", b"read" * 2000), ("__meta__", b"{}" * 2000), ("._k.jpg", b"\0\5\x16\7" * 1000)]


def indexed(path):
    main(["index", str(path)])
    (path.parent / "index.json").unlink()
    return path


def without(path, drop):
    """Take the samples with these numbers out of the index."""
    index = path.with_suffix(".idx")
    samples = list(read_index(index.read_text(), index.name, path.stat().st_size))
    index.write_text(write_index([sample for number, sample in enumerate(samples) if number not in drop]))


def requests_to_open(path):
    """The requests for the positions of the samples in a shard that lies on a web server."""
    with http_proxy(path.parent) as (proxy, base):
        shards = ShardSet.open(f"{base}/{path.name}")
        proxy.requests.clear()
        shards.index(0)
        return sum(proxy.requests.values())


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize("drop", [[0], [0, 1, 2], [5], [5, 6, 10]])
@pytest.mark.parametrize("before", [[], [("d", None), FOREIGN[0]]])
def test_samples_that_an_index_lacks_before_its_last_are_not_left_out(tmp_path, drop, before, is_local):
    path = indexed(write_tar(tmp_path / "a.tar", [*before, *pairs(12, size=4000)]))
    without(path, drop)
    with http_proxy(tmp_path) as (_, base):
        where = path if is_local else f"{base}/a.tar"
        first = rf"a\.idx: must list every sample of .*a\.tar, got none of 'k{drop[0]:05d}', at offset \d+\. "
        with pytest.raises(IndexFormatError, match=first):
            ShardSet.open(where).index(0)


def folders(path):
    """A tar as Python writes it: a pax header for each member, and folders within folders."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for number in range(9):
            for name in ("a", "a/b", f"a/b/{number}"):
                info = tarfile.TarInfo(name)
                info.type, info.mtime = tarfile.DIRTYPE, 1.25
                tar.addfile(info)
            for suffix in ("jpg", "cls"):
                info = tarfile.TarInfo(f"a/b/{number}/{'n' * 99}.{suffix}")
                info.size, info.mtime = 5000, 1.25
                tar.addfile(info, io.BytesIO(bytes(5000)))
    return path


def links(path):
    """Samples whose images are hard links, as GNU tar writes second names of a file."""
    members = []
    for number in range(9):
        link = tarfile.TarInfo(f"m{number}.jpg")
        link.type, link.linkname = tarfile.LNKTYPE, f"k{number:05d}.jpg"
        members += [*pairs(1, size=5000, start=number), (link, b""), (f"m{number}.cls", b"1")]
    return write_tar(path, members)


def by_gnu_tar(path):
    tree = path.parent / "tree"
    for number in range(4):
        (tree / f"n{number}").mkdir(parents=True)
        for name, data in pairs(3, size=5000, start=3 * number):
            (tree / f"n{number}" / name).write_bytes(data)
    subprocess.run(["tar", "--format=pax", "--sort=name", "-cf", path, "-C", tree, "."], check=True)
    return path


def other_files(path):
    members = [part for number in range(9) for part in [FOREIGN[number % 3], *pairs(1, size=5000, start=number)]]
    return write_tar(path, members)


@pytest.mark.parametrize(("make", "more"), [(folders, 0), (links, 0), (by_gnu_tar, 0), (other_files, 2)])
def test_only_other_files_as_large_as_samples_cost_requests_and_those_two(tmp_path, make, more):
    plain = tmp_path / "plain"
    plain.mkdir()
    usual = requests_to_open(indexed(write_tar(plain / "a.tar", pairs(12, size=5000))))
    assert requests_to_open(indexed(make(tmp_path / "a.tar"))) == usual + more


@pytest.mark.parametrize("components", [1, 40])
def test_a_sample_that_is_marked_bad_is_no_error(tmp_path, components):
    bad = [*((f"z.{number}.jpg", bytes(9000)) for number in range(components)), ("z.__bad__", b"x")]
    path = indexed(write_tar(tmp_path / "a.tar", [*FOREIGN, *pairs(5), *bad, *pairs(5, start=5)]))
    assert len(ShardSet.open(path).index(0).keys) == 10


def test_an_index_may_leave_out_components_of_its_samples(tmp_path):
    """As those of other programs do."""
    members = [part for number in range(9) for part in [*pairs(1, start=number), (f"k{number:05d}.npy", bytes(9000))]]
    path = indexed(write_tar(tmp_path / "a.tar", members))
    index = path.with_suffix(".idx")
    samples = list(read_index(index.read_text(), "a.idx", path.stat().st_size))
    for sample in samples:
        del sample.members["npy"]
    index.write_text(write_index(samples))
    assert len(ShardSet.open(path).index(0).keys) == 9


def test_a_member_that_is_longer_than_its_index_says_is_an_error_that_names_the_index(tmp_path):
    path = indexed(write_tar(tmp_path / "a.tar", [("a.jpg", b"j" * 9000), ("a.cls", b"1"), *pairs(5)]))
    index = path.with_suffix(".idx")
    index.write_text(index.read_text().replace("jpg 512 9000", "jpg 512 700"))
    with pytest.raises(IndexFormatError, match=r"a\.idx: must fit .*a\.tar: a header must stand at 1536"):
        ShardSet.open(path).index(0)
