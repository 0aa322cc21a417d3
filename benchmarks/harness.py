"""The comparison of speeds: interleaved rounds, medians, an interval of the ratio, and a record of the circumstances.

In: named callables that each do their work once and return its number of images. Every round runs all of them, in a
rotated order, so that a slow minute of the machine slows all alike; ratios are taken within a round. Out: numbers and a
JSON file.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamaug.cli.bench.intervals import Interval, coverage, median_interval

__all__ = [
    "RESULTS",
    "Interval",
    "Sample",
    "coverage",
    "interleaved",
    "median_interval",
    "ratio",
    "save",
    "summary",
    "timed",
]

RESULTS = Path(__file__).resolve().parent / "results"
PACKAGES = (
    "streamaug",
    "nvidia-dali-cuda120",
    "torch",
    "numpy",
    "obstore",
    "webdataset",
    "pillow",
    "timm",
    "torchvision",
)


@dataclass(frozen=True)
class Sample:
    """One run: images/s by the clock, and milliseconds of CPU an image in all threads of this process."""

    images_per_second: float
    cpu_ms: float


def summary(interval: Interval) -> dict[str, float]:
    """An interval as JSON."""
    return {"median": interval.median, "low": interval.low, "high": interval.high, "confidence": interval.confidence}


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
    versions = {name: found for name in PACKAGES if (found := version(name)) is not None}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *map(shown, sys.argv[1:])]),
        "machine": {
            "cpu": model,
            "usable_cores": len(os.sched_getaffinity(0)),
            "load_average": [round(load, 2) for load in os.getloadavg()],
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "versions": versions,
    }


def shown(argument: str) -> str:
    """An argument as a result names it: of an absolute path, which is this machine's own, the name alone."""
    return Path(argument).name if Path(argument).is_absolute() else argument


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
    unfinished = path.with_suffix(".json.tmp")
    unfinished.write_text(json.dumps({**circumstances(), **result}, indent=2) + "\n")
    unfinished.replace(path)  # a result of hours is never half written
    return path
