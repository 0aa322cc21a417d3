"""The members of a tar, strictly: what the standard library skips in silence is an error here.

In: a file, read forward, of a shard. Out: its regular members with the places of their data. `tarfile` takes an invalid
header in the middle, and a file that ends without an end-of-archive marker, for the end of the archive; either would
lose samples without a word.
"""

import io
import tarfile
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from streamaug.errors import ShardError
from streamaug.storage.urls import shown

BLOCK = 512
#: Zeros after the end-of-archive marker beyond this are a hole, not padding (the largest records in use are of 1 MiB).
_PADDING_LIMIT = 2 << 20
_FOREIGN = (
    (b"\x1f\x8b", "gzip", "gunzip it"),
    (b"BZh", "bzip2", "bunzip2 it"),
    (b"\xfd7zXZ", "xz", "unxz it"),
    (b"\x28\xb5\x2f\xfd", "zstd", "unzstd it"),
    (b"\x04\x22\x4d\x18", "lz4", "unlz4 it"),
    (b"PK\x03\x04", "zip", "write its files as a tar"),
    (b"<", "HTML or XML", "check the URL: a server's message was stored or sent in its place"),
)


class Member(NamedTuple):
    """A regular file in a tar: its name, and offset and size of its data in bytes."""

    name: str
    offset: int
    size: int


class Seekable(Protocol):
    """A binary file that is read forward, but for one header's length back."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at the end."""

    def seek(self, offset: int, /) -> object:
        """Go to an absolute offset."""


def members(file: Seekable, url: str, num_bytes: int) -> Iterator[Member]:
    """The regular members of the tar in `file`, in order.

    Args:
        file: The shard.
        url: Its name, for errors.
        num_bytes: Its size.

    Raises:
        ShardError: If the shard is truncated, compressed, foreign or sparse; names shard, offset and fix.
    """
    archive = tarfile.TarFile(fileobj=io.BytesIO(bytes(2 * BLOCK)))
    archive.fileobj, archive.offset = file, 0  # type: ignore[assignment]  # typeshed asks for more than is used
    while True:
        offset = archive.offset
        file.seek(offset)
        header = file.read(BLOCK)
        if len(header) < BLOCK:
            raise _truncated(url, offset, f"got the end of the file at {num_bytes}")
        if not any(header):
            _check_tail(file, url, offset)
            return
        file.seek(offset)
        try:
            info = tarfile.TarInfo.fromtarfile(archive)
        except (tarfile.HeaderError, ValueError) as error:
            raise _bad_header(header, url, offset, str(error)) from error
        if info.issparse():
            raise ShardError(
                f"{shown(url)} at offset {offset}: members must be stored whole, got the sparse file {info.name!r}. "
                "Write the shard without --sparse."
            )
        if archive.offset <= offset:
            raise _bad_header(header, url, offset, f"size {info.size}")
        if archive.offset > num_bytes:
            what = f"got a member {info.name!r} of {info.size} bytes in a file of {num_bytes}"
            raise _truncated(url, offset, what)
        if info.isreg():
            yield Member(info.name, info.offset_data, info.size)


def _check_tail(file: Seekable, url: str, offset: int) -> None:
    """What follows the first zero block must be a moderate number of zeros."""
    at = offset
    file.seek(at)
    while piece := file.read(1 << 20):
        if any(piece):
            found = at + next(i for i, byte in enumerate(piece) if byte)
            raise ShardError(
                f"{shown(url)} at offset {offset}: nothing may follow the end-of-archive marker, got data at {found}. "
                "The shard has a hole, or is several tars one after the other: write it again as one tar."
            )
        at += len(piece)
    if at - offset > _PADDING_LIMIT:
        raise ShardError(
            f"{shown(url)} at offset {offset}: the end-of-archive marker must end the file, got {at - offset} zeros. "
            "The rest was never written: copy the shard again."
        )


def _truncated(url: str, offset: int, what: str) -> ShardError:
    return ShardError(
        f"{shown(url)} at offset {offset}: the tar must go on to its end-of-archive marker, {what}. "
        "The shard is truncated: copy or write it again."
    )


def _bad_header(header: bytes, url: str, offset: int, why: str) -> ShardError:
    if offset == 0:
        for magic, kind, fix in _FOREIGN:
            if header.startswith(magic):
                return ShardError(
                    f"{shown(url)} at offset 0: a shard must be an uncompressed tar, got {kind}. Fix: {fix}."
                )
    return ShardError(
        f"{shown(url)} at offset {offset}: a tar header must stand here, got {header[:16]!r} ({why}). "
        "The shard is damaged or no tar: copy or write it again."
    )
