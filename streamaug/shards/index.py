"""Samples of a shard: groups members as webdataset does, and reads and writes DALI's `.idx` text.

In: the members of a tar, or the text of an index file. Out: `ShardIndex`, the position of each asked component of each
sample. It never reads image bytes.
"""

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.errors import IndexFormatError, ShardError
from streamaug.shards.names import PassedOver, key_and_suffix, kind_without_sample, metadata
from streamaug.shards.tar import BLOCK, Member

Components = tuple[tuple[str, ...], ...]

_RESERVED = frozenset({"__key__", "__url__"})  # suffixes that webdataset's own sample fields collide with
_HEADER = re.compile(r"v1\.2 (\d+)")
#: The index separates by blanks, so those in names are stored as Unicode's pictures of them, " " as "␠"; "" is "␀".
_TO_PICTURES = {code: chr(0x2400 + code) for code in range(1, 0x21)}
_FROM_PICTURES = {0x2400: ""} | {0x2400 + code: chr(code) for code in range(1, 0x21)}


class Sample(NamedTuple):
    """A sample: its key, and its members by suffix."""

    key: str
    members: dict[str, Member]


@dataclass(frozen=True, slots=True, eq=False)
class ShardIndex:
    """The positions of the n samples of a shard, with C asked components each.

    Attributes:
        keys: n webdataset keys.
        offsets: int64 (n, C), bytes from the shard's start to each component's data; -1 where the sample lacks it.
        sizes: int64 (n, C), bytes; -1 where the sample lacks it.
        checksums: uint32 (n, C), CRC-32C of each component (0 where it lacks), or None without checksums.
        incomplete: The suffixes of each sample that lacks an asked component, by its number in the shard.
    """

    keys: Sequence[str]
    offsets: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    checksums: npt.NDArray[np.uint32] | None = None
    incomplete: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


def components_of(components: Sequence[str]) -> Components:
    """Each component's alternatives, lower case: "jpg;png" is ("jpg", "png").

    Raises:
        ValueError: If the list is empty, a component has an empty name, or two have the same name.
    """
    is_ordered = isinstance(components, Sequence) and not isinstance(components, str | bytes)
    if not is_ordered or not components or not all(isinstance(given, str) for given in components):
        raise ValueError(f'components: must be a sequence of suffixes, got {components!r}. Write ("jpg", "cls").')
    if any("*" in given for given in components):
        raise ValueError(
            f'components: must be suffixes without patterns, got {components!r}. Write ("jpg;png", "cls").'
        )
    out = tuple(tuple(part.lower().lstrip(".") for part in given.split(";") if part) for given in components)
    if not all(out) or len({alternatives[0] for alternatives in out}) != len(out):
        raise ValueError(f"components: each must have a name of its own, got {components!r}. Name each suffix once.")
    return out


def samples_of(members: Iterable[Member], shown_as: str, passed_over: PassedOver) -> Iterator[Sample]:
    """The samples of a shard, grouped by `group`; skips files that macOS adds.

    Args:
        members: The files of the shard, in order.
        shown_as: The shard's name in errors.
        passed_over: Counts the members that are part of no sample.

    Raises:
        ShardError: As `group` does, or if the members of a sample are not next to each other.
    """

    def parts() -> Iterator[Member]:
        for member in members:
            kind = kind_without_sample(member.name)
            if kind is None:
                yield member
            else:
                passed_over.add(kind, member.name)

    return adjacent(group(parts(), shown_as), shown_as)


def adjacent(samples: Iterable[Sample], shown_as: str) -> Iterator[Sample]:
    """The samples of a shard, which must be whole.

    A key may come twice in a shard, if both samples are whole: then they share a suffix.

    Raises:
        ShardError: If a key begins a second time, with other suffixes: the two are halves of one sample.
            Keys of one path, "a" and "./a", are one key here.
    """
    first: dict[str, Sample] = {}
    for sample in samples:
        earlier = first.setdefault(posixpath.normpath(sample.key), sample)
        if earlier is not sample and earlier.members.keys().isdisjoint(sample.members):
            fix = (
                "with `tar --sort=name`"
                if earlier.key == sample.key
                else f"with one of {earlier.key!r}, {sample.key!r}"
            )
            raise ShardError(
                f"{shown_as} at offset {start_of(sample)}: the members of a sample must stand next to each other, got "
                f"{', '.join(sample.members)} of {sample.key!r}, which began at offset {start_of(earlier)} with "
                f"{', '.join(earlier.members)} and begins again here. Write the shard {fix}."
            )
        yield sample


def start_of(sample: Sample) -> int:
    """The offset of a sample's first header in its shard; where all its members are links, that of the first target."""
    own = [member.offset for member in sample.members.values() if not member.is_link]
    return min(own or (member.offset for member in sample.members.values())) - BLOCK


def group(members: Iterable[Member], shown_as: str) -> Iterator[Sample]:
    """Consecutive members of one key, exactly as webdataset 1.0 groups them.

    Raises:
        ShardError: If a sample has two members of one suffix.
    """
    key: str | None = None
    parts: dict[str, Member] = {}
    for member in members:
        name = member.name
        split = None if metadata(name) else key_and_suffix(name)
        if split is None:
            continue
        base, suffix = split
        if base != key:
            if key is not None and _is_valid(parts):
                yield Sample(key, parts)
            key, parts = base, {}
        if suffix in parts or suffix in _RESERVED:
            raise ShardError(
                f"{shown_as} at offset {member.offset - BLOCK}: a sample's suffixes must differ, got {suffix!r} of "
                f"{base!r} again in {name!r}. Write the shard with one member a suffix (upper and lower case are one)."
            )
        parts[suffix] = member
    if key is not None and _is_valid(parts):
        yield Sample(key, parts)


