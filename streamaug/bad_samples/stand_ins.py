"""The samples that stand in at a position whose own cannot be used: near ones first, then ever farther ones.

In: an order, an epoch, a position. Out: sample ids in the order in which they are tried, a pure function of seed,
epoch and position, so every rank count and every replay tries the same ones. No array is as large as the dataset.
"""

from collections.abc import Iterator

import numpy as np

from streamaug.order.base import Int64Array, Order
from streamaug.random import Stream, uniform

#: Samples tried at most: of a run, of those around it, of the rest of the dataset and of the rest of all. Where 512
#: from all over a dataset are bad, less than 1% of it is good (0.99⁵¹² = 0.006).
_NEAR, _FAR = 1024, 512
#: Steps of this part of a range visit it evenly, however many steps follow (the golden section, fractional part).
_GOLDEN = 0.6180339887498949


class StandIns:
    """The samples that may stand in at one position.

    First the other samples of its run (in the balanced order: of its class), then samples around the run, both in the
    order of Philox keys; then the rest of the dataset that the position takes from, then all others, in even steps from
    a random start. None comes twice.

    Args:
        order: The order.
        epoch: The epoch.
        position: The position.
    """

    def __init__(self, order: Order, epoch: int, position: int) -> None:
        self._order, self._epoch, self._position = order, epoch, position
        self._ids = np.zeros(0, np.int64)
        self._further = self._stages()

    def nth(self, attempt: int) -> int | None:
        """The sample id of attempt 0, 1, …; None if there is no further sample."""
        while attempt >= len(self._ids):
            stage = next(self._further, None)
            if stage is None:
                return None
            self._ids = np.concatenate([self._ids, stage])
        return int(self._ids[attempt]) if attempt >= 0 else None

    def _stages(self) -> Iterator[Int64Array]:
        order, epoch, position = self._order, self._epoch, self._position
        own = order.sample_ids(epoch, np.array([position], np.int64))
        tried = own
        # Near samples, in the order of keys of the position's own.
        for near in (order.run_samples, order.neighbourhood):
            others = np.setdiff1d(near(epoch, position), tried)
            drawn = uniform(order.seed, epoch, own, stream=Stream.STAND_IN, n=len(others))[0]
            nearest = others[np.argsort(drawn, kind="stable")][:_NEAR]
            yield nearest
            tried = np.append(tried, nearest)
        # Then ever farther samples, in even steps.
        start = float(uniform(order.seed, epoch, own, stream=Stream.STAND_IN, n=1)[0, 0])
        for ids in (order.dataset_range(epoch, position), range(order.num_samples)):
            visited = _visits(ids, start, _FAR + len(tried))
            rest = visited[~np.isin(visited, tried)][:_FAR]
            yield rest
            tried = np.append(tried, rest)


def _visits(ids: range, start: float, most: int) -> Int64Array:
    """At most `count` of the ids, each once, spread evenly; start: where to begin, 0..1 of the range."""
    count = len(ids)
    steps = np.arange(min(most, count), dtype=np.int64) * _stride(count)
    visits: Int64Array = ids.start + (int(start * count) + steps) % count
    return visits


def _stride(count: int) -> int:
    """A step, near the golden section of `count`, that visits all of 0..count−1 before it comes back."""
    step = max(1, int(count * _GOLDEN))
    while np.gcd(step, count) != 1:
        step += 1
    return step
