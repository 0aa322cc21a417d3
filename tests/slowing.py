"""One part of a chain, made so slow that nothing else matters: it sleeps for many times what a whole pass takes.

How long that is depends on the machine and its load: a pass that nothing slows is timed first.
"""

import time
from dataclasses import dataclass

import numpy as np

import streamaug as sa
from streamaug import ops

TIMES, AT_LEAST = 4, 0.5


class Slow:
    """Sleeps once a pass, in the part that is named by `part`.

    Attributes:
        part: The name of the part; None: nothing sleeps.
        seconds: For how long.
    """

    def __init__(self):
        self.part, self.seconds = None, 0.0

    def __call__(self, part):
        if part == self.part:
            self.part = None
            time.sleep(self.seconds)

    def learn(self, chain):
        """Time a pass that nothing slows, behind one that builds the pipeline."""
        list(chain)
        began = time.monotonic()
        list(chain)
        self.seconds = TIMES * (time.monotonic() - began) + AT_LEAST


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
