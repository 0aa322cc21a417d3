"""The random numbers of a batch: which samples an operation changes, and the draws for each.

In: the batch's origin and its rows' attempts. Out: for each random stream, flags and numbers, a pure function of
(seed, epoch, sample id, attempt), drawn once however many geometries and views ask for them.
"""

import numpy as np

from streamaug.batch import Int64Array, Origin
from streamaug.ops.base import Draws, Flags, Operation
from streamaug.random import Stream, uniform

_SUBSTITUTE_STRIDE = 4096


class BatchDraws:
    """The draws of a batch's operations.

    Args:
        origin: Where the rows come from.
        attempts: See `EncodedBatch`.

    Attributes:
        selected: See `Plan`.
        draws: See `Plan`.
    """

    def __init__(self, origin: Origin, attempts: Int64Array | None) -> None:
        self._origin = origin
        self._attempts = attempts if attempts is not None and attempts.any() else None
        self.selected: dict[int, Flags] = {}
        self.draws: dict[int, Draws] = {}

    def of(self, index: int, operation: Operation) -> tuple[Flags, Draws]:
        """The samples that operation `index` changes, and its random numbers; the first draw decides about a sample."""
        if index not in self.selected:
            count = operation.draws + 1
            if operation.draws == 0 and operation.probability in (0.0, 1.0):
                numbers = np.zeros((len(self._origin.sample_ids), 1))
            else:
                numbers = self._uniform(index, count)
            self.selected[index] = numbers[:, 0] < operation.probability
            self.draws[index] = numbers[:, 1:]
        return self.selected[index], self.draws[index]

    def _uniform(self, index: int, count: int) -> Draws:
        """float64 (B, count): random numbers of stream `index`; a stand-in has those of its attempt."""
        origin = self._origin
        numbers = uniform(origin.seed, origin.epoch, origin.draw_ids, stream=Stream.OPERATIONS + index, n=count)
        if self._attempts is not None:
            for attempt in np.unique(self._attempts[self._attempts > 0]).tolist():
                rows = self._attempts == attempt
                stream = Stream.SUBSTITUTE_OPERATIONS + attempt * _SUBSTITUTE_STRIDE + index
                ids = origin.draw_ids[rows]
                numbers[rows] = uniform(origin.seed, origin.epoch, ids, stream=stream, n=count)
        return numbers
