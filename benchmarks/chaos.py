"""Proves on real processes that a training which is killed again and again has the rows of an unbroken training.

In: shards (default: the real images beside the checkout). pipelines/imagenet_train.py trains on them for two epochs in
one process, without a break. Then it trains again under torchrun, on 1 to 4 processes at random with one global batch
of 48, from the disk and from S3 (SeaweedFS behind a proxy that fails 5% of the requests) by turns, and is killed
--kills times: all processes or one rank, at random moments, also while a checkpoint is written and renamed. Out: a line
for each kill and a verdict. Every row (position, sample, key, crop window, partner, λ, digests of pixels and target)
must be that of the unbroken run, none may be lost, none may come twice. Exit code: 0 if so, else 1.

    python benchmarks/chaos.py --kills 20 --seed 0
"""

import argparse
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from killing.lives import live
from killing.moments import AHEAD, Plan, draw
from killing.rows import Life, judge, read_life

from streamaug.cli import main as streamaug
from streamaug.storage import Storage, StorageOptions

ROOT = Path(__file__).resolve().parents[1]
GLOBAL_BATCH, LANES, EPOCHS = 48, 24, 2
FAULTS = (500, 503, 429, "reset before", "reset", "short")
MODULES = [str(ROOT), str(ROOT / "pipelines"), str(ROOT / "benchmarks")]


def prepare(source: Path, target: Path, copies: int) -> str:
    """Copies of a folder's training shards, with indexes and a manifest; returns their name with braces."""
    tars = sorted(source.glob("train-*.tar"))
    if not tars:
        raise SystemExit(f"--data: must hold train-*.tar, {source} has none. Name a folder of shards.")
    for number in range(len(tars) * copies):
        shutil.copyfile(tars[number % len(tars)], target / f"train-{number:06d}.tar")
    name = f"train-{{000000..{len(tars) * copies - 1:06d}}}.tar"
    with contextlib.redirect_stdout(sys.stderr):
        streamaug(["index", str(target / name), "--checksum"])
    return name


@contextlib.contextmanager
def store(folder: Path, share: float, seed: int) -> Iterator[tuple[Any, str]]:
    """The shards in S3 behind a proxy that fails a share of the requests; yields the proxy and its URL."""
    sys.path.insert(0, str(ROOT / "tests"))
    from servers import KEY, SECRET, proxy_before, seaweedfs

    rng = random.Random(seed)
    keys = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}

    def fault(method: str, path: str, number: int) -> int | str | None:
        del path, number
        return rng.choice(FAULTS) if method in ("GET", "HEAD") and rng.random() < share else None

    with seaweedfs() as address:
        os.environ |= keys | {"AWS_ENDPOINT_URL": "http://{}:{}".format(*address)}
        storage = Storage(StorageOptions())
        for path in sorted(folder.iterdir()):
            storage.write(f"s3://bucket/{path.name}", path.read_bytes())
        with proxy_before(address, fault) as pair:
            yield pair


