"""The findings about a shard, and the inspector that makes them.

In: a shard's URL. Out: a `Finding` for each problem. A finding does not stop the inspection, but it ends at the damage
of a broken tar.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from streamaug.errors import IndexFormatError, ShardError, StorageError
from streamaug.samples.image_header import inspect as inspect_header
from streamaug.samples.label import parse_label
from streamaug.samples.problem import missing
from streamaug.shards.checksum import checksums_beside, crc32c, read_checksums
from streamaug.shards.companions import checksums_of, find_index
from streamaug.shards.index import Components, Sample, read_index, start_of
from streamaug.shards.names import PassedOver
from streamaug.shards.scan import stream
from streamaug.shards.stale import check_fresh
from streamaug.storage import Storage
from streamaug.storage.location import Location, shown

#: The kind of a component, by the last part of its name; others are not inspected.
LABELS = frozenset({"cls", "class", "label"})
OBJECTS = frozenset({"json"})
#: Images decoded together, and bytes of them: a pipeline takes 80 ms to build, an image 3 ms to decode.
_IMAGES, _BYTES = 64, 32 << 20

UInt64Array = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a shard.

    Attributes:
        kind: "storage", "shard", "index", "manifest", "missing", "checksum", "image", "label", "json" or "duplicate".
        shard: The shard's URL, or the manifest's.
        key: The sample, or None.
        offset: Where in the shard, in bytes, or None.
        message: The problem, in words.
    """

    kind: str
    shard: str
    key: str | None
    offset: int | None
    message: str

    def __str__(self) -> str:
        if self.key is None and self.message.startswith(f"{self.shard}: "):
            return f"{self.kind}: {self.message}"  # an error that names the shard itself
        where = self.shard if self.key is None else f"{self.shard} at offset {self.offset}, sample {self.key!r}"
        return f"{self.kind}: {where}: {self.message}"


@dataclass(slots=True)
class Inspection:
    """The inspection of a shard.

    Attributes:
        url: The shard.
        num_bytes: Its size; -1 where it could not be read.
        num_samples: Samples that were read.
        is_whole: Whether the shard was read to its end.
        index: Its index file, if it lists the samples that were read.
        has_checksums: Whether a companion of checksums lies beside it; None where that could not be read.
        passed_over: The members that are part of no sample.
        findings: Its problems.
        digests: 64 bits of each key's hash, uint64, sorted, each once.
    """

    url: str
    num_bytes: int = -1
    num_samples: int = 0
    is_whole: bool = False
    index: Location | None = None
    has_checksums: bool | None = None
    passed_over: PassedOver = field(default_factory=PassedOver)
    findings: list[Finding] = field(default_factory=list)
    digests: UInt64Array = field(default_factory=lambda: np.zeros(0, np.uint64))

    def add(self, kind: str, message: str, sample: Sample | None = None, offset: int | None = None) -> None:
        """Note a finding; its offset is that of the sample's first header unless given."""
        key = None if sample is None else sample.key
        if sample is not None and offset is None:
            offset = start_of(sample)
        self.findings.append(Finding(kind, shown(self.url), key, offset, message))


