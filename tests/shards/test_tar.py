import bz2
import gzip
import io
import lzma
import tarfile

import pytest
from tars import pairs, write_tar

from streamaug.errors import ShardError
from streamaug.shards.tar import members


def scanned(path):
    with path.open("rb") as file:
        return list(members(file, str(path), path.stat().st_size))


@pytest.fixture
def shard(tmp_path):
    return write_tar(tmp_path / "a-000007.tar", pairs(20))


def test_members_lie_where_their_bytes_are(shard):
    data = shard.read_bytes()
    found = scanned(shard)
    assert [(m.name, data[m.offset : m.offset + m.size]) for m in found] == pairs(20)


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_tar_format_gives_the_same_members(tmp_path, tar_format):
    long = f"{'d' * 60}/{'e' * 60}/{'n' * 40}"
    listed = [(f"{long}{i}.jpg", bytes([i]) * 600) for i in range(5)]
    if tar_format != tarfile.USTAR_FORMAT:
        listed.append(("x" * 300 + ".jpg", b"deep"))
        listed.append(("naïve ☃.jpg", b"unicode"))
    path = write_tar(tmp_path / "a.tar", listed, tar_format)
    data = path.read_bytes()
    assert [(m.name, data[m.offset : m.offset + m.size]) for m in scanned(path)] == listed


def test_every_truncation_is_an_error_that_names_shard_and_offset(shard, tmp_path):
    """Cut anywhere before the end-of-archive marker: the standard library stays silent for many of these."""
    whole = shard.read_bytes()
    end = max(m.offset + -(-m.size // 512) * 512 for m in scanned(shard))
    cut = tmp_path / "cut-000003.tar"
    silent = 0
    for size in [*range(0, end, 397), end - 512, end - 1, end, end + 1, end + 511]:
        cut.write_bytes(whole[:size])
        with pytest.raises(ShardError, match=r"cut-000003\.tar at offset \d+.*truncated"):
            scanned(cut)
        try:
            with tarfile.open(cut) as tar:
                silent += len(tar.getmembers()) < 40
        except tarfile.ReadError:
            pass
    assert silent > 0


def test_a_member_that_is_cut_is_named(shard):
    shard.write_bytes(shard.read_bytes()[: scanned(shard)[6].offset + 300])
    with pytest.raises(ShardError, match=r"got a member 'k00003\.jpg' of 703 bytes"):
        scanned(shard)


def test_a_broken_header_in_the_middle_is_an_error(shard):
    whole = bytearray(shard.read_bytes())
    at = scanned(shard)[12].offset - 512
    whole[at + 20] ^= 0xFF
    shard.write_bytes(whole)
    with tarfile.open(shard) as tar:
        assert len(tar.getmembers()) == 12
    with pytest.raises(ShardError, match=rf"a-000007\.tar at offset {at}: a tar header"):
        scanned(shard)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (gzip.compress, "gzip"),
        (bz2.compress, "bzip2"),
        (lzma.compress, "xz"),
        (lambda data: b"\x28\xb5\x2f\xfd" + data, "zstd"),
        (lambda data: b"PK\x03\x04" + data, "zip"),
        (lambda data: b"<!DOCTYPE html>" + data, "HTML"),
        (lambda data: b"\x89PNG" + data, "a PNG image"),
        (lambda data: b"\x01\x02\x03" + data, "no tar"),
    ],
)
def test_a_compressed_or_foreign_file_is_called_what_it_is(shard, change, what):
    shard.write_bytes(change(shard.read_bytes()))
    with pytest.raises(ShardError, match=rf"a-000007\.tar at offset 0.*{what}"):
        scanned(shard)


def test_a_hole_of_zeros_in_the_middle_is_an_error(shard):
    whole = bytearray(shard.read_bytes())
    at = scanned(shard)[12].offset - 512
    whole[at : at + 1024] = bytes(1024)
    shard.write_bytes(whole)
    with tarfile.open(shard) as tar:
        assert len(tar.getmembers()) == 12
    with pytest.raises(ShardError, match=rf"offset {at}.*hole"):
        scanned(shard)


def test_a_preallocated_file_that_was_never_filled_is_an_error(shard):
    whole = shard.read_bytes()
    at = scanned(shard)[12].offset - 512
    shard.write_bytes(whole[:at] + bytes(3 << 20))
    with pytest.raises(ShardError, match=rf"offset {at}.*never written"):
        scanned(shard)


def test_padding_to_a_large_record_is_fine(shard):
    shard.write_bytes(shard.read_bytes() + bytes(1 << 20))
    assert len(scanned(shard)) == 40


def test_an_empty_tar_has_no_members_and_an_empty_file_is_no_tar(tmp_path):
    path = write_tar(tmp_path / "a.tar", [])
    assert scanned(path) == []
    path.write_bytes(b"")
    with pytest.raises(ShardError, match="truncated"):
        scanned(path)


def test_a_sparse_member_is_refused(tmp_path):
    info = tarfile.TarInfo("a.jpg")
    info.type = tarfile.GNUTYPE_SPARSE
    info.size = 512
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(header) + bytes(512) + bytes(1024))
    with pytest.raises(ShardError, match="sparse"):
        scanned(path)


def test_a_member_larger_than_octal_sizes_allow_is_placed_right():
    """9 GB by header alone: the size stands in a PAX header, or in base 256."""
    for tar_format in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        info = tarfile.TarInfo("a.bin")
        info.size = 9 << 30
        header = info.tobuf(tar_format)

        class Hollow(io.BytesIO):
            def read(self, size=-1, /):
                data = super().read(size)
                return data + bytes(size - len(data)) if size > len(data) else data

        found = members(Hollow(header), "hollow.tar", len(header) + info.size + 1024)
        assert next(found)[:3] == ("a.bin", len(header), 9 << 30)
