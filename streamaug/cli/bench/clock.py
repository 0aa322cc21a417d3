"""Repeated runs of a piece of work, and their costs.

In: a `Work`, which does a small step at a time. Out: a `Cost` for each repeat: seconds by the clock, CPU seconds, and
the seconds of the calling thread, less those in which other programs had its core. It never gives a figure of a single
run.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from streamaug.cli.bench.intervals import Interval, median_interval

#: A cost below this, in milliseconds an image, cannot be told from 0.
_LEAST_MS = 1e-4
#: Seconds of delay within which clocks that were read together belong to one moment, and the tries for that.
_TOGETHER, _TRIES = 1e-3, 10
_SCHEDULE = Path("/proc/thread-self/schedstat")


@dataclass(frozen=True, slots=True)
class Effort:
    """The amount of measuring.

    Attributes:
        repeats: Runs of each piece of work, at least 2.
        seconds: Seconds of a run, about; at least one step.
        warm_up: Seconds of work before the first run's clock starts; at least one step.
    """

    repeats: int
    seconds: float
    warm_up: float


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a run.

    Attributes:
        images: The number of images; of bytes, the images that hold as many bytes on average.
        seconds: By the clock.
        cpu: CPU seconds of all threads of this process.
        thread_cpu: CPU seconds of the calling thread.
        delayed: Seconds in which the calling thread could have run, while others had the cores; 0 where the system does
            not report it.
    """

    images: float
    seconds: float
    cpu: float
    thread_cpu: float
    delayed: float

    @property
    def images_per_second(self) -> float:
        """By the clock."""
        return self.images / self.seconds

    @property
    def core_ms(self) -> float:
        """CPU milliseconds an image, of all threads."""
        return 1e3 * self.cpu / self.images

    @property
    def thread_ms(self) -> float:
        """CPU milliseconds an image, of the calling thread."""
        return 1e3 * self.thread_cpu / self.images

    @property
    def serial_ms(self) -> float:
        """Milliseconds an image for which the calling thread worked, slept or waited, on a core of its own."""
        return 1e3 * max(self.thread_cpu, self.seconds - self.delayed) / self.images


class Work(ABC):
    """A piece of work to measure, in small steps."""

    def begin(self) -> None:  # noqa: B027 - few works need it
        """Make ready, off the clock."""

    @abstractmethod
    def step(self) -> float:
        """Do a step; returns its number of images."""

    def end(self) -> None:  # noqa: B027 - few works need it
        """End all work under way, off the clock."""


class _Moment(NamedTuple):
    clock: float
    cpu: float
    thread_cpu: float
    delayed: float


def _now() -> _Moment:
    """The clocks of one moment: read anew if this thread waited for a core between them."""
    delayed = _delayed()
    for _ in range(_TRIES):
        moment = _Moment(time.perf_counter(), time.process_time(), time.thread_time(), delayed)
        delayed = _delayed()
        if delayed - moment.delayed < _TOGETHER:
            break
    return moment


def _delayed() -> float:
    """Seconds that this thread has waited for a core so far; 0 where the system does not report it."""
    try:
        return int(_SCHEDULE.read_text(encoding="ascii").split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0


def run_once(work: Work, seconds: float) -> Cost:
    """Run steps until `seconds` are over, at least one."""
    images, begun = 0.0, _now()
    while True:
        images += work.step()
        now = _now()
        if now.clock - begun.clock >= seconds:
            return Cost(images, *(after - before for before, after in zip(begun, now, strict=True)))


def in_a_row(work: Work, effort: Effort, *, step: Callable[[], None]) -> list[Cost]:
    """All runs of a work in a row, without a pause in which it could read ahead; `step` counts them."""
    work.begin()
    try:
        run_once(work, effort.warm_up)
        costs = []
        for _ in range(effort.repeats):
            costs.append(run_once(work, effort.seconds))
            step()
        return costs
    finally:
        work.end()


def in_turn(works: Mapping[str, Work], effort: Effort, *, step: Callable[[], None]) -> dict[str, list[Cost]]:
    """The runs of several works in turns, each repeat beginning with another work, so that a slow minute slows all."""
    names = list(works)
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    for repeat in range(effort.repeats):
        first = repeat % len(names)
        for name in names[first:] + names[:first]:
            work = works[name]
            work.begin()
            try:
                run_once(work, effort.warm_up if repeat == 0 else 0.0)
                costs[name].append(run_once(work, effort.seconds))
            finally:
                work.end()
            step()
    return costs


def speed(costs: Sequence[Cost]) -> Interval:
    """Images/s by the clock."""
    return median_interval([cost.images_per_second for cost in costs])


def core_time(costs: Sequence[Cost]) -> Interval:
    """Core-milliseconds an image."""
    return median_interval([cost.core_ms for cost in costs])


def serial_speed(costs: Sequence[Cost]) -> Interval:
    """Images/s of work in one thread, as if that always had a core."""
    return median_interval([1e3 / max(cost.serial_ms, _LEAST_MS) for cost in costs])


def difference(costs: Sequence[Cost], fewer: Sequence[Cost], of: Callable[[Cost], float]) -> Interval:
    """The difference of a cost between two works that were measured in turns."""
    return median_interval([of(cost) - of(other) for cost, other in zip(costs, fewer, strict=True)])


def serial_time(costs: Sequence[Cost]) -> float:
    """Milliseconds an image for which the calling thread is taken."""
    return median_interval([cost.serial_ms for cost in costs]).median


def thread_time(costs: Sequence[Cost]) -> float:
    """CPU milliseconds an image of the calling thread."""
    return median_interval([cost.thread_ms for cost in costs]).median
