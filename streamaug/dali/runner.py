"""One DALI pipeline, fed by hand: batches in by `submit`, out by `collect`, in the same order.

In: numpy arrays, used in place and kept alive until the batch is collected. Out: torch tensors that share DALI's
memory, which DALI does not use again while a tensor lives. Once a call raises, the pipeline is dead and freed; make a
new pipeline then.
"""

import ctypes
import os
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.dlpack import from_dlpack

from streamaug.dali.ahead import ENDED
from streamaug.errors import StreamaugError
from streamaug.ops.nodes import Node, dali, dali_fn

_PIPELINES: "weakref.WeakSet[Any]" = weakref.WeakSet()
#: Builds the graph: the nodes of the inputs in order, to the output nodes.
Define = Callable[[Sequence[Node]], Sequence[Node]]


class Runner:
    """A built pipeline.

    Args:
        define: Adds the graph to the current pipeline.
        owner: The object for which the graph was made; the runner only keeps it, as it keeps `device`.
        inputs: The number of inputs.
        batch_size: Samples in the largest batch.
        num_threads: Threads of the pipeline.
        prefetch: Batches that may be submitted and not yet collected.
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
        self.device = device
        self._queue: deque[Sequence[Any]] = deque()
        self._alive: deque[Sequence[Any]] = deque()
        self._pipeline: Any = dali().Pipeline(
            batch_size=batch_size,
            num_threads=num_threads,
            device_id=device,
            prefetch_queue_depth=prefetch,
            exec_dynamic=True,
        )
        with self._freed_if_it_fails():
            with self._pipeline:
                # A function of the queue alone: the pipeline refers to it, and must not refer to this runner, which
                # refers to the pipeline.
                source = _taking_from(self._queue)
                nodes = dali_fn().external_source(source=source, num_outputs=inputs, batch=True, no_copy=True)
                self._pipeline.set_outputs(*define(nodes))
            self._pipeline.build()
            _PIPELINES.add(self._pipeline)

    def submit(self, arrays: Sequence[Any]) -> None:
        """Start on a batch: for each input, a list of B arrays or one array (B, ...)."""
        self._queue.append(arrays)
        self._alive.append(arrays)
        with self._freed_if_it_fails():
            self._check_alive()
            self._pipeline.reset()
            self._pipeline.schedule_run()

    def collect(self) -> list[torch.Tensor]:
        """The outputs of the oldest batch, each (B, ...), waited for; on a GPU, ordered on torch's current stream."""
        stream = None if self.device is None else torch.cuda.current_stream(self.device)
        with self._freed_if_it_fails():
            self._check_alive()
            outputs = self._pipeline.share_outputs(cuda_stream=stream)
            tensors = [self._shared(output.as_tensor()) for output in outputs]
            self._pipeline.release_outputs()
        self._alive.popleft()
        return tensors

    def _check_alive(self) -> None:
        if self._pipeline._pipe is None:  # DALI frees its pipelines in an atexit handler
            raise StreamaugError(ENDED)

    def _shared(self, tensor: Any) -> torch.Tensor:
        # From a capsule torch asks for no device, for which it compares an enum of its own with one of pybind11, which
        # looks for an attribute by a function that swallows every error in it, a Ctrl-C too.
        return from_dlpack(tensor.__dlpack__() if self.device is None else tensor)

    def drain(self) -> None:
        """Wait for everything that was submitted, and drop it."""
        # None: the pipeline failed, or the interpreter ends and DALI has freed its pipelines, or the process was
        # forked.
        if self._pipeline is None or self._pipeline._pipe is None:
            self._alive.clear()
        while self._alive:
            self.collect()

    def close(self) -> None:
        """Free the pipeline, in a call of its own: the interpreter swallows a Ctrl-C that comes in a `__del__`."""
        pipeline, self._pipeline = self._pipeline, None
        self._queue.clear()
        self._alive.clear()
        if pipeline is not None:
            pipeline._shutdown()

    @contextmanager
    def _freed_if_it_fails(self) -> Iterator[None]:
        """Free the pipeline after an error, even if the error is kept, whose frames refer to the pipeline."""
        try:
            yield
        except BaseException as error:
            traceback.clear_frames(error.__traceback__)
            self._pipeline = None
            self._queue.clear()
            self._alive.clear()
            raise


def _taking_from(queue: deque[Sequence[Any]]) -> Callable[[], tuple[Any, ...]]:
    def first() -> tuple[Any, ...]:
        if not queue:
            raise StopIteration
        return tuple(queue.popleft())

    return first


def _leave_to_the_parent() -> None:
    """In a forked process: never free pipelines, since DALI would wait for threads that do not exist there."""
    for pipeline in list(_PIPELINES):
        backend, pipeline._pipe = pipeline._pipe, None
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(backend))


os.register_at_fork(after_in_child=_leave_to_the_parent)
