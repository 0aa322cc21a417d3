"""The delivery of passes: the iterator of `iter()`, the begin of a pass, and its end when another begins.

A pass begins with its first batch: until that batch is ready, nothing of the chain has moved. Only the stage that the
user iterates counts delivered batches, so a state never runs ahead of the training loop, however much the stages below
have prefetched, and whatever interrupts them.

Ctrl-C may raise KeyboardInterrupt behind any call. Therefore locks are taken by `with` directly and never through a
context manager in Python, and a batch is counted by assignments alone, between which no interrupt comes.
"""

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from streamaug.errors import StreamaugError
from streamaug.reader.state import EpochPass, Progress
from streamaug.stages.loaders import refuse_unfit_loader
from streamaug.stages.notes import note_where
from streamaug.stages.ranges import profiler_ranges
from streamaug.stages.trainers import warn_of_forgetful_trainer
from streamaug.stages.watch import Watch

if TYPE_CHECKING:
    from streamaug.stages.base import Stage

T = TypeVar("T")


class Running:
    """A pass that delivers the batches of one stage.

    Attributes:
        stage: The stage that the user iterates.
        epoch_pass: The pass.
        held: The next batch, in a tuple of one; empty where it was not made yet.

    Args:
        stage: As above.
        epoch_pass: As above.
        left: Called with the pass when it is over, however it ends, also when nothing refers to it any more.
        stall_after: Seconds after which a batch that the loop asked for and did not get is a warning, see `Watch`.
    """

    def __init__(
        self,
        stage: "Stage",
        epoch_pass: EpochPass,
        left: Callable[[EpochPass], None],
        stall_after: float | None,
    ) -> None:
        self.stage, self.epoch_pass = stage, epoch_pass
        self._left = weakref.finalize(self, _tell, weakref.WeakMethod(left), epoch_pass)
        self._watch = Watch(epoch_pass, stall_after)
        epoch_pass.meter.ranges = profiler_ranges()
        self.held: tuple[Any, ...] = ()
        try:
            self._batches: Iterator[Any] | None = _batches_of(stage, epoch_pass)
        except Exception as error:
            note_where(error, stage, epoch_pass)
            raise
        self._busy = False
        self._ended = False

    @property
    def under_way(self) -> bool:
        """Whether it can deliver more batches."""
        return not (self._ended or self.epoch_pass.complete)

    def look(self) -> Any:
        """The next batch, without delivering it.

        Raises:
            StopIteration: If all batches were delivered.
            StreamaugError: If the pass was ended, or stopped before it was complete.
        """
        if self.epoch_pass.complete:
            self._finish()
            raise StopIteration
        if self._ended or self._batches is None:
            raise StreamaugError(self._why_ended())
        if not self.held:
            self.held = (self._made(self._batches),)
        return self.held[0]

    def give_back(self, batch: Any, delivered: int) -> None:
        """Undo the delivery of the last batch, which did not reach the user."""
        if self.epoch_pass.delivered == delivered + 1 and not self.held and not self._ended:
            self.epoch_pass.delivered = delivered
            self.held = (batch,)

    def end(self) -> None:
        """Stop delivering and free the pass's threads and pipelines; where it is making a batch, once that is done."""
        self._ended, self.held = True, ()
        if not self._busy:
            self._close()

    def rest(self) -> None:
        """Leave no thread of this module behind, until the next batch is made."""
        self._watch.end()

    def _made(self, batches: Iterator[Any]) -> Any:
        self._busy, meter = True, self.epoch_pass.meter
        try:
            self._watch.start()
            meter.ask()
            batch = next(batches)
            meter.answer()
        except StopIteration:
            self._ended = True
            raise StreamaugError(
                f"iterator: epoch {self.epoch_pass.epoch} stopped after {self.epoch_pass.delivered} of "
                f"{self.epoch_pass.num_batches} batches, because an earlier error or close() ended it, or a stage "
                "gave less than it was given. Load the last state and iterate anew."
            ) from None
        except Exception as error:
            self._ended = True
            note_where(error, self.stage, self.epoch_pass)
            raise
        except BaseException:
            self._ended = True
            raise
        finally:
            # No call before this: an interrupt in it would lose the batch.
            self._busy = False
            if self._ended:
                self._close()
        if self._ended:
            raise StreamaugError(self._why_ended())
        return batch

    def _finish(self) -> None:
        """After the last batch: let the stages run to their ends, once."""
        batches, self._batches = self._batches, None
        if batches is None or self._ended:
            return
        meter = self.epoch_pass.meter
        try:
            meter.ask()
            next(batches)
        except StopIteration:
            return
        finally:
            meter.answer()
            self._watch.end()
        raise StreamaugError(
            f"{type(self.stage).__name__}: a stage must give a batch for each that it is given, got more than "
            f"{self.epoch_pass.num_batches}. Yield once for each batch of self.source.run(epoch_pass)."
        )

    def _close(self) -> None:
        batches, self._batches = self._batches, None
        try:
            close = getattr(batches, "close", None)
            if close is not None:
                close()
            self._left()
        finally:
            self.epoch_pass.meter.answer()
            self._watch.end()

    def _why_ended(self) -> str:
        return (
            f"iterator: this pass over epoch {self.epoch_pass.epoch} was ended by a later pass, set_epoch(), seek(), "
            "load_state_dict() or close() of the same chain, or by an error. Keep one loop over a chain at a time."
        )


