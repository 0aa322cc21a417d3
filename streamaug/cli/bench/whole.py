"""The whole chain, iterated by a loop that does nothing else.

In: a chain. Out: a `Work`, epoch after epoch; and the share of the time at the ends of epochs.
"""

import statistics
import time
from collections.abc import Iterator
from typing import Any

from streamaug.cli.bench.clock import Work
from streamaug.cli.bench.subject import endless, synchronize
from streamaug.stages.base import Stage


class Whole(Work):
    """A chain that delivers one batch after the other.

    Args:
        chain: The chain.
        batch_size: Images of a batch.
    """

    def __init__(self, chain: Stage, batch_size: int) -> None:
        self._chain, self._size = chain, batch_size
        self._batches: Iterator[tuple[Any, bool]] | None = None
        self._first: list[float] = []
        self._later: list[float] = []

    def begin(self) -> None:
        """Start at the beginning of the next epoch."""
        self._batches = endless(self._chain)

    def step(self) -> float:
        """Take a batch."""
        if self._batches is None:
            return 0.0
        begun = time.perf_counter()
        _, first = next(self._batches)
        synchronize()
        (self._first if first else self._later).append(time.perf_counter() - begun)
        return self._size

    def end(self) -> None:
        """End the pass."""
        batches, self._batches = self._batches, None
        if batches is not None:
            batches.close()  # type: ignore[attr-defined]  # a generator
        self._chain.close()

    def border_share(self) -> float:
        """The share of the time, 0..1, by which the first batches of epochs take longer than others.

        It leaves out the first pass, which starts everything.
        """
        first, later = self._first[1:], self._later
        if not first or not later:
            return 0.0
        usual = statistics.fmean(later)
        return max(0.0, sum(first) - usual * len(first)) / (sum(first) + sum(later))
