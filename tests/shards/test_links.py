"""Links in a tar: followed wherever they lead in it, refused where they lead out of it."""

import io
import os
import shutil
import subprocess
import tarfile

import numpy as np
import pytest
from servers import http_proxy
from tars import write_tar

import streamaug as sa
from streamaug.cli import main
from streamaug.errors import ShardError
from streamaug.shards.names import PassedOver
from streamaug.shards.scan import stream
from streamaug.shards.tar import members
from streamaug.storage import Storage


def link(name, to, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info, b""


def hard(name, to):
    return link(name, to, tarfile.LNKTYPE)


def contents(path, passed_over=None):
    """{name: bytes} of the files of a tar, links among them."""
    data = path.read_bytes()
    found = members(io.BytesIO(data), path.name, len(data), passed_over)
    return {member.name: data[member.offset : member.offset + member.size] for member in found}


@pytest.mark.parametrize(
    ("listed", "name", "expected"),
    [
        ([("a.jpg", b"1"), hard("b.jpg", "a.jpg")], "b.jpg", b"1"),
        ([("./a.jpg", b"1"), hard("./b.jpg", "./a.jpg")], "./b.jpg", b"1"),
        ([("d/a.jpg", b"1"), link("d/b.jpg", "a.jpg")], "d/b.jpg", b"1"),
        ([("d/a.jpg", b"1"), link("e/b.jpg", "../d/a.jpg")], "e/b.jpg", b"1"),
        ([link("b.jpg", "z.jpg"), ("a.jpg", b"1"), ("z.jpg", b"22")], "b.jpg", b"22"),
        ([("a.jpg", b"1"), hard("b.jpg", "a.jpg"), link("c.jpg", "b.jpg")], "c.jpg", b"1"),
        ([link("b.jpg", "c.jpg"), link("c.jpg", "d.jpg"), ("d.jpg", b"3")], "b.jpg", b"3"),
        ([("a.jpg", b"1"), ("d/a.jpg", b"2"), link("d/b.jpg", "a.jpg"), hard("b.jpg", "d/b.jpg")], "b.jpg", b"1"),
        ([("pool/a.jpg", b"1"), link("now", "pool"), link("b.jpg", "now/a.jpg")], "b.jpg", b"1"),
        ([("a.jpg", b"old"), ("a.jpg", b"new"), hard("b.jpg", "a.jpg")], "b.jpg", b"new"),
        ([("__pool__/x", b"1"), link("b.jpg", "__pool__/x")], "b.jpg", b"1"),
        ([("a.jpg", b""), hard("b.jpg", "a.jpg")], "b.jpg", b""),
    ],
    ids=[
        "hard",
        "hard, with ./",
        "beside",
        "another folder",
        "further on",
        "to a link",
        "chain further on",
        "hard to symbolic",
        "through a folder",
        "the latest of its name",
        "to metadata",
        "to nothing in it",
    ],
)
def test_a_link_has_the_bytes_that_it_leads_to(tmp_path, listed, name, expected):
    path = write_tar(tmp_path / "a.tar", listed)
    assert contents(path)[name] == expected
    extracted = tmp_path / "extracted"
    with tarfile.open(path) as tar:
        tar.extractall(extracted, filter="data")
    assert (extracted / name).read_bytes() == expected


@pytest.mark.parametrize("tar_format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_followed(tmp_path, tar_format):
    long = f"{'d' * 90}/{'n' * 200}.jpg"
    path = write_tar(tmp_path / "a.tar", [(long, b"deep"), hard("b.jpg", long), link("c.jpg", long)], tar_format)
    assert contents(path) == {long: b"deep", "b.jpg": b"deep", "c.jpg": b"deep"}


@pytest.mark.parametrize(
    ("listed", "what"),
    [
        ([link("b.jpg", "a.jpg")], "the symbolic link 'b.jpg' to 'a.jpg', which is not there.*--dereference"),
        ([hard("b.jpg", "a.jpg")], "the hard link 'b.jpg' to 'a.jpg', which is not there.*--hard-dereference"),
        ([("a.jpg", b"1"), link("b.jpg", "/a.jpg")], "symbolic link"),
        ([("a.jpg", b"1"), link("b.jpg", "../a.jpg")], "symbolic link"),
        ([link("a.jpg", "b.jpg"), link("b.jpg", "a.jpg")], "symbolic link"),
        ([link("a.jpg", "a.jpg")], "symbolic link"),
        ([link("a.jpg", "now/a.jpg"), link("now", "now")], "symbolic link"),
    ],
    ids=["nowhere", "hard, nowhere", "absolute", "out of the tar", "circle", "itself", "through a circle"],
)
def test_a_link_out_of_the_tar_is_refused(tmp_path, listed, what):
    path = write_tar(tmp_path / "a-000002.tar", [("z.jpg", b"z"), *listed])
    with pytest.raises(ShardError, match=rf"a-000002\.tar at offset 1024: .*got the {what}|a-000002.*{what}"):
        contents(path)


def test_what_no_sample_needs_is_passed_over_and_counted(tmp_path):
    device = tarfile.TarInfo("null.jpg")
    device.type = tarfile.CHRTYPE
    pipe = tarfile.TarInfo("pipe.jpg")
    pipe.type = tarfile.FIFOTYPE
    odd = tarfile.TarInfo("odd.jpg")
    odd.type = b"V"
    listed = [
        ("d", None),
        ("d/a.jpg", b"1"),
        link("now.d", "d"),
        link("README", "nowhere"),
        (device, b""),
        (pipe, b""),
        (odd, b""),
    ]
    passed_over = PassedOver()
    assert list(contents(write_tar(tmp_path / "a.tar", listed), passed_over)) == ["d/a.jpg"]
    assert passed_over.counts == {
        "directory": 1,
        "link to a directory": 1,
        "name without a suffix": 1,
        "device or pipe": 2,
        "member of type 'V'": 1,
    }


@pytest.fixture(scope="module")
def linked(tmp_path_factory):
    """A tar of ten files, each under a second name by a hard link, as GNU tar writes it, and forward symbolic links."""
    if shutil.which("tar") is None:
        pytest.skip("there is no tar program here")
    folder = tmp_path_factory.mktemp("linked")
    tree = folder / "tree"
    tree.mkdir()
    for i in range(10):
        (tree / f"b{i}.jpg").write_bytes(bytes([i]) * (3000 + i))
        (tree / f"b{i}.cls").write_text(str(i))
        (tree / f"a{i}.jpg").symlink_to(f"b{i}.jpg")
        (tree / f"a{i}.cls").symlink_to(f"b{i}.cls")
        os.link(tree / f"b{i}.jpg", tree / f"c{i}.jpg")
        os.link(tree / f"b{i}.cls", tree / f"c{i}.cls")
    subprocess.run(["tar", "--sort=name", "-cf", folder / "x-0.tar", "-C", tree, "."], check=True)
    return folder


TRUTH = {f"./{kind}{i}": (bytes([i]) * (3000 + i), str(i).encode()) for kind in "abc" for i in range(10)}


def rows(shards):
    reader = sa.ShardReader(shards, batch_size=5, lanes=2, window=16)
    out = {}
    for batch in reader:
        out |= {
            key: (bytes(batch.data[row]), bytes(batch.extras["cls"][row])) for row, key in enumerate(batch.origin.keys)
        }
    return out


def test_every_name_is_a_sample_with_the_right_bytes_with_and_without_an_index(linked, capsys):
    url = str(linked / "x-0.tar")
    assert rows(sa.ShardSet.open(url)) == TRUTH
    assert main(["check", url]) == 1  # the drawn bytes are no images; nothing else is wrong
    assert {line.split(":")[0] for line in capsys.readouterr().out.splitlines()[:-2]} == {"image"}
    assert main(["index", url, "--checksum"]) == 0
    assert rows(sa.ShardSet.open(url)) == TRUTH
    (linked / "x-0.idx").unlink()
    (linked / "x-0.crc32c").unlink()
    (linked / "index.json").unlink()


def test_a_remote_shard_is_followed_too(linked):
    with http_proxy(linked) as (_, base):
        assert rows(sa.ShardSet.open(f"{base}/x-0.tar")) == TRUTH


def test_a_stream_gives_the_bytes_of_links_whenever_they_pass(linked):
    url, storage = str(linked / "x-0.tar"), Storage(sa.StorageOptions())
    seen = {sample.key: (data["jpg"], data["cls"]) for sample, data in stream(storage, url, storage.size(url))}
    assert seen == TRUTH


def test_dali_reads_linked_samples_by_our_index(linked, tmp_path):
    from nvidia.dali import fn, pipeline_def

    shutil.copy(linked / "x-0.tar", tmp_path)
    assert main(["index", str(tmp_path / "x-0.tar")]) == 0

    @pipeline_def(batch_size=30, num_threads=1, device_id=None)
    def graph():
        paths, indexes = [str(tmp_path / "x-0.tar")], [str(tmp_path / "x-0.idx")]
        return tuple(fn.readers.webdataset(paths=paths, index_paths=indexes, ext=["jpg", "cls"]))

    pipe = graph()
    images, labels = pipe.run()
    got = [(images.at(i).tobytes(), labels.at(i).tobytes()) for i in range(30)]
    assert got == list(TRUTH.values())
    assert np.array_equal(images.at(0), images.at(10))