def _tell(left: "weakref.WeakMethod[Callable[[EpochPass], None]]", epoch_pass: EpochPass) -> None:
    """Call a method with a pass, unless its object was freed."""
    method = left()
    if method is not None:
        method(epoch_pass)


def _batches_of(stage: "Stage", epoch_pass: EpochPass) -> Iterator[Any]:
    batches: Any = stage.run(epoch_pass)
    if not hasattr(batches, "__iter__"):
        raise TypeError(
            f"{type(stage).__name__}.run: must return an iterator of batches, got {type(batches).__name__}. "
            "Yield a batch for each of self.source.run(epoch_pass)."
        )
    return iter(batches)


class PassIterator:
    """The iterator of `iter(stage)`: it begins a pass at its first `next()`, and delivers that pass alone."""

    def __init__(self, stage: "Stage", passes: "Passes", *, within_dataset: bool = False) -> None:
        self._stage, self._passes, self._within_dataset = stage, passes, within_dataset
        self._running: Running | None = None

    def __iter__(self) -> "PassIterator":
        return self

    @property
    def complete(self) -> bool:
        """Whether the last batch of the pass was delivered; False before the first."""
        return self._running is not None and self._running.epoch_pass.complete

    def __next__(self) -> Any:
        running, batch, delivered, counted = None, None, 0, False
        try:
            with self._passes.locked():
                running = self._passes.alone(self._looked)
                delivered = running.epoch_pass.delivered
                batch, running.held = running.held[0], ()
                running.epoch_pass.delivered, counted = delivered + 1, True
        except BaseException:
            if running is not None and counted:
                running.give_back(batch, delivered)
            raise
        return batch

    def _looked(self) -> Running:
        """The pass, with its next batch ready; begun if it was not."""
        if self._running is None:
            refuse_unfit_loader(within_dataset=self._within_dataset)
            self._passes.advise()
            self._running = self._passes.begin(self._stage)
        self._running.look()
        return self._running


