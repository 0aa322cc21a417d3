"""A process of a training that will be killed: pipelines/imagenet_train.py itself, watched.

In: on the command line a `Moment` as JSON, a folder of this life, and the arguments of imagenet_train.py. Out: in the
folder, a line for each batch that the training was given (`rows-<rank>.jsonl`), this process's number (`pid-<rank>`)
and the file `reached`, once the moment has come. From then on the training goes on for one batch more, or none, and
waits: it never ends before it is killed. The program trains and saves as it always does.
"""

import json
import os
import runpy
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import batch_log
import checkpoints
from batch_log import digest

from killing.moments import AHEAD, COUNTED, Moment
from streamaug import Batch
from streamaug.dali.plan import Planner

PROGRAM = Path(__file__).resolve().parents[2] / "pipelines" / "imagenet_train.py"

#: The window of every row that DALI got, by (epoch, position).
WINDOWS: dict[tuple[int, int], list[float]] = {}


class Trap:
    """Counts the events of this process, and reports when the moment has come.

    Args:
        moment: When; None: never.
        folder: Of this life.
        rank: This process's.
    """

    def __init__(self, moment: Moment | None, folder: Path, rank: int) -> None:
        self._moment = moment if moment is not None and moment.rank == rank else None
        self._folder, self._counts, self._reached = (
            folder,
            dict.fromkeys(("start", "batch", "write", "rename"), 0),
            False,
        )

    def at(self, what: str) -> bool:
        """Count one more event `what`; returns whether this is the moment."""
        self._counts[what] += 1
        moment = self._moment
        return moment is not None and COUNTED[moment.kind] == what and self._counts[what] == moment.count

    def reached(self) -> None:
        """Tell the killing process."""
        self._reached = True
        (self._folder / "reached.new").write_text("")
        (self._folder / "reached.new").rename(self._folder / "reached")

    def batch(self) -> None:
        """A batch was handed to the training."""
        if self.at("batch"):
            self.reached()
        elif self._moment is not None and self._reached and self._counts["batch"] >= self._moment.count + AHEAD:
            hold()

    def starting(self) -> None:
        """The training is about to ask for its first batch."""
        if self.at("start"):
            self.reached()
            hold()

    def end(self) -> None:
        """The training would end."""
        if self._reached:
            hold()


def hold() -> None:
    """Wait to be killed, by torchrun too."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Event().wait()


def watch_windows() -> None:
    """Note the windows of every plan that DALI is fed."""
    plan = Planner.plan

    def noted(self: Planner, headers: Any, origin: Any, *rest: Any, **options: Any) -> Any:
        made = plan(self, headers, origin, *rest, **options)
        for position, window in zip(origin.positions.tolist(), made.shown[0].tolist(), strict=True):
            WINDOWS[origin.epoch, position] = window
        return made

    Planner.plan = noted


def rows_of(batch: Batch) -> list[list[Any]]:
    """Of each row position, sample id, key, window, position of its partner, λ, digests of pixels and target."""
    origin, mix = batch.origin, batch.mix
    positions = origin.positions.tolist()
    partners = positions if mix is None else origin.positions[mix.partner].tolist()
    shares = [1.0] * len(positions) if mix is None else mix.lam.tolist()
    targets = [digest(target) for target in batch.targets.unsqueeze(-1)]
    columns = (positions, origin.sample_ids.tolist(), origin.keys, partners, shares, map(digest, batch.images), targets)
    return [
        [position, sample, key, WINDOWS.pop((origin.epoch, position)), *rest]
        for position, sample, key, *rest in zip(*columns, strict=True)
    ]


def main() -> int:
    """Train, and be killed; returns the training's exit code."""
    moment, folder = Moment.parse(sys.argv[1]), Path(sys.argv[2])
    rank = int(os.environ.get("RANK", "0"))
    (folder / f"pid-{rank}").write_text(str(os.getpid()))
    trap = Trap(moment, folder, rank)
    watch_windows()

    class WatchedLog(batch_log.BatchLog):
        """A line for each batch, by one write of the system each, so that a kill leaves whole lines and one part."""

        def __init__(self, *_: object) -> None:
            self._rows = os.open(folder / f"rows-{rank}.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
            trap.starting()

        def write(self, batch: Batch) -> None:
            record = {"epoch": batch.origin.epoch, "step": batch.origin.step, "rows": rows_of(batch)}
            os.write(self._rows, json.dumps(record).encode() + b"\n")
            trap.batch()

    batch_log.BatchLog = WatchedLog
    write_sealed, replace = checkpoints.write_sealed, Path.replace

    def watched_write(state: dict[str, Any], path: Path) -> None:
        write_sealed(state, path)
        if trap.at("write"):
            if moment is not None and moment.kind == "half written":
                os.truncate(path, path.stat().st_size * moment.share // 100)
            trap.reached()
            hold()

    def watched_replace(path: Path, target: Path) -> Path:
        if path.suffix == ".tmp" and trap.at("rename"):
            trap.reached()
            hold()
        return replace(path, target)

    checkpoints.write_sealed = watched_write
    Path.replace = watched_replace
    sys.argv = [str(PROGRAM), *sys.argv[3:]]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as done:
        trap.end()
        return int(done.code or 0)
    raise RuntimeError("imagenet_train.py must end by sys.exit, it returned. Write sys.exit(main()).")


if __name__ == "__main__":
    sys.exit(main())
