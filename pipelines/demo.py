"""A whole training from end to end, on drawn data: `python pipelines/demo.py --output demo`.

Draws a data set; trains on it without a break; trains again, is killed twice in the middle of an epoch and goes on each
time; shows that both runs had the same batches and ended with the same weights; evaluates plainly and with test-time
augmentation; draws a preview. Every step runs one of the programs beside this file, as a user would.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from batch_log import read_log
from demo_dataset import CLASSES, write_demo_dataset

HERE = Path(__file__).resolve().parent
COMMON = ["--num-classes", str(len(CLASSES)), "--size", "64", "--batch-size", "64", "--device", "cpu"]
#: OpenMP's threads spin while they wait, which on few cores keeps DALI's threads (and each other) from working: with
#: two cores that others used as well, training was up to five times as fast with this setting.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
LAST_LINE = re.compile(r"weights (\w+)")


def say(text: str) -> None:
    """Print at once."""
    print(text, flush=True)


def run(program: str, *arguments: str, kill: tuple[str, signal.Signals] | None = None) -> tuple[int, str]:
    """Run a program of this folder and show its output.

    Args:
        program: Its file name.
        *arguments: Its command line.
        kill: A line's beginning and the signal to send when the program prints such a line.

    Returns:
        The exit code, negative where a signal ended it, and the output.
    """
    command = [sys.executable, str(HERE / program), *arguments]
    say(f"  $ python pipelines/{program} {shlex.join(arguments)}")
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as child:
        for line in child.stdout or ():
            lines.append(line)
            say(f"    {line.rstrip()}")
            if kill is not None and line.startswith(kill[0]):
                say(f"    -- {kill[1].name} --")
                child.send_signal(kill[1])
                kill = None
    return child.returncode, "".join(lines)


def must(condition: bool, failure: str) -> None:
    """End the demo with a message unless a claim holds."""
    if not condition:
        raise SystemExit(f"demo: {failure}")


def train(
    shards: str, folder: Path, name: str, epochs: int, kill: tuple[str, signal.Signals] | None = None
) -> str | None:
    """Train, or go on training; returns the digest of the final weights, None where a signal came before the end."""
    arguments = ["--train", shards, *COMMON, *f"--mix both --epochs {epochs} --lr 0.2 --min-scale 0.5".split()]
    arguments += ["--save-every", "10", "--print-every", "8", "--checkpoint", str(folder / f"{name}.pt")]
    arguments += ["--resume", "auto", "--deterministic"]
    code, output = run("imagenet_train.py", *arguments, "--log-batches", str(folder / f"{name}-batches"), kill=kill)
    expected = {None: 0, signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 128 + signal.SIGTERM}
    must(code == expected[kill[1] if kill else None], f"imagenet_train.py ended with exit code {code}")
    weights = LAST_LINE.search(output)
    return weights.group(1) if weights else None


def compare(folder: Path, weights: tuple[str | None, str | None]) -> None:
    """Compare the two runs, batch by batch."""
    whole, broken = read_log(folder / "whole-batches"), read_log(folder / "killed-batches")
    rows = sum(len(batch) for batch in whole.values())
    different = sum(whole[step] != broken.get(step) for step in whole)
    say(f"  {len(whole)} global batches, {rows} images: {different} differ in pixels, targets or order")
    say(f"  weights at the end: {weights[0]} without a break, {weights[1]} killed twice")
    must(different == 0 and whole.keys() == broken.keys(), "the killed run was given other batches")
    must(weights[0] == weights[1], "the killed run ended with other weights")


def main() -> int:
    """Run the demo; returns 0 if every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("demo"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--images", type=int, default=2000, help="training images; a quarter of that to validate")
    args = parser.parse_args()
    if args.epochs < 3 or args.images < 1200:
        parser.error("--epochs, --images: the run is killed in epochs 2 and 3, so give at least 3 and 1200.")
    started, folder = time.monotonic(), args.output
    for old in ("whole-batches", "killed-batches"):
        shutil.rmtree(folder / old, ignore_errors=True)
    for old in [*folder.glob("whole*.pt"), *folder.glob("killed*.pt")]:
        old.unlink()

    say(f"1. Draw {args.images} training images in {len(CLASSES)} classes")
    train_shards, val_shards = write_demo_dataset(folder / "data", train=args.images, val=args.images // 4)
    say(f"  {train_shards}\n  {val_shards}")

    say("2. Train without a break, with Mixup and CutMix")
    whole = train(train_shards, folder, "whole", args.epochs)

    say("3. Train again: SIGKILL in epoch 2 (back to the last checkpoint), SIGTERM in epoch 3 (saves one), and on")
    train(train_shards, folder, "killed", args.epochs, kill=("epoch 2  step 16/", signal.SIGKILL))
    train(train_shards, folder, "killed", args.epochs, kill=("epoch 3  step 8/", signal.SIGTERM))
    killed = train(train_shards, folder, "killed", args.epochs)

    say("4. Were both runs given the same?")
    compare(folder, (whole, killed))

    say("5. Evaluate, plainly and with test-time augmentation")
    evaluation = ["--val", val_shards, "--checkpoint", str(folder / "killed.pt"), *COMMON]
    for program, more in (("imagenet_eval.py", []), ("imagenet_tta.py", ["--views", "ten_crop"])):
        must(run(program, *evaluation, *more)[0] == 0, f"{program} failed")

    say("6. Draw what the model is given")
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    preview = [
        "--shards",
        train_shards,
        "--classes",
        str(folder / "classes.txt"),
        "--output",
        str(folder / "preview.png"),
    ]
    must(run("preview.py", *preview)[0] == 0, "preview.py failed")
    say(f"Done in {time.monotonic() - started:.0f} s. Look at {folder / 'preview.png'}.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