class Chaos:
    """Runs the lives of a training, one after the other.

    Args:
        arguments: The command line.
        scratch: A folder.
        shards: The name of the shards, with braces; they lie in `<scratch>/shards`.
        proxy: The proxy before the store, and its URL; None: there is no store.
    """

    def __init__(
        self, arguments: argparse.Namespace, scratch: Path, shards: str, proxy: tuple[Any, str] | None
    ) -> None:
        self.arguments, self.scratch, self.shards, self.proxy = arguments, scratch, shards, proxy
        self.lives: list[Life] = []

    def command(self, plan: Plan, folder: Path, checkpoint: Path) -> list[str]:
        """The arguments of imagenet_train.py."""
        base = "s3://bucket/" if plan.remote else f"{self.scratch / 'shards'}/"
        flags = f"--epochs {EPOCHS} --lanes {LANES} --batch-size {GLOBAL_BATCH // plan.ranks} --mix both --erase 0.25"
        flags += f" --size {self.arguments.size} --device cpu --threads 1 --num-classes 1000 --lr 0.01 --keep 3"
        flags += f" --save-every {self.arguments.save_every} --resume auto --seed {self.arguments.seed}"
        files = ["--train", base + self.shards, "--checkpoint", str(checkpoint)]
        return [*flags.split(), *files, "--log-file", str(folder / "log.jsonl")]

    def environment(self) -> dict[str, str]:
        """The environment of a life's processes, with the settings of the store."""
        modules = os.pathsep.join([*MODULES, *filter(None, [os.environ.get("PYTHONPATH")])])
        # OpenMP's threads spin while they wait, which keeps others from working on few cores.
        return {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": modules}

    def unbroken(self) -> Life:
        """One process from the disk, to its end."""
        folder, plan = self.scratch / "unbroken", Plan(1, False, None, None, 0.0)
        live(plan, folder, self.command(plan, folder, self.scratch / "unbroken.pt"), self.environment())
        return read_life(folder)

    def life(self, plan: Plan) -> str:
        """Run the next life; returns a line about it."""
        folder, checkpoint = self.scratch / f"life{len(self.lives):02d}", self.scratch / "run.pt"
        environment = self.environment()
        if self.proxy is not None:
            self.proxy[0].forget()
            environment["AWS_ENDPOINT_URL"] = self.proxy[1]
        live(plan, folder, self.command(plan, folder, checkpoint), environment)
        life = read_life(folder)
        self.lives.append(life)
        text = f"{plan}; from {place(life.start)}, given {len(life.rows)} rows"
        if plan.remote and self.proxy is not None:
            text += f"; {sum(self.proxy[0].faults.values())} of {sum(self.proxy[0].requests.values())} requests failed"
        if plan.moment is not None and plan.moment.kind == "cut":
            # A checkpoint that is the only one is left whole: without any, a training refuses to go on.
            if checkpoint.exists() and checkpoint.with_name("run.1.pt").exists():
                os.truncate(checkpoint, checkpoint.stat().st_size * plan.moment.share // 100)
            else:
                text += "; none was cut, since there were not two"
        return text


def place(where: tuple[int, int]) -> str:
    """An epoch, from 1, and a position in words."""
    return f"epoch {where[0] + 1} position {where[1]}"


def run(arguments: argparse.Namespace, scratch: Path) -> int:
    """Train unbroken, then through all kills; returns the exit code."""
    (folder := scratch / "shards").mkdir()
    shards = prepare(arguments.data, folder, arguments.copies)
    rng = random.Random(arguments.seed)
    with contextlib.ExitStack() as stack:
        proxy = None
        if arguments.store:
            proxy = stack.enter_context(store(folder, arguments.faults, arguments.seed))
        chaos = Chaos(arguments, scratch, shards, proxy)
        started = time.monotonic()
        unbroken = chaos.unbroken()
        steps = len(unbroken.rows) // GLOBAL_BATCH
        an_epoch = steps // EPOCHS
        if steps < 1 + (1 + AHEAD) * arguments.kills:
            raise SystemExit(f"--kills: must be at most {(steps - 1) // (1 + AHEAD)} in {steps} steps. Raise --copies.")
        print(f"unbroken: 1 process, {len(unbroken.rows)} rows, {steps} global batches in {EPOCHS} epochs", flush=True)
        done = 0
        for number in range(arguments.kills + 1):
            plan = draw(rng, number, arguments.kills, steps - done, store=proxy is not None)
            text = chaos.life(plan)
            furthest = chaos.lives[-1].furthest
            if furthest is not None:
                done = max(done, furthest[0] * an_epoch + furthest[1] // GLOBAL_BATCH + 1)
            print(f"kill {number + 1}/{arguments.kills}: {text}" if plan.moment else f"at last: {text}", flush=True)
        verdict = judge(unbroken, chaos.lives)
        print(f"{'holds' if verdict.holds else 'BROKEN'}: {arguments.kills} kills, {verdict}", flush=True)
        print(f"{time.monotonic() - started:.0f} s", flush=True)
    return 0 if verdict.holds else 1


def main(command_line: list[str] | None = None) -> int:
    """Run it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of moments, ranks, faults and the training")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "imagenet-sample")
    parser.add_argument("--copies", type=int, default=4, help="of the shards, for an epoch of more steps")
    parser.add_argument("--size", type=int, default=96, help="pixels of the model's square input")
    parser.add_argument("--save-every", type=int, default=2, help="steps between checkpoints")
    parser.add_argument("--faults", type=float, default=0.05, help="share of the requests that fail")
    parser.add_argument("--store", action=argparse.BooleanOptionalAction, default=True, help="read from S3 too")
    parser.add_argument("--keep", type=Path, help="a folder for what the processes wrote; else it is deleted")
    arguments = parser.parse_args(command_line)
    if arguments.keep is not None:
        arguments.keep.mkdir(parents=True)
        return run(arguments, arguments.keep)
    with tempfile.TemporaryDirectory() as scratch:
        return run(arguments, Path(scratch))


if __name__ == "__main__":
    sys.exit(main())