class Passes:
    """The passes of one chain, one under way at a time.

    Args:
        progress: The chain's position.
        propose: Makes the next pass, for the stage that delivers it.
        left: Called with each pass that is over.
        stall_after: Seconds without a batch after which a warning reports a stall; None: never.

    Attributes:
        latest: The pass that began last; None before the first.
    """

    def __init__(
        self,
        progress: Progress,
        propose: "Callable[[Stage], EpochPass]",
        left: Callable[[EpochPass], None],
        stall_after: float | None = None,
    ) -> None:
        self._progress, self._propose, self._left, self._stall_after = progress, propose, left, stall_after
        self._lock = threading.RLock()
        self._process: int | None = None
        self._busy = False
        self._advised = False
        self._under_way: weakref.ref[Running] | None = None
        self._prepared: Running | None = None
        self.latest: EpochPass | None = None

    def iterator(self, stage: "Stage", *, within_dataset: bool) -> PassIterator:
        """The iterator of `iter(stage)`; it begins a pass at its first `next()`."""
        return PassIterator(stage, self, within_dataset=within_dataset)

    def locked(self) -> AbstractContextManager[Any]:
        """The lock of the chain, which one thread at a time holds, in the process that began the first pass.

        Raises:
            StreamaugError: If the chain was read before this process was forked.
        """
        if self._process not in (None, os.getpid()):
            raise StreamaugError(
                f"iterator: a chain must be read by the process that read it first ({self._process}), got process "
                f"{os.getpid()}, forked later, in which its threads are gone. Make the chain in each process, or start "
                "processes before the first batch."
            )
        return self._lock

    def alone(self, action: Callable[[], T]) -> T:
        """Run an action that runs stages; under the lock.

        Raises:
            StreamaugError: If stages run already: a function of the chain asks for the chain's batches.
        """
        if self._busy:
            raise StreamaugError(
                "iterator: a chain must not be iterated by a function that it calls itself, got such a call. "
                "Take what the function needs from its batch, or from a chain of its own."
            )
        self._busy = True
        try:
            return action()
        finally:
            self._busy = False

    def advise(self) -> None:
        """Warn once of a trainer whose checkpoints do not bring the chain back."""
        if not self._advised:
            self._advised = warn_of_forgetful_trainer()

    def begin(self, stage: "Stage") -> Running:
        """Begin the next pass of a stage; its first batch is ready, and not delivered yet.

        Raises:
            StreamaugError: If the chain cannot be iterated here.
        """
        running = self._prepare(stage)
        if running.epoch_pass.num_batches:
            running.look()
        under_way = weakref.ref(running)
        running.epoch_pass.meter.begin()
        self._progress.begin(running.epoch_pass)
        self._under_way, self._prepared, self.latest = under_way, None, running.epoch_pass
        return running

    def peek(self, stage: "Stage") -> Any:
        """The next batch of the pass under way, else of the next pass.

        Raises:
            StreamaugError: If the pass under way is of another stage.
        """
        with self.locked():
            return self.alone(lambda: self._peek(stage))

    def _peek(self, stage: "Stage") -> Any:
        running = self._running()
        if running is not None and running.under_way:
            if running.stage is not stage:
                raise StreamaugError(
                    f"peek: must be asked of the stage whose pass is under way, a {type(running.stage).__name__}, got "
                    f"{type(stage).__name__}. Ask that stage, or end its pass with close()."
                )
            return running.look()
        while True:
            running = self._prepare(stage)
            if running.epoch_pass.num_batches:
                try:
                    return running.look()
                finally:
                    running.rest()
            self._prepared = None  # nothing is left of a loaded epoch
            self._progress.begin(running.epoch_pass)

    def moved(self) -> None:
        """End the pass under way, and forget a pass that was prepared for another position."""
        self.end_pass()
        prepared = self._prepared
        if prepared is not None and self._progress.next_place != (prepared.epoch_pass.epoch, prepared.epoch_pass.start):
            self._forget()

    def close(self) -> None:
        """End the pass under way and a prepared pass; do nothing in a process that was forked later."""
        if self._process in (None, os.getpid()):
            with self._lock:
                self.end_pass()
                self._forget()

    def end_pass(self) -> None:
        """End the pass under way."""
        running = self._running()
        if running is not None:
            running.end()
        self._under_way = None

    def _running(self) -> Running | None:
        return None if self._under_way is None else self._under_way()

    def _forget(self) -> None:
        if self._prepared is not None:
            self._prepared.end()
        self._prepared = None

    def _prepare(self, stage: "Stage") -> Running:
        """The next pass, made ready but not begun; the pass under way ends."""
        prepared = self._prepared
        if prepared is not None and prepared.stage is stage and prepared.under_way:
            return prepared
        self._forget()
        epoch_pass = self._propose(stage)
        self.end_pass()
        self._process = os.getpid()
        self._prepared = Running(stage, epoch_pass, self._left, self._stall_after)
        return self._prepared
