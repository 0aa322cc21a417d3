"""Counts the samples and bytes of each shard when a set is opened.

In: shards, with their records in manifests. Out: the counts, from the manifest, else from the first line of an index,
else from the shards themselves. It reads on threads, so that Ctrl-C ends it. It is never collective: each process
counts by itself, and takes counts of other processes of its node from the user's cache.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from streamaug.shards.companions import elsewhere, find_index
from streamaug.shards.index import Components, ShardIndex, count_of, select
from streamaug.shards.node_cache import NodeCache
from streamaug.shards.scanner import Scanner
from streamaug.shards.sources import Listed
from streamaug.shards.survey import Survey, check_samples
from streamaug.storage.location import Location
from streamaug.storage.parallel import in_parallel
from streamaug.storage.storage import Storage

T = TypeVar("T")


class Counted(NamedTuple):
    """A counted shard.

    Attributes:
        url: Where it lies.
        num_samples: Its count of samples.
        num_bytes: Its size.
        shard_index: Its index, if it was made to count the samples, and is kept nowhere else.
        has_checksums: Whether it has a companion of checksums; None where no manifest says.
        manifest: The manifest that lists it, where that lies in another folder, with its index perhaps.
    """

    url: str
    num_samples: int
    num_bytes: int
    shard_index: ShardIndex | None = None
    has_checksums: bool | None = None
    manifest: Location | None = None


class Unindexed(NamedTuple):
    """A shard without an index, which must be read to be counted."""

    url: str
    num_bytes: int
    manifest: Location | None


S = TypeVar("S", Listed, Unindexed)


def count_shards(storage: Storage, listed: Sequence[Listed], components: Components) -> tuple[list[Counted], Scanner]:
    """Count the samples of shards, in their order.

    Returns:
        The counted shards, and the scanner of shards that have no index.

    Raises:
        StorageError: If a shard, index or manifest cannot be read; names it.
        ShardError: If a shard or index is damaged, or no shard has a sample; names it.
    """
    # Counts of manifests, else of index files, else of the user's cache.
    cache = NodeCache.of_user()
    told = [_of_manifest(shard) for shard in listed]
    untold = [shard for shard, counted in zip(listed, told, strict=True) if counted is None]
    asked = _each(storage, lambda shard: _of_files(storage, cache, shard), untold, what="Opening")
    # The shards themselves.
    unindexed = [shard for shard in asked if isinstance(shard, Unindexed)]
    scanner = Scanner(storage, cache, fills_cache=_fits_cache(storage, unindexed))
    _warn_of_missing_indexes(unindexed, cache)
    survey = Survey(components)

    def read(shard: Unindexed) -> Counted:
        location = Location.parse(shard.url)
        scanned = scanner.scan(location)
        survey.add(location, scanned.samples, scanned.passed_over)
        index = None if scanned.is_kept else select(scanned.samples, components)
        return Counted(shard.url, len(scanned.samples), scanned.num_bytes, index, manifest=shard.manifest)

    was_read = iter(_each(storage, read, unindexed, what="Indexing"))
    # All of them in order, and warnings about all together.
    rest = iter([next(was_read) if isinstance(shard, Unindexed) else shard for shard in asked])
    counted = [next(rest) if shard is None else shard for shard in told]
    check_samples([shard.url for shard in counted], [shard.num_samples for shard in counted], survey.passed_over)
    survey.report()
    return counted, scanner


def _each(storage: Storage, function: Callable[[S], T], shards: Sequence[S], *, what: str) -> list[T]:
    """The results of a function for each shard, in parallel if a shard is remote."""
    are_local = all(Location.parse(shard.url).is_local for shard in shards)
    return list(in_parallel(storage, function, shards, what=what, threads=1 if are_local else None))


def _of_manifest(shard: Listed) -> Counted | None:
    """The counts of a manifest; None where it lacks a count."""
    if shard.entry is None or shard.entry.num_bytes < 0:
        return None
    entry, manifest = shard.entry, elsewhere(Location.parse(shard.url), shard.manifest)
    return Counted(shard.url, entry.num_samples, entry.num_bytes, None, entry.has_checksums, manifest)


def _of_files(storage: Storage, cache: NodeCache, shard: Listed) -> Counted | Unindexed:
    """The counts from the files beside a shard, or from the user's cache."""
    location = Location.parse(shard.url)
    manifest = elsewhere(location, shard.manifest)
    if shard.entry is not None:
        size = storage.size(location)
        return Counted(shard.url, shard.entry.num_samples, size, None, shard.entry.has_checksums, manifest)
    index = find_index(lambda file: storage.read_head(file, 64), location, manifest)
    if index is not None:
        file, head = index
        count = count_of(head.decode("utf-8", "replace"), file.shown)
        return Counted(shard.url, count, storage.size(location), manifest=manifest)
    size = storage.size(location)
    key = None if location.is_local else cache.key(storage, location)
    kept = None if key is None else cache.count(key)
    if kept is not None and kept.num_bytes == size:
        return Counted(shard.url, kept.num_samples, size, manifest=manifest)
    return Unindexed(shard.url, size, manifest)


def _fits_cache(storage: Storage, shards: Sequence[Unindexed]) -> bool:
    """Whether the disk cache can hold the shards to be read, so that reading all of them is no waste."""
    options = storage.options
    return options.cache_dir is not None and sum(shard.num_bytes for shard in shards) <= int(options.cache_limit)


def _warn_of_missing_indexes(shards: Sequence[Unindexed], cache: NodeCache) -> None:
    """Warn once of remote shards without an index, with the cost and the fix."""
    remote = [shard for shard in shards if not Location.parse(shard.url).is_local]
    if not remote:
        return
    kept = (
        f"once on this node, since the counts are kept in {cache.folder}"
        if cache.is_usable
        else f"at every start, since {cache.folder} cannot be written"
    )
    size = sum(shard.num_bytes for shard in remote)
    warnings.warn(
        f"shards: {len(remote)} remote shards of {size / 1e9:.3g} GB have no index, so they are read to count their "
        f"samples, headers alone where that is faster, {kept}. "
        "Write indexes once with `streamaug index`.",
        UserWarning,
        stacklevel=2,
    )
