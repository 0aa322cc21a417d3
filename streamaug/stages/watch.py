"""`Watch`: when a batch does not come for a long time, it says which stage is late, and where its thread is.

In: a pass, and seconds. Out: warnings of the logger "streamaug.stages". A thread watches the pass while it is under
way, wakes once in so many seconds, and ends with the pass, also with a pass that is dropped. It changes nothing.
"""

import logging
import sys
import threading
import time
import traceback
import weakref
from queue import Empty, SimpleQueue

from streamaug.reader.state import EpochPass

THREAD_NAME = "streamaug-watch"

_log = logging.getLogger("streamaug.stages")


class Watch:
    """Watches one pass.

    Args:
        epoch_pass: The pass.
        seconds: Seconds without a batch that was asked for after which it warns, and again after twice as many; None:
            never.
    """

    def __init__(self, epoch_pass: EpochPass, seconds: float | None) -> None:
        self._pass, self._seconds = epoch_pass, seconds
        self._thread: threading.Thread | None = None
        self._end: weakref.finalize[..., Watch] | None = None

    def start(self) -> None:
        """Start the thread, unless it runs."""
        if self._seconds is None or self._thread is not None:
            return
        ended: SimpleQueue[None] = SimpleQueue()
        # When it is dropped with its pass, the thread ends too, which refers to the queue and the pass's numbers alone.
        self._end = weakref.finalize(self, ended.put, None)
        thread = threading.Thread(target=_watch, args=(ended, self._pass, self._seconds), name=THREAD_NAME, daemon=True)
        self._thread = thread
        thread.start()

    def end(self) -> None:
        """End the thread and wait for it; it may be in the middle of a line."""
        thread, self._thread = self._thread, None
        end = None if self._end is None else self._end.detach()
        if end is not None:  # by hand: in an atexit handler a finalizer does nothing
            _, put, arguments, _ = end
            put(*arguments)
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(1.0)


def _watch(ended: "SimpleQueue[None]", epoch_pass: EpochPass, seconds: float) -> None:
    meter, said_of, patience = epoch_pass.meter, 0, seconds
    while True:
        asked = meter.asked_ns
        if asked != said_of:
            said_of, patience = asked, seconds
        waited = (time.perf_counter_ns() - asked) / 1e9 if asked else 0.0
        if waited >= patience:
            _log.warning("%s", described(epoch_pass, waited))
            patience *= 2
            continue
        try:
            ended.get(timeout=patience - waited)
        except Empty:
            continue
        return


def described(epoch_pass: EpochPass, waited: float) -> str:
    """The stage that is late, why, and the stack of its thread.

    Args:
        epoch_pass: The pass.
        waited: Seconds for which the batch was waited for.
    """
    meter = epoch_pass.meter
    step = epoch_pass.start // epoch_pass.global_batch + epoch_pass.delivered
    stage = meter.inside.get(meter.asked_by)
    blocked = None if stage is None or stage.counts is None else stage.counts.blocked()
    why, late = blocked or ("its code has not returned", None)
    thread = meter.asked_by if late is None else late
    name = next((each.name for each in threading.enumerate() if each.ident == thread), str(thread))
    frame = sys._current_frames().get(thread)
    stack = "".join(traceback.format_stack(frame)) if frame is not None else "  (it has ended)\n"
    return (
        f"stall_after: the batch of epoch {epoch_pass.epoch}, step {step} should be there, got none in {waited:.1f} s. "
        f"{'The chain' if stage is None else stage.name} is late: {why}. The thread {name} is here:\n{stack}"
    )
