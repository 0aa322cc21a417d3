"""How long it takes to mix a batch, against timm and torchvision and against a plain copy of the batch.

In: nothing; images are random numbers. Out: a table, and with --json a file. All rows are measured in turn, round after
round, so that a slower minute of the machine meets all of them. A copy reads and writes the batch once, which is the
least that mixing in place can cost. Peers that are not installed are left out, by name. --busy runs processes that
compute all the time beside it, as a loader does.

    python benchmarks/mixing.py --batch-size 128 --rounds 21 --busy 2
"""

import argparse
import json
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from streamaug import mix
from streamaug.batch import Batch, Origin

CLASSES = 1000
Run = Callable[[], object]


def ours(images: torch.Tensor, targets: torch.Tensor) -> dict[str, Run]:
    size = len(images)
    positions, flags = np.arange(size), np.zeros(size, bool)
    lanes = 32 if size % 32 == 0 else 2
    origin = Origin(0, 0, 0, lanes, positions, positions, tuple(map(str, positions)), flags, flags)
    batch = Batch(images, targets, origin)
    kinds = {
        "mixup, pair": {"switch_probability": 0.0},
        "mixup, element": {"switch_probability": 0.0, "lam": "element"},
        "cutmix, pair": {"switch_probability": 1.0},
        "either, pair": {},
    }
    runs = {}
    for name, options in kinds.items():
        mixer = mix.Mixer(mix.MixSettings(stage="MixupOrCutMix", num_classes=CLASSES, **options))
        runs[f"streamaug {name}"] = lambda mixer=mixer: mixer.mix(batch)
    return runs


def timm_runs(images: torch.Tensor, targets: torch.Tensor) -> dict[str, Run]:
    from timm.data.mixup import Mixup

    def kind(mixup_alpha: float, cutmix_alpha: float, mode: str) -> Run:
        mixup = Mixup(mixup_alpha, cutmix_alpha, mode=mode, num_classes=CLASSES)
        return lambda: mixup(images, targets)

    runs = {f"timm mixup, {mode}": kind(0.2, 0.0, mode) for mode in ("batch", "pair", "elem")}
    return runs | {f"timm cutmix, {mode}": kind(0.0, 1.0, mode) for mode in ("batch", "pair", "elem")}


def torchvision_runs(images: torch.Tensor, targets: torch.Tensor) -> dict[str, Run]:
    from torchvision.transforms import v2

    mixup, cutmix = v2.MixUp(alpha=0.2, num_classes=CLASSES), v2.CutMix(alpha=1.0, num_classes=CLASSES)
    return {
        "torchvision mixup, batch": lambda: mixup(images, targets),
        "torchvision cutmix, batch": lambda: cutmix(images, targets),
    }


def measure(runs: dict[str, Run], rounds: int) -> dict[str, np.ndarray]:
    """Milliseconds of each run, rounds of them, in turn."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - start))
    return {name: np.array(values) for name, values in times.items()}


def compute_forever() -> None:
    while True:
        sum(range(100_000))


def interval(values: np.ndarray) -> tuple[float, float]:
    """95% bootstrap interval of the median."""
    picks = np.random.default_rng(0).integers(0, len(values), (2000, len(values)))
    low, high = np.percentile(np.median(values[picks], 1), [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16", "uint8"), default="float32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    layout = torch.channels_last if options.channels_last else torch.contiguous_format
    shape = (options.batch_size, 3, options.size, options.size)
    images = (torch.rand(shape) * 255).to(getattr(torch, options.dtype)).contiguous(memory_format=layout)
    targets = torch.arange(options.batch_size) % CLASSES
    other = torch.empty_like(images)
    runs: dict[str, Run] = {"copy of the batch": lambda: other.copy_(images)} | ours(images, targets)
    if options.dtype != "uint8":  # the peers mix floats only
        for name, peer in (("timm", timm_runs), ("torchvision", torchvision_runs)):
            try:
                runs |= peer(images, targets)
            except (ImportError, RuntimeError) as error:
                sys.stdout.write(f"{name} is left out: {error}\n")

    others = [multiprocessing.get_context("spawn").Process(target=compute_forever) for _ in range(options.busy)]
    try:
        for process in others:
            process.start()
        times = measure(runs, options.rounds)
    finally:
        for process in others:
            process.kill()
    copy = float(np.median(times["copy of the batch"]))
    rows = [
        {
            "name": name,
            "median_ms": float(np.median(values)),
            "interval_ms": interval(values),
            "copies": float(np.median(values)) / copy,
        }
        for name, values in times.items()
    ]
    sys.stdout.write(
        f"{options.batch_size} images {options.size}²×3 {options.dtype}"
        f"{', channels_last' if options.channels_last else ''}, {options.threads} threads, "
        f"{options.busy} busy processes beside, torch {torch.__version__}, "
        f"{platform.processor() or platform.machine()}, median of {options.rounds} interleaved rounds\n"
    )
    for row in rows:
        low, high = row["interval_ms"]
        sys.stdout.write(
            f"{row['name']:<28} {row['median_ms']:8.2f} ms [{low:.2f}, {high:.2f}]  {row['copies']:5.1f} copies\n"
        )
    if options.json:
        facts = {key: value if key != "json" else str(value) for key, value in vars(options).items()}
        options.json.write_text(json.dumps({"options": facts, "torch": torch.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
