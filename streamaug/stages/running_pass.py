"""A pass that delivers the batches of a stage: it makes the next one, holds it, and takes it back where it was lost.

In: a stage and its `EpochPass`, from `passes`. Out: batches, looked at one by one; an error names the stage and step.
However a pass ends, its threads and pipelines are freed. Ctrl-C may raise KeyboardInterrupt behind any call.
"""

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from streamaug.errors import StreamaugError
from streamaug.reader.state import EpochPass
from streamaug.stages.notes import note_where
from streamaug.stages.ranges import profiler_ranges
from streamaug.stages.watch import Watch

if TYPE_CHECKING:
    from streamaug.stages.base import Stage


class RunningPass:
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
        self._left = weakref.finalize(self, left, epoch_pass)
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
            self._left()
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


def _batches_of(stage: "Stage", epoch_pass: EpochPass) -> Iterator[Any]:
    batches: Any = stage.run(epoch_pass)
    if not hasattr(batches, "__iter__"):
        raise TypeError(
            f"{type(stage).__name__}.run: must return an iterator of batches, got {type(batches).__name__}. "
            "Yield a batch for each of self.source.run(epoch_pass)."
        )
    return iter(batches)
