"""A thread that prepares batches while the thread that takes them trains.

In: functions without effects. Out: futures of their results. It runs no code of a user's, so users do not notice it: a
future raises its error where it is waited for, as if the function had been called there, and an interrupted wait leaves
nothing half done. It belongs to one process; in a fork its queue has no reader.
"""

import atexit
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from streamaug.errors import StreamaugError

T = TypeVar("T")
_Calls = SimpleQueue[tuple[Callable[[], Any], "Future[Any]"] | None]

THREAD_NAME = "streamaug-prepare"
#: The error of a pass that goes on when the interpreter has ended its threads and freed its pipelines.
ENDED = (
    "chain: must be read before the interpreter's exit frees its pipelines and threads, got a batch asked for "
    "later, in an atexit handler that was registered before them. Register the handler after the first batch."
)


class Ahead:
    """A daemon thread that runs functions one after the other; it starts with the first, and ends with its owner."""

    def __init__(self) -> None:
        self._calls: _Calls = SimpleQueue()
        self._thread: threading.Thread | None = None
        # Dropped without a close, it ends the thread too, which refers to the queue alone.
        self._end = weakref.finalize(self, self._calls.put, None)
        _ALL.add(self)

    @property
    def thread(self) -> int | None:
        """The thread's number; None before the first function."""
        return None if self._thread is None else self._thread.ident

    def submit(self, function: Callable[[], T]) -> "Future[T]":
        """A future of `function()`, called on the thread.

        Raises:
            StreamaugError: If the interpreter ended the thread, as it does before the first atexit handlers that were
                registered run.
        """
        if not self._end.alive:
            raise StreamaugError(ENDED)
        future: Future[T] = Future()
        if self._thread is None:
            self._thread = threading.Thread(target=_run, args=(self._calls,), name=THREAD_NAME, daemon=True)
            self._thread.start()
        self._calls.put((function, future))
        return future

    def close(self) -> None:
        """End the thread and wait for it; it may be in the middle of one batch.

        The thread itself may call this, when it collects the garbage of an abandoned pass. It then ends after its
        batch.
        """
        if self._end.detach() is not None:  # a call of it does nothing once the interpreter has run all finalizers
            self._calls.put(None)
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join()


_ALL: weakref.WeakSet[Ahead] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """The interpreter must not end while a thread is in the middle of DALI's or numpy's code."""
    for ahead in list(_ALL):
        ahead.close()


def _run(calls: _Calls) -> None:
    while True:
        call = calls.get()
        if call is None:
            return
        function, future = call
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is asked for
            future.set_exception(error)
        del call, function, future  # while it waits, it keeps no batch alive
