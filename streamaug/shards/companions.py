"""Finds the companions of a shard: its index and its checksums, beside the manifest or beside the shard.

In: a shard, and the manifest that lists it if that lies elsewhere. Out: the files' locations and contents. Shards in a
folder that one cannot write to, a public bucket for instance, have their indexes beside the manifest.
"""

from collections.abc import Callable, Iterator

from streamaug.shards.checksum import checksums_beside
from streamaug.storage.location import Location


def elsewhere(shard: Location, manifest: Location | None) -> Location | None:
    """The manifest, if it lies in another folder than the shard; else None."""
    return None if manifest is None or manifest.folder == shard.folder else manifest


def find_index(
    read: Callable[[Location], bytes | None], shard: Location, manifest: Location | None
) -> tuple[Location, bytes] | None:
    """The index of a shard, as (location, content): the file beside the manifest, else that beside the shard.

    Args:
        read: Returns the content of a file, None where it does not exist.
        shard: The shard.
        manifest: The manifest, where it lies in another folder.
    """
    for index in _candidates(shard, manifest):
        data = read(index)
        if data is not None:
            return index, data
    return None


def checksums_of(shard: Location, index: Location) -> Location:
    """The checksums beside the index of a shard."""
    beside = checksums_beside(shard)
    return beside if index.folder == shard.folder else index.beside(beside.name)


def _candidates(shard: Location, manifest: Location | None) -> Iterator[Location]:
    if manifest is not None:
        yield manifest.beside(shard.index.name)
    yield shard.index
