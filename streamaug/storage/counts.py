"""How many samples each shard of a set holds, and how many bytes: what is known when a set is opened.

In: URLs. Out: the counts, from a manifest beside the shards if there is one, else from the first line of each index,
else from the shards themselves, read through once. Everything is read on threads, so that Ctrl-C ends it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from streamaug.errors import ShardError
from streamaug.storage import manifest
from streamaug.storage.index import Components, ShardIndex, count_of, select
from streamaug.storage.parallel import in_parallel
from streamaug.storage.scan import scan
from streamaug.storage.stores import Storage
from streamaug.storage.urls import beside, index_url, is_local, last_component, shown


class Counted(NamedTuple):
    """One shard.

    Attributes:
        url: Where it lies.
        num_samples: Samples in it.
        num_bytes: Its size.
        found: Where its samples lie, if that had to be found to count them.
        has_checksums: Whether a companion of checksums lies beside it; None where no manifest says.
    """

    url: str
    num_samples: int
    num_bytes: int
    found: ShardIndex | None = None
    has_checksums: bool | None = None


def count_shards(storage: Storage, urls: Sequence[str], components: Components) -> list[Counted]:
    """Count the samples of shards, in their order; a single URL of a .json is a manifest, and names them itself.

    Raises:
        StorageError: If a shard or what counts it cannot be read; names it.
        ShardError: If a shard, index or manifest is damaged; names it.
    """
    if len(urls) == 1 and last_component(urls[0]).endswith(".json"):
        (entries,) = in_parallel(storage, lambda url: _manifest(storage, url, url), urls, what="Opening")
        if entries is None:
            raise ShardError(
                f"{shown(urls[0])}: must be a manifest of shards, got none. Write one with `streamaug index`."
            )
        known = {entry.url: entry for entry in entries}
        urls = [entry.url for entry in entries]
    else:
        known = _known(storage, urls)
    whole = {
        url: Counted(url, entry.num_samples, entry.num_bytes, None, entry.has_checksums)
        for url, entry in known.items()
        if entry.num_bytes >= 0
    }
    missing = [url for url in urls if url not in whole]

    def one(url: str) -> Counted:
        return _count(storage, url, known.get(url), components)

    threads = 1 if all(map(is_local, missing)) else None
    counted = iter(list(in_parallel(storage, one, missing, what="Indexing", threads=threads)))
    return [whole.get(url) or next(counted) for url in urls]


def _manifest(storage: Storage, url: str, shard: str) -> list[manifest.Entry] | None:
    data = storage.read_all(url, asked_for=shard)
    return None if data is None else manifest.parse(data, url)


def _known(storage: Storage, urls: Sequence[str]) -> dict[str, manifest.Entry]:
    """What manifests beside the shards say of them, by the shard's URL as asked for."""
    folders: dict[str, list[str]] = {}
    for url in urls:
        folders.setdefault(shown(beside(url, "")), []).append(url)

    def of_folder(inside: Sequence[str]) -> dict[str, manifest.Entry]:
        for name in manifest.NAMES:
            entries = _manifest(storage, beside(inside[0], name), inside[0])
            if entries is not None:
                return manifest.of_shards(entries, inside)
        return {}

    known: dict[str, manifest.Entry] = {}
    for found in in_parallel(storage, of_folder, list(folders.values()), what="Opening"):
        known |= found
    return known


def _count(storage: Storage, url: str, entry: manifest.Entry | None, components: Components) -> Counted:
    """Count a shard that no manifest gives whole."""
    if entry is not None:
        return Counted(url, entry.num_samples, storage.size(url), None, entry.has_checksums)
    place = index_url(url)
    head = storage.read_head(place, 64)
    if head is not None:
        return Counted(url, count_of(head.decode("utf-8", "replace"), place), storage.size(url))
    samples, num_bytes = scan(storage, url)
    return Counted(url, len(samples), num_bytes, select(samples, components))
