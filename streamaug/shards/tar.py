"""Reads the members of a tar strictly: parts that the standard library skips in silence are errors or are counted.

In: the file of a shard, read forward. Out: its regular members and the positions of their data; it follows links within
the tar. `tarfile` takes an invalid header in the middle, and a file that ends without an end-of-archive marker, for the
end of the archive; either would lose samples silently.
"""

import io
import tarfile
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from streamaug.errors import ShardError
from streamaug.shards.foreign import foreign
from streamaug.shards.links import Links
from streamaug.shards.names import PassedOver, kind_without_sample

BLOCK = 512
#: Zeros after the end-of-archive marker beyond this are a hole, not padding (the largest records in use are of 1 MiB).
_PADDING_LIMIT = 2 << 20


class Member(NamedTuple):
    """A file in a tar: its name, offset and size of its data in bytes, and whether another member has that data too."""

    name: str
    offset: int
    size: int
    is_link: bool = False


class Seekable(Protocol):
    """A binary file that is read forward, except for a header's length back, and for looking ahead."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, fewer only at the end."""

    def seek(self, offset: int, /) -> object:
        """Go to an absolute offset."""

    def tell(self) -> int:
        """The present offset; `tarfile` asks for it when it has read a header."""


def members(file: Seekable, shown_as: str, num_bytes: int, passed_over: PassedOver | None = None) -> Iterator[Member]:
    """The files of the tar in `file`, in order.

    Args:
        file: The shard.
        shown_as: The shard's name in errors.
        num_bytes: Its size.
        passed_over: Counts members that are no files, if given.

    Raises:
        ShardError: If the shard is truncated, compressed, foreign or sparse, or a link that is part of a sample leads
            out of it; names shard, offset and fix.
    """
    passed_over = PassedOver() if passed_over is None else passed_over
    headers = _Headers(file, shown_as, num_bytes)
    links = Links(lambda: iter(_Headers(file, shown_as, num_bytes, headers.next_offset)))
    for info in headers:
        if info.issym() or info.islnk():
            member = _followed(info, links, shown_as, passed_over)
            if member is not None:
                yield member
        elif info.isreg():
            yield Member(info.name, info.offset_data, info.size)
        else:
            passed_over.add(_kind(info), info.name)
        links.add(info)


def headers_from(file: Seekable, shown_as: str, num_bytes: int, start: int) -> Iterator[tarfile.TarInfo]:
    """The headers of a tar from that of a member, or of the end, on; errors as in `members`."""
    return iter(_Headers(file, shown_as, num_bytes, start))


def header_of(block: bytes) -> tarfile.TarInfo | None:
    """What a block of 512 bytes says as a header, without those that extend it; None if it is none."""
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None


class _Headers:
    """The headers of a tar from an offset on; the file may be read elsewhere between two of them."""

    def __init__(self, file: Seekable, shown_as: str, num_bytes: int, start: int = 0) -> None:
        self._file, self._shown_as, self._num_bytes = file, shown_as, num_bytes
        self._archive = tarfile.TarFile(fileobj=io.BytesIO(bytes(2 * BLOCK)))
        self._archive.fileobj = file  # type: ignore[assignment]  # typeshed asks for more than is used
        self._archive.offset = start

    @property
    def next_offset(self) -> int:
        """Where the next header stands."""
        return self._archive.offset

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        file, shown_as, archive = self._file, self._shown_as, self._archive
        while True:
            # Here stands a header, the end-of-archive marker, or no tar.
            offset = archive.offset
            file.seek(offset)
            header = file.read(BLOCK)
            if len(header) < BLOCK:
                raise _truncated(header, shown_as, offset, f"got the end of the file at {self._num_bytes}")
            if not any(header):
                _check_tail(file, shown_as, offset)
                return
            # The header, with those that extend it.
            file.seek(offset)
            try:
                info = tarfile.TarInfo.fromtarfile(archive)
            except (tarfile.HeaderError, ValueError) as error:
                raise _bad_header(header, shown_as, offset, str(error)) from error
            if info.issparse():
                raise ShardError(
                    f"{shown_as} at offset {offset}: members must be stored whole, got the sparse file {info.name!r}. "
                    "Write the shard without --sparse."
                )
            # Its data, which must lie in the file.
            if archive.offset <= offset:
                raise _bad_header(header, shown_as, offset, f"size {info.size}")
            if archive.offset > self._num_bytes:
                what = f"got a member {info.name!r} of {info.size} bytes in a file of {self._num_bytes}"
                raise _truncated(header, shown_as, offset, what)
            yield info


