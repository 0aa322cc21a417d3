"""Tars as people have them: unsorted, from a Mac, with dots in names, with sizes in pax headers, without a sample."""

import tarfile

import pytest
from tars import as_webdataset_reads, pairs, write_tar

import streamaug as sa
from streamaug.cli import main


def read(shards, **options):
    """{key: (image, label)} of an epoch."""
    out = {}
    for batch in sa.ShardReader(shards, batch_size=1, lanes=1, **options):
        (key,) = batch.origin.keys
        out[key] = (bytes(batch.data[0]), bytes(batch.extras["cls"][0]))
    return out


UNSORTED = [
    [(name, data) for suffix in ("jpg", "cls") for name, data in pairs(6) if name.endswith(suffix)],
    [*pairs(3), ("z.cls", b"1"), ("a.jpg", b"2"), ("z.jpg", b"3")],
    [("a.jpg", b"1"), ("b.jpg", b"1"), ("a.cls", b"1"), ("a.json", b"{}"), ("b.cls", b"1")],
    [("b/./a.jpg", b"1"), ("b/c.jpg", b"1"), ("b/a.cls", b"1"), ("b/c.cls", b"1")],
]


@pytest.mark.parametrize("listed", UNSORTED, ids=["labels last", "one pair apart", "three parts", "two names"])
@pytest.mark.parametrize("components", [("jpg", "cls"), ("jpg",)])
def test_members_that_are_apart_are_an_error_that_names_the_key_and_the_fix(tmp_path, listed, components):
    path = write_tar(tmp_path / "x-0.tar", listed)
    with pytest.raises(sa.ShardError) as caught:
        sa.ShardSet.open(str(path), components=components)
    text = str(caught.value)
    assert text.startswith(f"{path} at offset ")
    assert "began at offset" in text
    assert "`tar --sort=name`" in text or "with one of 'b/./a', 'b/a'" in text


def test_an_index_by_others_of_an_unsorted_tar_is_refused_when_it_is_read(tmp_path):
    """DALI's wds2idx writes such an index without a word."""
    path = write_tar(tmp_path / "x-0.tar", [("a.jpg", b"1"), ("b.jpg", b"2"), ("a.cls", b"3"), ("b.cls", b"4")])
    lines = ["jpg 512 1 a.jpg", "jpg 1536 1 b.jpg", "cls 2560 1 a.cls", "cls 3584 1 b.cls"]
    (tmp_path / "x-0.idx").write_text("\n".join(["v1.2 4", *lines]) + "\n")
    shards = sa.ShardSet.open(str(path))
    with pytest.raises(sa.ShardError, match=r"x-0\.tar at offset 2048: .*cls of 'a', which began at offset 0 with jpg"):
        read(shards)


def test_check_reports_an_unsorted_tar_once(tmp_path, capsys):
    path = write_tar(tmp_path / "x-0.tar", UNSORTED[0])
    assert main(["check", str(path)]) == 1
    shard_findings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("shard: ")]
    assert len(shard_findings) == 1
    assert "--sort=name" in shard_findings[0]


def test_a_key_that_comes_twice_with_whole_samples_is_two_samples(tmp_path):
    listed = [("a.jpg", b"1"), ("a.cls", b"1"), ("b.jpg", b"2"), ("b.cls", b"2"), ("a.jpg", b"3"), ("a.cls", b"3")]
    path = write_tar(tmp_path / "x-0.tar", [*listed, ("b.cls", b"4"), ("b.jpg", b"4"), ("b.txt", b"")])
    assert sa.ShardSet.open(str(path)).num_samples == 4 == len(as_webdataset_reads(path))


MAC = [
    ("./._d", b"\0\5\x16\7"),
    ("./d", None),
    ("./d/._a.jpg", b"\0\5\x16\7"),
    ("./d/a.jpg", b"image"),
    ("./d/._a.cls", b"\0\5\x16\7"),
    ("./d/a.cls", b"3"),
    ("./d/.DS_Store", b"\0\0\0\1Bud1"),
    ("./d/b.jpg", b"other"),
    ("./d/b.cls", b"4"),
    ("__MACOSX/d/._b.jpg", b"\0\5\x16\7"),
]


def test_what_macos_puts_beside_each_file_is_passed_over_with_one_warning(tmp_path, capsys):
    path = write_tar(tmp_path / "x-0.tar", MAC)
    with pytest.warns(UserWarning, match=r"passed over: 5 × macOS metadata \(such as '\./\._d'\)") as caught:
        shards = sa.ShardSet.open(str(path))
    assert len(caught) == 1
    assert read(shards) == {"./d/a": (b"image", b"3"), "./d/b": (b"other", b"4")}
    assert main(["check", str(path), "--json"]) == 1  # the images are none
    assert '"passed_over": {\n  "macOS metadata": 5,\n  "directory": 1\n }' in capsys.readouterr().out
    assert main(["index", str(path)]) == 0
    assert "passed over, since they are part of no sample: 5 × macOS metadata" in capsys.readouterr().out
    assert read(sa.ShardSet.open(str(path))) == {"./d/a": (b"image", b"3"), "./d/b": (b"other", b"4")}


def test_an_index_by_others_that_lists_files_of_macos_is_refused(tmp_path):
    path = write_tar(tmp_path / "x-0.tar", [("d/._a.jpg", b"m"), ("d/a.jpg", b"1"), ("d/a.cls", b"1")])
    (tmp_path / "x-0.idx").write_text("v1.2 2\n_a.jpg 512 1 d/._a.jpg\njpg 1536 1 d/a.jpg cls 2560 1 d/a.cls\n")
    with pytest.raises(sa.ShardError, match=r"x-0\.idx: must list samples, got 'd/\._a\.jpg', which macOS puts"):
        read(sa.ShardSet.open(path))


