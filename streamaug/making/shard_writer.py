"""`ShardWriter`: one shard from its samples, by webdataset's `TarWriter`, with its index and checksums.

In: samples by name. Out: x.tar, x.idx and x.crc32c, with the same bytes from any process, and the problems of the
samples that are not in it. It runs in a worker process and has no other shard.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from streamaug.making.images import ImageRule
from streamaug.making.listing import Content, Source, Unusable
from streamaug.making.output import Finished, Output, tar_size
from streamaug.making.plan import Sample
from streamaug.making.tar_file import ShardTar
from streamaug.shards import index
from streamaug.shards.checksum import checksums_beside, crc32c, write_checksums
from streamaug.shards.tar import Member


class Task(NamedTuple):
    """A shard to write; or the samples that are missing in a finished shard, to be judged again.

    Attributes:
        number: The shard.
        samples: Its samples.
        num_bytes: About how large it will be.
        write: Whether to write it.
    """

    number: int
    samples: list[Sample]
    num_bytes: int = 0
    write: bool = True


class BadSample(NamedTuple):
    """A sample that cannot be used.

    Attributes:
        key: Its key.
        source: Its name in the source.
        reason: Why.
    """

    key: str
    source: str
    reason: str


class Result(NamedTuple):
    """The result of a task; `finished` is None where bad samples kept the shard from being written."""

    task: Task
    finished: Finished | None
    bad: list[BadSample]


@dataclass(frozen=True, slots=True)
class ShardWriter:
    """Writes shards.

    Args:
        sources: Read the samples.
        rule: The demands on images, and the changes to them.
        output: The folder of the shards.
        skip_bad: Whether to write a shard without its bad samples; if not, bad samples keep it from being written.
    """

    sources: Sequence[Source]
    rule: ImageRule
    output: Output
    skip_bad: bool

    def __call__(self, task: Task, count: Callable[[int], None]) -> Result:
        """Do a task; calls `count(n)` for every n samples that are done.

        Raises:
            StreamaugError: If reading or writing fails.
        """
        bad: list[BadSample] = []
        if not task.write:
            for _ in self._judged(task.samples, bad, count):
                pass
            return Result(task, None, bad)
        with self.output.open_shard(task.number, task.num_bytes) as written:
            samples, sums = _write(written.file, self._judged(task.samples, bad, count))
            written.is_kept = self.skip_bad or not bad
        if not written.is_kept:
            return Result(task, None, bad)
        shard, text = self.output.shard(task.number), index.write_index(samples)
        self.output.write(shard.index, text)
        self.output.write(
            checksums_beside(shard), write_checksums(samples, sums, text.encode("utf-8", "surrogateescape"))
        )
        suffixes = frozenset(suffix for sample in samples for suffix in sample.members)
        return Result(task, Finished(task.number, tar_size(samples), [sample.key for sample in samples], suffixes), bad)

    def alone(self, task: Task) -> Result:
        """Do a task without counting."""
        return self(task, lambda _: None)

    def _judged(
        self, samples: Sequence[Sample], bad: list[BadSample], count: Callable[[int], None]
    ) -> Iterator[tuple[Sample, Content]]:
        """The samples that can be used; adds the others to `bad`."""
        for sample, content in zip(samples, self.contents(samples), strict=True):
            usable = content if isinstance(content, Unusable) else self.rule.apply(content)
            if isinstance(usable, Unusable):
                bad.append(BadSample(sample.key, self.sources[sample.source].describe(sample.ref), usable.reason))
            else:
                yield sample, usable
            count(1)

    def contents(self, samples: Sequence[Sample]) -> Iterator[Content | Unusable]:
        """The contents of these samples in the sources, in their order."""
        refs: dict[int, list[object]] = {}
        for sample in samples:
            refs.setdefault(sample.source, []).append(sample.ref)
        readers = {number: self.sources[number].read(some) for number, some in refs.items()}
        for sample in samples:
            yield next(readers[sample.source])


def _write(file: BinaryIO, contents: Iterator[tuple[Sample, Content]]) -> tuple[list[index.Sample], dict[int, int]]:
    """Write a tar; returns its samples with their offsets, and the checksum of each member by its offset."""
    tar = ShardTar(file)
    samples: list[index.Sample] = []
    sums: dict[int, int] = {}
    for sample, content in contents:
        parts = {**content.others, str(content.suffix): content.image}
        if sample.label is not None:
            parts["cls"] = str(sample.label).encode()
        members: dict[str, Member] = {}
        for suffix in sorted(parts):
            data = parts[suffix]
            offset = tar.add(sample.key, suffix, data)
            members[suffix] = Member(f"{sample.key}.{suffix}", offset, len(data))
            sums[offset] = crc32c(data)
        samples.append(index.Sample(sample.key, members))
    tar.close()
    return samples, sums
