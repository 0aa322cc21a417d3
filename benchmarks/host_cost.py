"""Milliseconds that the training thread itself spends in `next()`, against another commit and against plain DALI.

These milliseconds delay each step's first launch, on any device; DALI's own threads do not count, nor does waiting.
Programs run side by side and take turns, round by round, in a rotated order; a round's figure is the median of its
batches, and ratios are taken within a round. A turn is a whole epoch, since an epoch's first call makes the batches
that its last calls only collect.

    git worktree add ../before 7e4bcdc
    python benchmarks/host_cost.py --before ../before --rounds 9
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from harness import median_interval, save, summary
from loader import REAL, drawn_shards, real_shards
from webdataset.shardlists import expand_urls

from streamaug.cli import main as streamaug

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "benchmarks" / "peers" / "thread_time.py"
CASES = {
    "imagenet_train, 256": ("train", 256),
    "imagenet_train, 64": ("train", 64),
    "RandAugment and erase, 256": ("rand_augment_erase", 256),
}


class Program:
    """A process that takes batches on request."""

    def __init__(self, root: Path, program: str, recipe: str, batch_size: int, arguments: argparse.Namespace) -> None:
        command = [sys.executable, "-W", "ignore", str(PROGRAM), program, recipe, str(batch_size)]
        command += [str(arguments.threads), arguments.device, *arguments.shards]
        paths = os.pathsep.join([str(root), str(ROOT / "benchmarks")])
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths}
        )
        self._answer()

    def take(self, batches: int) -> float:
        """The median milliseconds of some batches."""
        self._process.stdin.write(f"{batches}\n")
        self._process.stdin.flush()
        return statistics.median(self._answer()["ms"])

    def _answer(self) -> dict[str, object]:
        line = self._process.stdout.readline()
        if not line.startswith("{"):
            raise RuntimeError("a program ended; its message stands above")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def compare(name: str, arguments: argparse.Namespace) -> dict[str, object]:
    """Run one case's programs in turn; the milliseconds and ratios."""
    recipe, batch_size = CASES[name]
    epoch = arguments.images // batch_size
    programs = {"streamaug": Program(ROOT, "streamaug", recipe, batch_size, arguments)}
    try:
        if arguments.before:
            programs["before"] = Program(arguments.before, "streamaug", recipe, batch_size, arguments)
        if recipe == "train":
            programs["DALI"] = Program(ROOT, "dali", recipe, batch_size, arguments)
        for program in programs.values():
            program.take(max(1, arguments.warm * epoch))
        spent: dict[str, list[float]] = {each: [] for each in programs}
        names = list(programs)
        for number in range(arguments.rounds):
            first = number % len(names)
            for each in names[first:] + names[:first]:
                spent[each].append(programs[each].take(arguments.batches or epoch))
            line = "  ".join(f"{each} {spent[each][-1]:.2f}" for each in names)
            print(f"{name}, round {number + 1}/{arguments.rounds}: {line} ms", flush=True)
    finally:
        for program in programs.values():
            program.close()
    result: dict[str, object] = {}
    for each, rows in spent.items():
        result[each] = {
            "ms": summary(interval := median_interval(rows)),
            "rounds_ms": rows,
        }
        print(f"{name}: {each} {interval} ms a batch")
    if arguments.before:
        pairs = zip(spent["streamaug"], spent["before"], strict=True)
        ratio = median_interval([now / before for now, before in pairs])
        result["of_before"] = summary(ratio)
        print(f"{name}: {ratio} of what it was before")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", nargs="+", choices=tuple(CASES), default=list(CASES))
    parser.add_argument("--before", type=Path, help="a checkout of the commit to compare with")
    parser.add_argument("--shards", nargs="+", help="local tars with .idx files beside them")
    parser.add_argument("--images", type=int, default=2000, help="images of the default shards")
    parser.add_argument("--batches", type=int, help="batches of a turn; an epoch's unless given")
    parser.add_argument("--threads", type=int, default=3, help="DALI's threads")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--warm", type=int, default=2, help="epochs before the first round")
    arguments = parser.parse_args()
    before = None
    if arguments.before:
        command = ["git", "-C", str(arguments.before), "rev-parse", "--short", "HEAD"]
        before = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.shards is None:
            pattern = (real_shards if REAL.exists() else drawn_shards)(Path(folder), arguments.images)
            streamaug(["index", pattern])
            arguments.shards = list(expand_urls(pattern))
        cases: dict[str, object] = {}
        for name in arguments.case:
            cases[name] = compare(name, arguments)
            # Each case is saved when it is done: a run takes minutes on a busy machine.
            settings = ("images", "threads", "device", "batches", "rounds", "warm")
            result = {
                "question": "milliseconds of its own that the training thread spends on a batch",
                "before": before,
                "settings": {key: getattr(arguments, key) for key in settings},
                "cases": cases,
            }
            print(f"wrote {save('host_cost', result)}")


if __name__ == "__main__":
    main()
