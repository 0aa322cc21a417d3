"""One stage alone: it gets the same batches from memory, over and over.

In: a stage of the chain, and batches of the stage before it. Out: a `Work`. Afterwards the stage has its source again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from streamaug.batch import EncodedBatch
from streamaug.cli.bench.clock import Work
from streamaug.cli.bench.subject import synchronize
from streamaug.reader.state import EpochPass
from streamaug.samples.problem import Problem
from streamaug.stages.base import Stage
from streamaug.stages.reader import ShardReader

#: More batches than a measurement takes from a pass.
_ENDLESS = 1 << 30


class _Replay(Stage):
    """Delivers the same batches again and again, in place of the stage before."""

    def __init__(self, batches: Sequence[Any], replaced: Stage) -> None:
        super().__init__(None)
        self._batches, self._replaced = batches, replaced

    @property
    def _reader(self) -> ShardReader:
        return self._replaced._reader

    def _replace(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        return self._replaced._replace(batch, problems)

    def _reject(self, batch: EncodedBatch, rows: Sequence[int]) -> EncodedBatch:
        return self._replaced._reject(batch, rows)

    def run(self, epoch_pass: EpochPass) -> Iterator[Any]:  # noqa: ARG002 - of no epoch
        """The batches, endlessly."""
        while True:
            yield from self._batches


class StageAlone(Work):
    """A stage of a chain, by itself.

    Args:
        stage: The stage.
        given: Batches of the stage before it.
    """

    def __init__(self, stage: Stage, given: Sequence[Any]) -> None:
        self._stage, self._given, self._source = stage, given, stage.source
        self._batches: Iterator[Any] | None = None

    def begin(self) -> None:
        """Feed the stage from memory."""
        self._stage._source = _Replay(self._given, self._source)
        self._batches = iter(self._stage.run(EpochPass(0, 0, _ENDLESS, self._stage._reader.global_batch())))

    def step(self) -> float:
        """Run the stage on a batch."""
        if self._batches is None:
            return 0.0
        next(self._batches)
        synchronize()
        return self._stage._reader.batch_size

    def end(self) -> None:
        """Give the stage its source back."""
        batches, self._batches = self._batches, None
        close = getattr(batches, "close", None)
        if close is not None:
            close()
        self._stage._source = self._source

    def delivered(self, count: int) -> list[Any]:
        """The stage's results for the batches."""
        self.begin()
        try:
            return [next(self._batches) for _ in range(count) if self._batches is not None]
        finally:
            self.end()


class Copying(Work):
    """Batches of the chain to the GPU.

    Args:
        batches: Batches on the CPU.
        batch_size: Images of a batch.
    """

    def __init__(self, batches: Sequence[Any], batch_size: int) -> None:
        self._batches, self._size, self._next = batches, batch_size, 0

    def step(self) -> float:
        """Copy a batch, and wait until it is on the GPU."""
        self._batches[self._next % len(self._batches)].to(torch.device("cuda"), non_blocking=True)
        self._next += 1
        synchronize()
        return self._size
