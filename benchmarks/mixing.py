"""The time of mixing a batch, against timm and torchvision and against a plain copy of the batch.

In: nothing; images are random numbers. Out: a table, and benchmarks/results/mixing.json. All rows are measured in turn,
round after round, so that a slower minute of the machine slows all of them; ratios are taken within a round. A copy
reads and writes the batch once, which is the least that mixing in place can cost. --busy runs processes that compute
all the time beside it, as a loader does.

Peers that are not installed are left out, by name; they are taken out of timm's environment, and run in this process,
on this project's torch, which is of the version that is pinned there:

    python benchmarks/peers/environments.py build/peers timm
    python benchmarks/mixing.py --peers build/peers --batch-size 64 --rounds 21

timm's file of mixing is loaded by itself, since the package imports torchvision and more. torchvision's own operators
are linked with CUDA in its wheels and do not load beside torch's CPU build; mixing needs none of them, so the two that
its import asks for by name are declared here, and have no kernel.
"""

import argparse
import importlib.util
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from harness import Sample, interleaved, median_interval, ratio, save, summary

from streamaug.batch import Batch, Origin
from streamaug.mix.mixer import Mixer
from streamaug.mix.settings import MixSettings

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

from environments import python_of

CLASSES = 1000
BATCHES = 5
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
        mixer = Mixer(MixSettings(stage="MixupOrCutMix", num_classes=CLASSES, **options))
        runs[f"streamaug {name}"] = lambda mixer=mixer: mixer.mix(batch)
    return runs


def packages_of(python: str) -> str:
    """The folder of an environment's packages."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def timms_file() -> ModuleType:
    """`timm.data.mixup`, by itself."""
    package = importlib.util.find_spec("timm")
    if package is None or not package.submodule_search_locations:
        raise ImportError("it is not installed")
    path = Path(package.submodule_search_locations[0]) / "data" / "mixup.py"
    spec = importlib.util.spec_from_file_location("timm_mixup", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def timm_runs(images: torch.Tensor, targets: torch.Tensor) -> dict[str, Run]:
    timm = timms_file()

    def kind(mixup_alpha: float, cutmix_alpha: float, mode: str) -> Run:
        mixup = timm.Mixup(mixup_alpha, cutmix_alpha, mode=mode, num_classes=CLASSES)
        return lambda: mixup(images, targets)

    runs = {f"timm mixup, {mode}": kind(0.2, 0.0, mode) for mode in ("batch", "pair", "elem")}
    return runs | {f"timm cutmix, {mode}": kind(0.0, 1.0, mode) for mode in ("batch", "pair", "elem")}


def torchvision_runs(images: torch.Tensor, targets: torch.Tensor) -> dict[str, Run]:
    if not torch.cuda.is_available():
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from torchvision.transforms import v2

    mixup, cutmix = v2.MixUp(alpha=0.2, num_classes=CLASSES), v2.CutMix(alpha=1.0, num_classes=CLASSES)
    return {
        "torchvision mixup, batch": lambda: mixup(images, targets),
        "torchvision cutmix, batch": lambda: cutmix(images, targets),
    }


def measure(runs: dict[str, Run], batch_size: int, rounds: int) -> dict[str, list[Sample]]:
    """Rounds of all runs, each of some batches: a clock of one batch says more of the run before it."""

    def counted(run: Run) -> Callable[[], int]:
        def batches() -> int:
            for _ in range(BATCHES):
                run()
            return BATCHES * batch_size

        return batches

    return interleaved({name: counted(run) for name, run in runs.items()}, rounds)


def compute_forever() -> None:
    while True:
        sum(range(100_000))


#: The run of a peer that does the work of each of ours.
PAIRS = [
    ("streamaug mixup, pair", "torchvision mixup, batch"),
    ("streamaug mixup, pair", "timm mixup, batch"),
    ("streamaug mixup, pair", "timm mixup, pair"),
    ("streamaug mixup, element", "timm mixup, elem"),
    ("streamaug cutmix, pair", "torchvision cutmix, batch"),
    ("streamaug cutmix, pair", "timm cutmix, batch"),
    ("streamaug cutmix, pair", "timm cutmix, pair"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16", "uint8"), default="float32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--busy", type=int, default=0, help="processes that compute beside it")
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments, or one environment for all")
    options = parser.parse_args()
    if (python := python_of(options.peers, "timm")) is not None:
        sys.path.append(packages_of(python))  # behind this project's own packages
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
        samples = measure(runs, options.batch_size, options.rounds)
    finally:
        for process in others:
            process.kill()
    for name, rows in samples.items():
        milliseconds = median_interval([1e3 * options.batch_size / one.images_per_second for one in rows])
        copies = 1 / ratio(samples, name, "copy of the batch")[0].median
        print(f"{name:<28} {milliseconds} ms  {copies:5.1f} copies")
    ratios = {}
    for ours_, peer in PAIRS:
        if peer in samples:
            clock, cpu = ratio(samples, ours_, peer)
            print(f"{ours_} / {peer}: {clock}, by CPU time {cpu}")
            ratios[f"{ours_} / {peer}"] = {"clock": summary(clock), "cpu": summary(cpu)}
    result = {
        "question": "images/s of mixing a batch",
        "settings": {name: value for name, value in vars(options).items() if name != "peers"},
        "images_per_second": {name: [one.images_per_second for one in rows] for name, rows in samples.items()},
        "cpu_ms_per_image": {name: [one.cpu_ms for one in rows] for name, rows in samples.items()},
        "ratios": ratios,
    }
    print(f"wrote {save('mixing', result)}")


if __name__ == "__main__":
    main()
