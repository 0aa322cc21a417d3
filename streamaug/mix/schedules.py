"""Schedules for `schedule=` of the mixing stages: the chance of mixing in the course of a training.

A schedule is a pure function (epoch, step) -> 0..1, by which the chance of a pair is multiplied. The schedules of this
module can be pickled, compared and shown; a function of your own at the top of a module can be pickled too, a lambda
cannot.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral

#: From (epoch, step), both from 0, to the factor of the chance of a pair, 0..1.
Schedule = Callable[[int, int], float]


@dataclass(frozen=True, slots=True)
class _OffFrom:
    epoch: int

    def __call__(self, epoch: int, step: int) -> float:  # noqa: ARG002 - a schedule is given both
        return 1.0 if epoch < self.epoch else 0.0

    def __repr__(self) -> str:
        return f"off_from({self.epoch})"


@dataclass(frozen=True, slots=True)
class _Ramp:
    start_epoch: int
    stop_epoch: int

    def __call__(self, epoch: int, step: int) -> float:  # noqa: ARG002 - a schedule is given both
        return min(max((epoch - self.start_epoch) / (self.stop_epoch - self.start_epoch), 0.0), 1.0)

    def __repr__(self) -> str:
        return f"ramp({self.start_epoch}, {self.stop_epoch})"


def off_from(epoch: int) -> Schedule:
    """Mix by `probability` before an epoch, and nothing from it on: the last epochs have unmixed images.

    Args:
        epoch: The first epoch without mixing, from 0; 0 mixes nothing.

    Raises:
        ValueError: If it is no integer of at least 0.
    """
    _check_epoch("off_from.epoch", epoch)
    return _OffFrom(int(epoch))


def ramp(start_epoch: int, stop_epoch: int) -> Schedule:
    """Mix nothing up to an epoch, then linearly more each epoch, and by `probability` from another epoch on.

    Args:
        start_epoch: The last epoch without mixing, from 0.
        stop_epoch: The first epoch in which the chance is the whole probability.

    Raises:
        ValueError: If they are no integers of at least 0, or start_epoch is not below stop_epoch.
    """
    _check_epoch("ramp.start_epoch", start_epoch)
    _check_epoch("ramp.stop_epoch", stop_epoch)
    if not start_epoch < stop_epoch:
        raise ValueError(
            f"ramp.stop_epoch: must lie above start_epoch {start_epoch}, got {stop_epoch}. "
            f"Write ramp({start_epoch}, {start_epoch + 1}) for a step."
        )
    return _Ramp(int(start_epoch), int(stop_epoch))


def _check_epoch(name: str, epoch: object) -> None:
    if not isinstance(epoch, Integral) or epoch < 0:
        raise ValueError(f"{name}: must be an integer of at least 0, got {epoch!r}. Epochs count from 0.")
