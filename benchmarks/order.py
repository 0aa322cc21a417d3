"""Cost, requests and shuffle quality of an epoch's order, from 1 to 4,096 ranks and 1.28 million to 10 billion samples.

In: nothing, since the order is arithmetic. Out: for each size of job the milliseconds of CPU time that a batch takes,
the memory held, a rank's requests and bytes, what it reads beyond its own samples, the shuffle beside a full one, and
the hits of a node's disk cache in the second epoch, with and without sticky lanes. docs/scale.md is made of the result:

    python benchmarks/order.py && python benchmarks/scale_page.py
"""

import argparse
import statistics
import time
import tracemalloc
from dataclasses import asdict, dataclass
from itertools import islice
from math import ceil

import numpy as np
from harness import save

from streamaug import SampleOrder
from streamaug.order.base import default_window
from streamaug.order.quality import quality
from streamaug.reader import Share
from streamaug.reader.pieces import locate
from streamaug.reader.schedule import Want, wants
from streamaug.shards.index import ShardIndex

SAMPLE = 110_000  # bytes of an image of ImageNet, on average
PART = 8 << 20  # bytes of a request to a store, at most about
RANKS_A_NODE = 8


@dataclass(frozen=True)
class Job:
    """A set and the ranks that read it.

    Attributes:
        samples: N.
        shard: Samples of a shard.
        ranks: W.
        lanes: L.
        batch: B.
        window: Samples in the shuffle window; None: the default of a reader.
    """

    samples: int
    shard: int
    ranks: int
    lanes: int
    batch: int = 256
    window: int | None = None

    @property
    def starts(self) -> np.ndarray:
        """The first sample of each shard, and N."""
        return np.append(np.arange(0, self.samples, self.shard), self.samples).astype(np.int64)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.samples // self.lanes * self.lanes // (self.ranks * self.batch)

    def order(self, *, sticky_lanes: bool = False) -> SampleOrder:
        """The default order of a reader."""
        window = default_window(self.lanes) if self.window is None else self.window
        return SampleOrder(np.diff(self.starts), lanes=self.lanes, window=window, sticky_lanes=sticky_lanes)

    def share(self, rank: int) -> Share:
        """A rank's share of each global batch."""
        return Share(self.batch, rank, self.ranks, interleaved=True)


#: Sizes of sets: samples, and samples of a shard.
SETS = (
    (1_281_167, 1_000),
    (14_197_122, 1_000),
    (100_000_000, 10_000),
    (1_000_000_000, 10_000),
    (10_000_000_000, 10_000),
)
#: Ranks, and lanes that they divide.
RANKS = ((1, 32), (8, 96), (64, 192), (512, 1_536), (1_024, 2_048), (4_096, 4_096))
COST = [Job(samples, shard, *each) for samples, shard in SETS for each in RANKS]
READING = [
    Job(1_000_000_000, 10_000, ranks, lanes)
    for ranks, lanes in (
        *((1, 32), (1, 96), (1, 512), (1, 4_096), (8, 32), (8, 96), (8, 512), (8, 4_096)),
        *((64, 32), (64, 96), (64, 192), (64, 768), (64, 4_096)),
        *((512, 32), (512, 96), (512, 512), (512, 1_536), (512, 4_096), (4_096, 96), (4_096, 512), (4_096, 4_096)),
    )
]
QUALITY = [
    *(Job(1_281_167, shard, 8, 96) for shard in (100, 1_000, 10_000)),
    *(Job(1_281_167, 1_000, 8, lanes) for lanes in (32, 512, 4_096)),
    *(Job(1_281_167, 1_000, 8, 96, window=window) for window in (96, 2_048, 32_768, 131_072)),
    *(Job(1_281_167, 1_000, 1, lanes) for lanes in (32, 96, 512)),
    *(Job(1_000_000_000, 10_000, 512, lanes) for lanes in (512, 1_536, 6_144)),
    *(Job(1_000_000_000, 10_000, 512, lanes, window=4 * 512 * 256) for lanes in (1_536, 6_144)),
    *(Job(1_000_000_000, shard, 512, 6_144, window=4 * 512 * 256) for shard in (1_000, 100_000)),
]


