"""One DALI pipeline, fed by hand: batches in by `submit`, out by `collect`, in the same order.

In: numpy arrays, used in place and kept alive until the batch is collected. Out: torch tensors that share DALI's
memory, which DALI does not use again while a tensor lives. Once a call raises, the pipeline is dead and a new one must
be made.
"""

from collections import deque
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import torch
from torch.utils.dlpack import from_dlpack

from streamaug.ops.base import Node, dali_fn

#: Builds the graph: the nodes of the inputs in order, to the output nodes.
Define = Callable[[Sequence[Node]], Sequence[Node]]


class Runner:
    """A built pipeline.

    Args:
        define: Adds the graph to the current pipeline.
        owner: Whatever the graph was made for; only kept.
        inputs: How many inputs there are.
        batch_size: Samples in the largest batch.
        num_threads: Threads of the pipeline.
        prefetch: How many batches may be submitted and not yet collected.
        device: Index of the CUDA device, None for the CPU.
    """

    def __init__(
        self,
        define: Define,
        *,
        owner: object,
        inputs: int,
        batch_size: int,
        num_threads: int,
        prefetch: int,
        device: int | None,
    ) -> None:
        self.owner = owner
        self.batch_size = batch_size
        self._device = device
        self._queue: deque[Sequence[Any]] = deque()
        self._alive: deque[Sequence[Any]] = deque()
        self._pipeline: Any = import_module("nvidia.dali").Pipeline(
            batch_size=batch_size,
            num_threads=num_threads,
            device_id=device,
            prefetch_queue_depth=prefetch,
            exec_dynamic=True,
        )
        with self._pipeline:
            nodes = dali_fn().external_source(source=self._next, num_outputs=inputs, batch=True, no_copy=True)
            self._pipeline.set_outputs(*define(nodes))
        self._pipeline.build()

    def _next(self) -> tuple[Any, ...]:
        if not self._queue:
            raise StopIteration
        return tuple(self._queue.popleft())

    def submit(self, arrays: Sequence[Any]) -> None:
        """Start on a batch: for each input, a list of B arrays or one array (B, ...)."""
        self._queue.append(arrays)
        self._alive.append(arrays)
        self._pipeline.reset()
        self._pipeline.schedule_run()

    def collect(self) -> list[torch.Tensor]:
        """The outputs of the oldest batch, each (B, ...), waited for; on a GPU, ordered on torch's current stream."""
        stream = None if self._device is None else torch.cuda.current_stream(self._device)
        outputs = self._pipeline.share_outputs(cuda_stream=stream)
        tensors = [from_dlpack(output.as_tensor()) for output in outputs]
        self._pipeline.release_outputs()
        self._alive.popleft()
        return tensors

    def drain(self) -> None:
        """Wait for everything that was submitted, and drop it."""
        if self._pipeline._pipe is None:  # the interpreter ends, and DALI has freed its pipelines already
            self._alive.clear()
        while self._alive:
            self.collect()


def traced(define: Define, *, inputs: int, batch_size: int) -> str:
    """The serialised graph as DALI's C++ side gets it, traced without any device."""
    pipeline: Any = import_module("nvidia.dali").Pipeline(
        batch_size=batch_size, num_threads=1, device_id=None, exec_dynamic=True
    )
    with pipeline:
        pipeline.set_outputs(*define(dali_fn().external_source(source=lambda: (), num_outputs=inputs, batch=True)))
    return str(pipeline.serialize())
