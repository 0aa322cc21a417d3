"""The roofline: the speed of every part of a chain alone, the limit that it sets, and the limit that bounds the chain.

Pure: figures in, a table and a verdict out. It measures nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamaug.cli.bench.intervals import Interval

#: The threads that do the work of a row.
STORAGE, CORES, AHEAD, PYTHON, COPY = "storage", "cores", "preparation", "python", "copy"
#: Names of limits without a row of their own.
THREADS, MODEL, GPU = "threads", "model", "gpu"

#: A cost below this, in milliseconds an image, counts as 0.
_LEAST_MS = 1e-6
#: The limits in words.
WORDS = {
    STORAGE: "storage",
    CORES: "the CPU cores",
    THREADS: "the threads that DALI was given",
    GPU: "the GPU's decoding and augmenting",
    AHEAD: "the thread that prepares batches",
    PYTHON: "the Python thread that takes batches",
    COPY: "the copy to the device",
    MODEL: "the model",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A part of the chain.

    Attributes:
        name: The part's name.
        where: Where the work is done: "storage", "cores", "preparation" (the engine's thread), "python" (the thread
            that takes batches) or "copy".
        alone: Images/s without other work; None where the cost is too small to tell.
        core_ms: CPU milliseconds an image.
        serial_ms: Milliseconds an image for which it takes its one thread; 0 where many threads share the work.
        in_chain: Whether the chain does it.
    """

    name: str
    where: str
    alone: Interval | None
    core_ms: Interval
    serial_ms: float = 0.0
    in_chain: bool = True

    @property
    def busy_ms(self) -> float:
        """Milliseconds an image for which a core works or a thread is taken."""
        return max(0.0, self.core_ms.median, self.serial_ms)


@dataclass(frozen=True, slots=True)
class Limit:
    """A speed that the chain cannot exceed.

    Attributes:
        name: The kind of the limit: a key of `WORDS`.
        images_per_second: The limit.
        largest: The name of the row that takes most of it; "" where the limit has no rows.
    """

    name: str
    images_per_second: float
    largest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The measurements of a chain.

    Attributes:
        rows: Its parts.
        chain: Images/s of the whole.
        chain_core_ms: CPU milliseconds an image of the whole.
        cores: Cores that the process may use.
        graph_core_ms: CPU milliseconds an image of DALI's threads; 0 without them.
        graph_threads: The number of DALI's threads.
        graph_speed: Images/s of the graph on a GPU; None on a CPU.
        python_ms: Milliseconds an image for which the thread that takes batches is taken.
        ahead_ms: Likewise for the engine's thread; 0 without such a thread.
        batch_size: Images of a batch.
        step_ms: Milliseconds of a training step of the model; None: no model.
    """

    rows: Sequence[Row]
    chain: Interval
    chain_core_ms: Interval
    cores: float
    graph_core_ms: float = 0.0
    graph_threads: int = 0
    graph_speed: float | None = None
    python_ms: float = 0.0
    ahead_ms: float = 0.0
    batch_size: int = 1
    step_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Roofline:
    """The verdict.

    Attributes:
        measured: The measurements.
        limits: All limits, the lowest first.
    """

    measured: Measured
    limits: Sequence[Limit] = field(default_factory=tuple)

    @property
    def bound(self) -> Limit:
        """The limit that is reached first; it is the model's only where the chain is as fast as the model."""
        waits = self.wait_ms is not None and self.wait_ms > 0
        return self.loader_bound if waits else self.limits[0]

    @property
    def loader_bound(self) -> Limit:
        """The limit of the loader, without the model."""
        return next(limit for limit in self.limits if limit.name != MODEL)

    @property
    def reached(self) -> float:
        """The chain's images/s as a share of the loader's bound."""
        return self.measured.chain.median / self.loader_bound.images_per_second

    def share(self, row: Row) -> float | None:
        """The row's share of the time that cores and threads spend on an image, 0..1."""
        if not row.in_chain:
            return None
        total = sum(each.busy_ms for each in self.measured.rows if each.in_chain)
        return row.busy_ms / total if total else 0.0

    def utilisation(self, row: Row) -> float | None:
        """The chain's speed as a share of the row's alone, 0..1."""
        if row.alone is None or not row.in_chain:
            return None
        return self.measured.chain.median / row.alone.median

    def utilised(self, limit: Limit) -> float:
        """The chain's speed as a share of a limit."""
        return self.measured.chain.median / limit.images_per_second

    @property
    def wait_ms(self) -> float | None:
        """Milliseconds of a step for which the model waits for the loader; None without a model."""
        step_ms, measured = self.measured.step_ms, self.measured
        if step_ms is None:
            return None
        return max(0.0, 1e3 * measured.batch_size / measured.chain.median - step_ms)


def roofline(measured: Measured) -> Roofline:
    """The limits of a chain, in order."""
    rows = [row for row in measured.rows if row.in_chain]
    core_ms = max(_LEAST_MS, sum(row.core_ms.median for row in rows))
    limits = [Limit(CORES, measured.cores * 1e3 / core_ms, _largest(rows, "core_ms"))]
    limits += [
        Limit(row.where, row.alone.median, row.name)
        for row in measured.rows
        if row.where in (STORAGE, COPY) and row.alone is not None
    ]
    if measured.graph_speed is not None:
        limits.append(Limit(GPU, measured.graph_speed, _largest([row for row in rows if row.where == CORES], "busy")))
    elif measured.graph_core_ms > 0:
        on_cores = [row for row in rows if row.where == CORES]
        speed = measured.graph_threads * 1e3 / measured.graph_core_ms
        limits.append(Limit(THREADS, speed, _largest(on_cores, "core_ms")))
    kept = {PYTHON: measured.python_ms, AHEAD: measured.ahead_ms}
    for name, milliseconds in kept.items():
        if milliseconds > 0:
            serial = [row for row in rows if row.serial_ms > 0 and (row.where == name or row.where == CORES)]
            if name == PYTHON and measured.ahead_ms > 0:
                serial = [row for row in serial if row.where == PYTHON]
            limits.append(Limit(name, 1e3 / milliseconds, _largest(serial, "serial_ms")))
    if measured.step_ms is not None:
        limits.append(Limit(MODEL, measured.batch_size * 1e3 / measured.step_ms))
    return Roofline(measured, tuple(sorted(limits, key=lambda limit: limit.images_per_second)))


def _largest(rows: Sequence[Row], by: str) -> str:
    """The name of the row that takes most."""

    def size(row: Row) -> float:
        return {"core_ms": row.core_ms.median, "serial_ms": row.serial_ms}.get(by, row.busy_ms)

    return max(rows, key=size).name if rows else ""