def advised(samples: int, shard: int, ranks: int) -> Job:
    """Twelve lanes a rank and a window of four global batches, as 8 ranks have by default; no less than the default."""
    return Job(samples, shard, ranks, max(96, 12 * ranks), window=max(8_192, 4 * ranks * 256))


#: Jobs of common kinds.
ADVICE = {
    "1.28 million images, 1 GPU": advised(1_281_167, 1_000, 1),
    "1.28 million images, 8 GPUs": advised(1_281_167, 1_000, 8),
    "14 million images, 64 GPUs": advised(14_197_122, 1_000, 64),
    "400 million images, 512 GPUs": advised(400_000_000, 10_000, 512),
    "1 billion images, 1,024 GPUs": advised(1_000_000_000, 10_000, 1_024),
    "10 billion images, 4,096 GPUs": advised(10_000_000_000, 10_000, 4_096),
}
NODES, STICKY = (2, 4, 8), Job(1_281_167, 1_000, 64, 128)


def cpu_ms(work) -> float:
    """Milliseconds of CPU time that a call takes in this thread."""
    started = time.thread_time()
    work()
    return 1e3 * (time.thread_time() - started)


def cost(job: Job, batches: int) -> dict[str, float]:
    """Milliseconds of CPU time: of the first batch of an epoch, of a batch anywhere, and of a batch as a reader asks.

    A reader asks for whole runs, lane by lane, so each is shuffled once; `batch_ms` is for a batch anywhere by itself,
    as `seek` and `streamaug order` have it. Memory is that held with the tables of two epochs, and its peak.
    """
    order, rng, epochs = job.order(), np.random.default_rng(0), iter(range(1_000))
    first = [cpu_ms(lambda: order.sample_ids(next(epochs), job.share(0).positions(0))) for _ in range(5)]
    epoch, times = next(epochs) - 1, []
    for _ in range(batches):
        share, step = job.share(int(rng.integers(job.ranks))), int(rng.integers(job.steps))
        positions = share.positions(step * share.global_batch)
        times.append(cpu_ms(lambda positions=positions: order.sample_ids(epoch, positions)))
    share = job.share(0)
    upcoming = wants(order, share, epoch, 0, job.steps)
    beginning = cpu_ms(lambda: next(upcoming))
    taken: list[int] = []
    reading = cpu_ms(lambda: taken.extend(len(want.positions) for want in islice(upcoming, 200)))
    tracemalloc.start()
    order = job.order()
    for epoch in range(2):
        order.sample_ids(epoch, share.positions(0))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "first_batch_ms": statistics.median(first),
        "batch_ms": statistics.median(times),
        "batch_p90_ms": float(np.quantile(times, 0.9)),
        "reader_begins_ms": beginning,
        "reader_batch_ms": reading / sum(taken) * job.batch if taken else 0.0,
        "held_mb": held / 1e6,
        "peak_mb": peak / 1e6,
    }