class ShardInspector:
    """Reads a shard through and makes findings about it. Any number of threads may use it.

    Args:
        storage: Reads the shards.
        components: The components that each sample must have: first an image; names tell the kinds of the others.
        decode: Whether to decode images, not only look at their headers and ends.
        num_classes: Labels must be below it; None: any non-negative number is valid.
        manifests: By a shard's URL, the manifest in another folder that lists it, beside which its index may lie.
    """

    def __init__(
        self,
        storage: Storage,
        components: Components,
        *,
        decode: bool,
        num_classes: int | None,
        manifests: Mapping[str, Location] | None = None,
    ) -> None:
        self._storage, self._components, self._manifests = storage, components, dict(manifests or {})
        self._decode, self._num_classes = decode, num_classes

    def inspect(self, url: str) -> Inspection:
        """The inspection of a shard. It raises no error, so that no finding about other shards is lost."""
        result = Inspection(url)
        seen = _Seen()
        self._guarded(result, lambda: self._read(result, seen))
        self._guarded(result, lambda: self._flush(result, seen))
        result.num_samples = len(seen.samples)
        result.digests = np.unique(np.array([digest(sample.key) for sample in seen.samples], np.uint64))
        if result.is_whole:
            if not seen.samples:
                result.add("shard", "it must hold a sample, got none. Leave it out, or write it again.")
            self._guarded(result, lambda: self._check_index(result, seen))
            self._guarded(result, lambda: self._check_checksums(result, seen))
        end = max(0, result.num_bytes)
        result.findings.sort(key=lambda finding: end if finding.offset is None else finding.offset)
        return result

    def _guarded(self, result: Inspection, step: Callable[[], None]) -> None:
        try:
            step()
        except StorageError as error:
            result.add("storage", str(error))
        except IndexFormatError as error:
            result.add("index", str(error))
        except ShardError as error:
            result.add("shard", str(error))
        except Exception as error:  # noqa: BLE001 - the findings of all other shards would be lost
            reason = str(error).replace(result.url, shown(result.url))
            result.add("shard", f"it cannot be checked: {type(error).__name__}: {reason}")

    def _read(self, result: Inspection, seen: "_Seen") -> None:
        result.num_bytes = self._storage.size(result.url)
        for sample, data in stream(self._storage, result.url, result.num_bytes, result.passed_over):
            seen.samples.append(sample)
            seen.sums.append({suffix: crc32c(content) for suffix, content in data.items()})
            first = seen.starts.setdefault(sample.key, start_of(sample))
            if first != start_of(sample):
                result.add("duplicate", f"the key is that of the sample at offset {first} too", sample)
            self._check_components(result, seen, sample, data)
            if len(seen.images) == _IMAGES or sum(len(image) for _, _, image in seen.images) > _BYTES:
                self._flush(result, seen)
        result.is_whole = True

    def _check_components(self, result: Inspection, seen: "_Seen", sample: Sample, data: dict[str, bytes]) -> None:
        for number, alternatives in enumerate(self._components):
            suffix = next((name for name in alternatives if name in data), None)
            if suffix is None:
                result.add("missing", missing(alternatives, tuple(sample.members)).reason, sample)
                continue
            kind = "image" if number == 0 else _kind(suffix)
            problem = self._problem(kind, data[suffix])
            if problem is not None:
                result.add(kind, problem, sample, sample.members[suffix].offset)
            elif kind == "image" and self._decode:
                seen.images.append((sample, suffix, data[suffix]))

    def _problem(self, kind: str, data: bytes) -> str | None:
        """The problem of a component of that kind, as far as it shows without decoding; None: no problem."""
        if kind == "image":
            header = inspect_header(data)
            return header if isinstance(header, str) else None
        if kind == "label":
            try:
                parse_label(data, self._num_classes)
            except ValueError as reason:
                return f"its label {reason}"
        if kind == "json":
            try:
                content = json.loads(data)
            except (ValueError, RecursionError) as error:
                return f"it must be valid JSON, got: {error}"
            if not isinstance(content, dict):
                return f"it must be a JSON object, got {data[:20]!r}"
        return None

    def _flush(self, result: Inspection, seen: "_Seen") -> None:
        """Decode the waiting images."""
        images, seen.images = seen.images, []
        if not images:
            return
        from streamaug.cli.check.decoding import reasons  # DALI and torch take seconds to import

        for (sample, suffix, _), reason in zip(images, reasons([image for _, _, image in images]), strict=True):
            if reason is not None:
                result.add("image", reason, sample, sample.members[suffix].offset)

    def _check_index(self, result: Inspection, seen: "_Seen") -> None:
        """Compare the index, if the shard has one, with the samples that were read."""
        shard = Location.parse(result.url)
        found = find_index(self._storage.read_all, shard, self._manifests.get(result.url))
        if found is None:
            return
        index, text = found
        listed = list(read_index(text.decode("utf-8", "surrogateescape"), index.shown, result.num_bytes))
        check_fresh(self._storage, shard, listed, result.num_bytes, index)
        if [_places(sample) for sample in listed] != [_places(sample) for sample in seen.samples]:
            raise IndexFormatError(
                f"{index.shown} must list the samples of the shard, got others. Write it with `streamaug index`."
            )
        seen.index, seen.listed, result.index = text, listed, index

    def _check_checksums(self, result: Inspection, seen: "_Seen") -> None:
        """Compare the checksums, if the shard has any, with those of the bytes read."""
        shard = Location.parse(result.url)
        companion = checksums_beside(shard) if result.index is None else checksums_of(shard, result.index)
        stored = self._storage.read_head(companion, 1) if result.index is None else self._storage.read_all(companion)
        result.has_checksums = stored is not None
        if stored is None:
            return
        if result.index is None:
            result.add(
                "checksum",
                f"no checksum could be compared: {companion.shown} must have an index beside it that fits the shard, "
                "got none. Write both with `streamaug index --checksum`.",
            )
            return
        stated_sums = read_checksums(stored.decode("ascii", "replace"), companion.shown, seen.index, seen.listed)
        for sample, stated, actual in zip(seen.listed, stated_sums, seen.sums, strict=True):
            for suffix in stated:
                if stated[suffix] != actual[suffix]:
                    message = (
                        f"component {suffix} must have the checksum {stated[suffix]:08x}, got {actual[suffix]:08x}"
                    )
                    result.add("checksum", message, sample, sample.members[suffix].offset)


@dataclass(slots=True)
class _Seen:
    """The facts of a shard during its inspection.

    Attributes:
        samples: The samples that were read.
        sums: For each of them, the checksum of each member by suffix.
        starts: Where the first sample of each key begins.
        images: Images that wait to be decoded: sample, suffix and bytes.
        index: The index file, if it lists the samples.
        listed: Its samples.
    """

    samples: list[Sample] = field(default_factory=list)
    sums: list[dict[str, int]] = field(default_factory=list)
    starts: dict[str, int] = field(default_factory=dict)
    images: list[tuple[Sample, str, bytes]] = field(default_factory=list)
    index: bytes = b""
    listed: list[Sample] = field(default_factory=list)


def digest(key: str) -> int:
    """64 bits of a key's hash."""
    return int.from_bytes(hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest())


def _kind(suffix: str) -> str:
    """The kind of findings about a component behind the image, by its name; "" for none."""
    last = suffix.rpartition(".")[2]
    return "label" if last in LABELS else "json" if last in OBJECTS else ""


def _places(sample: Sample) -> tuple[str, list[tuple[str, int, int]]]:
    members = ((suffix, member.offset, member.size) for suffix, member in sample.members.items())
    return sample.key, list(members)
