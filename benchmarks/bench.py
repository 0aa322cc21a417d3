"""The benchmarks of speed with few rounds, one after the other; then the README's table of them.

The benchmarks of a GPU, of the order's scale, of determinism and of accuracy run by themselves.

In: optionally a folder of the peers' environments. Out: the files in benchmarks/results, their charts, and the table.
The minutes beside each file are planned for two quiet cores, and their sum is below 30; each file's real time is
printed when it ends. A file that fails is reported, and the others run all the same.

    python benchmarks/bench.py
    python benchmarks/bench.py --peers build/peers --only loader tta
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

BENCHMARKS = Path(__file__).resolve().parent
LIMIT = 30


class Step(NamedTuple):
    """A benchmark: the options that make it quick, the minutes it is planned for, and whether it takes --peers."""

    options: str
    minutes: float
    peers: bool = False


STEPS = {
    "loader": Step("--rounds 5 --batches 24 --images 4000", 3),
    "augment": Step("--rounds 3 --images 1000", 8, peers=True),
    "storage": Step("--rounds 5 --copies 4", 2),
    "storage_peers": Step("--rounds 3 --copies 4", 14, peers=True),
    "mixing": Step("--rounds 9", 0.5, peers=True),
    "tta": Step("--rounds 5 --images 256", 1),
    "host_cost": Step("--rounds 3 --batches 7 --warm 1", 1),
}


def run(program: str, *options: str) -> int:
    """Run a program of this folder; its exit code."""
    return subprocess.run([sys.executable, str(BENCHMARKS / f"{program}.py"), *options], check=False).returncode


def main() -> int:
    """Run them all; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=tuple(STEPS), default=list(STEPS))
    parser.add_argument("--peers", type=Path, help="folder of the peers' environments, see peers/environments.py")
    arguments = parser.parse_args()
    print(f"planned: {sum(STEPS[name].minutes for name in arguments.only):g} minutes on two quiet cores")
    failed = []
    for name in arguments.only:
        step, started = STEPS[name], time.monotonic()
        print(f"--- {name}, planned {step.minutes:g} minutes", flush=True)
        given = ["--peers", str(arguments.peers)] if step.peers and arguments.peers else []
        if run(name, *step.options.split(), *given):
            failed.append(name)
        print(f"--- {name} took {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
    failed += [name for name in ("chart", "table") if run(name)]
    if failed:
        print(f"failed: {', '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
