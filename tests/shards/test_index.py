import re
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tars import as_webdataset_reads, pairs, samples_of, write_tar

from streamaug.errors import IndexFormatError, ShardError
from streamaug.shards.index import components_of, count_of, read_index, select, write_index

HOSTILE = {
    "dotted directories": ["a.b/c.jpg", "a.b/c.cls", "a.b/d.e/f.jpg", "v1.0/x"],
    "suffixes of several dots": ["a.seg.png", "a.jpg", "a.tar.gz", "b.x.y.z", "b."],
    "upper case": ["A.JPG", "A.Cls", "a.JPG", "b.SEG.Png"],
    "meta members": ["__meta__", "__a__.jpg", "__a__/b.jpg", "d/__meta__.json", "x.jpg", "__x.jpg", "__index__x.jpg"],
    "without suffix": ["README", "a.jpg", "LICENSE", "a.cls", ".hidden", ".h.jpg", "d/.h.jpg", "d/"],
    "one basename in two directories": ["train/a.jpg", "train/a.cls", "val/a.jpg", "val/a.cls"],
    "not consecutive": ["a.jpg", "b.jpg", "a.cls", "b.cls", "a.json"],
    "blanks and more": [
        "a b.jpg",
        "a b.cls",
        "tab\there.jpg",
        "ünïcode/naïve.jpg",
        "./dot.jpg",
        "./dot.cls",
        "../up.jpg",
    ],
    "marked bad": ["a.jpg", "a.__bad__", "b.jpg", "b.cls"],
}


def contents(path):
    with path.open("rb") as file:
        return file.read()


def ours(path):
    data = contents(path)
    return [(s.key, {k: data[m.offset : m.offset + m.size] for k, m in s.members.items()}) for s in samples_of(path)]


def through_the_index(path):
    data = contents(path)
    text = write_index(samples_of(path))
    assert count_of(text, "a.idx") == len(samples_of(path))
    found = read_index(text, "a.idx", len(data))
    return [(s.key, {k: data[m.offset : m.offset + m.size] for k, m in s.members.items()}) for s in found]


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("kind", HOSTILE)
def test_samples_are_those_of_webdataset(tmp_path, kind, tar_format):
    path = write_tar(
        tmp_path / "a.tar", [(name, f"{i} {name}".encode()) for i, name in enumerate(HOSTILE[kind])], tar_format
    )
    assert ours(path) == as_webdataset_reads(path)
    assert through_the_index(path) == as_webdataset_reads(path)


NAMES = st.text(alphabet="aB./_ ", min_size=1, max_size=9).filter(lambda s: not s.endswith("/"))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    names=st.lists(NAMES, min_size=1, max_size=12),
    tar_format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_samples_are_those_of_webdataset_for_any_names(tmp_path_factory, names, tar_format):
    path = tmp_path_factory.mktemp("t") / "a.tar"
    write_tar(path, [(name, f"{i}".encode()) for i, name in enumerate(names)], tar_format)
    try:
        expected = as_webdataset_reads(path)
    except ValueError:
        with pytest.raises(ShardError, match="suffixes must differ"):
            ours(path)
    else:
        assert ours(path) == expected == through_the_index(path)


@pytest.mark.parametrize("twice", [["a.jpg", "a.jpg"], ["a.JPG", "a.jpg"], ["a.cls", "a.x", "a.CLS"], ["a.__key__"]])
def test_a_suffix_twice_is_an_error_here_as_in_webdataset(tmp_path, twice):
    path = write_tar(tmp_path / "a-000001.tar", [("z.jpg", b"z"), *((name, b"x") for name in twice)])
    with pytest.raises(ValueError, match="duplicate"):
        as_webdataset_reads(path)
    with pytest.raises(ShardError, match=r"a-000001\.tar at offset \d+.*a\."):
        samples_of(path)


