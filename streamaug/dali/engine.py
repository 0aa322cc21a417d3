"""Runs recipes: encoded batches in, as many augmented batches out, in the same order.

The preparer finds bad samples from their bytes before DALI sees them; DALI refuses other bad samples. Either
is replaced, and after a refusal every batch under way runs again from the inputs that the engine kept, bit for bit. An
error for which no sample is to blame, of a GPU or for want of memory, is raised unchanged, after the batches before it.
A thread of the engine's own, which lives as long as the pass, prepares the batch that comes next while the thread that
takes batches trains; the user's functions, stand-ins and errors stay with the latter. No pixel depends on a state of
the engine.
"""

import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from dataclasses import replace as replace_fields
from functools import partial
from typing import Any, Literal

import torch

from streamaug.batch import Batch, EncodedBatch
from streamaug.dali.ahead import Ahead
from streamaug.dali.builds import warn_of_two_builds
from streamaug.dali.counting import PipelineCounts
from streamaug.dali.device import default_threads, device_name, resolve_device
from streamaug.dali.graph import define
from streamaug.dali.known_headers import KnownHeaders
from streamaug.dali.layout import Layout
from streamaug.dali.prepare import Job, Preparer
from streamaug.dali.recover import undecodable
from streamaug.dali.runner import Runner
from streamaug.errors import RecipeError
from streamaug.recipes.annotations import Annotations
from streamaug.recipes.recipe import Recipe
from streamaug.samples.problem import Replace
from streamaug.samples.target import TargetFunction


@dataclass(slots=True)
class _Waiting:
    """The batch that was read last, its preparer, and its job, which the engine's thread may have to make."""

    batch: EncodedBatch
    preparer: Preparer
    job: "Job | Future[Job | None] | None"


@dataclass(slots=True)
class _Intake:
    """The source's side of a pass: the batch that was read last and waits, and the error that ended the source."""

    batches: Iterator[EncodedBatch]
    replace: Replace
    waiting: _Waiting | None = None
    ended: bool = False
    error: Exception | None = None


