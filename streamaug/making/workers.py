"""Processes that do tasks, each one task at a time; results come as they are ready.

In: a picklable function and tasks. Out: results, and counts of progress. When the calling process is killed, the
workers end too; when a worker is killed, that is an error that says so. This module does not depend on shards.
"""

import gc
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing import connection, get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, NamedTuple, TypeVar

from streamaug.errors import StreamaugError

T = TypeVar("T")
R = TypeVar("R")

#: The function that a worker runs: it takes a task, and a function that counts progress.
Function = Callable[[T, Callable[[int], None]], R]
_TELL_SECONDS = 0.2


class WorkerError(StreamaugError):
    """A worker process was killed."""


class _Worker(NamedTuple):
    process: BaseProcess
    pipe: "Connection[Any, Any]"


def in_processes(
    function: Function[T, R],
    tasks: Iterable[T],
    *,
    processes: int,
    count: Callable[[int], None],
    fork: bool,
    tick: float = 0.5,
) -> Iterator[R]:
    """`function(task, count)` of all tasks, in the order in which they end.

    Args:
        function: The work; it goes to the processes once.
        tasks: The tasks, handed out in order.
        processes: Processes at most.
        count: Called in this process with the counts of workers, and with 0 at least every `tick` seconds.
        fork: Whether to fork this process, which starts at once, or to start new processes, which import everything
            first. Only a process without other threads and without open connections may be forked.
        tick: Seconds.

    Raises:
        WorkerError: If a process is killed, as the kernel does where memory runs out.
        Exception: The exception of the function.
    """
    waiting = iter(tasks)
    workers: list[_Worker] = []
    try:
        first = list(islice(waiting, processes))
        workers += [_start(function, fork=fork) for _ in first]
        for worker, task in zip(workers, first, strict=True):
            worker.pipe.send(task)
        by_pipe: dict[object, _Worker] = {worker.pipe: worker for worker in workers}
        while by_pipe:
            for pipe in connection.wait([worker.pipe for worker in by_pipe.values()], tick):
                kind, value = _received(by_pipe[pipe])
                if kind == "count":
                    count(value)
                elif kind == "error":
                    raise value
                else:
                    following = list(islice(waiting, 1))
                    if following:
                        by_pipe[pipe].pipe.send(following[0])
                    else:
                        del by_pipe[pipe]
                    yield value
            count(0)
    finally:
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()


def may_fork() -> bool:
    """Whether this process has no other threads, which could hold a lock for which a fork would wait."""
    return threading.active_count() == 1


def _start(function: Function[T, R], *, fork: bool) -> _Worker:
    context = get_context("fork" if fork else "spawn")  # forkserver would keep the environment of its first use
    ours, theirs = context.Pipe()
    # typeshed knows `Process` for each context alone, not for all.
    process = context.Process(target=_serve, args=(function, theirs), daemon=True)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        # From Python 3.12 on a fork beside any thread is a warning; it means numpy's threads, which end and begin
        # around it.
        warnings.simplefilter("ignore", DeprecationWarning)
        was_enabled = gc.isenabled()
        gc.disable()  # until the fork has frozen its inherited objects
        process.start()
        if was_enabled:
            gc.enable()
    theirs.close()
    return _Worker(process, ours)


def _received(worker: _Worker) -> tuple[str, Any]:
    try:
        kind, value = worker.pipe.recv()
    except EOFError:
        worker.process.join()
        raise WorkerError(
            f"processes: each must live to the end of its task, got one that ended with {worker.process.exitcode}. "
            "Where it is -9, memory ran out: run the same command again with fewer --processes or smaller shards; "
            "finished work is kept."
        ) from None
    return kind, value


class _Counter(Generic[T]):
    """Reports progress, at most every few moments."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        self._pipe = pipe
        self._untold = 0
        self._told_at = time.monotonic()

    def add(self, number: int) -> None:
        self._untold += number
        if time.monotonic() - self._told_at > _TELL_SECONDS:
            self.tell()

    def tell(self) -> None:
        self._pipe.send(("count", self._untold))
        self._untold, self._told_at = 0, time.monotonic()


def _serve(function: Function[T, R], pipe: "Connection[Any, Any]") -> None:
    gc.freeze()  # or the end of an inherited object would wait for threads that a fork lacks, as a DALI pipeline's does
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the calling process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    counter: _Counter[T] = _Counter(pipe)
    while True:
        task = pipe.recv()
        try:
            result = function(task, counter.add)
        except Exception as error:  # noqa: BLE001 - goes to the process that asked
            if not isinstance(error, StreamaugError):
                error.add_note(traceback.format_exc())
            pipe.send(("error", error))
        else:
            counter.tell()
            pipe.send(("result", result))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
    os._exit(1)
