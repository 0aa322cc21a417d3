import json

import numpy as np
import pytest
from tars import as_webdataset_reads, pairs, write_tars

from streamaug import ShardReader
from streamaug.cli import main
from streamaug.errors import BadSampleError, IndexFormatError
from streamaug.shards import ShardSet
from streamaug.shards.checksum import crc32c


def test_known_answers():
    """RFC 3720, appendix B.4."""
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytearray(range(32))) == 0x46DD794E
    assert crc32c(memoryview(bytes(range(31, -1, -1)))) == 0x113FDB5C
    assert crc32c(b"123456789") == 0xE3069283


@pytest.fixture
def folder(tmp_path):
    return write_tars(tmp_path, [[*pairs(5), ("only.png", b"no label")], pairs(3, start=7)])


def url(folder):
    return str(folder / "x-{0..1}.tar")


def test_checksums_are_those_of_the_bytes(folder):
    assert main(["index", url(folder), "--checksum"]) == 0
    shards = ShardSet.open(url(folder))
    for number in range(2):
        index = shards.index(number)
        assert index.checksums.dtype == np.uint32
        samples = [parts for _, parts in as_webdataset_reads(folder / f"x-{number}.tar")]
        expected = [[crc32c(s.get("jpg", s.get("png"))), crc32c(s["cls"]) if "cls" in s else 0] for s in samples]
        assert index.checksums.tolist() == expected
    only = ShardSet.open(url(folder), components=("cls",)).index(1)
    assert only.checksums[:, 0].tolist() == shards.index(1).checksums[:, 1].tolist()


def test_without_a_companion_there_are_none(folder):
    assert ShardSet.open(url(folder)).index(0).checksums is None
    main(["index", url(folder)])
    assert ShardSet.open(url(folder)).index(0).checksums is None


def test_without_a_manifest_the_companion_is_found_too(folder):
    main(["index", url(folder), "--checksum"])
    (folder / "index.json").unlink()
    assert ShardSet.open(url(folder)).index(0).checksums is not None


def test_indexing_again_without_checksums_forgets_them(folder):
    main(["index", url(folder), "--checksum"])
    assert json.loads((folder / "index.json").read_text())["shardlist"][0]["checksums"] == "crc32c"
    main(["index", url(folder)])
    assert ShardSet.open(url(folder)).index(0).checksums is None
    assert not list(folder.glob("*.crc32c"))


def test_the_reader_finds_a_flipped_bit(folder):
    main(["index", url(folder), "--checksum"])
    path = folder / "x-1.tar"
    shards = ShardSet.open(url(folder), components=("jpg;png",))
    assert sum(len(b.data) for b in ShardReader(shards, batch_size=3, shuffle=False)) == 9
    data = bytearray(path.read_bytes())
    data[shards.index(1).offsets[1, 0] + 300] ^= 4
    path.write_bytes(data)
    shards = ShardSet.open(url(folder), components=("jpg;png",))
    with pytest.raises(BadSampleError, match=r"k00008.*checksum|checksum.*k00008"):
        list(ShardReader(shards, batch_size=3, shuffle=False))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda text: text.replace("streamaug", "other"), 1),
        (lambda text: text[: len(text) // 2], 1),
        (lambda text: text.replace(text.split()[2], "00000000"), 1),
        (lambda text: text.replace(text.splitlines()[3], "zz"), 4),
        (lambda text: text.replace(text.splitlines()[3], text.split()[3]), 4),
    ],
)
def test_a_companion_that_does_not_belong_is_an_error(folder, change, line):
    main(["index", url(folder), "--checksum"])
    path = folder / "x-0.crc32c"
    path.write_text(change(path.read_text()))
    with pytest.raises(IndexFormatError, match=rf"x-0\.crc32c, line {line}: .*--checksum"):
        ShardSet.open(url(folder)).index(0)


def test_the_index_of_another_writer_voids_the_companion(folder):
    main(["index", url(folder), "--checksum"])
    path = folder / "x-0.idx"
    path.write_text(path.read_text().replace("\njpg", "\nJPG"))
    with pytest.raises(IndexFormatError, match="belong to the index"):
        ShardSet.open(url(folder)).index(0)