def _followed(info: tarfile.TarInfo, links: Links, shown_as: str, passed_over: PassedOver) -> Member | None:
    """The member that a link stands for; None, and counted, where no sample needs it."""
    kind = kind_without_sample(info.name)
    if kind is not None:
        passed_over.add(kind, info.name)
        return None
    target = links.target(info)
    if target is None:
        link, option = ("hard", "--hard-dereference") if info.islnk() else ("symbolic", "--dereference")
        raise ShardError(
            f"{shown_as} at offset {info.offset}: a link must lead to a file in the same tar, got the {link} link "
            f"{info.name!r} to {info.linkname!r}, which is not there. Write the shard with `tar {option}`."
        )
    if target.data is None:
        passed_over.add("link to a directory", info.name)
        return None
    return Member(info.name, *target.data, is_link=True)


def _kind(info: tarfile.TarInfo) -> str:
    """The kind of a member that is neither file nor link, to count."""
    if info.isdir():
        return "directory"
    if info.isfifo() or info.ischr() or info.isblk():
        return "device or pipe"
    return f"member of type {info.type.decode('ascii', 'backslashreplace')!r}"


def _check_tail(file: Seekable, shown_as: str, offset: int) -> None:
    """Check that only a moderate number of zeros follows the first zero block."""
    at = offset
    file.seek(at)
    while piece := file.read(1 << 20):
        if any(piece):
            first = at + next(i for i, byte in enumerate(piece) if byte)
            raise ShardError(
                f"{shown_as} at offset {offset}: nothing may follow the end-of-archive marker, got data at {first}. "
                "The shard has a hole, or is several tars one after the other: write it again as one tar."
            )
        at += len(piece)
    if at - offset > _PADDING_LIMIT:
        raise ShardError(
            f"{shown_as} at offset {offset}: the end-of-archive marker must end the file, got {at - offset} zeros. "
            "The rest was never written: copy the shard again."
        )


def _truncated(header: bytes, shown_as: str, offset: int, what: str) -> ShardError:
    """The error of a file that ends too early, unless its first bytes are of another kind of file altogether."""
    if offset == 0:
        if not header:
            return ShardError(
                f"{shown_as} at offset 0: a shard must be a tar, got an empty file, truncated before its first byte. "
                "Copy or write it again."
            )
        error = not_a_tar(header, shown_as)
        if error is not None:
            return error
    return ShardError(
        f"{shown_as} at offset {offset}: the tar must go on to its end-of-archive marker, {what}. "
        "The shard is truncated: copy or write it again."
    )


def _bad_header(header: bytes, shown_as: str, offset: int, why: str) -> ShardError:
    error = not_a_tar(header, shown_as) if offset == 0 else None
    return error or ShardError(
        f"{shown_as} at offset {offset}: a tar header must stand here, got {header[:16]!r} ({why}). "
        "The shard is damaged or no tar: copy or write it again."
    )


def not_a_tar(head: bytes, shown_as: str) -> ShardError | None:
    """The error that names the kind of a file that is no tar, by its first bytes; None where these do not tell."""
    found = foreign(head)
    if found is None:
        return None
    return ShardError(
        f"{shown_as} at offset 0: a shard must be an uncompressed tar, got {found.kind}. Fix: {found.fix}."
    )
