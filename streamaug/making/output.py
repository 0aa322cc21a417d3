"""`Output`: the folder of shards, on disk or in object storage, and the finished shards in it.

In: shards, a file each, and the files that describe all of them. Out: files that appear whole or not at all. A shard
counts as finished when its checksums, which are written last, fit its index, and both fit its size and the plan.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from streamaug.errors import IndexFormatError, StorageError
from streamaug.making.plan import TAR_RECORD
from streamaug.making.tar_file import GatheringFile
from streamaug.shards.checksum import checksums_beside, read_checksums
from streamaug.shards.index import Sample, read_index
from streamaug.shards.stale import check_fresh
from streamaug.shards.tar import BLOCK
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.location import Location

#: The record of how the shards were made; by its fingerprint a run recognises its own shards.
RECORD = "make-shards.json"
CLASSES = "classes.json"
#: The list of samples that were left out, if any.
LEFT_OUT = "left-out.json"
MANIFEST = "index.json"
_ANY_SIZE = 1 << 62


class Finished(NamedTuple):
    """A finished shard.

    Attributes:
        number: Its number.
        num_bytes: Its size.
        keys: Of its samples.
        suffixes: Of all its members.
    """

    number: int
    num_bytes: int
    keys: list[str]
    suffixes: frozenset[str]


@dataclass
class OpenShard:
    """A shard that is being written.

    Attributes:
        file: The file to write to.
        is_kept: Whether it gets its name in the end.
    """

    file: BinaryIO
    is_kept: bool = True


class Output:
    """A folder for shards; small and picklable.

    Args:
        folder: Path or URL.
        options: The options of object storage.
    """

    def __init__(self, folder: str, options: StorageOptions) -> None:
        self._folder = Location.parse(folder if folder.endswith("/") else f"{folder}/")
        self._storage = Storage(options)
        self.is_remote = not self._folder.is_local

    @property
    def path(self) -> Path:
        """The folder, if it is on disk."""
        return Path(self._folder.path)

    @property
    def shown(self) -> str:
        """The folder, for messages."""
        return self._folder.shown

    def file(self, name: str) -> Location:
        """The file of that name."""
        return self._folder.beside(name)

    def shard(self, number: int) -> Location:
        """The shard of that number."""
        return self.file(f"shard-{number:06d}.tar")

    def pattern(self, count: int) -> str:
        """All shards, as `ShardSet.open` takes them."""
        numbers = "000000" if count == 1 else f"{{000000..{count - 1:06d}}}"
        return f"{self._folder.shown}shard-{numbers}.tar"

    def read(self, name: str) -> Any:
        """The content of a JSON file; None where it does not exist or is damaged.

        Raises:
            StorageError: If it cannot be read.
        """
        data = self._storage.read_all(self.file(name))
        try:
            return None if data is None else json.loads(data)
        except ValueError:
            return None

    def write(self, file: Location, text: str) -> None:
        """Write a small file whole.

        Raises:
            StorageError: If it cannot be written.
        """
        self._storage.write(file, text.encode("utf-8", "surrogateescape"))

    def remove(self, name: str) -> None:
        """Delete a file on disk; a store's stays, and does no harm."""
        if not self.is_remote:
            (self.path / name).unlink(missing_ok=True)

    def create(self) -> None:
        """Make the folder, where it is on disk.

        Raises:
            StorageError: If it cannot be made.
        """
        try:
            if not self.is_remote:
                self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.path, error) from error

    def holds_other_shards(self) -> bool:
        """Whether the folder has shards, or a manifest, without a record of an earlier run."""
        return any(self._storage.read_head(file, 1) is not None for file in (self.shard(0), self.file(MANIFEST)))

    def remove_torn(self, numbers: Sequence[int], names: Sequence[str]) -> None:
        """Delete unfinished files of killed runs for these shards and files."""
        if self.is_remote or not self.path.is_dir():
            return
        stems = {f"shard-{number:06d}" for number in numbers}
        for path in self.path.glob("*.tmp"):
            if path.name.partition(".")[0] in stems or path.name.startswith(tuple(names)):
                path.unlink(missing_ok=True)

    @contextmanager
    def open_shard(self, number: int, num_bytes: int) -> Iterator[OpenShard]:
        """A shard to write to; it gets its name at the end, and vanishes on an error.

        Args:
            number: Which one.
            num_bytes: About how large it will be.

        Raises:
            StorageError: If it cannot be written.
        """
        if self.is_remote:
            memory = BytesIO()
            shard = OpenShard(memory)
            yield shard
            if shard.is_kept:
                self._storage.write(self.shard(number), memory.getvalue())
            return
        path = Path(self.shard(number).path)
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with GatheringFile(temporary, "wb") as file:
                file.allocate(num_bytes)
                shard = OpenShard(cast("BinaryIO", file))
                yield shard
                file.truncate()
                # The disk begins to write the shard now, while the next is made, and not when memory is full of such
                # pages.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if shard.is_kept:
                temporary.replace(path)
        except OSError as error:
            if isinstance(error, StorageError):
                raise
            raise unwritable(path, error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def finished(self, number: int, planned: Sequence[str]) -> Finished | None:
        """A finished shard; None if it is not whole.

        Args:
            number: The shard.
            planned: The keys that it may hold, in their order.

        Raises:
            StorageError: If storage does not answer.
        """
        shard = self.shard(number)
        sums, index = (self._storage.read_all(file) for file in (checksums_beside(shard), shard.index))
        if sums is None or index is None:
            return None
        try:
            samples = list(read_index(index.decode("utf-8", "surrogateescape"), shard.shown, _ANY_SIZE))
            list(read_checksums(sums.decode("ascii", "replace"), shard.shown, index, samples))
            if self._storage.read_head(shard, 1) is None or self._storage.size(shard) != tar_size(samples):
                return None
            check_fresh(self._storage, shard, samples, tar_size(samples))
        except IndexFormatError:
            return None
        keys, rest = [sample.key for sample in samples], iter(planned)
        if not all(key in rest for key in keys):
            return None
        suffixes = frozenset(suffix for sample in samples for suffix in sample.members)
        return Finished(number, tar_size(samples), keys, suffixes)

    def __repr__(self) -> str:
        return f"Output({self.shown!r})"


def unwritable(path: Path, error: OSError) -> StorageError:
    """The error for a file that could not be written."""
    return StorageError(
        f"{path}: the folder must be writable, got: {error.strerror or error}. Check its path, rights and space, and "
        "run the same command again: finished shards are kept."
    )


def tar_size(samples: Sequence[Sample]) -> int:
    """The size of a tar that ends with the last of these samples, as `tarfile` writes it."""
    last = max(
        (member for sample in samples for member in sample.members.values()), key=lambda m: m.offset, default=None
    )
    end = 0 if last is None else last.offset + -(-last.size // BLOCK) * BLOCK
    return -(-(end + 2 * BLOCK) // TAR_RECORD) * TAR_RECORD
