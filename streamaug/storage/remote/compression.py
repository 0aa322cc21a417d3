"""The header Content-Encoding of answers: compressed on the way, stored compressed, or only said to be.

In: an answer's encoding and bytes. Out: the bytes as the store holds them, decompressed for small files alone, or an
error that names the header.
"""

import gzip
import zlib
from collections.abc import Iterator

from streamaug.storage.remote.failures import WrongAnswerError

#: Encodings that change the bytes, and the first bytes of what they give where these are fixed; other encodings in the
#: header, such as "aws-chunked", change nothing.
FIRST_BYTES = {
    "gzip": b"\x1f\x8b",
    "x-gzip": b"\x1f\x8b",
    "compress": b"\x1f\x9d",
    "zstd": b"\x28\xb5\x2f\xfd",
    "deflate": None,
    "br": None,
}


#: The first bytes that tell whether an object is compressed: the length of a tar's header.
HEAD = 512


def compression(header: str) -> str:
    """The compression that a Content-Encoding names, or ""."""
    said = header.strip().lower()
    return said if said in FIRST_BYTES else ""


def is_compressed(head: bytes, encoding: str, *, is_tar: bool) -> bool:
    """Whether an object is stored compressed, as its header says, and does not only have the header.

    Args:
        head: Its first `HEAD` bytes, or all of it.
        encoding: The compression that the header names, or "".
        is_tar: Whether it must be a tar.
    """
    if encoding not in FIRST_BYTES:
        return False
    begin = FIRST_BYTES[encoding]
    if begin is not None:
        return head.startswith(begin)
    # A tar has its format's name behind the first fields of its header, or nothing.
    return is_tar and len(head) >= HEAD and head[257:262] != b"ustar" and any(head[257:HEAD])


def as_stored(pieces: Iterator[memoryview], size: int, encoding: str) -> Iterator[memoryview]:
    """The pieces, if their length is that of the header: then the store itself holds them compressed.

    Raises:
        WrongAnswerError: If the server compressed them for this answer.
    """
    taken = list(pieces)
    if sum(map(len, taken)) != size:
        raise WrongAnswerError(f"the object was sent compressed (Content-Encoding: {encoding})")
    yield from taken


def decompressed(data: bytes, encoding: str) -> bytes:
    """A small file, decompressed if its store says that it is compressed by gzip.

    Raises:
        WrongAnswerError: If it is damaged.
    """
    if encoding not in ("gzip", "x-gzip") or not data.startswith(b"\x1f\x8b"):
        return data  # the header only says so
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise WrongAnswerError(f"the object's gzip encoding is damaged: {error}") from None
