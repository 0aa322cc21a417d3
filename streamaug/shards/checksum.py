"""CRC-32C of samples' bytes (RFC 3720, appendix B.4), as in object stores, and the file of checksums.

In: bytes; or the samples of a shard with a checksum for each member. Out: the checksum; or the text of `x.crc32c`,
which lies beside `x.tar` and `x.idx` and holds the checksum of its index, so that a stale file is noticed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

import crc32c as library
import numpy as np
import numpy.typing as npt

from streamaug.encoded import Encoded
from streamaug.errors import IndexFormatError
from streamaug.shards.index import Components, Sample
from streamaug.storage.location import Location

_HEADER = re.compile(r"streamaug-crc32c-1 (\d+) ([0-9a-f]{8})")
_FIELD = re.compile(r"[0-9a-f]{8}")


def crc32c(data: Encoded) -> int:
    """The CRC-32C of bytes, 0 to 2³² − 1."""
    return int(library.crc32c(data))


def checksums_beside(shard: Location) -> Location:
    """The companion that belongs to a shard: x.tar → x.crc32c."""
    return shard.companion(".crc32c")


def write_checksums(samples: Sequence[Sample], sums: Mapping[int, int], index: bytes) -> str:
    """The text of a companion: per sample, one checksum for each member in the order of the index.

    Args:
        samples: The shard's samples.
        sums: The checksum of each member, by the offset of its data.
        index: The shard's index file.
    """
    lines = [f"streamaug-crc32c-1 {len(samples)} {crc32c(index):08x}"]
    lines += [" ".join(f"{sums[member.offset]:08x}" for member in sample.members.values()) for sample in samples]
    return "\n".join(lines) + "\n"


def read_checksums(text: str, shown_as: str, index: bytes, samples: Sequence[Sample]) -> Iterator[dict[str, int]]:
    """Each sample's checksums by suffix.

    Args:
        text: The companion.
        shown_as: Its name in errors.
        index: The index file beside it.
        samples: The samples of that index.

    Raises:
        IndexFormatError: If the companion is malformed or belongs to another index; names file and line.
    """
    lines = text.rstrip("\n").split("\n")
    match = _HEADER.fullmatch(lines[0])
    if match is None or int(match[1]) != len(samples) or len(lines) - 1 != len(samples):
        raise _malformed(shown_as, 1, f"must promise and hold {len(samples)} samples, got {lines[0][:40]!r}")
    if int(match[2], 16) != crc32c(index):
        raise _malformed(shown_as, 1, f"must belong to the index beside it, {crc32c(index):08x}, got {match[2]}")
    for number, (line, sample) in enumerate(zip(lines[1:], samples, strict=True), 2):
        fields = line.split(" ")
        if len(fields) != len(sample.members) or not all(_FIELD.fullmatch(field) for field in fields):
            what = f"must have {len(sample.members)} checksums of 8 hex digits, got {line[:40]!r}"
            raise _malformed(shown_as, number, what)
        yield {suffix: int(field, 16) for suffix, field in zip(sample.members, fields, strict=True)}


def select_checksums(
    samples: Sequence[Sample], sums: Iterator[dict[str, int]], components: Components
) -> npt.NDArray[np.uint32]:
    """The checksums of the asked components, uint32 (n, C); 0 where a sample lacks the component."""
    rows = []
    for sample, by_suffix in zip(samples, sums, strict=True):
        suffixes = (next((name for name in names if name in sample.members), None) for names in components)
        rows.append([0 if suffix is None else by_suffix[suffix] for suffix in suffixes])
    return np.array(rows, np.uint32).reshape(len(samples), len(components))


def _malformed(shown_as: str, line: int, what: str) -> IndexFormatError:
    return IndexFormatError(
        f"{shown_as}, line {line}: {what}. Write it again with `streamaug index --checksum`, or delete it."
    )
