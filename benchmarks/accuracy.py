"""Augmentation and mixing on a small ResNet for CIFAR-10: error, calibration, curves, in-between points.

In: `../shared/data/cifar10`, by the whole chain of pipelines/cifar10_mix.py. Out: benchmarks/results/accuracy.json.
Each finished run is kept there and is not run again, so the program can be stopped and started, and two can work on
different settings; after `--minutes` it begins no run. `python benchmarks/evidence.py` makes tables and charts of it.

    python benchmarks/accuracy.py --minutes 65
    python benchmarks/accuracy.py --setting few --seeds 3 4
"""

import argparse
import fcntl
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from harness import RESULTS, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "pipelines"))

from cifar10_methods import MAIN, SINGLE
from cifar10_mix import arguments, trained

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "cifar10"


@dataclass(frozen=True)
class Setting:
    """A number of images and of epochs, and the methods."""

    title: str
    methods: tuple[str, ...]
    shards: int
    epochs: int
    curve_every: int
    more: str = "--bf16 --threads 1 --pairs 100"

    def options(self, method: str, seed: int) -> list[str]:
        """The command line of a run, without the data."""
        return (
            f"--train-shards {self.shards} --epochs {self.epochs} --curve-every {self.curve_every} "
            f"--method {method} --seed {seed} {self.more}"
        ).split()


SETTINGS = {
    "few": Setting("1,000 images, 50 epochs", (*MAIN, "mixup_alone", "cutmix_alone"), 1, 50, 5),
    "long": Setting("1,000 images, 100 epochs", ("flip_crop", "cutmix", "both"), 1, 100, 10),
    "single": Setting("1,000 images, 20 epochs", ("none", "flip_crop", *SINGLE), 1, 20, 5),
}


def kept() -> dict[str, dict[str, object]]:
    """The runs that ended already, by name."""
    path = RESULTS / "accuracy.json"
    return json.loads(path.read_text())["runs"] if path.exists() else {}


def keep(key: str, run: dict[str, object]) -> None:
    """Add a run to the file, to which other processes may have added runs meanwhile."""
    folder = os.open(RESULTS, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        runs = {**kept(), key: run}
        save("accuracy", {"data": "CIFAR-10: 10,000 training and 2,000 test images", "runs": runs})
    finally:
        os.close(folder)  # which ends the lock


def main() -> int:
    """Run the missing runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=str(DATA), help="folder of the shards")
    parser.add_argument("--setting", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=65.0, help="begin no run after so long")
    args = parser.parse_args()
    begin, runs = time.monotonic(), kept()
    for name in args.setting:
        setting = SETTINGS[name]
        for seed in args.seeds:
            for method in setting.methods:
                key, options = f"{name}/{method}/{seed}", setting.options(method, seed)
                if key in runs and runs[key]["options"] == options:
                    continue
                if time.monotonic() - begin > 60 * args.minutes:
                    print(f"{args.minutes:g} minutes are over; run again to go on with {key}")
                    return 0
                print(key, flush=True)
                result = trained(arguments(["--data", args.data, *options]))
                load = round(os.getloadavg()[0], 2)
                keep(key, {"options": options, "setting": name, "load_average": load, **result})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
