"""The engine's work and waiting in one pass: DALI's pipeline, and the thread that prepares batches.

In: the moments at which the thread that takes batches waits. Out: numbers, and the cause of a wait at this moment.
"""

import time
from concurrent.futures import Future
from typing import Any, TypeVar

from streamaug.dali.ahead import Ahead

T = TypeVar("T")


class _Waiting:
    """Counts the time of waiting for DALI; a context manager that makes no object."""

    def __init__(self) -> None:
        self.total_ns = 0
        self.began_ns = 0

    def __enter__(self) -> None:
        self.began_ns = time.perf_counter_ns()

    def __exit__(self, *_: object) -> None:
        self.total_ns += time.perf_counter_ns() - self.began_ns
        self.began_ns = 0


class PipelineCounts:
    """The counts of an engine in one pass.

    Attributes:
        in_pipeline: Entered while the thread waits for DALI.
        building: Entered while a pipeline is built.
        pipelines: Pipelines that were built: for the first batch, for larger ones, and after a refusal.
        queue_depth: Batches under way in DALI when the last one was delivered.
        prefetch_fill: The same as a share of `prefetch`.
    """

    def __init__(self) -> None:
        self.in_pipeline, self.building = _Waiting(), _Waiting()
        self.pipelines = 0
        self.queue_depth, self.prefetch_fill = 0, 0.0
        self._preparing: Ahead | None = None

    def prepared(self, job: "Future[T]", ahead: Ahead | None) -> T:
        """The job that the engine's thread makes; waits for it."""
        self._preparing = ahead
        try:
            return job.result()
        finally:
            self._preparing = None

    def as_dict(self) -> dict[str, float]:
        """The numbers by name."""
        return {
            "pipeline_seconds": self.in_pipeline.total_ns / 1e9,
            "build_seconds": self.building.total_ns / 1e9,
            "pipelines": self.pipelines,
            "queue_depth": self.queue_depth,
            "prefetch_fill": self.prefetch_fill,
        }

    def waited(self) -> float:
        """0: DALI's work is the stage's own."""
        return 0.0

    def blocked(self) -> tuple[str, int | None] | None:
        """DALI, or the thread that prepares batches; None where this thread is at work."""
        ahead: Any = self._preparing
        if ahead is not None:
            return "the thread that prepares batches has not finished one", ahead.thread
        if self.building.began_ns:
            return "DALI's pipeline is not built", None
        return ("DALI has not finished a batch", None) if self.in_pipeline.began_ns else None