class AugmentEngine:
    """Decodes and augments batches in one DALI graph.

    Args:
        recipe: The recipe, or a function from the epoch to it.
        device: "auto" or None (a GPU where there is one), "cpu", "gpu" (torch's current device), "cuda:N", a number, or
            a torch.device.
        num_threads: DALI's threads; None: the usable cores, divided by the ranks of this host, and one more.
        prefetch: Batches under way at a time.
        annotations: How to read boxes and keypoints; None: none are read.
        num_classes: Labels must be below it; None: any class number is valid.
        targets: How the second component is read, see `Preparer`.
        hw_decoder_load: Share of JPEGs for a GPU's own decoder, 0..1, see `decode`.
        keeps_headers: Whether a sample id always stands for the same bytes, so that headers may be kept by it.

    Raises:
        RecipeError: If an argument is not one of the allowed values.
    """

    def __init__(
        self,
        recipe: Recipe | Callable[[int], Recipe],
        *,
        device: str | int | torch.device | None = "auto",
        num_threads: int | None = None,
        prefetch: int = 2,
        annotations: Annotations | None = None,
        num_classes: int | None = None,
        targets: TargetFunction | Literal["label"] | None = "label",
        hw_decoder_load: float = 0.0,
        keeps_headers: bool = False,
    ) -> None:
        if not isinstance(recipe, Recipe) and not callable(recipe):
            raise RecipeError(f"augment.recipe: must be a Recipe or a function epoch -> Recipe, got {recipe!r}.")
        for name, value in (("num_threads", num_threads), ("prefetch", prefetch)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise RecipeError(f"augment.{name}: must be a whole number of at least 1, got {value!r}. Write 2.")
        if not (targets is None or targets == "label" or callable(targets)):
            raise RecipeError(
                f'augment.targets: must be "label", None or a function of bytes, got {targets!r}. Write "label".'
            )
        if not (isinstance(hw_decoder_load, int | float) and 0.0 <= hw_decoder_load <= 1.0):
            raise RecipeError(
                f"augment.hw_decoder_load: must be a share within 0..1, got {hw_decoder_load!r}. Write 0.0, with which "
                "pixels depend on the sample alone."
            )
        if annotations is not None and not isinstance(annotations, Annotations):
            raise RecipeError(
                f"augment.annotations: must be an Annotations, got {annotations!r}. "
                'Write Annotations(component="json").'
            )
        warn_of_two_builds()
        self._recipe = recipe
        self._device_name = device_name(device)
        self._device: int | None = resolve_device(self._device_name, warn=False)
        self._num_threads, self._threads = num_threads, num_threads or 1
        self._prefetch = prefetch
        self._annotations, self._num_classes, self._targets = annotations, num_classes, targets
        self._hw_decoder_load = float(hw_decoder_load)
        #: Boxes so far that reached beyond their image and were clipped to it.
        self.clipped_boxes = 0
        #: Malformed boxes that were left out so far.
        self.dropped_boxes = 0
        #: The number of batches so far that DALI refused, after which its pipeline was built anew.
        self.recoveries = 0
        self._keeps_headers = keeps_headers
        self._known: KnownHeaders | None = None
        self._ahead: Ahead | None = None
        self._preparer: Preparer | None = None
        self._runner: Runner | None = None
        #: The preparer of the runner, and the runner's batch size, in samples of DALI's.
        self._largest: tuple[Preparer | None, int] = (None, 0)
        self._flight: deque[Job] = deque()
        self._intake: _Intake | None = None
        #: The counts of the pass under way, else of the last pass.
        self.counts = PipelineCounts()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has the same definition, and a pipeline of its own."""
        definition = partial(AugmentEngine, self._recipe, **self.settings)
        return definition, ()

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments that make an engine like this one."""
        return {
            "device": self._device_name,
            "num_threads": self._num_threads,
            "prefetch": self._prefetch,
            "annotations": self._annotations,
            "num_classes": self._num_classes,
            "targets": self._targets,
            "hw_decoder_load": self._hw_decoder_load,
            "keeps_headers": self._keeps_headers,
        }

    def __repr__(self) -> str:
        recipe = self._recipe
        what = f"{len(recipe.operations)} operations" if isinstance(recipe, Recipe) else "a recipe by epoch"
        load = f", hw_decoder_load={self._hw_decoder_load:g}" if self._hw_decoder_load else ""
        return f"{what}, device={self._device_name!r}{load}"

    def run(
        self,
        batches: Iterator[EncodedBatch],
        replace: Replace,
        *,
        world_size: int = 1,
        counts: PipelineCounts | None = None,
    ) -> Iterator[Batch]:
        """Augment the batches of one pass.

        Args:
            batches: The encoded batches of the reader.
            replace: Puts stand-ins into bad rows, or raises.
            world_size: The ranks, which share the cores of a host.
            counts: Counts the engine's work and waiting.

        Yields:
            A `Batch` for each encoded one, in order. An error of the source is raised after the batches before it.

        Raises:
            BadSampleError: As `replace` does.
        """
        counts = self.counts = counts or PipelineCounts()
        self._device = resolve_device(self._device_name, warn=True)
        self._threads = self._num_threads or default_threads(world_size)
        self._drain()  # of a pass that an interrupt left before its end
        intake = self._intake = _Intake(iter(batches), replace)
        try:
            self._refill(intake)
            while self._flight:
                batch = self._collect(intake)
                self._refill(intake)
                counts.queue_depth, counts.prefetch_fill = len(self._flight), len(self._flight) / self._prefetch
                if batch is not None:
                    yield batch
        except GeneratorExit:
            raise
        except BaseException:  # an interrupt may have left the pipeline half fed: its next batch would be a wrong one
            self.close()
            raise
        finally:
            counts.queue_depth, counts.prefetch_fill = 0, 0.0
            if self._intake is intake:
                self._intake = None
                self._end_thread()
                self._drain()
        error, intake.error = intake.error, None  # dropped here, so that its traceback's frames are freed at once
        if error is not None:
            try:
                raise error
            finally:
                del error

    def recipe(self, epoch: int) -> Recipe:
        """The recipe of an epoch."""
        return self._recipe if isinstance(self._recipe, Recipe) else self._recipe(epoch)

    def close(self) -> None:
        """Free the pipeline and end the thread; the engine may be used again."""
        self._flight.clear()
        self._runner = None
        self._end_thread()

    def _end_thread(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.close()

    def _refill(self, intake: _Intake) -> None:
        """Keep `prefetch` batches under way and the next one in preparation, so that DALI never waits for Python."""
        while True:
            if intake.waiting is None and not intake.ended:
                try:
                    intake.waiting = self._in_preparation(next(intake.batches), intake.replace)
                except StopIteration:
                    intake.ended = True
                except Exception as error:  # noqa: BLE001 - raised again, after the batches before it
                    intake.ended, intake.error = True, error
            waiting = intake.waiting
            if waiting is None or len(self._flight) >= self._prefetch or (self._flight and not self._fits(waiting)):
                return
            intake.waiting = None
            try:
                job = self._prepared(waiting, intake.replace)
            except Exception as error:  # noqa: BLE001 - likewise
                intake.ended, intake.error = True, error
                return
            self._submit(job, intake)

    def _in_preparation(self, batch: EncodedBatch, replace: Replace) -> _Waiting:
        """Hand a batch to the engine's thread, or prepare it here where the user's functions are needed."""
        recipe = self.recipe(batch.origin.epoch)
        kind = "cpu" if self._device is None else "gpu"
        preparer = self._preparer
        if preparer is None or (preparer.layout.recipe, preparer.layout.device) != (recipe, kind):
            if self._keeps_headers and (self._known is None or self._known.orientation != recipe.apply_orientation):
                self._known = KnownHeaders(orientation=recipe.apply_orientation)
            preparer = self._preparer = Preparer(
                Layout(recipe, kind),
                self._annotations,
                num_classes=self._num_classes,
                targets=self._targets,
                num_threads=self._threads,
                known=self._known,
            )
        if not preparer.runs_ahead:
            return _Waiting(batch, preparer, preparer.prepare(batch, replace))
        if self._ahead is None:
            self._ahead = Ahead()
        return _Waiting(batch, preparer, self._ahead.submit(partial(preparer.prepare_ahead, batch)))

    def _prepared(self, waiting: _Waiting, replace: Replace) -> Job:
        """The job of a batch in preparation; made here where the engine's thread left a decision to this thread."""
        job, waiting.job = waiting.job, None  # an error's traceback must not keep the future, which keeps the error
        try:
            made = self.counts.prepared(job, self._ahead) if isinstance(job, Future) else job
        finally:
            del job
        return waiting.preparer.prepare(waiting.batch, replace) if made is None else made

    def _fits(self, job: Job | _Waiting) -> bool:
        runner = self._runner
        if runner is None or runner.owner is not job.preparer or runner.device != self._device:
            return False
        return len(job.batch.data) * job.preparer.layout.rows_per_image <= runner.batch_size

    def _submit(self, job: Job, intake: _Intake) -> None:
        self._flight.append(job)
        try:
            try:
                self._start(job)
            except RuntimeError as error:
                self._recover(error, intake)
        except (RuntimeError, MemoryError) as error:
            self._give_up(error, intake)

    def _start(self, job: Job) -> None:
        if not self._fits(job):
            self._runner = None
            preparer, load = job.preparer, self._hw_decoder_load
            # After a refusal larger batches may be under way than the first that is started anew.
            owner, largest = self._largest
            self._largest = preparer, max(job.rows, largest if owner is preparer else 0)
            self.counts.pipelines += 1
            with self.counts.building:
                self._runner = Runner(
                    lambda nodes: define(preparer.layout, nodes[0], preparer.named(nodes[1:]), load),
                    owner=preparer,
                    inputs=len(preparer.names) + 1,
                    batch_size=self._largest[1],
                    num_threads=self._threads,
                    prefetch=self._prefetch,
                    device=self._device,
                )
        if self._runner is not None:
            self._runner.submit(job.inputs)

    def _collect(self, intake: _Intake) -> Batch | None:
        """The oldest batch; None if it could not be made, and the intake holds the error instead."""
        while self._flight and self._runner is not None:
            try:
                with self.counts.in_pipeline:
                    tensors = self._runner.collect()
            except RuntimeError as error:
                self._recover(error, intake)
                continue
            batch = self._finished(self._flight[0], tensors)
            self._put_away(self._flight.popleft())
            return batch
        return None

    def _put_away(self, job: Job) -> None:
        """Free a job's thousands of small objects in the engine's thread, if it has started."""
        if self._ahead is not None:
            self._ahead.submit(partial(_forget, job))

    def _recover(self, error: RuntimeError, intake: _Intake) -> None:
        """After DALI refused a batch: replace the rows that it cannot decode, and start all batches under way anew.

        Raises:
            RuntimeError: `error`, if every sample decodes on the CPU, so that no sample is to blame.
        """
        self._runner = None
        self.recoveries += 1
        jobs, self._flight = list(self._flight), deque()
        replaced = False
        for job in jobs:
            problems = undecodable(job)
            if problems:
                replaced = True
                try:
                    job = job.preparer.prepare(intake.replace(job.batch, problems), intake.replace)
                except Exception as refusal:  # noqa: BLE001 - raised again, after the batches before it
                    intake.ended, intake.error, intake.waiting = True, refusal, None
                    break
            self._flight.append(job)
        if not replaced:
            where = "the CPU" if self._device is None else f"cuda:{self._device}"
            error.add_note(
                f"augment: DALI failed on {where}, and each sample under way decodes on a CPU by itself: none is to "
                "blame, and none was replaced. For want of memory, give smaller batches or augment(prefetch=1)."
            )
            raise error
        again, self._flight = list(self._flight), deque()
        for job in again:
            self._submit(job, intake)
            if not self._flight or self._flight[-1] is not job:
                return  # the batch that was given up, and those after it

    def _give_up(self, error: Exception, intake: _Intake) -> None:
        """After an error of the batch that was submitted last: the batches before it run anew, then it is raised."""
        intake.ended, intake.error, intake.waiting = True, error, None
        jobs, self._flight, self._runner = list(self._flight)[:-1], deque(), None
        try:
            for job in jobs:
                self._flight.append(job)
                self._start(job)
        except (RuntimeError, MemoryError):  # the pipeline is dead, and the first error says why
            self._flight.clear()
            self._runner = None

    def _drain(self) -> None:
        """Empty the pipeline for the next pass; drop it if it is dead."""
        self._flight.clear()
        try:
            if self._runner is not None:
                self._runner.drain()
        except (RuntimeError, MemoryError):
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
            views=len(job.preparer.layout.views),
            extras=job.batch.extras,
        )
        annotator = job.preparer.annotator
        if annotator is None:
            return batch
        moved = annotator.transform(job.notes, job.headers, job.plan)
        self.clipped_boxes += moved.clipped
        if moved.dropped and not self.dropped_boxes:
            warnings.warn(
                f"Annotations.on_bad_box: {moved.dropped} malformed boxes were left out in a batch, and more may be "
                'without a word. See Augmenter.dropped_boxes, or write on_bad_box="sample" to be told of each.',
                UserWarning,
                stacklevel=2,
            )
        self.dropped_boxes += moved.dropped
        return replace_fields(batch, boxes=moved.boxes, box_labels=moved.labels, keypoints=moved.keypoints)


def _forget(job: Job) -> None:
    """Do nothing: the call itself drops the job."""
