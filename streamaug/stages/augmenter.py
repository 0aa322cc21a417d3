"""`Augmenter`: encoded batches in, decoded and augmented ones out, through one DALI graph. `MapBatch`: any function."""

from collections.abc import Callable, Iterator

from streamaug.batch import Batch
from streamaug.ops import Annotations
from streamaug.recipe import Recipe
from streamaug.stages.base import EpochPass, Stage


class Augmenter(Stage):
    """Decodes and augments in one DALI pipeline.

    Args:
        source: A `ShardReader`.
        recipe: What to do, or a function epoch → recipe (progressive sizes).
        device: "auto" (a GPU if there is one), "cpu", "gpu" (torch's current device) or "cuda:N".
        num_threads: DALI's CPU threads; None: usable cores / LOCAL_WORLD_SIZE, and one more.
        prefetch: Batches in flight ahead of the one delivered, at least 1.
        annotations: Where boxes and keypoints are, see `Annotations`.

    Raises:
        TypeError: If the source delivers no encoded batches.
        ValueError: If a value is out of its range.
    """

    def __init__(
        self,
        source: Stage,
        recipe: Recipe | Callable[[int], Recipe],
        *,
        device: str = "auto",
        num_threads: int | None = None,
        prefetch: int = 2,
        annotations: Annotations | None = None,
    ) -> None:
        from streamaug.dali.engine import AugmentEngine  # DALI takes its time to import

        super().__init__(source)
        if isinstance(source, Augmenter):
            raise TypeError(
                "Augmenter.source: must deliver encoded images, got an Augmenter. Put it all in one recipe."
            )
        self._engine = AugmentEngine(
            recipe,
            device=device,
            num_threads=num_threads,
            prefetch=prefetch,
            annotations=annotations,
            num_classes=self._reader.num_classes,
        )

    def _run(self, epoch_pass: EpochPass) -> Iterator[Batch]:
        return self._engine.run(self._batches(epoch_pass), super()._replace)

    @property
    def clipped_boxes(self) -> int:
        """Boxes so far that reached beyond their image and were clipped to it, with those of batches under way."""
        return self._engine.clipped_boxes

    def close(self) -> None:
        """End the pass under way and free the DALI pipeline."""
        super().close()
        self._engine.close()


class MapBatch(Stage):
    """Applies a function to every batch.

    Args:
        source: Any stage.
        fn: Takes a batch and returns one; what it returns is delivered. It must depend on the batch alone
            (`batch.origin` holds seed, epoch and sample ids to draw from), or runs will not repeat.

    Raises:
        TypeError: If fn is not callable.
    """

    def __init__(self, source: Stage, fn: Callable[[Batch], Batch]) -> None:
        super().__init__(source)
        if not callable(fn):
            raise TypeError(f"MapBatch.fn: must be callable, got {type(fn).__name__}. Pass a function Batch -> Batch.")
        self._fn = fn

    def _run(self, epoch_pass: EpochPass) -> Iterator[Batch]:
        for batch in self._batches(epoch_pass):
            yield self._fn(batch)
