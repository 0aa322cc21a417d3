"""Measures every part of a chain, and the whole.

In: a chain in its parts, and the effort. Out: a `Roofline` and the facts for advice. Afterwards the chain is at its
beginning again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import numpy as np
import torch

from streamaug.cli.bench.advice import Facts
from streamaug.cli.bench.clock import (
    Cost,
    Effort,
    Work,
    core_time,
    difference,
    in_a_row,
    in_turn,
    serial_speed,
    serial_time,
    speed,
    thread_time,
)
from streamaug.cli.bench.graphs import DECODE, PLAN, Graphs
from streamaug.cli.bench.intervals import Interval, median_interval
from streamaug.cli.bench.machine import Watch, available_memory, usable_cores
from streamaug.cli.bench.reading import Reading, reading_plan
from streamaug.cli.bench.replay import Copying, StageAlone
from streamaug.cli.bench.roofline import AHEAD, COPY, CORES, PYTHON, STORAGE, Measured, Roofline, Row, roofline
from streamaug.cli.bench.subject import HELD, Subject, delivered_by, encoded_batches
from streamaug.cli.bench.whole import Whole
from streamaug.stages.base import Stage
from streamaug.storage.progress import Progress

Costs = Mapping[str, Sequence[Cost]]
_core_ms: Callable[[Cost], float] = attrgetter("core_ms")
_serial_ms: Callable[[Cost], float] = attrgetter("serial_ms")
#: Core-milliseconds an image below which a part's own speed cannot be told.
_TELLABLE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """The works to measure.

    Attributes:
        reading: Storage alone.
        whole: The chain.
        graphs: The parts of the augmenter, if there is one.
        preparing: Their Python.
        running: Their graphs.
        stages: The other stages, by name.
        copying: The copy to a GPU, where batches come from a CPU and there is a GPU.
    """

    reading: Reading
    whole: Whole
    graphs: Graphs | None
    preparing: Mapping[str, Work]
    running: Mapping[str, Work]
    stages: Mapping[str, StageAlone]
    copying: Copying | None

    @property
    def works(self) -> int:
        """The number of works."""
        parsing = 1 if self.graphs is not None else 0
        copying = 1 if self.copying is not None else 0
        return 2 + parsing + copying + len(self.preparing) + len(self.running) + len(self.stages)


@dataclass(slots=True, eq=False)
class _Sums:
    """The work of the thread that takes batches, and the time for which it is blocked."""

    rows: list[Row] = field(default_factory=list)
    thread_ms: float = 0.0
    blocked_ms: float = 0.0

    def add(self, costs: Sequence[Cost]) -> None:
        """Count work of that thread."""
        thread = thread_time(costs)
        self.thread_ms += thread
        self.blocked_ms += max(0.0, serial_time(costs) - thread)


def measure(subject: Subject, effort: Effort, *, step_ms: float | None) -> tuple[Roofline, Facts]:
    """Measure a chain.

    Args:
        subject: The chain.
        effort: The repeats and their length.
        step_ms: Milliseconds of a training step of the model; None: no model.

    Raises:
        StreamaugError: If the chain cannot be read.
    """
    plan = _plan(subject, effort)
    with Progress(total=plan.works * effort.repeats, what="Measuring", unit="run") as progress:
        # Storage alone; then the chain, while a watch sees which cores other programs use.
        reading = in_a_row(plan.reading, effort, step=progress.advance)
        watch = Watch()
        whole = in_a_row(plan.whole, effort, step=progress.advance)
        cores_left = watch.company().cores_left
        subject.chain.seek(0, 0)
        # The stages other than the augmenter, all in the thread that takes batches.
        python = _Sums()
        for name, alone in plan.stages.items():
            costs = in_a_row(alone, effort, step=progress.advance)
            python.add(costs)
            python.rows.append(Row(name=name, where=PYTHON, **_one_thread(costs)))
        # The augmenter: headers, then its Python and its graph, each with one operation more than the one before.
        graph: dict[str, Any] = {}
        rows = [_storage_row(plan.reading, reading)]
        saved = None
        if plan.graphs is not None:
            parsing = in_a_row(plan.graphs.parsing(), effort, step=progress.advance)
            prepared = in_turn(plan.preparing, effort, step=progress.advance)
            run = in_turn(plan.running, effort, step=progress.advance)
            rows += _augmenter_rows(plan.graphs, parsing, prepared, run)
            last = plan.graphs.parts[-1].name
            graph = {"graph_core_ms": core_time(run[last]).median, "graph_threads": plan.graphs.threads}
            if plan.graphs.device is not None:
                graph["graph_speed"] = speed(run[last]).median
            if plan.graphs.runs_ahead:
                graph["ahead_ms"] = serial_time(prepared[last])
            else:
                python.add(prepared[last])
            if plan.graphs.variant is not None:
                saved = difference(run[last], run[plan.graphs.variant.name], _core_ms).median
        # The copy that a training on a GPU would do behind the chain.
        if plan.copying is not None:
            costs = in_a_row(plan.copying, effort, step=progress.advance)
            rows.append(Row(name="copy to the GPU", where=COPY, in_chain=False, **_one_thread(costs)))
    rows += [*python.rows, _rest(whole, python)]
    measured = Measured(
        rows=rows,
        chain=speed(whole),
        chain_core_ms=core_time(whole),
        cores=usable_cores(),
        python_ms=thread_time(whole) + python.blocked_ms,
        batch_size=subject.batch_size,
        step_ms=step_ms,
        **graph,
    )
    return roofline(measured), _facts(subject, plan, saved, cores_left)


def _plan(subject: Subject, effort: Effort) -> _Plan:
    """The works to measure, and the batches for the parts."""
    batches = encoded_batches(subject)
    graphs = None if subject.augmenter is None else Graphs(subject, subject.augmenter, batches)
    stages = _alone(subject.reader, subject.before)
    copying = None
    if subject.augmenter is not None:
        stages |= _alone(subject.augmenter, subject.after)
        if graphs is not None and graphs.device is None and torch.cuda.is_available():
            copying = Copying(delivered_by(subject.augmenter, 2), subject.batch_size)
    return _Plan(
        reading=Reading(subject.reader, effort.seconds),
        whole=Whole(subject.chain, subject.batch_size),
        graphs=graphs,
        preparing={} if graphs is None else graphs.preparing(),
        running={} if graphs is None else graphs.running(),
        stages=stages,
        copying=copying,
    )


def _alone(first: Stage, stages: Sequence[Stage]) -> dict[str, StageAlone]:
    """Each of the stages behind `first`, fed with batches of the stage before it."""
    works: dict[str, StageAlone] = {}
    given = delivered_by(first, HELD // 2) if stages else []
    for stage in stages:
        works[_name(stage, works)] = alone = StageAlone(stage, given)
        given = alone.delivered(len(given))
    return works


def _name(stage: Stage, taken: Mapping[str, Any]) -> str:
    """A stage's class, with its function, and a number where the chain has several."""
    function = getattr(stage.__dict__.get("_fn"), "__name__", None)
    name = type(stage).__name__ + ("" if function is None else f"({function})")
    count = sum(each == name or each.startswith(f"{name} ") for each in taken)
    return name if not count else f"{name} {count + 1}"