def _is_valid(parts: dict[str, Member]) -> bool:
    """Whether webdataset yields the sample: it drops samples with a non-empty `__bad__`."""
    return "__bad__" not in parts or parts["__bad__"].size == 0


def select(samples: Iterable[Sample], components: Components) -> ShardIndex:
    """The positions of the asked components."""
    keys: list[str] = []
    offsets: list[int] = []
    sizes: list[int] = []
    incomplete: dict[int, tuple[str, ...]] = {}
    same: dict[tuple[str, ...], tuple[str, ...]] = {}  # most lack the same one, held once here
    for key, members in samples:
        for alternatives in components:
            member = next((members[name] for name in alternatives if name in members), None)
            offsets.append(-1 if member is None else member.offset)
            sizes.append(-1 if member is None else member.size)
            if member is None:
                suffixes = tuple(members)
                incomplete[len(keys)] = same.setdefault(suffixes, suffixes)
        keys.append(key)
    shape = (len(keys), len(components))
    return ShardIndex(
        keys,
        np.array(offsets, np.int64).reshape(shape),
        np.array(sizes, np.int64).reshape(shape),
        incomplete=incomplete,
    )


def write_index(samples: Sequence[Sample]) -> str:
    """The text of DALI's index, v1.2: a line per sample of "suffix offset size name" each member."""
    lines = [f"v1.2 {len(samples)}"]
    for sample in samples:
        members = sample.members.items()
        line = " ".join([f"{suffix} {member.offset} {member.size} {member.name}" for suffix, member in members])
        if not _is_plain(line, blanks=4 * len(members) - 1):
            fields = (f"{_escaped(suffix)} {at.offset} {at.size} {_escaped(at.name)}" for suffix, at in members)
            line = " ".join(fields)
        lines.append(line)
    return "\n".join(lines) + "\n"


def count_of(text: str, shown_as: str) -> int:
    """The number of samples that the first line of an index promises.

    Raises:
        IndexFormatError: If the line is no v1.2 header.
    """
    first = text.partition("\n")[0].rstrip("\r")
    match = _HEADER.fullmatch(first)
    if match is None:
        raise _malformed(shown_as, 1, f'the first line must be "v1.2 <samples>", got {first[:40]!r}')
    return int(match[1])


def read_index(text: str, shown_as: str, num_bytes: int) -> Iterator[Sample]:
    """The samples of an index file, checked against the size of its shard.

    Args:
        text: The index file.
        shown_as: Its name in errors.
        num_bytes: Size of the shard.

    Raises:
        IndexFormatError: If the text is malformed, or names bytes outside the shard; names file and line.
    """
    count = count_of(text, shown_as)
    lines = text.splitlines() if "\r" in text else text.rstrip("\n").split("\n")
    if len(lines) - 1 != count:
        raise _malformed(shown_as, len(lines), f"the index must have {count} samples, got {len(lines) - 1}")
    for number, line in enumerate(lines[1:], 2):
        yield _parsed(line, shown_as, number, num_bytes)


def _parsed(line: str, shown_as: str, number: int, num_bytes: int) -> Sample:
    fields = line.split(" ")
    if len(fields) % 4 or not line:
        raise _malformed(shown_as, number, f'members must be "suffix offset size name", got {line[:60]!r}')
    members: dict[str, Member] = {}
    for at in range(0, len(fields), 4):
        suffix, name = fields[at], fields[at + 3]
        try:
            offset, size = int(fields[at + 1]), int(fields[at + 2])
        except ValueError:
            raise _malformed(shown_as, number, f"offset and size must be integers, got {line[:60]!r}") from None
        if offset < BLOCK or offset % BLOCK or size < 0 or offset + size > num_bytes:
            what = f"data must lie inside the shard of {num_bytes} bytes, got {name!r} at {offset} of {size} bytes"
            raise _malformed(shown_as, number, what)
        members[_unescaped(suffix).lower()] = Member(_unescaped(name), offset, size)
    split = key_and_suffix(_unescaped(fields[3]))
    if split is None:
        raise _malformed(shown_as, number, f"a member's name must have a suffix, got {fields[3]!r}")
    return Sample(split[0], members)


def _is_plain(line: str, *, blanks: int) -> bool:
    """Whether a line of members has no field that is to be escaped, as nearly all have none."""
    is_whole = line.count(" ") == blanks and "  " not in line and not line.startswith(" ") and not line.endswith(" ")
    return is_whole and line.isascii() and line.isprintable()


def _escaped(text: str) -> str:
    if text.isascii() and text.isprintable() and " " not in text and text:
        return text
    return text.translate(_TO_PICTURES) or "\u2400"


def _unescaped(text: str) -> str:
    return text if text.isascii() else text.translate(_FROM_PICTURES)


def _malformed(shown_as: str, line: int, what: str) -> IndexFormatError:
    return IndexFormatError(
        f"{shown_as}, line {line}: {what}. The index is stale or damaged: write it again with `streamaug index`."
    )
