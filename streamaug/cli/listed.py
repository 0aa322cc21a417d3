"""Whether the manifests beside shards say of them what was found.

In: what was seen of all shards. Out: a finding for each shard whose count or size a manifest has wrong, and for a
manifest that is malformed. It looks where opening looks, in the same order.
"""

from collections.abc import Iterator, Sequence

from streamaug.cli.finding import Finding, Inspection
from streamaug.errors import IndexFormatError, StorageError
from streamaug.storage import Storage
from streamaug.storage.checksum import checksums_url
from streamaug.storage.manifest import NAMES, Entry, of_shards, parse
from streamaug.storage.urls import beside, shown


def differences(storage: Storage, results: Sequence[Inspection]) -> Iterator[Finding]:
    """What the manifests have wrong."""
    folders: dict[str, list[Inspection]] = {}
    for result in results:
        if result.num_bytes >= 0:  # else it was not reached, and nothing beside it need be
            folders.setdefault(shown(beside(result.url, "")), []).append(result)
    for inside in folders.values():
        for name in NAMES:
            place = beside(inside[0].url, name)
            try:
                data = storage.read_all(place)
                entries = None if data is None else parse(data, place)
            except (IndexFormatError, StorageError) as error:
                kind = "manifest" if isinstance(error, IndexFormatError) else "storage"
                yield Finding(kind, shown(place), None, None, str(error))
                break
            if entries is not None:
                yield from _compared(entries, place, inside)
                break


def _compared(entries: Sequence[Entry], place: str, results: Sequence[Inspection]) -> Iterator[Finding]:
    known = of_shards(entries, [result.url for result in results])
    for result in results:
        entry = known.get(result.url)
        if entry is None:
            continue
        for what, stated, found in (
            ("samples", entry.num_samples, result.num_samples if result.is_whole else -1),
            ("bytes", entry.num_bytes, result.num_bytes),
        ):
            if stated >= 0 and found >= 0 and stated != found:
                message = f"{shown(place)} must say {found} {what}, got {stated}. Write it with `streamaug index`."
                yield Finding("manifest", shown(result.url), None, None, message)
        if entry.has_checksums and result.has_checksums is False:
            what = f"{shown(checksums_url(result.url))} must be there, as {shown(place)} says, got none"
            message = f"{what}. Copy it too, or write both with `streamaug index --checksum`."
            yield Finding("manifest", shown(result.url), None, None, message)
