"""The peers' processes and their turns.

In: names, a chain, an effort. Out: a row for each peer, and one for streamaug doing the same work in the same turns.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from streamaug import recipes
from streamaug.cli.bench.clock import Cost, Effort, core_time, run_once, speed
from streamaug.cli.bench.machine import tree_cpu, usable_cores
from streamaug.cli.bench.peers.options import PeerOptions
from streamaug.cli.bench.report import interval
from streamaug.cli.bench.subject import Subject
from streamaug.cli.bench.whole import Whole
from streamaug.dali.device import resolve_device
from streamaug.errors import StreamaugError
from streamaug.stages.reader import ShardReader
from streamaug.storage.progress import Progress

#: Each peer with its description.
NAMES = {
    "dali": "DALI's own webdataset reader",
    "webdataset": "webdataset and Pillow, in workers",
    "torchvision": "webdataset and torchvision v2, in workers",
}
#: Batches of our own before a turn's clock starts.
_PREPARED = 4


class Peers:
    """Peers that take turns with streamaug.

    Args:
        names: Keys of `NAMES`.

    Raises:
        ValueError: If a name is no peer.
    """

    def __init__(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in NAMES:
                raise ValueError(f"--against: must name peers of {', '.join(NAMES)}, got {name!r}. Write dali.")
        self._names = list(dict.fromkeys(names))
        self._processes: dict[str, _Process] = {}
        self._ours: Whole | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._processes.values():
            process.close()

    def open(self, subject: Subject) -> None:
        """Start the peers on the chain's shards.

        Raises:
            ValueError: If a peer is not installed, cannot be imported, or cannot read these shards.
        """
        if not self._names:
            return
        options, ours = _options(subject), _same_work(subject)
        self._ours = Whole(ours, subject.batch_size)
        for name in self._names:
            self._processes[name] = _Process(name)
        for process in self._processes.values():
            process.open(options)

    def measure(self, effort: Effort) -> list[dict[str, Any]]:
        """The rows, when every peer had its turns.

        Raises:
            StreamaugError: If a peer fails.
        """
        if self._ours is None:
            return []
        turns: dict[str, Callable[[bool], Cost]] = {"streamaug": lambda first: self._turn(effort, first)}
        for name, process in self._processes.items():
            turns[name] = _turn_of(process, effort)
        costs: dict[str, list[Cost]] = {name: [] for name in turns}
        names = list(turns)
        with Progress(total=effort.repeats * len(names), what="Peers", unit="turn") as progress:
            for repeat in range(effort.repeats):
                first = repeat % len(names)
                for name in names[first:] + names[:first]:
                    costs[name].append(turns[name](repeat == 0))
                    progress.advance()
        words = {"streamaug": "streamaug, the same work", **{name: f"{name}: {NAMES[name]}" for name in self._names}}
        return [
            {
                "peer": name,
                "name": words[name],
                "images_per_second": interval(speed(rows)),
                "core_ms": interval(core_time(rows)),
            }
            for name, rows in costs.items()
        ]

    def cpu_seconds(self) -> float:
        """CPU seconds of the peers' processes so far."""
        return sum(process.cpu_seconds() for process in self._processes.values())

    def _turn(self, effort: Effort, first: bool) -> Cost:
        """Our own turn, from a pass of its own, so that nothing was read ahead during other turns."""
        ours = self._ours
        if ours is None:
            raise StreamaugError("peers: must be opened before they are measured. Call open first.")
        ours.begin()
        try:
            for _ in range(_PREPARED):
                ours.step()
            if first:
                run_once(ours, effort.warm_up)
            return run_once(ours, effort.seconds)
        finally:
            ours.end()


def _turn_of(process: "_Process", effort: Effort) -> Callable[[bool], Cost]:
    return lambda first: process.turn(effort, first)


class _Process:
    """A peer's process."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(  # noqa: S603 - this Python, and names of ours
            [sys.executable, "-m", "streamaug.cli.bench.peers", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )

    def open(self, options: PeerOptions) -> None:
        """Let it import its libraries and open the shards."""
        answer = self._asked(options.to_json())
        if "error" in answer:
            raise ValueError(
                f"--against: {self._name} must be installed and able to run here, got {answer['error']}. Install it "
                "beside streamaug, or leave it out."
            )

    def turn(self, effort: Effort, first: bool) -> Cost:
        """Run its turn."""
        answer = self._asked(json.dumps({"seconds": effort.seconds, "warm": effort.warm_up if first else 0.0}))
        if "error" in answer:
            raise StreamaugError(
                f"--against: {self._name} must read these shards, got {answer['error']}. Leave it out."
            )
        return Cost(answer["images"], answer["seconds"], answer["cpu"], 0.0, 0.0)

    def cpu_seconds(self) -> float:
        """CPU seconds of the process and its workers so far."""
        return tree_cpu(self._process.pid)

    def close(self) -> None:
        """End it."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def _asked(self, line: str) -> Mapping[str, Any]:
        """Its answer to a line; an error where it ended without an answer."""
        if self._process.stdin is None or self._process.stdout is None:
            return {"error": "no connection to it"}
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            values: dict[str, Any] = json.loads(answer)
            return values
        self._errors.seek(0)
        said = self._errors.read().strip().splitlines()
        return {"error": said[-1] if said else f"exit status {self._process.wait()}"}


def _options(subject: Subject) -> PeerOptions:
    shards = subject.reader.shards
    if not shards.catalogue.is_local:
        raise ValueError(
            f"--against: peers read local shards, got {shards.shards[0].location.shown}. Copy some shards to this disk."
        )
    recipe = subject.recipe
    if recipe is None or subject.augmenter is None:
        raise ValueError("--against: the chain must decode images, got one without augment(…). Leave --against out.")
    height, width = recipe.size
    images, *others = shards.components
    device = resolve_device(subject.augmenter.settings["device"], warn=False)
    return PeerOptions(
        paths=[shard.location.path for shard in shards.shards],
        images=list(images),
        labels=list(others[0]) if others else [],
        batch_size=subject.batch_size,
        height=height,
        width=width,
        workers=max(1, int(usable_cores())),
        device="cpu" if device is None else "gpu",
    )


def _same_work(subject: Subject) -> Any:
    """Our chain that does the peers' work."""
    recipe, augmenter = subject.recipe, subject.augmenter
    if recipe is None or augmenter is None:
        raise StreamaugError("peers: the chain must have an augmenter. Leave --against out.")
    settings = augmenter.settings
    reader = ShardReader(subject.reader.shards, batch_size=subject.batch_size, seed=1)
    return reader.augment(
        recipes.imagenet_train(size=recipe.size), device=settings["device"], targets=settings["targets"]
    )
