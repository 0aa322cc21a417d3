"""What the order of an epoch costs at scale: milliseconds a batch and megabytes.

100,000 shards of 10,000 samples, 1,024 ranks of 256. In: nothing is read, the order is arithmetic. Out: the time to
build it, to turn to another epoch, and to find one rank's batch anywhere in the epoch; the peak of memory allocated.

    python benchmarks/order.py
"""

import argparse
import statistics
import time
import tracemalloc

import numpy as np
from harness import median_interval, save

from streamaug import SampleOrder


def milliseconds(started: float) -> float:
    return 1e3 * (time.perf_counter() - started)


def batch_positions(step: int, rank: int, arguments: argparse.Namespace) -> np.ndarray:
    """One rank's positions of a global batch, int64 (B,)."""
    start = step * arguments.ranks * arguments.batch_size
    return start + rank + arguments.ranks * np.arange(arguments.batch_size, dtype=np.int64)


def peak_megabytes(sizes: np.ndarray, arguments: argparse.Namespace) -> tuple[float, float]:
    """Megabytes held after, and at the peak of, building the order and two epochs' first batches."""
    tracemalloc.start()
    order = SampleOrder(sizes, lanes=arguments.lanes)
    for epoch in range(2):
        order.sample_ids(epoch, batch_positions(0, 0, arguments))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return held / 1e6, peak / 1e6


def main() -> int:
    """Measure and write benchmarks/results/order.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shards", type=int, default=100_000)
    parser.add_argument("--samples", type=int, default=10_000, help="of each shard")
    parser.add_argument("--ranks", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=256, help="of each rank")
    parser.add_argument("--lanes", type=int, default=2048, help="twice the ranks")
    parser.add_argument("--batches", type=int, default=500)
    arguments = parser.parse_args()
    sizes = np.full(arguments.shards, arguments.samples, np.int64)

    started = time.perf_counter()
    order = SampleOrder(sizes, lanes=arguments.lanes)
    build = milliseconds(started)
    turns = []
    for epoch in range(5):
        started = time.perf_counter()
        order.sample_ids(epoch, batch_positions(0, 0, arguments))
        turns.append(milliseconds(started))
    rng = np.random.default_rng(0)
    steps = order.num_positions // (arguments.ranks * arguments.batch_size)
    batches = []
    for step, rank in zip(
        rng.integers(steps, size=arguments.batches), rng.integers(arguments.ranks, size=arguments.batches), strict=True
    ):
        positions = batch_positions(int(step), int(rank), arguments)
        started = time.perf_counter()
        order.sample_ids(4, positions)
        batches.append(milliseconds(started))
    interval = median_interval(batches)
    held, peak = peak_megabytes(sizes, arguments)
    print(f"build {build:.1f} ms, first batch of an epoch {statistics.median(turns):.1f} ms")
    print(f"a batch of {arguments.batch_size}: {interval} ms, 99% within {np.quantile(batches, 0.99):.2f} ms")
    print(f"memory: {held:.1f} MB held with two epochs' tables, {peak:.1f} MB at the peak")
    result = {
        "question": "the cost of the order at scale",
        "settings": vars(arguments),
        "samples": order.num_samples,
        "build_ms": build,
        "first_batch_of_an_epoch_ms": turns,
        "batch_ms": {
            "median": interval.median,
            "low": interval.low,
            "high": interval.high,
            "confidence": interval.confidence,
            "p99": float(np.quantile(batches, 0.99)),
        },
        "held_mb": held,
        "peak_mb": peak,
    }
    print(save("order", result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
