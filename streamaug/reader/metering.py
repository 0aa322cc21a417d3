"""The time and the counts of each stage of a pass: measured around `run`, so that no stage measures itself.

In: the batches of each stage, as the stage behind it takes them. Out: a `Meter` for each stage. A stage's own time is
the time in its `next()` without that in the `next()` of the stages before it, in the same thread. Nothing here keeps a
batch, a stage or an iterator alive.
"""

import functools
import itertools
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from threading import get_ident
from typing import Any, Protocol

from streamaug.storage.counting import ReadCounts

_NUMBERS = itertools.count(1)


class Counts(Protocol):
    """Counts of a stage besides batches and time."""

    def as_dict(self) -> Mapping[str, float]:
        """The numbers by name; the names are always the same."""

    def waited(self) -> float:
        """Seconds of the stage's own time for which its thread waited for something outside of the chain."""

    def blocked(self) -> tuple[str, int | None] | None:
        """The cause of the stage's wait at this moment, and the thread that is late; None while it works itself."""


class MeteredStage(Protocol):
    """The attributes of a stage that a meter uses."""

    def _new_counts(self) -> Counts | None:
        """Counts that begin at 0, for one pass."""


class Meter:
    """The time and the batches of one stage in one pass.

    Attributes:
        name: The stage's class.
        batches: Batches that it delivered.
        total_ns: Nanoseconds in its `next()`.
        inner_ns: Nanoseconds of these in the `next()` of other stages.
        origin: The origin of the last batch; None where the batch has none.
        counts: Its further counts; None: it has none.
    """

    __slots__ = ("_stage", "batches", "counts", "inner_ns", "name", "origin", "total_ns")

    def __init__(self, stage: MeteredStage) -> None:
        self._stage = weakref.ref(stage)
        self.name = type(stage).__name__
        self.batches = self.total_ns = self.inner_ns = 0
        self.origin: Any = None
        self.counts = stage._new_counts()

    @property
    def stage(self) -> MeteredStage | None:
        """The stage; None once it is gone."""
        return self._stage()


#: Marks a range for a profiler: a function to call at its begin, with its name, and one to call at its end.
Ranges = tuple[Callable[[str], object], Callable[[], object]]


class PassMeter:
    """The meters of a pass, and when its batches were asked for.

    Attributes:
        number: Of the pass in this process, from 1.
        inside: By thread: the meter of the innermost stage whose `next()` it is in.
        asked_ns: When the loop asked for the batch that is not ready yet; 0: it waits for none.
        asked_by: The thread that asked.
        waited_ns: Nanoseconds for which batches were waited for.
        begun_ns: When the pass began; 0 before.
        last_ns: When the last batch was ready, or the pass over.
        ranges: How stages are marked for a profiler; None: not at all.
    """

    def __init__(self) -> None:
        self.number = next(_NUMBERS)
        self.inside: dict[int, Meter | None] = {}
        self.asked_ns = self.asked_by = self.waited_ns = self.begun_ns = self.last_ns = 0
        self.ranges: Ranges | None = None
        self._meters: dict[int, Meter] = {}

    def ask(self) -> None:
        """Note that a batch is asked for."""
        self.asked_by = get_ident()
        self.asked_ns = time.perf_counter_ns()

    def answer(self) -> None:
        """Note that the batch is ready, or never comes."""
        if self.asked_ns:
            self.last_ns = time.perf_counter_ns()
            self.waited_ns += self.last_ns - self.asked_ns
            self.asked_ns = 0

    def begin(self) -> None:
        """Note that the pass begins; the wait until now belongs to it."""
        self.last_ns = time.perf_counter_ns()
        self.begun_ns = self.last_ns - self.waited_ns

    def of(self, stage: object) -> Meter | None:
        """The meter of a stage, if the pass runs it."""
        meter = self._meters.get(id(stage))
        return meter if meter is not None and meter.stage is stage else None

    def add(self, stage: MeteredStage) -> Meter | None:
        """A meter for a stage; None if it has one already, since its `run` calls that of its base class."""
        if self.of(stage) is not None:
            return None
        meter = self._meters[id(stage)] = Meter(stage)
        return meter

    def counts_of(self, stage: object) -> Any:
        """The further counts of a stage, as its `_new_counts` made them; None without a meter."""
        meter = self.of(stage)
        return None if meter is None else meter.counts


class Metered(Iterator[Any]):
    """The batches of a stage, measured."""

    __slots__ = ("_batches", "_pass", "meter")

    def __init__(self, batches: Iterator[Any], meter: Meter, pass_meter: PassMeter) -> None:
        self._batches, self.meter, self._pass = batches, meter, pass_meter

    def __iter__(self) -> "Metered":
        return self

    def __next__(self) -> Any:
        meter, inside, thread, ranges = self.meter, self._pass.inside, get_ident(), self._pass.ranges
        outer = inside.get(thread)
        inside[thread] = meter
        if ranges is not None:
            ranges[0](meter.name)
        began = time.perf_counter_ns()
        try:
            batch = next(self._batches)
            meter.batches += 1
            meter.origin = getattr(batch, "origin", None)
        finally:
            spent = time.perf_counter_ns() - began
            meter.total_ns += spent
            if outer is not None:
                outer.inner_ns += spent
            inside[thread] = outer
            if ranges is not None:
                ranges[1]()
        return batch

    def close(self) -> None:
        """Close the stage's generator, if it is one."""
        close = getattr(self._batches, "close", None)
        if close is not None:
            close()


def metered(run: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The `run` of a stage, measured."""

    @functools.wraps(run)
    def measured(self: Any, epoch_pass: Any) -> Any:
        meter = epoch_pass.meter.add(self)
        batches = run(self, epoch_pass)
        if meter is None or not hasattr(batches, "__iter__"):
            return batches
        return Metered(iter(batches), meter, epoch_pass.meter)

    return measured


class ReaderCounts:
    """The counts of a reader in one pass.

    Args:
        bad: Gives how many different bad samples were met, and how many rows were replaced, so far.

    Attributes:
        read: The counts of reading.
        queue_depth: Ranges and indexes that were asked for and had not come when the last batch was made.
        prefetch_fill: Bytes held and under way then, as a share of `StorageOptions.memory_limit`.
    """

    def __init__(self, bad: Callable[[], tuple[int, int]] = lambda: (0, 0)) -> None:
        self._bad, self._before = bad, bad()
        self.read = ReadCounts()
        self.queue_depth, self.prefetch_fill = 0, 0.0

    def as_dict(self) -> dict[str, float]:
        """The numbers by name."""
        read = self.read
        bad, replaced = (now - before for now, before in zip(self._bad(), self._before, strict=True))
        return {
            "bytes": read.bytes,
            "requests": read.requests,
            "retries": read.retries,
            "hedges": read.hedges,
            "cache_hits": read.cache_hits,
            "cache_misses": read.cache_misses,
            "bad_samples": bad,
            "replaced_rows": replaced,
            "queue_depth": self.queue_depth,
            "prefetch_fill": self.prefetch_fill,
        }

    def waited(self) -> float:
        """Seconds for which ranges were waited for."""
        return self.read.waited_ns / 1e9

    def blocked(self) -> tuple[str, int | None] | None:
        """The range that is waited for, and the thread that reads it."""
        blocked = self.read.blocked
        return None if blocked is None else blocked()
