"""A clock that stands still but for the one part of a chain that is slow.

So the numbers that a chain says of itself are exactly those of the slow part, whatever the machine and its load.
"""

import time
from dataclasses import dataclass

import numpy as np

import streamaug as sa
from streamaug import ops

#: Modules that measure a pass.
MEASURING = ("reader.metering", "stages.watch", "dali.counting", "storage.fetcher")
#: Seconds that pass on the clock where a part is slow.
SECONDS = 10


class Clock:
    """Stands for the module `time` in the modules that measure a pass.

    Attributes:
        now: Nanoseconds; not 0, which stands for "never".
    """

    monotonic = staticmethod(time.monotonic)  # the patience of threads

    def __init__(self):
        self.now = 1

    def perf_counter_ns(self):
        return self.now

    def move(self, seconds):
        self.now += seconds * 10**9


class Slow:
    """Takes `SECONDS` on the clock, once, in the part that is named by `part`.

    Attributes:
        part: The name of the part; None: nothing takes time.
        clock: The clock.
    """

    def __init__(self):
        self.part, self.clock = None, Clock()

    def __call__(self, part):
        if part == self.part:
            self.part = None
            self.clock.move(SECONDS)


SLOW = Slow()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowShift(ops.Geometric):
    """Leaves images where they are, slowly."""

    probability: float = 1.0

    draws = 1

    def matrix(self, draws, height, width):
        SLOW("operation")
        return np.tile(np.eye(3), (len(draws), 1, 1))


class Own(sa.Stage):
    """Gives its batches on, slowly."""

    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            SLOW("stage")
            yield batch


def mapped(key, components):
    SLOW("map_samples")
    return components


def scheduled(epoch, step):
    SLOW("schedule")
    return 1.0


def changed(batch):
    SLOW("map_batch")
    return batch


def model(images):
    SLOW("model")
    return images.mean((2, 3))


RECIPE = sa.Recipe([ops.RandomResizedCrop(16), SlowShift()], output=sa.Output())


def training(reader):
    """A chain with a function of the user's wherever there may be one."""
    mapping = reader.map_samples(mapped).augment(RECIPE, device="cpu", num_threads=2)
    return mapping.mixup(num_classes=1000, schedule=scheduled).map_batch(changed).pipe(Own)


#: By part: the stage that it makes late.
LATE = {
    "map_samples": "MapSamples",
    "operation": "Augmenter",
    "schedule": "Mixup",
    "map_batch": "MapBatch",
    "stage": "Own",
    "loop": "loop",
}
