"""Finds the samples of a shard without an index file, by its headers, or by all its bytes where these are needed.

In: a shard. Out: its samples, and its other members. It reads remote shards in order, in ranges that are retried and
checked like others; where only headers are needed, it skips the data between them if that saves time.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from streamaug.errors import StorageError
from streamaug.shards.index import Sample, samples_of
from streamaug.shards.names import PassedOver
from streamaug.shards.range_file import Pace, RangeFile
from streamaug.shards.tar import Member, Seekable, members
from streamaug.storage.local import unreadable
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage, Url

#: A function to call with each member and the file from which it can be read.
Visit = Callable[[Member, Seekable], None]


def scan(
    storage: Storage,
    url: Url,
    visit: Visit | None = None,
    *,
    passed_over: PassedOver | None = None,
    pace: Pace | None = None,
) -> tuple[list[Sample], int]:
    """The samples of a shard, and its size in bytes.

    Args:
        storage: Reads the shard.
        url: The shard.
        visit: Called for each member in order, but for links, when the file may be read forward from it.
        passed_over: Counts the members that are part of no sample, if given.
        pace: Of a remote shard, skips the data of members where its measurements say that this saves time. None: read
            all of it, through the disk cache if there is one.

    Raises:
        StorageError: If it cannot be read.
        ShardError: If it is no valid shard.
    """
    location, counter = Location.parse(url), PassedOver() if passed_over is None else passed_over
    size = storage.size(location)
    if not location.is_local:
        file = RangeFile(storage, location, size, pace)
        return list(_samples(file, location, size, visit, counter)), size
    try:
        with Path(location.path).open("rb", buffering=0) as local:
            samples = list(_samples(local, location, size, visit, counter))
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise unreadable(location.path, error) from error
    storage.size(location)  # an error, if the file changed meanwhile
    return samples, size


def stream(
    storage: Storage, url: Url, num_bytes: int, passed_over: PassedOver | None = None
) -> Iterator[tuple[Sample, dict[str, bytes]]]:
    """The samples of a shard in order, each with the bytes of its members by suffix.

    Args:
        storage: Reads the shard.
        url: The shard.
        num_bytes: Its size.
        passed_over: Counts the members that are part of no sample, if given.

    Raises:
        StorageError: If it cannot be read.
        ShardError: If it is no valid shard; the samples before the damage come first.
    """
    location = Location.parse(url)
    held: dict[int, bytes] = {}

    def keep(member: Member, file: Seekable) -> None:
        file.seek(member.offset)
        held[member.offset] = file.read(member.size)

    def content(member: Member) -> bytes:
        if member.is_link:  # to data that was read long ago, or comes much later
            return bytes(storage.read(location, member.offset, member.offset + member.size))
        return held[member.offset]

    file = RangeFile(storage, location, num_bytes)
    for sample in _samples(file, location, num_bytes, keep, PassedOver() if passed_over is None else passed_over):
        yield sample, {suffix: content(member) for suffix, member in sample.members.items()}
        last = max((member.offset for member in sample.members.values() if not member.is_link), default=-1)
        for offset in [offset for offset in held if offset <= last]:
            del held[offset]


def _samples(
    file: Seekable, location: Location, size: int, visit: Visit | None, passed_over: PassedOver
) -> Iterator[Sample]:
    def visited() -> Iterator[Member]:
        for member in members(file, location.shown, size, passed_over):
            if visit is not None and not member.is_link:
                visit(member, file)
            yield member

    return samples_of(visited(), location.shown, passed_over)
