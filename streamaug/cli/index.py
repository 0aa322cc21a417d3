"""`streamaug index SHARDS`: read each shard through once, and write what opening and plain DALI need beside it.

Out: `x.idx` beside each `x.tar`, DALI's v1.2, and one `index.json` a folder with the counts of all its shards; with
--checksum `x.crc32c` too. A shard that is damaged stops the command before the manifest is written.
"""

import argparse
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from streamaug.cli.source import add_source, storage_options
from streamaug.errors import IndexFormatError
from streamaug.storage import Storage
from streamaug.storage.checksum import checksums_url, crc32c, write_checksums
from streamaug.storage.index import write_index
from streamaug.storage.manifest import NAMES, Entry, parse
from streamaug.storage.manifest import write as write_manifest
from streamaug.storage.parallel import in_parallel
from streamaug.storage.scan import scan
from streamaug.storage.tar import Member, Seekable
from streamaug.storage.urls import beside, expand, index_url, is_local, last_component, locate


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
    urls = expand(arguments.shards)
    place = _Place(storage, arguments.output)
    entries: dict[str, list[Entry]] = {}
    for entry in _indexed(place, urls, checksum=arguments.checksum):
        entries.setdefault(beside(entry.url, ""), []).append(entry)
    for folder, found in entries.items():
        place.write(beside(folder, NAMES[0]), write_manifest(_merged(place, beside(folder, NAMES[0]), found)))
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

    def remove(self, url: str) -> None:
        """Delete a local file, if there is one; in a store, the manifest says that it does not count."""
        if is_local(self.of(url)):
            Path(locate(self.of(url)).path).unlink(missing_ok=True)


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


def _merged(place: _Place, url: str, found: Iterable[Entry]) -> list[Entry]:
    """The new entries, and those of the manifest that is there already for other shards of the folder."""
    data = place.storage.read_all(place.of(url))
    try:
        old = None if data is None else parse(data, url)
    except IndexFormatError:
        old = None
    merged = {last_component(entry.url): entry for entry in old or ()}
    merged |= {last_component(entry.url): entry for entry in found}
    return [merged[name] for name in sorted(merged)]
