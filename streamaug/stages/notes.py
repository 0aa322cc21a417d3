"""Where an error happened: the note on errors that a stage or a user's function raises.

In: an error as it leaves the chain, and the pass. Out: the same error with a note that names the stage which raised it,
epoch, step, and the samples of the batch. The traceback tells the stage, so no stage has to report errors itself. It
tells the batch too; where it holds none, the batch of the same step from the stage before serves.
"""

from collections.abc import Iterable
from types import FrameType

from streamaug.batch import Batch, EncodedBatch, Origin, Prediction
from streamaug.reader.metering import Metered
from streamaug.reader.state import EpochPass
from streamaug.stages.base import Stage

#: By these a stage passes bad rows on to the reader; then the reader is not the stage that failed.
_DELEGATING = ("_replace", "_reject")
_SHOWN_KEYS = 8


def note_where(error: Exception, stage: Stage, epoch_pass: EpochPass) -> None:
    """Note on an error where it happened.

    Args:
        error: The error, as it leaves the chain.
        stage: The stage that the user iterates, named where the traceback holds no stage.
        epoch_pass: The pass; the batch after the delivered ones failed.
    """
    step = epoch_pass.start // epoch_pass.global_batch + epoch_pass.delivered
    failed: Stage = stage
    keys: tuple[str, ...] = ()
    for frame in _frames(error):
        owner = frame.f_locals.get("self")
        if isinstance(owner, Metered):
            owner = owner.meter.stage
        if isinstance(owner, Stage) and frame.f_code.co_name not in _DELEGATING:
            failed, keys = owner, ()
        keys = keys or _keys(frame.f_locals.values(), epoch_pass.epoch, step)
    keys = keys or _keys_before(failed, epoch_pass, step)
    note = f"{type(failed).__name__} failed at epoch {epoch_pass.epoch}, step {step}"
    if keys:
        more = f" and {len(keys) - _SHOWN_KEYS} more" if len(keys) > _SHOWN_KEYS else ""
        note += f", in the batch of the samples {', '.join(keys[:_SHOWN_KEYS])}{more}"
    if f"{note}." not in getattr(error, "__notes__", ()):
        error.add_note(f"{note}.")


def _frames(error: Exception) -> Iterable[FrameType]:
    """The frames that the error went through, the innermost last."""
    traceback = error.__traceback__
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def _keys(values: Iterable[object], epoch: int, step: int) -> tuple[str, ...]:
    """The sample keys of the first batch among some values that is of a step."""
    for value in values:
        # The engine keeps its batches in jobs of its own.
        if type(value).__module__.startswith("streamaug.dali."):
            value = getattr(value, "batch", None)
        if isinstance(value, Batch | EncodedBatch | Prediction) and _is_of(value.origin, epoch, step):
            return value.origin.keys
    return ()


def _keys_before(stage: Stage, epoch_pass: EpochPass, step: int) -> tuple[str, ...]:
    """The sample keys of the last batch that a stage got, if it is of a step."""
    link: Stage | None = stage
    while link is not None:
        meter = epoch_pass.meter.of(link)
        if meter is not None and isinstance(meter.origin, Origin) and _is_of(meter.origin, epoch_pass.epoch, step):
            return meter.origin.keys
        link = link.__dict__.get("_source")
    return ()


def _is_of(origin: Origin, epoch: int, step: int) -> bool:
    return (origin.epoch, origin.step) == (epoch, step)
