"""Batches in preparation: by a thread of the engine's own, or in the thread that takes them.

In: encoded batches. Out: their jobs, which hold all that DALI takes. The thread lives as long as the pass; the user's
functions, stand-ins and errors stay with the thread that takes batches. No pixel depends on the thread that prepares.
"""

from concurrent.futures import Future
from functools import partial
from typing import Literal

from streamaug.batch import EncodedBatch
from streamaug.dali.ahead import Ahead
from streamaug.dali.counting import PipelineCounts
from streamaug.dali.intake import Waiting
from streamaug.dali.known_headers import KnownHeaders
from streamaug.dali.layout import Layout
from streamaug.dali.prepare import Job, Preparer
from streamaug.recipes.annotations import Annotations
from streamaug.recipes.recipe import Recipe
from streamaug.samples.problem import Replace
from streamaug.samples.target import TargetFunction


class Preparation:
    """Prepares the batches of one pass after the other, with a preparer for each recipe and device.

    Args:
        annotations: How to read boxes and keypoints; None: none are read.
        num_classes: Labels must be below it; None: any class number is valid.
        targets: How the second component is read, see `Preparer`.
        keeps_headers: Whether a sample id always stands for the same bytes, so that headers may be kept by it.
    """

    def __init__(
        self,
        annotations: Annotations | None,
        num_classes: int | None,
        targets: TargetFunction | Literal["label"] | None,
        *,
        keeps_headers: bool,
    ) -> None:
        self._annotations, self._num_classes, self._targets = annotations, num_classes, targets
        self._keeps_headers = keeps_headers
        self._known: KnownHeaders | None = None
        self._preparer: Preparer | None = None
        self._ahead: Ahead | None = None
        self._kind: Literal["cpu", "gpu"] = "cpu"
        self._threads = 1
        self._counts = PipelineCounts()

    def begin(self, device: int | None, threads: int, counts: PipelineCounts) -> None:
        """Be ready for a pass on a device, None being the CPU."""
        self._kind = "cpu" if device is None else "gpu"
        self._threads, self._counts = threads, counts

    @property
    def runs_ahead(self) -> bool:
        """Whether the latest batch was left to the thread, so that those behind it may be too."""
        return self._preparer is not None and self._preparer.runs_ahead

    def start(self, batch: EncodedBatch, recipe: Recipe, replace: Replace) -> Waiting:
        """Hand a batch to the thread, or prepare it here where the user's functions are needed."""
        preparer = self._preparer_of(recipe)
        if not preparer.runs_ahead:
            return Waiting(batch, preparer, preparer.prepare(batch, replace))
        if self._ahead is None:
            self._ahead = Ahead()
        return Waiting(batch, preparer, self._ahead.submit(partial(preparer.prepare_ahead, batch)))

    def finish(self, waiting: Waiting, replace: Replace) -> Job:
        """The job of a batch in preparation; made here where the thread left a decision to this thread."""
        job, waiting.job = waiting.job, None  # an error's traceback must not keep the future, which keeps the error
        try:
            made = self._counts.prepared(job, self._ahead) if isinstance(job, Future) else job
        finally:
            del job
        return waiting.preparer.prepare(waiting.batch, replace) if made is None else made

    def finish_ahead(self, waiting: Waiting) -> Job | None:
        """The job of a batch of the next pass; None where a row of it must be judged in its own pass."""
        future, waiting.job = waiting.job, None
        try:
            return self._counts.prepared(future, self._ahead) if isinstance(future, Future) else None
        except Exception:  # noqa: BLE001 - the pass itself, if it comes, prepares it again and raises it
            return None
        finally:
            del future

    def put_away(self, job: Job) -> None:
        """Free a job's thousands of small objects in the thread, if it has started."""
        if self._ahead is not None:
            self._ahead.submit(partial(_forget, job))

    def end_thread(self) -> None:
        """End the thread; the next batch starts another."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.close()

    def _preparer_of(self, recipe: Recipe) -> Preparer:
        preparer = self._preparer
        if preparer is None or (preparer.layout.recipe, preparer.layout.device) != (recipe, self._kind):
            if self._keeps_headers and (self._known is None or self._known.orientation != recipe.apply_orientation):
                self._known = KnownHeaders(orientation=recipe.apply_orientation)
            preparer = self._preparer = Preparer(
                Layout(recipe, self._kind),
                self._annotations,
                num_classes=self._num_classes,
                targets=self._targets,
                num_threads=self._threads,
                known=self._known,
            )
        return preparer


def _forget(job: Job) -> None:
    """Do nothing: the call itself drops the job."""
