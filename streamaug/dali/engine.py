"""Runs recipes: encoded batches in, as many augmented batches out, in the same order.

The preparer finds bad samples from their bytes before DALI sees them; DALI refuses other bad samples, which `flight`
replaces. An error for which no sample is to blame, of a GPU or for want of memory, is raised unchanged, after the
batches before it.
A thread of the engine's own prepares the batch that comes next while the thread that takes batches trains, see
`preparation`. No pixel depends on a state of the engine.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal

import torch

from streamaug.batch import Batch, EncodedBatch
from streamaug.dali.builds import require_docstrings, warn_of_two_builds
from streamaug.dali.counting import PipelineCounts
from streamaug.dali.delivery import Delivery
from streamaug.dali.device import default_threads, device_name, resolve_device
from streamaug.dali.flight import Flight
from streamaug.dali.intake import Intake, Waiting
from streamaug.dali.preparation import Preparation
from streamaug.errors import RecipeError
from streamaug.recipes.annotations import Annotations
from streamaug.recipes.recipe import Recipe
from streamaug.samples.problem import Replace
from streamaug.samples.target import TargetFunction


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
        StreamaugError: If Python runs without docstrings, which DALI needs.
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
        if not (annotations is None or isinstance(annotations, Annotations)):
            raise RecipeError(
                f"augment.annotations: must be Annotations or None, got {annotations!r}. Write "
                'Annotations(component="json").'
            )
        if not (targets is None or targets == "label" or callable(targets)):
            raise RecipeError(
                f'augment.targets: must be "label", None or a function of bytes, got {targets!r}. Write "label".'
            )
        if not (isinstance(hw_decoder_load, int | float) and 0.0 <= hw_decoder_load <= 1.0):
            raise RecipeError(
                f"augment.hw_decoder_load: must be a share within 0..1, got {hw_decoder_load!r}. Write 0.0, with which "
                "pixels depend on the sample alone."
            )
        require_docstrings()
        warn_of_two_builds()
        self._recipe = recipe
        self._device_name = device_name(device)
        self._device: int | None = resolve_device(self._device_name, warn=False)
        self._num_threads = num_threads
        self._prefetch = prefetch
        self._annotations, self._num_classes, self._targets = annotations, num_classes, targets
        self._hw_decoder_load = float(hw_decoder_load)
        self._keeps_headers = keeps_headers
        self._preparation = Preparation(annotations, num_classes, targets, keeps_headers=keeps_headers)
        self._delivery = Delivery()
        self._flight = Flight(prefetch, self._hw_decoder_load)
        self._intake: Intake | None = None
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

    @property
    def recoveries(self) -> int:
        """The number of batches so far that DALI refused, after which its pipeline was built anew."""
        return self._flight.recoveries

    @property
    def clipped_boxes(self) -> int:
        """Boxes so far that reached beyond their image and were clipped to it."""
        return self._delivery.clipped_boxes

    @property
    def dropped_boxes(self) -> int:
        """Malformed boxes that were left out so far."""
        return self._delivery.dropped_boxes

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
        begin_next: Callable[[], EncodedBatch | None] | None = None,
        world_size: int = 1,
        counts: PipelineCounts | None = None,
    ) -> Iterator[Batch]:
        """Augment the batches of one pass.

        Args:
            batches: The encoded batches of the reader.
            replace: Puts stand-ins into bad rows, or raises.
            begin_next: Called near the end of the pass: gives the first batches of the next one by one, None where
                there is none. DALI works on them while the loop is between the two passes; the next call takes them
                over where its batches are the same objects, and else drops them. None: DALI is idle then.
            world_size: The ranks, which share the cores of a host.
            counts: Counts the engine's work and waiting.

        Yields:
            A `Batch` for each encoded one, in order. An error of the source is raised after the batches before it.

        Raises:
            BadSampleError: As `replace` does.
        """
        counts = self.counts = counts or PipelineCounts()
        self._begin(world_size, counts)
        # A recipe by epoch is the user's function, which is called for the pass that begins.
        begin_next = begin_next if isinstance(self._recipe, Recipe) else None
        intake, whole = Intake(iter(batches), replace, begin_next), False
        self._intake = intake
        try:
            yield from self._batches(intake, counts)
            whole = intake.error is None
        except GeneratorExit:
            raise
        except BaseException:  # an interrupt may have left the pipeline half fed: its next batch would be a wrong one
            self.close()
            raise
        finally:
            counts.queue_depth, counts.prefetch_fill = 0, 0.0
            if self._intake is intake:
                self._end(whole=whole)
        intake.raise_error()

    def recipe(self, epoch: int) -> Recipe:
        """The recipe of an epoch."""
        if isinstance(self._recipe, Recipe):
            return self._recipe
        recipe = self._recipe(epoch)
        if not isinstance(recipe, Recipe):
            raise RecipeError(
                f"augment.recipe: the function must return a Recipe, got {recipe!r} for epoch {epoch}. Return one for "
                "every epoch."
            )
        return recipe

    def close(self) -> None:
        """Free the pipeline and end the thread; the engine may be used again."""
        self._flight.close()
        self._preparation.end_thread()

    def _begin(self, world_size: int, counts: PipelineCounts) -> None:
        """Take the device and the number of threads of a pass."""
        self._device = resolve_device(self._device_name, warn=True)
        threads = self._num_threads or default_threads(world_size)
        self._preparation.begin(self._device, threads, counts)
        self._flight.begin(self._device, threads, counts)

    def _batches(self, intake: Intake, counts: PipelineCounts) -> Iterator[Batch]:
        """The batches of a pass, up to an error, which the intake then holds."""
        self._refill(intake)
        while self._flight:
            batch = self._collect(intake)
            self._refill(intake)
            counts.queue_depth, counts.prefetch_fill = len(self._flight), len(self._flight) / self._prefetch
            if batch is not None:
                yield batch

    def _end(self, *, whole: bool) -> None:
        """End the thread of a pass; batches under way are of use only where the pass ended by itself."""
        self._intake = None
        self._preparation.end_thread()
        if not whole:
            self._flight.drain()

    def _refill(self, intake: Intake) -> None:
        """Keep `prefetch` batches under way and the next one in preparation, so that DALI never waits for Python."""
        while True:
            if intake.waiting is None and not intake.ended:
                try:
                    batch = next(intake.batches)
                    if self._flight.take_over(batch, intake):
                        continue
                    intake.waiting = self._in_preparation(batch, intake)
                except StopIteration:
                    intake.ended = True
                except Exception as error:  # noqa: BLE001 - raised again, after the batches before it
                    intake.ended, intake.error = True, error
            waiting = intake.waiting
            if waiting is None:
                self._begin_next(intake)
                return
            if not self._flight.has_room(waiting):
                return
            intake.waiting = None
            try:
                job = self._preparation.finish(waiting, intake.replace)
            except Exception as error:  # noqa: BLE001 - likewise
                intake.ended, intake.error = True, error
                return
            self._flight.submit(job, intake)

    def _begin_next(self, intake: Intake) -> None:
        """Where this pass leaves room, start on the first batches of the next, so that DALI does not stand idle."""
        if not self._preparation.runs_ahead:
            return
        while intake.begin_next is not None and intake.error is None:
            if intake.following is None:
                batch = intake.begin_next()
                if batch is None:
                    return
                intake.following = self._in_preparation(batch, intake)
            following = intake.following
            if not self._flight.has_room(following):
                return
            intake.following = None
            job = self._preparation.finish_ahead(following)
            if job is None:  # a row that must be judged in its own pass
                intake.begin_next = None
                return
            self._flight.begin_next(job, intake)

    def _in_preparation(self, batch: EncodedBatch, intake: Intake) -> Waiting:
        return self._preparation.start(batch, self.recipe(batch.origin.epoch), intake.replace)

    def _collect(self, intake: Intake) -> Batch | None:
        """The oldest batch; None if it could not be made, and the intake holds the error instead."""
        tensors = self._flight.collect(intake)
        if tensors is None:
            return None
        batch = self._delivery.batch(self._flight.oldest, tensors, uploads=self._device is not None)
        self._preparation.put_away(self._flight.take())
        return batch
