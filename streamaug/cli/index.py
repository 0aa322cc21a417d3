"""`streamaug index SHARDS`: read each shard through once, and write what opening and plain DALI need beside it.

Out: `x.idx` beside each `x.tar`, DALI's v1.2, and one `index.json` a folder with the counts of all its shards; with
--checksum `x.crc32c` too. A shard that is damaged stops the command before the manifest is written.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from streamaug.cli.source import add_source, storage_options
from streamaug.storage import Storage
from streamaug.storage.checksum import checksums_url, crc32c, write_checksums
from streamaug.storage.index import write_index
from streamaug.storage.manifest import NAMES, Entry, merge
from streamaug.storage.parallel import in_parallel
from streamaug.storage.scan import scan
from streamaug.storage.tar import Member, Seekable
from streamaug.storage.urls import beside, expand, index_url, is_local, last_component, locate, shown


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)
    parser.add_argument("--output", metavar="FOLDER", help="write there, not beside the shards")
    parser.add_argument(
        "--checksum", action="store_true", help="read all data too, and keep a CRC-32C of each part of each sample"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the index files and the manifests."""
    storage = Storage(storage_options(arguments))
    urls = list(dict.fromkeys(expand(arguments.shards)))
    place = _Place(storage, arguments.output)
    _check_apart(place, urls)
    entries: dict[str, list[Entry]] = {beside(url, NAMES[0]): [] for url in urls}
    for manifest in entries:
        place.merged(manifest, [])  # an error before hours of reading, and before anything is written
    for entry in _indexed(place, urls, checksum=arguments.checksum):
        entries[beside(entry.url, NAMES[0])].append(entry)
    for manifest, found in entries.items():
        place.write(manifest, place.merged(manifest, found))
    total = [entry for found in entries.values() for entry in found]
    samples, size = sum(entry.num_samples for entry in total), sum(entry.num_bytes for entry in total)
    print(f"{len(total)} shards, {samples} samples, {size} bytes")
    return 0


class _Place:
    """Where the results go: beside the shards, or into one folder."""

    def __init__(self, storage: Storage, folder: str | None) -> None:
        self.storage = storage
        self._folder = folder

    def of(self, url: str) -> str:
        return url if self._folder is None else str(Path(self._folder) / last_component(url))

    def write(self, url: str, text: str) -> None:
        self.storage.write(self.of(url), text.encode("utf-8", "surrogateescape"))

    def merged(self, manifest: str, found: Sequence[Entry]) -> str:
        """The text of a manifest with the new entries in it, beside what else it says."""
        return merge(self.storage.read_all(self.of(manifest)), self.of(manifest), found)

    def remove(self, url: str) -> None:
        """Delete a local file, if there is one; in a store, the manifest says that it does not count."""
        if is_local(self.of(url)):
            Path(locate(self.of(url)).path).unlink(missing_ok=True)


def _check_apart(place: _Place, urls: Sequence[str]) -> None:
    """A ValueError, if two shards would share one index file."""
    seen: dict[str, str] = {}
    for url in urls:
        target = place.of(index_url(url))
        first = seen.setdefault(target, url)
        if first != url:
            raise ValueError(
                f"shards: each must have an index file of its own, got {shown(target)} for {shown(first)} and "
                f"{shown(url)}. Write to one --output for each folder of shards, or beside the shards."
            )


def _indexed(place: _Place, urls: list[str], *, checksum: bool) -> Iterator[Entry]:
    def one(url: str) -> Entry:
        sums: dict[int, int] = {}
        samples, num_bytes = scan(place.storage, url, partial(_add_checksum, sums) if checksum else None)
        text = write_index(samples)
        place.write(index_url(url), text)
        if checksum:
            index = text.encode("utf-8", "surrogateescape")
            place.write(checksums_url(url), write_checksums(samples, sums, index))
        else:
            place.remove(checksums_url(url))
        return Entry(url, len(samples), num_bytes, checksum)

    return in_parallel(place.storage, one, urls, what="Indexing")


def _add_checksum(sums: dict[int, int], member: Member, file: Seekable) -> None:
    file.seek(member.offset)
    sums[member.offset] = crc32c(file.read(member.size))