def _one_thread(costs: Sequence[Cost]) -> dict[str, Any]:
    """The figures of a row whose work one thread does."""
    return {"alone": serial_speed(costs), "core_ms": core_time(costs), "serial_ms": serial_time(costs)}


def _storage_row(reading: Reading, costs: Sequence[Cost]) -> Row:
    megabytes = speed(costs).median * reading.sample_bytes / 1e6
    name = f"storage, reading only ({megabytes:,.0f} MB/s)"
    return Row(name=name, where=STORAGE, alone=speed(costs), core_ms=core_time(costs))


def _augmenter_rows(graphs: Graphs, parsing: Sequence[Cost], prepared: Costs, run: Costs) -> list[Row]:
    """Headers, the plan, decoding and every operation."""
    thread = AHEAD if graphs.runs_ahead else PYTHON
    planned = [
        # The headers are read in preparing, too; images of later epochs skip them.
        Row(name="headers", where=thread, **_one_thread(parsing)),
        _difference_row(PLAN, thread, prepared[PLAN], parsing),
        Row(name=DECODE, where=CORES, alone=speed(run[DECODE]), core_ms=core_time(run[DECODE])),
    ]
    cores = min(usable_cores(), graphs.threads)
    before, drawn = DECODE, PLAN
    for part in graphs.parts:
        in_graph = difference(run[part.name], run[before], _core_ms)
        in_python = difference(prepared[part.name], prepared[drawn], _core_ms)
        serial = max(0.0, difference(prepared[part.name], prepared[drawn], _serial_ms).median)
        core = Interval(
            in_graph.median + in_python.median,
            in_graph.low + in_python.low,
            in_graph.high + in_python.high,
            in_graph.confidence,
        )
        alone = _speed_of(core, cores, serial)
        planned.append(Row(name=part.name, where=CORES, alone=alone, core_ms=core, serial_ms=serial))
        before = drawn = part.name
    return planned