def reading(job: Job, runs: int = 96) -> dict[str, float]:
    """The ranges that rank 0 reads for its batches, from whole runs of its lanes: samples of 110,000 bytes in tars.

    `extra` is what it reads beyond its samples and the headers between them, as a share of these: what lies in a run
    for other ranks. `held_mb`: the runs of all its lanes and one more.
    """
    order, share = job.order(), job.share(0)
    lanes = share.lanes(order)
    run = order.window // order.lanes
    requests = fetched = own = samples = 0
    for lane in lanes[:: max(1, len(lanes) // 8)][:8]:
        slots = range(4 * run, (4 + ceil(runs / 8)) * run)
        for run_slots, ids in islice(order.lane_runs(0, lane, slots.start, slots.stop), 1, None):
            mine = (run_slots * order.lanes + lane) % job.ranks == 0
            if len(run_slots) < run or not mine.any():
                continue
            piece = located(Want((run_slots * order.lanes + lane)[mine], ids[mine]), job)
            requests, fetched, samples = requests + len(piece.parts), fetched + piece.num_bytes, samples + mine.sum()
            own += int(mine.sum()) * STRIDE
    return {
        "lanes_of_a_rank": len(lanes),
        "run": run,
        "requests_a_batch": requests / samples * job.batch,
        "mb_a_request": fetched / requests / 1e6,
        "mb_a_batch": fetched / samples * job.batch / 1e6,
        "extra": max(0.0, fetched / own - 1),
        "held_mb": (len(lanes) + 1) * run * STRIDE / 1e6,
    }


#: A sample in a tar: two headers, an image and a label, each filled up to 512 bytes.
STRIDE = 512 + ceil(SAMPLE / 512) * 512 + 1_024


def located(want: Want, job: Job):
    """The ranges of the wanted samples."""
    starts = job.starts
    firsts = np.arange(job.shard) * STRIDE + 512
    offsets = np.stack([firsts, firsts + ceil(SAMPLE / 512) * 512 + 512], axis=1)
    sizes = np.tile([SAMPLE, 3], (job.shard, 1))
    index = ShardIndex(("",) * job.shard, offsets, sizes, None)
    numbers = np.unique(np.searchsorted(starts, want.sample_ids, side="right") - 1)
    indexes = dict.fromkeys(numbers.tolist(), index)
    return locate(want, starts, indexes, may_read_gaps=True, part_bytes=PART, single_fetch_before=0)


def mixing(job: Job) -> dict[str, float]:
    """The shuffle beside a full one, and the shards in the batch of one rank."""
    order, share = job.order(), job.share(0)
    most = max(8, min(64, 2_000_000 // share.global_batch))
    steps = np.linspace(0, job.steps - 1, min(16, job.steps)).astype(int).tolist()
    shards = [
        len(np.unique(order.sample_ids(0, share.positions(step * share.global_batch)) // job.shard)) for step in steps
    ]
    sizes = np.diff(job.starts)
    return quality(order, job.starts, share.global_batch, job.steps, 0, most=most) | {
        "shards_of_a_rank": float(np.mean(shards)),
        "shards_of_a_rank_full": float((1 - (1 - sizes / job.samples) ** job.batch).sum()),
    }


def cache_hits(job: Job) -> list[dict[str, float]]:
    """For 2, 4 and 8 nodes of 8 ranks: a node's samples of the second epoch that it read in the first, the worst's."""
    rows = []
    for sticky in (False, True):
        order = job.order(sticky_lanes=sticky)
        positions = np.arange(order.num_positions)
        first, second = (order.sample_ids(epoch, positions) for epoch in (0, 1))
        for nodes in NODES:
            node = positions % (nodes * RANKS_A_NODE) // RANKS_A_NODE
            hits, met = [], []
            for number in range(nodes):
                before = np.zeros(job.samples, bool)
                before[first[node == number]] = True
                now = second[node == number]
                hits.append(float(before[now].mean()))
                before[now] = True
                met.append(float(before.mean()))
            rows.append({"nodes": nodes, "sticky_lanes": sticky, "hits": min(hits), "met_in_two_epochs": max(met)})
    return rows


def main() -> int:
    """Measure and write benchmarks/results/order.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=40, help="batches timed for each size of job")
    arguments = parser.parse_args()

    def rows(jobs, *measures) -> list[dict[str, object]]:
        out = []
        for job in jobs:
            if job.steps < 4:  # nobody trains so
                continue
            found = {name: value for measure in measures for name, value in measure(job).items()}
            print(job, {name: round(value, 3) for name, value in found.items()}, flush=True)
            out.append({"job": asdict(job), **found})
        return out

    def costs(job: Job) -> dict[str, float]:
        return cost(job, arguments.batches)

    def reads(job: Job) -> dict[str, float]:
        return {f"reading_{name}": value for name, value in reading(job).items()}

    result = {
        "question": "what the order costs, reads and mixes at scale",
        "settings": vars(arguments),
        "clock": "CPU time of the thread, so that a loaded machine counts less",
        "sample_bytes": SAMPLE,
        "cost": rows(COST, costs),
        "reading": rows(READING, reading),
        "quality": rows(QUALITY, mixing),
        "advice": [
            {"name": name, **row} for name, row in zip(ADVICE, rows(ADVICE.values(), costs, reads, mixing), strict=True)
        ],
        "cache": {"job": asdict(STICKY), "rows": cache_hits(STICKY)},
    }
    print(save("order", result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
