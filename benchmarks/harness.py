"""One way to compare speeds: interleaved rounds, medians, an interval of the ratio, and a record of the circumstances.

In: named callables that each do their work once and return how many images it was. Every round runs all of them, in a
rotated order, so that a slow minute of the machine falls on all alike; ratios are taken within a round. Out: numbers
and a JSON file.
"""

import datetime
import importlib.metadata
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = ("streamaug", "nvidia-dali-cuda120", "torch", "numpy", "obstore", "webdataset", "pillow")


@dataclass(frozen=True)
class Interval:
    """A median with a distribution-free interval: two order statistics, and the chance that they enclose the median."""

    median: float
    low: float
    high: float
    confidence: float

    def __str__(self) -> str:
        return f"{self.median:.3f} [{self.low:.3f}, {self.high:.3f}] ({self.confidence:.1%})"


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The narrowest symmetric pair of order statistics with at least that coverage, else the extremes and theirs.

    Coverage of the k-th smallest and k-th largest of n: 1 - 2·P(Binomial(n, 1/2) < k).
    """
    ordered, n = sorted(values), len(values)
    best = 1
    for k in range(1, n // 2 + 1):
        if coverage(n, k) >= confidence:
            best = k
    return Interval(statistics.median(ordered), ordered[best - 1], ordered[n - best], coverage(n, best))


def coverage(n: int, k: int) -> float:
    """The chance that the k-th smallest and k-th largest of n values enclose the median of their distribution."""
    return 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2**n


@dataclass(frozen=True)
class Sample:
    """One run: images/s by the clock, and milliseconds of CPU an image in all threads of this process."""

    images_per_second: float
    cpu_ms: float


def timed(work: Callable[[], int]) -> Sample:
    """Run once; a `warm()` of the work is called before the clock starts."""
    warm = getattr(work, "warm", None)
    if warm is not None:
        warm()
    wall, cpu = time.perf_counter(), time.process_time()
    images = work()
    return Sample(images / (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu) / images)


def interleaved(works: Mapping[str, Callable[[], int]], rounds: int) -> dict[str, list[Sample]]:
    """Warm each up once, then run all of them in each round, starting with another one each time."""
    names = list(works)
    for work in works.values():
        work()
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            samples[name].append(timed(works[name]))
        line = "  ".join(f"{name} {samples[name][-1].images_per_second:.0f}" for name in names)
        print(f"round {number + 1}/{rounds}: {line} images/s", flush=True)
    return samples


def ratio(samples: Mapping[str, list[Sample]], name: str, peer: str) -> tuple[Interval, Interval]:
    """How many times as fast `name` is as `peer`: by the clock, and by CPU time, round by round."""
    pairs = list(zip(samples[name], samples[peer], strict=True))
    clock = median_interval([a.images_per_second / b.images_per_second for a, b in pairs])
    return clock, median_interval([b.cpu_ms / a.cpu_ms for a, b in pairs])


def circumstances() -> dict[str, object]:
    """The machine, the versions, the date and the command."""
    model = next(
        (line.split(":")[1].strip() for line in cpuinfo() if line.startswith("model name")), platform.machine()
    )
    versions = {name: version(name) for name in PACKAGES}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]]),
        "machine": {
            "cpu": model,
            "usable_cores": len(os.sched_getaffinity(0)),
            "load_average": [round(load, 2) for load in os.getloadavg()],
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": versions,
    }


def cpuinfo() -> list[str]:
    """The lines of /proc/cpuinfo, none where there is no such file."""
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def version(package: str) -> str | None:
    """A package's version, None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def save(name: str, result: Mapping[str, object]) -> Path:
    """Write benchmarks/results/<name>.json with the circumstances."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**circumstances(), **result}, indent=2) + "\n")
    return path