def test_asked_components_are_found_by_the_first_alternative_present(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a.png", b"12"), ("a.jpg", b"1"), ("a.cls", b"333"), ("b.PNG", b"4444")])
    found = samples_of(path)
    index = select(found, components_of(("jpg;png", "cls")))
    assert index.keys == ["a", "b"]
    assert index.sizes.tolist() == [[1, 3], [4, -1]]
    assert index.offsets[1].tolist() == [found[1].members["png"].offset, -1]
    assert index.offsets.dtype == index.sizes.dtype == np.int64


@pytest.mark.parametrize(
    "wrong", ["jpg", (), ("jpg", ""), ("jpg;png", "jpg"), ("jpg", ";"), (1, 2), {"jpg", "cls"}, ("*.jpg",), b"jpg", 5]
)
def test_components_that_clash_are_refused(wrong):
    with pytest.raises(ValueError, match="components"):
        components_of(wrong)


def test_the_text_is_dalis_v1_2(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("d/a.jpg", b"12"), ("d/a.CLS", b"1"), ("b.jpg", b"123")])
    assert write_index(samples_of(path)) == "v1.2 2\njpg 512 2 d/a.jpg cls 1536 1 d/a.CLS\njpg 2560 3 b.jpg\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("v1.1 1\njpg 512 2\n", 1),
        ("v1.2 2\njpg 512 2 a.jpg\n", 2),
        ("v1.2 1\njpg 512 2 a.jpg\njpg 2048 2 b.jpg\n", 3),
        ("v1.2 1\njpg 512 2\n", 2),
        ("v1.2 1\njpg x 2 a.jpg\n", 2),
        ("v1.2 1\njpg 513 2 a.jpg\n", 2),
        ("v1.2 1\njpg 0 2 a.jpg\n", 2),
        ("v1.2 1\njpg 512 -2 a.jpg\n", 2),
        ("v1.2 1\njpg 512 100000 a.jpg\n", 2),
        ("v1.2 1\njpg 51200 2 a.jpg\n", 2),
        ("v1.2 1\njpg 512 2 a\n", 2),
        ("v1.2 1\n\n", 1),
    ],
)
def test_a_malformed_index_is_an_error_that_names_file_and_line(text, line):
    with pytest.raises(IndexFormatError, match=rf"x-000004\.idx, line {line}: .*streamaug index"):
        list(read_index(text, "x-000004.idx", 10240))


def test_line_ends_of_windows_and_no_line_end_at_all_are_read():
    for text in ("v1.2 1\r\njpg 512 2 a.jpg\r\n", "v1.2 1\njpg 512 2 a.jpg"):
        assert [s.key for s in read_index(text, "a.idx", 10240)] == ["a"]
        assert count_of(text, "a.idx") == 1


def test_dali_reads_our_index(tmp_path):
    """DALI's own webdataset reader, given the index, delivers the bytes of the tar, names with blanks included."""
    from nvidia.dali import fn, pipeline_def

    listed = [
        ("d.1/a b.jpg", b"first"),
        ("d.1/a b.cls", b"1"),
        ("x.JPG", b"second!"),
        ("x.cls", b"22"),
        ("README", b"r"),
    ]
    listed += pairs(5)
    path = write_tar(tmp_path / "a.tar", listed, tarfile.PAX_FORMAT)
    index = tmp_path / "a.idx"
    index.write_text(write_index(samples_of(path)))

    @pipeline_def(batch_size=7, num_threads=1, device_id=None)
    def graph():
        return tuple(fn.readers.webdataset(paths=[str(path)], index_paths=[str(index)], ext=["jpg", "cls"]))

    pipe = graph()
    images, labels = pipe.run()
    got = [(images.at(i).tobytes(), labels.at(i).tobytes()) for i in range(7)]
    assert got == [(s["jpg"], s["cls"]) for _, s in as_webdataset_reads(path)]


def test_names_with_blanks_take_one_field(tmp_path):
    path = write_tar(tmp_path / "a.tar", [("a b\tc.jpg x", b"12")])
    line = write_index(samples_of(path)).splitlines()[1]
    assert len(re.split(r"\s", line)) == 4