def _difference_row(name: str, where: str, costs: Sequence[Cost], fewer: Sequence[Cost]) -> Row:
    core, serial = difference(costs, fewer, _core_ms), difference(costs, fewer, _serial_ms)
    return Row(name=name, where=where, alone=_speed_of(serial, 1, 0.0), core_ms=core, serial_ms=max(0.0, serial.median))


def _speed_of(milliseconds: Interval, cores: float, serial_ms: float) -> Interval | None:
    """Images/s of work by its core and thread milliseconds; None where these are next to nothing."""
    if serial_ms < _TELLABLE and (milliseconds.median < _TELLABLE or milliseconds.low <= 0):
        return None
    slow, usual, fast = (
        1e3 / max(value / cores, serial_ms, _TELLABLE / cores)
        for value in (milliseconds.high, milliseconds.median, milliseconds.low)
    )
    return Interval(usual, slow, fast, milliseconds.confidence)


def _rest(whole: Sequence[Cost], python: _Sums) -> Row:
    """The other work of the thread that takes batches: the reader's and the engine's own Python."""
    left = [max(0.0, cost.thread_ms - python.thread_ms) for cost in whole]
    core = median_interval(left)
    return Row(
        name="Python between the stages",
        where=PYTHON,
        alone=_speed_of(core, 1, 0.0),
        core_ms=core,
        serial_ms=core.median,
    )


def _facts(subject: Subject, plan: _Plan, saved: float | None, cores_left: float) -> Facts:
    graphs, catalogue = plan.graphs, subject.reader.shards.catalogue
    recipe, options = subject.recipe, catalogue.storage.options
    own = [
        name
        for name, stage in zip(plan.stages, (*subject.before, *subject.after), strict=True)
        if "_fn" in stage.__dict__ or not type(stage).__module__.startswith("streamaug.")
    ]
    if graphs is not None:
        own += [part.name for part in graphs.parts if graphs.own(part)]
    headers = [] if graphs is None else graphs.headers
    return Facts(
        is_local=catalogue.is_local,
        has_cache=options.cache_dir is not None,
        concurrency=options.concurrency,
        num_bytes=catalogue.num_bytes,
        available_memory=available_memory(),
        window_fits=reading_plan(subject.reader).piece_limit is None or not subject.reader.order.shuffle,
        on_gpu=graphs is not None and graphs.device is not None,
        short_side=float(np.median([min(each.height, each.width) for each in headers])) if headers else 0.0,
        size=0 if recipe is None else max(recipe.size),
        without_antialias_ms=saved,
        border_share=plan.whole.border_share(),
        epoch_batches=len(subject.chain),
        busy=False,
        cores_left=cores_left,
        own_functions=tuple(own),
    )
