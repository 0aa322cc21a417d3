"""The passes of a chain: the iterator of `iter()`, the begin of a pass, and its end when another begins.

In: the chain's position, and what proposes its next pass. Out: one `RunningPass` at a time.

A pass begins with its first batch: until that batch is ready, nothing of the chain has moved. Only the stage that the
user iterates counts delivered batches, so a state never runs ahead of the training loop, however much the stages below
have prefetched, and whatever interrupts them.

Ctrl-C may raise KeyboardInterrupt behind any call. Therefore locks are taken by `with` directly and never through a
context manager in Python, and a batch is counted by assignments alone, between which no interrupt comes.
"""

import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from streamaug.errors import StreamaugError
from streamaug.reader.state import EpochPass, Progress
from streamaug.stages.loaders import refuse_unfit_loader
from streamaug.stages.running_pass import RunningPass
from streamaug.stages.trainers import warn_of_forgetful_trainer

if TYPE_CHECKING:
    from streamaug.stages.base import Stage

T = TypeVar("T")


class PassIterator:
    """The iterator of `iter(stage)`: it begins a pass at its first `next()`, and delivers that pass alone."""

    def __init__(self, stage: "Stage", passes: "Passes", *, within_dataset: bool = False) -> None:
        self._stage, self._passes, self._within_dataset = stage, passes, within_dataset
        self._running: RunningPass | None = None

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

    def _looked(self) -> RunningPass:
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
        self._under_way: weakref.ref[RunningPass] | None = None
        self._prepared: RunningPass | None = None
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

    def begin(self, stage: "Stage") -> RunningPass:
        """Begin the next pass of a stage; its first batch is ready, and not delivered yet.

        Raises:
            StreamaugError: If the chain cannot be iterated here.
        """
        running = self._prepare(stage)
        if running.epoch_pass.num_batches:
            try:
                running.look()
            except BaseException:
                self._prepared = None  # which refers to the chain, and would keep it and its pipeline alive
                raise
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

    def _running(self) -> RunningPass | None:
        return None if self._under_way is None else self._under_way()

    def _forget(self) -> None:
        if self._prepared is not None:
            self._prepared.end()
        self._prepared = None

    def _prepare(self, stage: "Stage") -> RunningPass:
        """The next pass, made ready but not begun; the pass under way ends."""
        prepared = self._prepared
        if prepared is not None and prepared.stage is stage and prepared.under_way:
            return prepared
        self._forget()
        epoch_pass = self._propose(stage)
        self.end_pass()
        self._process = os.getpid()
        self._prepared = RunningPass(stage, epoch_pass, self._left, self._stall_after)
        return self._prepared
