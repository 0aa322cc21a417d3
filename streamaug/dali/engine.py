"""Runs recipes: encoded batches in, augmented batches out, one for one and in order.

Bad samples are found from their bytes before DALI sees them, and by DALI where bytes do not tell; each is replaced,
and every batch that was under way runs again from the inputs that were kept, bit for bit. There is no thread of its
own, and no state that a pixel could depend on.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from dataclasses import replace as replace_fields

import torch

from streamaug.batch import Batch, EncodedBatch, Replace
from streamaug.dali.device import default_threads, resolve_device
from streamaug.dali.feed import Job, Preparer
from streamaug.dali.graph import define
from streamaug.dali.layout import Layout
from streamaug.dali.recover import undecodable
from streamaug.dali.runner import Runner
from streamaug.errors import RecipeError
from streamaug.ops.annotations import Annotations
from streamaug.recipe import Recipe


@dataclass(slots=True)
class _Intake:
    """What still comes from the source: a job that waits for its turn, and the error that ended it, if one did."""

    batches: Iterator[EncodedBatch]
    replace: Replace
    waiting: Job | None = None
    ended: bool = False
    error: Exception | None = None


class AugmentEngine:
    """Decodes and augments batches in one DALI graph.

    Args:
        recipe: The recipe, or a function from the epoch to it.
        device: "auto" (a GPU where there is one), "cpu", "gpu" (torch's current device) or "cuda:N".
        num_threads: DALI's threads; None: the usable cores, divided by LOCAL_WORLD_SIZE, and one more.
        prefetch: How many batches are under way at a time.
        annotations: How to read boxes and keypoints, if there are any.
        num_classes: Labels must be below it; None: any class number will do.

    Raises:
        RecipeError: If an argument is none of these.
    """

    def __init__(
        self,
        recipe: Recipe | Callable[[int], Recipe],
        *,
        device: str = "auto",
        num_threads: int | None = None,
        prefetch: int = 2,
        annotations: Annotations | None = None,
        num_classes: int | None = None,
    ) -> None:
        if not isinstance(recipe, Recipe) and not callable(recipe):
            raise RecipeError(f"augment.recipe: must be a Recipe or a function epoch -> Recipe, got {recipe!r}.")
        for name, value in (("num_threads", num_threads), ("prefetch", prefetch)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise RecipeError(f"augment.{name}: must be a whole number of at least 1, got {value!r}. Write 2.")
        self._recipe = recipe
        self._device_name = device
        self._device: int | None = resolve_device(device, warn=False)
        self._num_threads = num_threads or default_threads()
        self._prefetch = prefetch
        self._annotations, self._num_classes = annotations, num_classes
        #: Boxes so far that reached beyond their image and were clipped to it.
        self.clipped_boxes = 0
        #: How often so far DALI refused a batch, so that its pipeline had to be built anew.
        self.recoveries = 0
        self._preparer: Preparer | None = None
        self._runner: Runner | None = None
        self._flight: deque[Job] = deque()

    def run(self, batches: Iterator[EncodedBatch], replace: Replace) -> Iterator[Batch]:
        """Augment the batches of one pass.

        Args:
            batches: What the reader delivers.
            replace: Puts stand-ins in the place of bad rows, or raises.

        Yields:
            A `Batch` for each encoded one, in order. An error of the source is raised after the batches before it.

        Raises:
            BadSampleError: As `replace` does.
        """
        self._device = resolve_device(self._device_name, warn=True)
        intake = _Intake(iter(batches), replace)
        try:
            self._refill(intake)
            while self._flight:
                batch = self._collect(intake)
                self._refill(intake)
                if batch is not None:
                    yield batch
        finally:
            self._drain()
        if intake.error is not None:
            raise intake.error

    def close(self) -> None:
        """Free the pipeline; the engine may be used again."""
        self._flight.clear()
        self._runner = None

    def _refill(self, intake: _Intake) -> None:
        """Keep `prefetch` batches under way and the next one prepared, so that DALI never waits for Python."""
        while True:
            if intake.waiting is None and not intake.ended:
                try:
                    intake.waiting = self._prepared(next(intake.batches), intake.replace)
                except StopIteration:
                    intake.ended = True
                except Exception as error:  # noqa: BLE001 - raised again, after the batches before it
                    intake.ended, intake.error = True, error
            job = intake.waiting
            if job is None or len(self._flight) >= self._prefetch or (self._flight and not self._fits(job)):
                return
            intake.waiting = None
            self._submit(job, intake)

    def _prepared(self, batch: EncodedBatch, replace: Replace) -> Job:
        epoch = batch.origin.epoch
        recipe = self._recipe if isinstance(self._recipe, Recipe) else self._recipe(epoch)
        if self._preparer is None or self._preparer.layout.recipe != recipe:
            self._preparer = Preparer(
                Layout(recipe), self._annotations, turns=self._device is None, num_classes=self._num_classes
            )
        return self._preparer.prepare(batch, replace)

    def _fits(self, job: Job) -> bool:
        runner = self._runner
        return runner is not None and runner.owner is job.preparer and job.size <= runner.batch_size

    def _submit(self, job: Job, intake: _Intake) -> None:
        self._flight.append(job)
        try:
            self._start(job)
        except RuntimeError as error:
            self._recover(error, intake)

    def _start(self, job: Job) -> None:
        if not self._fits(job):
            self._runner = None
            preparer = job.preparer
            device = "cpu" if self._device is None else "gpu"
            self._runner = Runner(
                lambda nodes: define(preparer.layout, nodes[0], preparer.named(nodes[1:]), device),
                owner=preparer,
                inputs=len(preparer.names) + 1,
                batch_size=job.size,
                num_threads=self._num_threads,
                prefetch=self._prefetch,
                device=self._device,
            )
        if self._runner is not None:
            self._runner.submit(job.arrays)

    def _collect(self, intake: _Intake) -> Batch | None:
        """The oldest batch; None if it could not be made and an error is waiting in its place."""
        while self._flight and self._runner is not None:
            try:
                tensors = self._runner.collect()
            except RuntimeError as error:
                self._recover(error, intake)
                continue
            return self._finished(self._flight.popleft(), tensors)
        return None

    def _recover(self, error: RuntimeError, intake: _Intake) -> None:
        """After DALI refused a batch: replace what it cannot decode, and start anew with all that was under way."""
        self._runner = None
        self.recoveries += 1
        jobs, self._flight = list(self._flight), deque()
        found = False
        for job in jobs:
            problems = undecodable(job, self._device)
            if problems:
                found = True
                try:
                    job = job.preparer.prepare(intake.replace(job.batch, problems), intake.replace)
                except Exception as refusal:  # noqa: BLE001 - raised again, after the batches before it
                    intake.ended, intake.error, intake.waiting = True, refusal, None
                    break
            self._flight.append(job)
        if not found:
            raise error
        for job in list(self._flight):
            try:
                self._start(job)
            except RuntimeError as again:
                self._recover(again, intake)
                return

    def _drain(self) -> None:
        """Leave the pipeline empty for the next pass; a dead one is dropped."""
        self._flight.clear()
        try:
            if self._runner is not None:
                self._runner.drain()
        except RuntimeError:
            self._runner = None

    def _finished(self, job: Job, tensors: list[torch.Tensor]) -> Batch:
        output = job.preparer.layout.recipe.output
        if output.channels_last:
            tensors = [tensor.permute(0, 3, 1, 2) for tensor in tensors]
        images = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        if output.dtype == "bfloat16":
            images = images.to(torch.bfloat16)
        targets = job.targets
        if targets is not None and self._device is not None:
            targets = targets.to(images.device, non_blocking=True)
        batch = Batch(
            images=images,
            targets=targets,
            origin=job.batch.origin,
            views=len(tensors),
            extras=job.batch.extras,
        )
        annotator = job.preparer.annotator
        if annotator is None:
            return batch
        found = annotator.transform(job.notes, job.headers, job.plan)
        self.clipped_boxes += found.clipped
        return replace_fields(batch, boxes=found.boxes, box_labels=found.labels, keypoints=found.keypoints)
