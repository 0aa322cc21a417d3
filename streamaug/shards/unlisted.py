"""Looks in a shard for samples that its index lacks: behind the last member that it lists, and between two.

In: an index's samples and the shard. Out: nothing, or the error. A shard whose members stand side by side costs no
request; where there is room for a sample, headers are read, and only there.
"""

import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from streamaug.errors import IndexFormatError
from streamaug.shards.index import Sample, samples_of, start_of
from streamaug.shards.names import PassedOver
from streamaug.shards.tar import BLOCK, Member, header_of, headers_from
from streamaug.storage.location import Location
from streamaug.storage.storage import Storage

#: Members behind the last of an index to look at; there are more only where many files are part of no sample.
_MOST_BEHIND = 64
#: Gaps of an index to look into, the largest ones, and members to look at in each: in shards whose other files are as
#: large as samples, every sample has such a gap.
_MOST_GAPS, _MOST_INSIDE = 2, 32
_LEAST_ROOM = 2 * BLOCK  # a sample's header and data
_AHEAD = 16 << 10  # bytes that are read with a header, since others may follow


@dataclass(frozen=True, slots=True)
class Unlisted:
    """A search for samples of a shard that its index does not list.

    Attributes:
        storage: Reads the shard.
        shard: The shard.
        index: Its index.
        samples: The samples that the index lists, at least one.
        num_bytes: The shard's size.
    """

    storage: Storage
    shard: Location
    index: Location
    samples: Sequence[Sample]
    num_bytes: int

    def refuse_behind(self, start: int) -> None:
        """Refuse a sample behind the last data of the index.

        Other files, links that the index lists, and more files of its last sample may stand there.

        Args:
            start: Where the first header behind that data stands.

        Raises:
            IndexFormatError: If a sample stands there; names its key.
            ShardError: If the shard is damaged there.
        """
        file = _Pieces(self.storage, self.shard, self.num_bytes)
        infos = islice(headers_from(file, self.shard.shown, self.num_bytes, start), _MOST_BEHIND)
        last = self.samples[-1].key
        for sample in self._samples(infos):
            if sample.key != last:
                raise self._lacks(sample, "behind its last. The shard grew after its index")

    def refuse_between(self) -> None:
        """Refuse a sample between two members of the index; looks into the largest gaps alone.

        Other files, links and more files of the samples that it lists may stand there.

        Raises:
            IndexFormatError: If a sample stands there; names its key.
            ShardError: If the shard is damaged there.
        """
        for start, stop in self._gaps():
            file = _Pieces(self.storage, self.shard, stop)
            file.seek(start)
            block = file.read(BLOCK)
            if not any(block):
                continue  # a hole, or tars one after the other
            if header_of(block) is None:
                raise stale_error(self.shard, self.index, f"a header must stand at {start}")
            headers = headers_from(file, self.shard.shown, self.num_bytes, start)
            infos = list(islice(_before(stop, headers), _MOST_INSIDE))
            found = list(self._samples(infos))
            listed = {sample.key for sample in self.samples}
            for sample in found if len(infos) < _MOST_INSIDE else found[:-1]:  # more members of the last may follow
                if sample.key not in listed:
                    raise self._lacks(sample, f"at offset {start_of(sample)}. The index is incomplete")

    def _gaps(self) -> list[tuple[int, int]]:
        """The largest parts of a shard before its last listed member that belong to none, and have room for a sample.

        Each is (start, offset of the data of the next listed member): the headers of that member end it. Headers alone,
        those of folders and links among them, take less room than any listed sample does, but for tiny ones.
        """
        every = [member for sample in self.samples for member in sample.members.values()]
        offsets = np.array([member.offset for member in every], np.int64)
        sizes = np.array([member.size for member in every], np.int64)
        ends = offsets + (sizes + BLOCK - 1) // BLOCK * BLOCK
        order = np.argsort(offsets, kind="stable")
        stops, starts = offsets[order], np.concatenate([[0], np.maximum.accumulate(ends[order])[:-1]])
        room = stops - BLOCK - starts
        between = room[1:][room[1:] >= 0]  # links share their data
        room -= between.min() if between.size else 0  # as much as every member's extended headers take
        if room.max() < _LEAST_ROOM:
            return []
        least = min(
            max(member.offset + member.size for member in sample.members.values()) - start_of(sample)
            for sample in self.samples
        )
        largest = np.argsort(-room, kind="stable")[:_MOST_GAPS]
        return [(int(starts[at]), int(stops[at])) for at in sorted(largest) if room[at] >= max(least, _LEAST_ROOM)]

    def _samples(self, infos: Iterable[tarfile.TarInfo]) -> Iterator[Sample]:
        parts = (Member(info.name, info.offset_data, info.size) for info in infos if info.isreg())
        return samples_of(parts, self.shard.shown, PassedOver())

    def _lacks(self, sample: Sample, where_and_why: str) -> IndexFormatError:
        return IndexFormatError(
            f"{self.index.shown}: must list every sample of {self.shard.shown}, got none of {sample.key!r}, "
            f"{where_and_why}: write it again with `streamaug index`."
        )


def stale_error(shard: Location, index: Location, what: str) -> IndexFormatError:
    """The error for an index that does not fit its shard; `what` is a rule that the shard breaks."""
    return IndexFormatError(
        f"{index.shown}: must fit {shard.shown}: {what}, got something else. "
        "The shard was rewritten or cut after its index: write it again with `streamaug index`."
    )


def _before(stop: int, infos: Iterable[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
    """The headers of the members before the one whose data begins at `stop`; reads no header for nothing."""
    for info in infos:
        if info.offset_data >= stop:
            return
        yield info
        if info.isreg() and info.offset_data + -(-info.size // BLOCK) * BLOCK >= stop - BLOCK:
            return


class _Pieces:
    """The beginning of a shard, local or remote, as a file of which only the bytes asked for are read, and some behind.

    A `RangeFile` reads ahead and through gaps, to its advantage where every header is read; here a few are.
    """

    def __init__(self, storage: Storage, shard: Location, num_bytes: int) -> None:
        self._storage, self._shard, self._num_bytes, self._at = storage, shard, num_bytes, 0
        self._held, self._held_from = b"", 0

    def read(self, size: int, /) -> bytes:
        stop = min(self._at + size, self._num_bytes)
        if self._at < self._held_from or stop > self._held_from + len(self._held):
            until = min(max(stop, self._at + _AHEAD), self._num_bytes)
            self._held, self._held_from = bytes(self._storage.read_some(self._shard, self._at, until)), self._at
        data = self._held[self._at - self._held_from : max(self._at, stop) - self._held_from]
        self._at += len(data)
        return data

    def seek(self, offset: int, /) -> int:
        self._at = offset
        return offset

    def tell(self) -> int:
        return self._at
