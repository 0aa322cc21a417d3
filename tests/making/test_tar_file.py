"""The tar of a shard: byte for byte what webdataset's own writer makes."""

import io
import resource

import pytest
from webdataset import TarWriter

from streamaug.making.tar_file import GatheringFile, ShardTar

SIZES = (0, 1, 511, 512, 513, 10_000, 70_001)


def members(names):
    for number, name in enumerate(names):
        for suffix in ("cls", "jpg"):
            yield name, suffix, bytes([number]) * SIZES[(number + len(suffix)) % len(SIZES)]
        yield from ((name, "a.json", b"{}"), (name, "b", bytes(600)), (name, "猫", b"1"))


@pytest.mark.parametrize("count", [0, 1, 9])
@pytest.mark.parametrize(
    "name", ["k{}", "n01440764/n01440764_{}", "x" * 93 + "{}", "x" * 96 + "{}", "y/" * 90 + "{}", "猫/{}", "\udcff{}"]
)
def test_the_bytes_are_those_of_the_writer_as_it_is(name, count):
    names = [name.format(number) for number in range(count)]
    ours, theirs = io.BytesIO(), io.BytesIO()
    with TarWriter(theirs, encoder=False, mtime=0) as writer:
        for key, suffix, data in members(names):
            writer.write({"__key__": key, suffix: data})
    tar = ShardTar(ours)
    for key, suffix, data in members(names):
        at = tar.add(key, suffix, data)
        assert tar.offset == at + -(-len(data) // 512) * 512
    tar.close()
    assert ours.getvalue() == theirs.getvalue()


def test_the_offset_is_where_the_next_header_stands():
    file = io.BytesIO()
    tar = ShardTar(file)
    for size, offset in ((700, 1536), (512, 2560), (0, 3072)):
        tar.add("k", "jpg", bytes(size))
        tar.flush()
        assert tar.offset == file.tell() == offset


def test_more_pieces_than_the_kernel_takes_in_a_call_are_written_in_their_order(tmp_path):
    pieces = [bytes([number % 251]) * (number % 7) for number in range(5000)]
    with GatheringFile(tmp_path / "file", "wb") as file:
        file.writelines(pieces)
        file.write(b"end")
        assert file.tell() == sum(map(len, pieces)) + 3
    assert (tmp_path / "file").read_bytes() == b"".join(pieces) + b"end"


def test_pieces_of_which_the_disk_took_a_part_end_in_an_error(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with GatheringFile(tmp_path / "file", "wb") as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # as a full disk: it takes 1000 bytes, then none
        try:
            with pytest.raises(OSError, match="too large"):
                file.writelines([b"a" * 600, b"b" * 600])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "file").read_bytes() == b"a" * 600 + b"b" * 400
