"""Batches in the shapes that other training loops take: `AsTuples` for loops that unpack, `AsDicts` for mappings.

In: decoded batches. Out: images and targets, without origin. State, ranks and resume are those of the chain.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from streamaug.batch import Batch
from streamaug.reader.state import EpochPass
from streamaug.stages.base import Stage


class BatchTuple(NamedTuple):
    """Images and targets of a batch, for loops that unpack two values.

    Attributes:
        images: (B, C, H, W); with V views (V·B, C, H, W).
        targets: As in `Batch.targets`.
    """

    images: Any
    targets: Any


class BatchDict(dict[str, Any]):
    """Images and targets of a batch by name; otherwise a plain dict."""


class AsTuples(Stage):
    """Delivers every batch as a `BatchTuple` (images, targets).

    Args:
        source: A stage that delivers `Batch`es.
    """

    def __init__(self, source: Stage) -> None:
        super().__init__(source)

    def run(self, epoch_pass: EpochPass) -> Iterator[BatchTuple]:
        """The batches of a pass as tuples."""
        for batch in self.source.run(epoch_pass):
            yield BatchTuple(*_decoded(batch, "as_tuples"))


class AsDicts(Stage):
    """Delivers every batch as a dict of images and targets.

    Args:
        source: A stage that delivers `Batch`es.
        images: The key of the images, (B, C, H, W).
        targets: The key of the targets.

    Raises:
        ValueError: If both keys are the same, or a key is no string.
    """

    def __init__(self, source: Stage, images: str = "pixel_values", targets: str = "labels") -> None:
        super().__init__(source)
        if not isinstance(images, str) or not isinstance(targets, str) or images == targets:
            raise ValueError(
                f"as_dicts.images: images and targets must be two different strings, got {images!r} and {targets!r}. "
                'Write images="pixel_values", targets="labels".'
            )
        self._images, self._targets = images, targets

    def run(self, epoch_pass: EpochPass) -> Iterator[BatchDict]:
        """The batches of a pass as dicts."""
        for batch in self.source.run(epoch_pass):
            images, targets = _decoded(batch, "as_dicts")
            yield BatchDict({self._images: images, self._targets: targets})


def _decoded(batch: object, stage: str) -> tuple[Any, Any]:
    if not isinstance(batch, Batch):
        raise TypeError(
            f"{stage}: needs batches of decoded images, got {type(batch).__name__}. Put it behind .augment()."
        )
    return batch.images, batch.targets
