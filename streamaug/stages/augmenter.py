"""`Augmenter`: encoded batches in, decoded and augmented batches out, through one DALI graph."""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch

from streamaug.batch import Batch
from streamaug.dali.counting import PipelineCounts
from streamaug.reader.state import EpochPass
from streamaug.recipes.annotations import Annotations
from streamaug.recipes.recipe import Recipe
from streamaug.samples.target import TargetFunction
from streamaug.stages.base import Stage
from streamaug.stages.map_samples import MapSamples
from streamaug.stages.reader import ShardReader


class Augmenter(Stage):
    """Decodes and augments in one DALI pipeline.

    Args:
        source: A `ShardReader`.
        recipe: The recipe, or a function epoch → recipe (progressive sizes).
        device: "auto" or None (a GPU if there is one; of several, that of LOCAL_RANK unless torch's current device was
            set), "cpu", "gpu" (torch's current device), "cuda:N", a GPU's number, or a torch.device.
        num_threads: DALI's CPU threads; None: usable cores / ranks of this host, and one more.
        prefetch: Batches under way ahead of the delivered batch, at least 1.
        annotations: Where boxes and keypoints are, see `Annotations`.
        targets: How targets come from the second component. "label": as class numbers, int64 (B,). None: no targets;
            the component stays in `Batch.extras`, as every component does. A function from its bytes to an int, a float
            or an array: a tensor (B, …) of int64, float32 or the array's type; a sample for which it raises is a bad
            sample. Where a batch has ints and floats, all are float32, and a batch of ints alone is int64: a function
            that returns both is a warning.
        hw_decoder_load: On a GPU, the share of a batch's JPEGs that its own decoder takes, 0..1. Above 0 pixels may
            depend on the batch, by a gray level or so, since DALI chooses the JPEGs by their rank in it: on that device
            pixels are then no function of the sample alone.

    Raises:
        TypeError: If the source delivers no encoded batches.
        ValueError: If a value is out of its range.
    """

    def __init__(
        self,
        source: Stage,
        recipe: Recipe | Callable[[int], Recipe],
        *,
        device: str | int | torch.device | None = "auto",
        num_threads: int | None = None,
        prefetch: int = 2,
        annotations: Annotations | None = None,
        targets: TargetFunction | Literal["label"] | None = "label",
        hw_decoder_load: float = 0.0,
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
            targets=targets,
            hw_decoder_load=hw_decoder_load,
            keeps_headers=_bytes_are_stored(source),
        )

    def run(self, epoch_pass: EpochPass) -> Iterator[Batch]:
        """The decoded batches of a pass."""
        source = self.source
        batches, world_size = source.run(epoch_pass), self._reader.ranks.settle()[1]
        yield from self._engine.run(
            batches,
            super()._replace,
            begin_next=source._begin_next if type(source) is ShardReader else None,
            world_size=world_size,
            counts=epoch_pass.meter.counts_of(self),
        )

    def _new_counts(self) -> PipelineCounts:
        return PipelineCounts()

    def _described(self) -> str:
        return f"Augmenter({self._engine})"

    def recipe(self, epoch: int) -> Recipe:
        """The recipe of an epoch."""
        return self._engine.recipe(epoch)

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of its `AugmentEngine` besides the recipe, by name."""
        return self._engine.settings

    @property
    def clipped_boxes(self) -> int:
        """Boxes so far that reached beyond their image and were clipped to it, those of batches under way included."""
        return self._engine.clipped_boxes

    @property
    def dropped_boxes(self) -> int:
        """Malformed boxes that were left out so far, with `Annotations(on_bad_box="drop")`."""
        return self._engine.dropped_boxes

    def close(self) -> None:
        """End the pass under way and free the DALI pipeline."""
        super().close()
        self._engine.close()


def _bytes_are_stored(stage: Stage | None) -> bool:
    """Whether a chain delivers images as the shards have them, so that a sample id stands for the same bytes."""
    while stage is not None:
        if type(stage) not in (ShardReader, MapSamples):
            return False
        stage = stage.__dict__.get("_source")
    return True
