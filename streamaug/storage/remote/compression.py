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


def compression(header: str) -> str:
    """The compression that a Content-Encoding names, or ""."""
    said = header.strip().lower()
    return said if said in FIRST_BYTES else ""


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
