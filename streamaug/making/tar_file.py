"""The tar of a shard, as webdataset's `TarWriter` writes it, with headers that are filled into a template.

In: members, all alike but for name and size. Out: the very bytes that `TarWriter` writes, in a sixth of the CPU time
(15 µs against 90 a member that is a label, without the copying), which is what copying is bound by.
"""

import tarfile
from typing import BinaryIO

from streamaug.shards.tar import BLOCK

#: Fields of a ustar header, POSIX.1-1988.
_NAME, _SIZE, _CHECKSUM = slice(0, 100), slice(124, 136), slice(148, 156)
_BLANK = b" " * 8  # blanks in place of the checksum while it is computed
_ZEROS = bytes(BLOCK)


class ShardTar:
    """A tar without times, owners or other facts of this machine.

    Args:
        file: The file to write to.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._tar = tarfile.TarFile(fileobj=file, mode="w")
        self._template = self._empty_header()
        self._template_sum = sum(self._template)

    @property
    def offset(self) -> int:
        """The offset of the next header."""
        return int(self._tar.offset)

    def add(self, key: str, suffix: str, data: bytes) -> int:
        """Append a member; returns where its data lies. A name that needs a further header is left to `TarWriter`."""
        name = f"{key}.{suffix}".encode("ascii", "replace")
        size = len(data)
        padding = -size % BLOCK
        if not key.isascii() or not suffix.isascii() or len(name) > _NAME.stop or size >= 8**11:
            self._add_by_webdataset(key, suffix, data)
            return self.offset - size - padding
        digits = b"%011o\0" % size
        header = bytearray(self._template)
        header[: len(name)] = name
        header[_SIZE] = digits
        header[_CHECKSUM] = b"%06o\0 " % (self._template_sum + sum(name) + sum(digits))
        self._file.write(header)
        self._file.write(data)
        self._file.write(_ZEROS[:padding])
        offset = int(self._tar.offset) + BLOCK
        self._tar.offset = offset + size + padding
        return offset

    def close(self) -> None:
        """Write the end of the tar."""
        self._tar.close()

    def _add_by_webdataset(self, key: str, suffix: str, data: bytes) -> None:
        from webdataset import TarWriter  # imports torch

        writer = TarWriter(self._file, encoder=False, mtime=0)
        writer.tarstream = self._tar
        writer.write({"__key__": key, suffix: data})

    def _empty_header(self) -> bytes:
        """The header of a member, without name and size."""
        empty = tarfile.TarInfo("")
        empty.mode = 0o444
        empty.uname = empty.gname = "bigdata"  # as webdataset has it
        header = bytearray(empty.tobuf(self._tar.format, "utf-8", "surrogateescape"))
        header[_SIZE], header[_CHECKSUM] = bytes(12), _BLANK
        return bytes(header)
