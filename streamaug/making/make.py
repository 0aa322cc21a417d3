"""`make_shards`: the whole run, from sources to a folder that `ShardSet.open` takes.

list → plan → record → write the shards that are not finished → manifest. A part of a job array writes its shards and a
piece of the manifest; the part that finds all pieces writes the manifest.
"""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from streamaug.cluster import on_ray
from streamaug.making.images import ImageRule
from streamaug.making.labels import read_table, write_table
from streamaug.making.listing import Content, bytes_in_tar
from streamaug.making.options import QUALITY, MakeOptions
from streamaug.making.output import CLASSES, LEFT_OUT, MANIFEST, RECORD, Finished, Output
from streamaug.making.pieces import Piece, left_out_text, merged, piece_name
from streamaug.making.plan import Plan
from streamaug.making.progress import SampleProgress
from streamaug.making.shard_writer import BadSample, Result, ShardWriter, Task
from streamaug.making.sources import list_sources
from streamaug.making.workers import in_processes, may_fork
from streamaug.shards import manifest
from streamaug.shards.sources import absolute, at_home
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.location import Location
from streamaug.storage.parallel import in_parallel

#: Samples that this process reduces before all others, to estimate their size afterwards.
_PROBES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of a run.

    Attributes:
        shards: All shards, as `ShardSet.open` takes them.
        num_shards: The number of shards; of a part, the part's own.
        num_samples: Samples in these.
        num_bytes: Their bytes.
        num_classes: Names in the class table; None: no table.
        num_kept: Shards that an earlier run had finished.
        bad: Samples that cannot be used: left out, or, without `skip_bad`, the reason why no manifest is written.
        is_complete: Whether the manifest of all shards is written.
        waiting_for: Parts, from 0, that are not finished; empty where this run is no part.
        suffixes: Of the shards' members.
    """

    shards: str
    num_shards: int
    num_samples: int
    num_bytes: int
    num_classes: int | None
    num_kept: int
    bad: list[BadSample]
    is_complete: bool
    waiting_for: list[int]
    suffixes: frozenset[str]


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"make-shards: {line}\n")


def make_shards(
    sources: Sequence[str | PathLike[str]],
    output: str | PathLike[str],
    *,
    options: MakeOptions = MakeOptions(),  # noqa: B008 - frozen
    storage: StorageOptions = StorageOptions(),  # noqa: B008 - frozen
    say: Callable[[str], None] = _to_stderr,
) -> Report:
    """Make shards, or go on where an earlier run was stopped.

    Args:
        sources: Image folders, lists, Hugging Face datasets on disk or tars; all of one kind.
        output: Folder or URL of a folder.
        options: The options of the run.
        storage: The options of object storage.
        say: Called with each line for the user meanwhile.

    Raises:
        ValueError: If a source cannot be read as a source, or the output holds other shards.
        StreamaugError: If reading or writing fails.
    """
    given, folder_name = [at_home(fspath(source)) for source in sources], at_home(fspath(output))
    if not folder_name:
        raise ValueError("OUTPUT: must name a folder or URL, got ''. Write '.' for the current folder.")
    if not given or not all(given):
        raise ValueError(f"SOURCE: must name a file, folder or URL, got {given}. Check the variables of the command.")
    if options.ray is not None:  # a node has a current folder of its own
        given, folder_name = [absolute(source) for source in given], absolute(folder_name)
    table = None if options.classes is None else read_table(fspath(options.classes))
    folder = Output(folder_name, storage)
    _check_apart(given, folder)
    listings = list_sources(given, storage, options)
    plan = Plan(listings, options, table)
    for note in (note for listing in listings for note in listing.notes):
        say(note)
    if plan.num_renamed:
        say(f"{plan.num_renamed} samples had the key of another one, and are numbered: name~2, name~3, …")
    rule = ImageRule(max_side=options.max_side, quality=options.quality or QUALITY, decode=options.decode)
    writer = ShardWriter(plan.sources, rule, folder, options.skip_bad)
    plan.cut(_ratio(plan, writer))
    return _Run(plan, folder, writer, storage, say).report()


def _check_apart(sources: Sequence[str], output: Output) -> None:
    """Raise ValueError if the shards would be written into a source's folder, where the next run would list them."""
    for source in sources:
        location = Location.parse(source)
        if location.is_local and not output.is_remote:
            inner, outer = output.path.resolve(), Path(location.path).resolve()
            if outer.is_dir() and inner.is_relative_to(outer):
                raise ValueError(
                    f"OUTPUT: must not lie in SOURCE, got {str(inner)!r} in {str(outer)!r}. Write beside it."
                )


def _ratio(plan: Plan, writer: ShardWriter) -> float:
    """The size of samples after reducing as a share of their size, from a few reduced samples."""
    if plan.options.max_side is None:
        return 1.0
    before = after = 1
    for content in writer.contents(plan.probes(_PROBES)):
        reduced = writer.rule.apply(content) if isinstance(content, Content) else content
        if isinstance(content, Content) and isinstance(reduced, Content):
            before += bytes_in_tar(len(content.image))
            after += bytes_in_tar(len(reduced.image))
    return after / before


