"""Shards as a source: their samples are shuffled anew, each with all of its components unchanged.

In: URLs of tars. Out: a `Listing`. The image is the component that a reader would take; only it is judged and reduced.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streamaug.making.files import ahead, one_by_one
from streamaug.making.listing import IMAGE_COMPONENTS, Content, Listed, Listing, Source, Unusable, bytes_in_tar
from streamaug.shards.index import Sample, read_index
from streamaug.shards.scan import scan
from streamaug.shards.stale import check_fresh
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.location import Location
from streamaug.storage.parallel import in_parallel
from streamaug.storage.progress import progress_bar

_THREADS_REMOTE = 16


class Place(NamedTuple):
    """The position of a sample's members: the tar's number, and (suffix, offset, size) of each."""

    tar: int
    members: tuple[tuple[str, int, int], ...]


class TarSource(Source):
    """Samples of tars.

    Args:
        urls: The tars.
        options: The options of object storage.
    """

    def __init__(self, urls: Sequence[str], options: StorageOptions) -> None:
        self._tars = [Location.parse(url) for url in urls]
        self._options = options
        self.is_remote = not all(tar.is_local for tar in self._tars)

    def describe(self, ref: Place) -> str:
        """The tar, and the offset in it."""
        return f"{self._tars[ref.tar].shown} at offset {ref.members[0][1] - 512}"

    def read(self, refs: Sequence[Place]) -> Iterator[Content | Unusable]:
        """All components of these samples."""
        storage = Storage(self._options)
        if not self.is_remote:
            return one_by_one(lambda ref: self._read(storage, ref), refs)
        return ahead(lambda ref: self._read(storage, ref), refs, threads=_THREADS_REMOTE, group=1)

    def _read(self, storage: Storage, ref: Place) -> Content | Unusable:
        start = min(offset for _, offset, _ in ref.members)
        stop = max(offset + size for _, offset, size in ref.members)
        data = memoryview(storage.read(self._tars[ref.tar], start, stop))
        parts = {suffix: bytes(data[offset - start : offset - start + size]) for suffix, offset, size in ref.members}
        image = next((suffix for suffix in IMAGE_COMPONENTS if suffix in parts), None)
        if image is None:
            return Unusable(f"it has no image, only {', '.join(parts)}")
        return Content(parts.pop(image), image, parts)


def list_tars(urls: Sequence[str], options: StorageOptions) -> Listing:
    """List the samples of tars.

    Raises:
        StorageError: If a tar cannot be read.
        ShardError: If a tar is damaged; names it.
    """
    storage, source = Storage(options), TarSource(urls, options)
    tars = [Location.parse(url) for url in urls]
    if source.is_remote:
        listed = in_parallel(storage, lambda tar: _samples(storage, tar), tars, what="Listing")
    else:  # without threads, so that this process can be forked afterwards
        listed = (_samples(storage, tar) for tar in progress_bar(tars, total=len(tars), what="Listing"))
    samples = [
        Listed(
            sample.key,
            Place(number, tuple((suffix, member.offset, member.size) for suffix, member in sample.members.items())),
            bytes_in_tar(*(member.size for member in sample.members.values())),
        )
        for number, found in enumerate(listed)
        for sample in found
    ]
    return Listing(source, samples)


def _samples(storage: Storage, tar: Location) -> list[Sample]:
    """A shard's samples, by its index if it has one, which spares reading a remote shard through."""
    index = None if tar.is_local else storage.read_all(tar.index)
    if index is None:
        return scan(storage, tar)[0]
    num_bytes = storage.size(tar)
    samples = list(read_index(index.decode("utf-8", "surrogateescape"), tar.index.shown, num_bytes))
    check_fresh(storage, tar, samples, num_bytes)
    return samples
