"""`streamaug index SHARDS`: reads each shard once, and writes beside it the files for opening and for plain DALI.

Out: `x.idx` beside each `x.tar`, DALI's v1.2, and one `index.json` a folder with the counts of all its shards; with
--checksum `x.crc32c` too. A damaged shard stops the command before it writes the manifest.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from streamaug.cli.messages import quantity
from streamaug.cli.source import add_ray, add_source, list_source, on_each, storage_options
from streamaug.cli.usage import epilog
from streamaug.errors import StorageError
from streamaug.shards.checksum import checksums_beside, crc32c, write_checksums
from streamaug.shards.index import write_index
from streamaug.shards.manifest import NAMES, Entry, merge
from streamaug.shards.names import PassedOver
from streamaug.shards.range_file import Pace
from streamaug.shards.scan import scan
from streamaug.shards.sources import absolute, at_home
from streamaug.shards.tar import Member, Seekable
from streamaug.storage import Storage
from streamaug.storage.location import Location

_EXAMPLES = [
    "streamaug index shards/train",
    "streamaug index shards/train --checksum --json",
    "streamaug index 'https://host/data/train-{000..146}.tar' --output indexes/",
]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_source(parser)
    add_ray(parser)
    parser.epilog = epilog(_EXAMPLES)
    parser.add_argument("--output", metavar="FOLDER", help="path or URL to write to, instead of beside the shards")
    parser.add_argument(
        "--checksum", action="store_true", help="read all data too, and keep a CRC-32C of each part of each sample"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Write the index files and the manifests."""
    storage = Storage(storage_options(arguments))
    listed = list_source(storage, arguments.shards, on_nodes=arguments.ray is not None)
    shards = [Location.parse(url) for url in dict.fromkeys(shard.url for shard in listed)]
    passed_over = PassedOver()
    folder = None if arguments.output is None else at_home(arguments.output)
    folder = absolute(folder) if folder and arguments.ray else folder
    output = _Output(storage, folder)
    _check_apart(output, shards)
    entries: dict[Location, list[Entry]] = {shard.beside(NAMES[0]): [] for shard in shards}
    for manifest in entries:
        output.merged(manifest, [])  # an error before hours of reading, and before any file is written
    pace = None if output.storage.options.cache_dir or arguments.ray else Pace()
    indexer = _Indexer(output, arguments.checksum, pace)
    for entry, here in on_each(output.storage, indexer, shards, what="Indexing", ray=arguments.ray):
        passed_over.merge(here)
        entries[Location.parse(entry.url).beside(NAMES[0])].append(entry)
    for manifest, counted in entries.items():
        output.write(manifest, output.merged(manifest, counted))
    total = [entry for counted in entries.values() for entry in counted]
    samples, size = sum(entry.num_samples for entry in total), sum(entry.num_bytes for entry in total)
    if arguments.json:
        counts = {"shards": len(total), "samples": samples, "bytes": size, "passed_over": dict(passed_over.counts)}
        print(json.dumps(counts | {"manifests": [output.of(manifest).shown for manifest in entries]}, indent=1))
        return 0
    print(f"{quantity(len(total), 'shard')}, {quantity(samples, 'sample')}, {size} bytes")
    described = passed_over.described(usual=False)
    if described:
        print(f"passed over, since they are part of no sample: {described}")
    return 0


class _Output:
    """The files that the command writes: beside the shards, or in one folder."""

    def __init__(self, storage: Storage, folder: str | None) -> None:
        if folder == "":
            raise ValueError(
                "--output: must name a folder, got an empty name. Leave it out to write beside the shards."
            )
        self.storage = storage
        self._inside = None if folder is None else _in_folder(folder)

    def of(self, file: Location) -> Location:
        return file if self._inside is None else self._inside.beside(file.name)

    def write(self, file: Location, text: str) -> None:
        try:
            self.storage.write(self.of(file), text.encode("utf-8", "surrogateescape"))
        except StorageError as error:
            elsewhere = "Or write elsewhere with --output." if self._inside is None else "Or name another --output."
            raise StorageError(f"{error} {elsewhere}") from error

    def merged(self, manifest: Location, entries: Sequence[Entry]) -> str:
        """The text of a manifest with the new entries and its other contents."""
        return merge(self.storage.read_all(self.of(manifest)), self.of(manifest), entries)

    def remove(self, file: Location) -> None:
        """Delete a local file, if it exists; in a store, the manifest says that it does not count."""
        path = self.of(file).path
        try:
            if self.of(file).is_local:
                Path(path).unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: an old file must be removed, got: {error.strerror}. Remove it.") from error


def _in_folder(folder: str) -> Location:
    """A file in a folder, which is given by its path or URL."""
    scheme, mark, path = folder.rpartition("://")
    return Location.parse(f"{scheme}{mark}{path.rstrip('/')}/{NAMES[0]}")


def _check_apart(output: _Output, shards: Sequence[Location]) -> None:
    """Raise ValueError if two shards would share an index file."""
    seen: dict[Location, Location] = {}
    for shard in shards:
        target = output.of(shard.index)
        first = seen.setdefault(target, shard)
        if first != shard:
            raise ValueError(
                f"shards: each must have an index file of its own, got {target.shown} for {first.shown} and "
                f"{shard.shown}. Write to one --output for each folder of shards, or beside the shards."
            )


@dataclass(frozen=True, slots=True)
class _Indexer:
    """Indexes shards.

    Attributes:
        output: Writes the files.
        checksum: Whether to read all data, and write checksums too.
        pace: The measured speed of reading, shared by all threads; None: it is not measured.
    """

    output: _Output
    checksum: bool
    pace: Pace | None

    def __call__(self, shard: Location) -> tuple[Entry, PassedOver]:
        """Index a shard; returns its manifest entry, and its members that are part of no sample."""
        sums: dict[int, int] = {}
        passed_over, output = PassedOver(), self.output
        visit = partial(_add_checksum, sums) if self.checksum else None
        pace = None if self.checksum else self.pace
        samples, num_bytes = scan(output.storage, shard, visit, passed_over=passed_over, pace=pace)
        text = write_index(samples)
        output.write(shard.index, text)
        if self.checksum:
            index = text.encode("utf-8", "surrogateescape")
            output.write(checksums_beside(shard), write_checksums(samples, sums, index))
        else:
            output.remove(checksums_beside(shard))
        return Entry(shard.url, len(samples), num_bytes, self.checksum), passed_over


def _add_checksum(sums: dict[int, int], member: Member, file: Seekable) -> None:
    file.seek(member.offset)
    sums[member.offset] = crc32c(file.read(member.size))
