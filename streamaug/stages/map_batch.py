"""`MapBatch`: applies a function of the user's to every batch."""

from collections.abc import Callable, Iterator

from streamaug.batch import Batch
from streamaug.reader.state import EpochPass
from streamaug.stages.base import Stage


class MapBatch(Stage):
    """Applies a function to every batch.

    Args:
        source: Any stage.
        fn: Takes a batch and returns the batch to deliver. It must depend on the batch alone
            (`batch.origin` holds seed, epoch and sample ids to draw from), or runs will not repeat.

    Raises:
        TypeError: If fn is not callable, or returns None.
    """

    def __init__(self, source: Stage, fn: Callable[[Batch], Batch]) -> None:
        super().__init__(source)
        if not callable(fn):
            raise TypeError(f"MapBatch.fn: must be callable, got {type(fn).__name__}. Pass a function Batch -> Batch.")
        self._fn = fn

    def run(self, epoch_pass: EpochPass) -> Iterator[Batch]:
        """The batches that the function returns, one for each batch of the pass."""
        for batch in self.source.run(epoch_pass):
            mapped = self._fn(batch)
            if mapped is None:
                raise TypeError("MapBatch.fn: must return the batch to deliver, got None. Is its return missing?")
            yield mapped
