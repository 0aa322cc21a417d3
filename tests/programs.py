"""Runs the programs of pipelines/ as a user runs them: real processes, real signals, real ranks."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

from watching import PATIENCE

PIPELINES = Path(__file__).resolve().parents[1] / "pipelines"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
MODEL = ["--num-classes", "10", "--size", "32", "--device", "cpu", "--threads", "1"]
TRAINING = ["--epochs", "2", "--print-every", "1", "--mix", "both", "--resume", "auto", "--deterministic"]

read_log = runpy.run_path(str(PIPELINES / "batch_log.py"))["read_log"]


def start(program, *arguments, ranks=1, path=None):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)] if ranks > 1 else []
    command = [sys.executable, *launcher, str(PIPELINES / program), *map(str, arguments)]
    modules = os.pathsep.join(filter(None, [str(path or ""), ENVIRONMENT.get("PYTHONPATH", "")]))
    environment = ENVIRONMENT | ({"PYTHONPATH": modules} if modules else {})
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def run(program, *arguments, ranks=1, expect=0, path=None):
    """What the program prints; `path` is a folder of further modules."""
    child = start(program, *arguments, ranks=ranks, path=path)
    try:
        output, _ = child.communicate(timeout=PATIENCE)
    finally:
        child.kill()
    assert child.returncode == expect, output
    return output


def run_until(line, number, program, *arguments, ranks=1, to=None):
    """Send a signal when the program prints a line that begins so; returns the exit code and what was printed.

    `to` is a function that says, then, which process gets it; without it the one that was started does.
    """
    output, sent = "", False
    with start(program, *arguments, ranks=ranks) as child:
        for text in child.stdout:
            output += text
            if text.startswith(line) and not sent:
                os.kill(to() if to else child.pid, number)
                sent = True
    assert sent, output
    return child.returncode, output


def training(shards, folder, name, batch_size=32):
    """The command line of a run on the shards whose checkpoint and log of batches are in the folder."""
    files = ["--checkpoint", folder / f"{name}.pt", "--log-batches", folder / name]
    return ["imagenet_train.py", "--train", shards[0], *MODEL, *TRAINING, "--batch-size", batch_size, *files]


def weights(output):
    return re.search(r"weights (\w{16})", output).group(1)


def records(path, event):
    """The records of an event in a training log."""
    rows = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [row for row in rows if row["event"] == event]
