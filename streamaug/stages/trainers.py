"""The warning, given once, for users of a trainer whose checkpoints do not bring the chain back.

Lightning restores a loader only in the middle of an epoch, and Hugging Face's Trainer not at all; both need our
`LoaderState`. A chain recognises the trainer in the stack of the call for its first batch; this module imports no
trainer.
"""

import sys
import warnings
from collections.abc import Iterator
from types import FrameType
from typing import Any

#: Between a chain and the training loop lie frames of a loader, a wrapper and a trainer, some fifteen of them.
_FRAMES = 30
_LIGHTNING = ("lightning.pytorch.", "pytorch_lightning.")
_TUNERS = ("lightning.pytorch.tuner.", "pytorch_lightning.tuner.")
_TRAINING = ("get_batch_samples", "_run_epoch", "_inner_training_loop")


def warn_of_forgetful_trainer() -> bool:
    """Warn if a training loop asks for a first batch without the `LoaderState` that it needs; True if it warned.

    Validation does not count: it need not be resumed.
    """
    for frame in _callers():
        module = str(frame.f_globals.get("__name__", ""))
        # Only a trainer's own frames are read, because reading keeps a frame's variables alive.
        if module.startswith(_LIGHTNING) and module.endswith((".loops.evaluation_loop", ".loops.prediction_loop")):
            return False
        if module.startswith(_LIGHTNING) and module.endswith(".loops.training_epoch_loop"):
            trainer = getattr(frame.f_locals.get("self"), "trainer", None)
            callbacks, where = getattr(trainer, "callbacks", ()), "lightning"
            what = "Lightning: brings data back from checkpoints in the middle of an epoch only"
        elif module == "transformers.trainer":
            if frame.f_code.co_name not in _TRAINING:
                return False
            handler = getattr(frame.f_locals.get("self"), "callback_handler", None)
            callbacks, where = getattr(handler, "callbacks", ()), "transformers"
            what = "Trainer: does not save where its data stand"
        else:
            continue
        if any(_is_loader_state(callback, where) for callback in callbacks) or _is_trial():
            return False
        warnings.warn(
            f"{what}, and no LoaderState is among its callbacks, so a run that resumes would get other data. "
            f"Add streamaug.integrations.{where}.LoaderState().",
            UserWarning,
            stacklevel=2,
        )
        return True
    return False


def _is_trial() -> bool:
    """Whether Lightning's Tuner tries a learning rate or a batch size, which it does without the user's callbacks."""
    return any(str(frame.f_globals.get("__name__", "")).startswith(_TUNERS) for frame in _callers(2 * _FRAMES))


def _callers(most: int = _FRAMES) -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe(2)
    for _ in range(most):
        if frame is None:
            return
        yield frame
        frame = frame.f_back


def _is_loader_state(callback: Any, where: str) -> bool:
    """Whether a callback is an integration's `LoaderState`, which this module does not import."""
    wanted = (f"streamaug.integrations.{where}", "LoaderState")
    return any((kind.__module__, kind.__name__) == wanted for kind in type(callback).__mro__)
