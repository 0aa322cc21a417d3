"""What can be wrong with a shard, and the inspector that finds it.

In: a shard's URL. Out: everything that is wrong with it, each as a `Finding`. A finding does not stop the inspection,
except that nothing is known beyond the place where a tar is broken.
"""

import hashlib
import io
from dataclasses import dataclass, field

from PIL import Image

from streamaug.errors import IndexFormatError, ShardError, StorageError
from streamaug.image_header import inspect as inspect_header
from streamaug.storage import Storage
from streamaug.storage.checksum import checksums_url, crc32c, read_checksums
from streamaug.storage.index import Components, Sample, read_index
from streamaug.storage.scan import stream
from streamaug.storage.stale import check_fresh
from streamaug.storage.tar import BLOCK
from streamaug.storage.urls import index_url, shown


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: "storage", "shard", "index", "missing", "checksum", "image", "label" or "duplicate".
        shard: The shard's URL.
        key: The sample, or None.
        offset: Where in the shard, in bytes, or None.
        message: What is wrong.
    """

    kind: str
    shard: str
    key: str | None
    offset: int | None
    message: str

    def __str__(self) -> str:
        place = self.shard if self.key is None else f"{self.shard} at offset {self.offset}, sample {self.key!r}"
        return f"{self.kind}: {place}: {self.message}"


@dataclass(slots=True)
class Inspection:
    """What was seen of one shard; `keys` are the samples' keys and offsets by 64 bits of the key's hash."""

    url: str
    num_bytes: int = 0
    num_samples: int = 0
    findings: list[Finding] = field(default_factory=list)
    keys: dict[int, tuple[str, int]] = field(default_factory=dict)

    def add(self, kind: str, message: str, sample: Sample | None = None, offset: int | None = None) -> None:
        """Note a finding; its offset is the sample's first header unless given."""
        key = None if sample is None else sample.key
        if sample is not None and offset is None:
            offset = _start(sample)
        self.findings.append(Finding(kind, shown(self.url), key, offset, message))


class ShardInspector:
    """Reads a shard through and finds what is wrong with it.

    Args:
        storage: Where shards lie.
        components: What each sample must have; the first is an image, the second, if any, a label.
        decode: Whether to decode images, not only look at their headers and ends.
        num_classes: Labels must be below it; None: any non-negative number will do.
    """

    def __init__(self, storage: Storage, components: Components, *, decode: bool, num_classes: int | None) -> None:
        self._storage, self._components = storage, components
        self._decode, self._num_classes = decode, num_classes

    def inspect(self, url: str) -> Inspection:
        """Everything that is wrong with one shard."""
        result = Inspection(url)
        samples: list[Sample] = []
        sums: list[dict[str, int]] = []
        whole = False
        try:
            result.num_bytes = self._storage.size(url)
            for sample, data in stream(self._storage, url, result.num_bytes):
                samples.append(sample)
                sums.append({suffix: crc32c(content) for suffix, content in data.items()})
                self._check_sample(result, sample, data)
            whole = True
        except StorageError as error:
            result.add("storage", str(error))
        except ShardError as error:
            result.add("shard", str(error))
        result.num_samples = len(samples)
        if whole:
            self._check_index(result, samples, sums)
        return result

    def _check_sample(self, result: Inspection, sample: Sample, data: dict[str, bytes]) -> None:
        digest = int.from_bytes(hashlib.blake2b(sample.key.encode("utf-8", "surrogateescape"), digest_size=8).digest())
        if digest in result.keys:
            offset = result.keys[digest][1]
            result.add("duplicate", f"the key is that of the sample at offset {offset} too", sample)
        else:
            result.keys[digest] = (sample.key, _start(sample))
        for number, alternatives in enumerate(self._components):
            suffix = next((name for name in alternatives if name in data), None)
            if suffix is None:
                result.add("missing", f"it has no component {' or '.join(alternatives)}", sample)
            elif number < 2:
                check = self._image if number == 0 else self._label
                problem = check(data[suffix])
                if problem is not None:
                    result.add(check.__name__.strip("_"), problem, sample, sample.members[suffix].offset)

    def _image(self, data: bytes) -> str | None:
        header = inspect_header(data)
        if isinstance(header, str):
            return header
        if self._decode:
            try:
                with Image.open(io.BytesIO(data)) as image:
                    image.load()
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                return f"it does not decode: {error}"
        return None

    def _label(self, data: bytes) -> str | None:
        text = data.strip()
        if not text.isdigit():
            return f"the label must be a non-negative integer, got {data[:20]!r}"
        if self._num_classes is not None and int(text) >= self._num_classes:
            return f"the label must be below {self._num_classes}, got {int(text)}"
        return None

    def _check_index(self, result: Inspection, samples: list[Sample], sums: list[dict[str, int]]) -> None:
        """Compare the index and the checksums, where there are any, with what was read."""
        place = index_url(result.url)
        try:
            text = self._storage.read_all(place)
            if text is None:
                return
            listed = list(read_index(text.decode("utf-8", "surrogateescape"), place, result.num_bytes))
            check_fresh(self._storage, result.url, place, listed, result.num_bytes)
            if [_places(sample) for sample in listed] != [_places(sample) for sample in samples]:
                result.add(
                    "index", f"{shown(place)} must list the samples of the shard. Write it with `streamaug index`."
                )
                return
            place = checksums_url(result.url)
            stored = self._storage.read_all(place)
            if stored is None:
                return
            for sample, known, found in zip(
                listed, read_checksums(stored.decode("ascii", "replace"), place, text, listed), sums, strict=True
            ):
                for suffix in known:
                    if known[suffix] != found[suffix]:
                        what = f"component {suffix} must have the checksum {known[suffix]:08x}, got {found[suffix]:08x}"
                        result.add("checksum", what, sample, sample.members[suffix].offset)
        except StorageError as error:
            result.add("storage", str(error))
        except IndexFormatError as error:
            result.add("index", str(error))


def _places(sample: Sample) -> tuple[str, list[tuple[str, int, int]]]:
    members = ((suffix, member.offset, member.size) for suffix, member in sample.members.items())
    return sample.key, list(members)


def _start(sample: Sample) -> int:
    return min(member.offset for member in sample.members.values()) - BLOCK