class _Run:
    """A run of a plan."""

    def __init__(
        self, plan: Plan, output: Output, writer: ShardWriter, storage: StorageOptions, say: Callable[[str], None]
    ) -> None:
        self._plan, self._output, self._writer = plan, output, writer
        self._storage = storage
        self._say = say
        number, self._parts = plan.options.part
        self._part = number % self._parts
        self._numbers = range(self._part, plan.num_shards, self._parts)

    def report(self) -> Report:
        """Do it."""
        record = self._plan.record()
        kept = self._kept() if self._is_begun(record) else {}
        if kept:
            self._say(f"{len(kept)} of {len(self._numbers)} shards are finished and kept")
        made, bad = self._make(kept)
        piece = Piece.of([*kept.values(), *made], bad)
        if bad and not self._plan.options.skip_bad:
            return self._reported(piece, len(kept), is_complete=False)
        if self._parts == 1:
            self._complete(piece)
            return self._reported(piece, len(kept), is_complete=True)
        self._output.write(self._output.file(piece_name((self._part, self._parts))), piece.write(record["fingerprint"]))
        whole = merged(self._output, self._parts, record["fingerprint"])
        if isinstance(whole, Piece):
            self._complete(whole)
        return self._reported(
            piece, len(kept), is_complete=isinstance(whole, Piece), waiting_for=whole if isinstance(whole, list) else []
        )

    def _is_begun(self, record: Mapping[str, Any]) -> bool:
        """Whether an earlier run of this plan wrote to the output; prepares the output if not.

        Raises:
            ValueError: If the output holds other shards.
        """
        known = self._output.read(RECORD)
        if known is None:
            if self._output.holds_other_shards():
                raise ValueError(
                    f"OUTPUT: must be empty, or hold shards that this command began, got shards of another making in "
                    f"{self._output.shown}. Name another folder."
                )
            self._output.create()
            names = self._plan.class_names
            if names is not None:
                self._output.write(self._output.file(CLASSES), write_table(names))
            self._output.write(self._output.file(RECORD), json.dumps(record, indent=1) + "\n")
            return False
        if known.get("fingerprint") != record["fingerprint"]:
            differing = [
                f"{name} {known.get(name)!r} there, {record[name]!r} now"
                for name in record
                if known.get(name) != record[name]
            ]
            what = "; ".join(differing[:-1]) or "names, sizes or labels of samples, or --shard-size, differ"
            raise ValueError(
                f"OUTPUT: must be empty, or hold shards that this command began, got shards of other sources or "
                f"options in {self._output.shown}: {what}. Name another folder, or delete this one."
            )
        self._output.remove_torn(self._numbers, [] if self._parts > 1 else [RECORD, CLASSES, LEFT_OUT, MANIFEST])
        return True

    def _kept(self) -> dict[int, Finished]:
        """The finished shards."""

        def look(number: int) -> Finished | None:
            return self._output.finished(number, [sample.key for sample in self._plan.shard(number)])

        found: Iterable[Finished | None] = map(look, self._numbers)
        if self._output.is_remote:  # else without threads, so that this process can be forked afterwards
            found = in_parallel(Storage(self._storage), look, list(self._numbers), what="Looking for finished shards")
        return {finished.number: finished for finished in found if finished is not None}

    def _tasks(self, kept: Mapping[int, Finished]) -> Iterator[Task]:
        """The remaining tasks; for finished shards, the reasons why samples are not in them."""
        for number in self._numbers:
            samples = self._plan.shard(number)
            if number not in kept:
                yield Task(number, samples, self._plan.num_bytes(number))
            elif len(kept[number].keys) < len(samples):
                held = set(kept[number].keys)
                yield Task(number, [sample for sample in samples if sample.key not in held], write=False)

    def _make(self, kept: Mapping[int, Finished]) -> tuple[list[Finished], list[BadSample]]:
        borders = self._plan.borders
        held = sum(len(kept[number].keys) if number in kept else 0 for number in self._numbers)
        total = int(sum(borders[number + 1] - borders[number] for number in self._numbers)) - held
        progress = SampleProgress(total, sys.stderr)
        made: list[Finished] = []
        bad: list[BadSample] = []
        try:
            for result in self._results(kept, progress):
                bad += result.bad
                if result.finished is not None:
                    made.append(result.finished)
        finally:
            progress.close()
            self._output.remove_torn(self._numbers, [])
        return made, bad

    def _results(self, kept: Mapping[int, Finished], progress: SampleProgress) -> Iterator[Result]:
        """The results of all tasks, by processes of this machine or by a cluster's nodes."""
        options = self._plan.options
        if options.ray is not None:
            for _, result in on_ray(options.ray, self._writer.alone, self._tasks(kept), tick=lambda: progress.add(0)):
                progress.add(len(result.task.samples))
                yield result
            return
        remote = self._output.is_remote or any(source.is_remote for source in self._plan.sources)
        yield from in_processes(
            self._writer,
            self._tasks(kept),
            processes=options.processes or len(os.sched_getaffinity(0)),
            count=progress.add,
            fork=not remote and may_fork(),
        )

    def _complete(self, whole: Piece) -> None:
        """Write the manifest, and remove the pieces of it."""
        entries = [
            manifest.Entry(self._output.shard(number).url, samples, size, True)
            for number, samples, size in whole.shards
        ]
        if whole.left_out:
            self._output.write(self._output.file(LEFT_OUT), left_out_text(whole.left_out))
        self._output.write(self._output.file(MANIFEST), manifest.write(entries))
        for number in range(self._parts if self._parts > 1 else 0):
            self._output.remove(piece_name((number, self._parts)))

    def _reported(self, piece: Piece, num_kept: int, *, is_complete: bool, waiting_for: Sequence[int] = ()) -> Report:
        names = self._plan.class_names
        return Report(
            shards=self._output.pattern(self._plan.num_shards),
            num_shards=len(piece.shards),
            num_samples=sum(samples for _, samples, _ in piece.shards),
            num_bytes=sum(size for _, _, size in piece.shards),
            num_classes=None if names is None else len(names),
            num_kept=num_kept,
            bad=piece.left_out,
            is_complete=is_complete,
            waiting_for=list(waiting_for),
            suffixes=piece.suffixes,
        )
