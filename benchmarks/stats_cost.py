"""Microseconds of CPU time that the numbers of `Stage.stats()` cost: a batch and stage, a batch, and a call.

Stages that do nothing pass one batch on, measured and not measured, in turns; the difference counts. CPU time of the
thread, so that other programs on the machine matter little. In: nothing. Out: a JSON.

    python benchmarks/stats_cost.py
"""

import argparse
import itertools
import time
from collections.abc import Callable

import numpy as np
from harness import median_interval, save
from loader import summary

from streamaug import EncodedBatch, Origin, Stage
from streamaug.reader.state import EpochPass
from streamaug.stages.stats import stats_of

DEPTH = 5


class Source(Stage):
    """Gives one batch again and again."""

    def __init__(self) -> None:
        super().__init__(None)
        nothing = np.zeros(1, np.int64)
        origin = Origin(0, 0, 0, 1, nothing, nothing, ("",), nothing > 0, nothing > 0)
        self.batch = EncodedBatch([b""], {}, origin)

    def run(self, epoch_pass):
        yield from itertools.repeat(self.batch, epoch_pass.num_batches)


class Passing(Stage):
    """Passes batches on."""

    def run(self, epoch_pass):
        yield from self.source.run(epoch_pass)


class PlainSource(Source):
    """The same, not measured."""


class PlainPassing(Passing):
    """The same, not measured."""


# A class's `run` is measured as the class is made.
PlainSource.run, PlainPassing.run = Source.run.__wrapped__, Passing.run.__wrapped__


def chain(source: type[Stage], stage: type[Stage]) -> Stage:
    """A source and some stages behind it."""
    head = source()
    for _ in range(DEPTH - 1):
        head = stage(head)
    return head


def cpu_us(work: Callable[[], object]) -> float:
    """Microseconds of CPU time of the thread."""
    began = time.thread_time()
    work()
    return 1e6 * (time.thread_time() - began)


def taken(stage: Stage, batches: int) -> EpochPass:
    """Take all batches of a pass."""
    epoch_pass = EpochPass(0, 0, batches, 1)
    for _ in stage.run(epoch_pass):
        pass
    return epoch_pass


def asked(batches: int) -> None:
    """What a pass notes of each batch that is asked for."""
    meter = EpochPass(0, 0, batches, 1).meter
    for _ in range(batches):
        meter.ask()
        meter.answer()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    batches = arguments.batches
    calls = batches // 20
    measured, plain = chain(Source, Passing), chain(PlainSource, PlainPassing)
    epoch_pass = taken(measured, 10)
    rows: dict[str, list[float]] = {"a batch and stage": [], "a batch": [], "a call of stats().as_dict()": []}
    for _ in range(arguments.rounds):
        difference = cpu_us(lambda: taken(measured, batches)) - cpu_us(lambda: taken(plain, batches))
        rows["a batch and stage"].append(difference / (batches * DEPTH))
        rows["a batch"].append(cpu_us(lambda: asked(batches)) / batches)
        spent = cpu_us(
            lambda: [stats_of(measured, epoch_pass, batch_size=1, world_size=1).as_dict() for _ in range(calls)]
        )
        rows["a call of stats().as_dict()"].append(spent / calls)
    figures = {}
    for name, values in rows.items():
        interval = median_interval(values)
        figures[name] = {"us": summary(interval), "rounds_us": values}
        print(f"{name}: {interval} µs of CPU time")
    result = {
        "question": "microseconds of CPU time that counting costs",
        "settings": {"stages": DEPTH, "batches": batches, "rounds": arguments.rounds},
        "figures": figures,
    }
    print(f"wrote {save('stats_cost', result)}")


if __name__ == "__main__":
    main()
