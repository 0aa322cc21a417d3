"""Samples of a shard: members grouped as webdataset groups them, and DALI's `.idx` text that stores the result.

In: the members of a tar, or the text of an index file. Out: `ShardIndex`, where each asked component of each sample
lies. It never reads image bytes.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from webdataset.tariterators import base_plus_ext

from streamaug.errors import IndexFormatError, ShardError
from streamaug.storage.tar import BLOCK, Member
from streamaug.storage.urls import shown

Components = tuple[tuple[str, ...], ...]

_SKIPPED = re.compile(r"__[^/]*__($|/)")  # webdataset.tariterators.tar_file_iterator's skip_meta
_RESERVED = frozenset({"__key__", "__url__"})  # suffixes that webdataset's own sample fields collide with
_HEADER = re.compile(r"v1\.2 (\d+)")
#: The index separates by blanks, so those in names are stored as Unicode's pictures of them, " " as "␠"; "" is "␀".
_TO_PICTURES = {code: chr(0x2400 + code) for code in range(1, 0x21)}
_FROM_PICTURES = {0x2400: ""} | {0x2400 + code: chr(code) for code in range(1, 0x21)}


class Sample(NamedTuple):
    """One sample: its key, and its members by suffix."""

    key: str
    members: dict[str, Member]


@dataclass(frozen=True, slots=True, eq=False)
class ShardIndex:
    """Where the samples of one shard lie, n samples of C asked components.

    Attributes:
        keys: n webdataset keys.
        offsets: int64 (n, C), bytes from the shard's start to each component's data; -1 where the sample lacks it.
        sizes: int64 (n, C), bytes; -1 where the sample lacks it.
        checksums: uint32 (n, C), CRC-32C of each component (0 where it lacks), or None where none are stored.
    """

    keys: Sequence[str]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32] | None = None


def components_of(components: Sequence[str]) -> Components:
    """Each component's alternatives, lower case: "jpg;png" is ("jpg", "png").

    Raises:
        ValueError: If there is none, one is empty, or two have the same name.
    """
    if isinstance(components, str) or not components:
        raise ValueError(f'components: must be a sequence of suffixes, got {components!r}. Write ("jpg", "cls").')
    out = tuple(tuple(part.lower().lstrip(".") for part in one.split(";") if part) for one in components)
    if not all(out) or len({one[0] for one in out}) != len(out):
        raise ValueError(f"components: each must have a name of its own, got {components!r}. Name each suffix once.")
    return out


def group(members: Iterable[Member], url: str) -> Iterator[Sample]:
    """Consecutive members of one key, exactly as webdataset 1.0 groups them.

    Raises:
        ShardError: If one sample has two members of one suffix.
    """
    key: str | None = None
    found: dict[str, Member] = {}
    for member in members:
        name = member.name
        if _SKIPPED.match(name) or ("/" not in name and name.startswith("__") and name.endswith("__")):
            continue
        base, suffix = base_plus_ext(name)
        if base is None:
            continue
        suffix = suffix.lower()
        if base != key:
            if key is not None and _is_valid(found):
                yield Sample(key, found)
            key, found = base, {}
        if suffix in found or suffix in _RESERVED:
            raise ShardError(
                f"{shown(url)} at offset {member.offset - BLOCK}: a sample's suffixes must differ, got {suffix!r} of "
                f"{base!r} again in {name!r}. Write the shard with one member a suffix (upper and lower case are one)."
            )
        found[suffix] = member
    if key is not None and _is_valid(found):
        yield Sample(key, found)


def _is_valid(found: dict[str, Member]) -> bool:
    """Whether webdataset yields the sample: it drops those that carry a non-empty `__bad__`."""
    return "__bad__" not in found or found["__bad__"].size == 0


def select(samples: Iterable[Sample], components: Components) -> ShardIndex:
    """The places of the asked components."""
    keys: list[str] = []
    offsets: list[int] = []
    sizes: list[int] = []
    for key, members in samples:
        keys.append(key)
        for alternatives in components:
            member = next((members[name] for name in alternatives if name in members), None)
            offsets.append(-1 if member is None else member.offset)
            sizes.append(-1 if member is None else member.size)
    shape = (len(keys), len(components))
    return ShardIndex(keys, np.array(offsets, np.int64).reshape(shape), np.array(sizes, np.int64).reshape(shape), None)


def write_index(samples: Sequence[Sample]) -> str:
    """The text of DALI's index, v1.2: a line per sample of "suffix offset size name" each member."""
    lines = [f"v1.2 {len(samples)}"]
    for sample in samples:
        fields = (
            f"{_escaped(suffix)} {member.offset} {member.size} {_escaped(member.name)}"
            for suffix, member in sample.members.items()
        )
        lines.append(" ".join(fields))
    return "\n".join(lines) + "\n"


def count_of(text: str, url: str) -> int:
    """The number of samples that the first line of an index promises.

    Raises:
        IndexFormatError: If the line is no v1.2 header.
    """
    first = text.partition("\n")[0].rstrip("\r")
    match = _HEADER.fullmatch(first)
    if match is None:
        raise _malformed(url, 1, f'the first line must be "v1.2 <samples>", got {first[:40]!r}')
    return int(match[1])


def read_index(text: str, url: str, num_bytes: int) -> Iterator[Sample]:
    """The samples of an index file, checked against the size of its shard.

    Args:
        text: The index file.
        url: Its name, for errors.
        num_bytes: Size of the shard.

    Raises:
        IndexFormatError: If the text is malformed, or names places outside the shard; names file and line.
    """
    count = count_of(text, url)
    lines = text.splitlines() if "\r" in text else text.rstrip("\n").split("\n")
    if len(lines) - 1 != count:
        raise _malformed(url, len(lines), f"the index must have {count} samples, got {len(lines) - 1}")
    for number, line in enumerate(lines[1:], 2):
        yield _parsed(line, url, number, num_bytes)


def _parsed(line: str, url: str, number: int, num_bytes: int) -> Sample:
    fields = line.split(" ")
    if len(fields) % 4 or not line:
        raise _malformed(url, number, f'members must be "suffix offset size name", got {line[:60]!r}')
    members: dict[str, Member] = {}
    for at in range(0, len(fields), 4):
        suffix, name = fields[at], fields[at + 3]
        try:
            offset, size = int(fields[at + 1]), int(fields[at + 2])
        except ValueError:
            raise _malformed(url, number, f"offset and size must be integers, got {line[:60]!r}") from None
        if offset < BLOCK or offset % BLOCK or size < 0 or offset + size > num_bytes:
            what = f"data must lie inside the shard of {num_bytes} bytes, got {name!r} at {offset} of {size} bytes"
            raise _malformed(url, number, what)
        members[_unescaped(suffix).lower()] = Member(_unescaped(name), offset, size)
    base, _ = base_plus_ext(_unescaped(fields[3]))
    if base is None:
        raise _malformed(url, number, f"a member's name must have a suffix, got {fields[3]!r}")
    return Sample(base, members)


def _escaped(text: str) -> str:
    return text.translate(_TO_PICTURES) or "\u2400"


def _unescaped(text: str) -> str:
    return text if text.isascii() else text.translate(_FROM_PICTURES)


def _malformed(url: str, line: int, what: str) -> IndexFormatError:
    return IndexFormatError(
        f"{shown(url)}, line {line}: {what}. The index is stale or damaged: write it again with `streamaug index`."
    )
