"""Compares the manifests beside shards with the shards.

In: the inspections of all shards. Out: a finding for each shard whose count or size is wrong in a manifest, and for a
malformed manifest. It looks for manifests in the same order as opening.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from streamaug.cli.check.inspector import Finding, Inspection
from streamaug.errors import IndexFormatError, StorageError
from streamaug.shards.checksum import checksums_beside
from streamaug.shards.companions import elsewhere
from streamaug.shards.manifest import Entry, find, of_shards
from streamaug.shards.sources import Listed
from streamaug.storage import Storage
from streamaug.storage.location import Location


def elsewhere_of(shards: Iterable[Listed]) -> dict[str, Location]:
    """By a shard's URL, the manifest that lists it, for shards whose manifest lies in another folder."""
    listed = (shard for shard in shards if shard.manifest is not None)
    found = {shard.url: elsewhere(Location.parse(shard.url), shard.manifest) for shard in listed}
    return {url: manifest for url, manifest in found.items() if manifest is not None}


def differences(storage: Storage, results: Sequence[Inspection], listed: Mapping[str, Listed]) -> Iterator[Finding]:
    """Findings about the named manifest, else about those beside the shards.

    Args:
        storage: Reads the manifests.
        results: The inspection of each shard.
        listed: The shards as named, by URL.
    """
    folders: dict[str, list[Inspection]] = {}
    for result in results:
        entry, manifest = listed[result.url].entry, listed[result.url].manifest
        if entry is not None and manifest is not None:
            yield from _compared([entry], manifest, [result])
        elif result.num_bytes >= 0:  # else it was not reached, and nothing beside it need be
            folders.setdefault(Location.parse(result.url).folder, []).append(result)
    for inside in folders.values():
        yield from _of_folder(storage, inside)


def _of_folder(storage: Storage, inside: Sequence[Inspection]) -> Iterator[Finding]:
    """Findings about the manifest of the shards of a folder."""
    looked_at: list[Location] = []

    def read(file: Location) -> bytes | None:
        looked_at.append(file)
        return storage.read_all(file)

    try:
        found = find(read, Location.parse(inside[0].url))
    except (IndexFormatError, StorageError) as error:
        kind = "manifest" if isinstance(error, IndexFormatError) else "storage"
        yield Finding(kind, looked_at[-1].shown, None, None, str(error))
        return
    if found is not None:
        manifest, entries = found
        yield from _compared(entries, manifest, inside)


def _compared(entries: Sequence[Entry], manifest: Location, results: Sequence[Inspection]) -> Iterator[Finding]:
    listed = of_shards(entries, [result.url for result in results])
    for result in results:
        entry, shard = listed.get(result.url), Location.parse(result.url)
        if entry is None:
            continue
        for what, stated, found in (
            ("samples", entry.num_samples, result.num_samples if result.is_whole else -1),
            ("bytes", entry.num_bytes, result.num_bytes),
        ):
            if stated >= 0 and found >= 0 and stated != found:
                message = f"{manifest.shown} must say {found} {what}, got {stated}. Write it with `streamaug index`."
                yield Finding("manifest", shard.shown, None, None, message)
        if entry.has_checksums and result.has_checksums is False:
            what = f"{checksums_beside(shard).shown} must be there, as {manifest.shown} says, got none"
            message = f"{what}. Copy it too, or write both with `streamaug index --checksum`."
            yield Finding("manifest", shard.shown, None, None, message)