def test_directories_and_metadata_are_no_news(tmp_path):
    listed = [("d", None), ("__meta__", b"1"), ("__index__/x.json", b"{}"), *pairs(2)]
    assert sa.ShardSet.open(str(write_tar(tmp_path / "x-0.tar", listed))).num_samples == 2


def test_names_without_a_suffix_are_said_once_for_all_shards(tmp_path):
    for number in range(3):
        write_tar(tmp_path / f"x-{number}.tar", [("README", b"hello"), ("LICENSE", b""), *pairs(2, start=2 * number)])
    with pytest.warns(UserWarning, match="6 × name without a suffix") as caught:
        sa.ShardSet.open(str(tmp_path / "x-{0..2}.tar"))
    assert len(caught) == 1


@pytest.mark.parametrize(("suffixes", "wanted"), [(("tif", "cls"), ("tif", "cls")), (("jpg",), ("jpg",))])
def test_a_missing_component_says_how_to_ask_for_others(tmp_path, suffixes, wanted):
    listed = [(f"{key}.{suffix}", b"1") for key in "ab" for suffix in suffixes]
    path = str(write_tar(tmp_path / "x-0.tar", listed))
    asked = r'or ask for others than components=\("jpg;jpeg;png;webp", "cls"\) in ShardSet\.open, or read with on_bad_s'
    with pytest.raises(sa.BadSampleError, match=asked):
        read(sa.ShardSet.open(path))
    assert len(list(sa.ShardReader(sa.ShardSet.open(path, components=wanted), batch_size=1))) == 2


def test_a_missing_component_names_what_the_sample_has(tmp_path):
    path = write_tar(tmp_path / "x-0.tar", [("a.jpg", b"1"), ("a.txt", b"cat"), ("a.json", b"{}")])
    with pytest.raises(sa.BadSampleError, match="it has no component cls, but jpg and txt and json"):
        read(sa.ShardSet.open(str(path)))
    assert main(["index", str(path)]) == 0
    with pytest.raises(sa.BadSampleError, match="it has no component cls, but jpg and txt and json"):
        read(sa.ShardSet.open(str(path)))


@pytest.mark.parametrize(
    "listed",
    [
        [("img.0001.jpg", b"1"), ("img.0001.cls", b"1"), ("img.0002.jpg", b"2"), ("img.0002.cls", b"2")],
        [("n01.jpeg.jpg", b"1"), ("n01.cls", b"1"), ("n02.v2.png", b"1"), ("n02.cls", b"1")],
    ],
    ids=["numbers", "two endings"],
)
def test_dots_in_all_stems_are_said_when_the_set_is_opened(tmp_path, listed):
    path = write_tar(tmp_path / "x-0.tar", listed)
    with pytest.raises(sa.ShardError, match=r"x-0\.tar: samples must have .*first dot of a name.*without dots"):
        sa.ShardSet.open(str(path))


def test_dots_in_some_stems_are_said_of_the_sample(tmp_path):
    path = write_tar(tmp_path / "x-0.tar", [*pairs(3), ("n01.v2.jpg", b"1"), ("n01.cls", b"1")])
    with pytest.raises(sa.BadSampleError, match=r"'n01'.*but v2\.jpg and cls \(a suffix begins at the first dot"):
        read(sa.ShardSet.open(str(path)))
    assert sa.ShardSet.open(str(path), components=("jpg;v2.jpg", "cls")).num_samples == 4


def pax_sized(name, data):
    """A member whose own header says 0 bytes, and the extended header before it the size."""
    info = tarfile.TarInfo(name)
    info.pax_headers = {"size": str(len(data))}
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


@pytest.mark.parametrize("count", [1, 3])
def test_a_size_in_a_pax_header_counts_with_and_without_an_index(tmp_path, count):
    path = tmp_path / "x-0.tar"
    truth = {f"k{i}": (bytes([i + 1]) * 700, str(i).encode()) for i in range(count)}
    parts = [pax_sized(f"{key}.jpg", image) + pax_sized(f"{key}.cls", label) for key, (image, label) in truth.items()]
    path.write_bytes(b"".join(parts) + bytes(1024))
    assert as_webdataset_reads(path) == [(key, {"jpg": row[0], "cls": row[1]}) for key, row in truth.items()]
    assert read(sa.ShardSet.open(str(path))) == truth
    assert main(["index", str(path)]) == 0
    assert read(sa.ShardSet.open(str(path))) == truth
    path.write_bytes(b"".join([pax_sized("k0.jpg", b"12"), *parts[1:]]) + bytes(1024))
    with pytest.raises(sa.ShardError):
        read(sa.ShardSet.open(str(path)))


@pytest.mark.parametrize("listed", [[], [("train", None)], [("README", b"")]])
def test_a_set_without_a_sample_is_an_error_that_names_the_shard(tmp_path, listed):
    paths = [str(write_tar(tmp_path / f"x-{number}.tar", listed)) for number in range(2)]
    with pytest.raises(sa.ShardError, match=r"x-0\.tar and 1 more: a set must have a sample, got none"):
        sa.ShardSet.open(paths)
    assert main(["index", *paths]) == 0
    with pytest.raises(sa.ShardError, match=r"x-0\.tar and 1 more: a set must have a sample, got none"):
        sa.ShardSet.open(str(tmp_path / "index.json"))


def test_a_shard_without_a_sample_among_others_is_read_past(tmp_path):
    paths = [str(write_tar(tmp_path / f"x-{number}.tar", pairs(3) if number else [])) for number in range(2)]
    assert len(read(sa.ShardSet.open(paths))) == 3
