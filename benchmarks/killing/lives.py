"""Starts a life of the training, waits for its moment, and kills.

In: a `Plan`, the command line of the training. Out: a folder with the files of its processes. Linux alone: it reads
processes from /proc.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from killing.moments import Plan

RANK = Path(__file__).with_name("rank.py")
#: Bounds the wait for events that never come; no result depends on time.
PATIENCE = 900.0
PAUSE = 0.01


def live(plan: Plan, folder: Path, arguments: list[str], environment: dict[str, str]) -> None:
    """Run a life to its moment, or to its end.

    Args:
        plan: Its ranks, and how it ends.
        folder: A new folder for its processes' files.
        arguments: Of imagenet_train.py.
        environment: Of its processes.

    Raises:
        RuntimeError: If it ends before its moment, or with a wrong exit code.
    """
    folder.mkdir(parents=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(plan.ranks)]
    moment = "none" if plan.moment is None else plan.moment.written()
    command = [sys.executable, *(launcher if plan.ranks > 1 else []), str(RANK), moment, str(folder), *arguments]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        if plan.moment is None:
            code = process.wait(PATIENCE)
            if code:
                raise RuntimeError(f"the last life ended with {code}:\n{said(folder)}")
            return
        if not until(lambda: (folder / "reached").exists() or process.poll() is not None):
            raise RuntimeError(f"its moment did not come: {plan}\n{said(folder)}")
        if process.poll() is not None:
            raise RuntimeError(f"it ended with {process.returncode} before its moment: {plan}\n{said(folder)}")
        time.sleep(plan.delay)
        if plan.victim is not None:
            os.kill(int((folder / f"pid-{plan.victim}").read_text()), signal.SIGKILL)
            if process.wait(PATIENCE) == 0:
                raise RuntimeError(f"torchrun ended with 0 though a rank was killed: {plan}\n{said(folder)}")
    finally:
        kill_all(process)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL a process and all that it started, and wait until none of them runs."""
    everyone = [process.pid, *descendants(process.pid)]
    for number in everyone:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()
    if not until(lambda: not any(map(runs, everyone))):
        raise RuntimeError(f"processes {everyone} must be gone after SIGKILL, some still run.")


def descendants(number: int) -> list[int]:
    """The processes that a process started, and those that these started."""
    found = []
    for path in Path(f"/proc/{number}/task").glob("*/children"):
        try:
            children = [int(child) for child in path.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def runs(number: int) -> bool:
    """Whether there is such a process, and it is not dead already."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def until(condition: Callable[[], bool]) -> bool:
    """Wait for a condition that other processes fulfil; False if it never holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(PAUSE)
    return True


def said(folder: Path) -> str:
    """The last output of a life's processes."""
    return (folder / "output").read_text(errors="replace")[-4000:]
