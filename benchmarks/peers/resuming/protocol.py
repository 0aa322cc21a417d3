"""What the programs of benchmarks/determinism.py share: one rank that trains, saves, is killed, and goes on.

A peer's module gives `main` two functions. `prepare(data, target)` writes its own format out of a folder of WebDataset
tars. `batches(job)` yields a `Delivered` for each batch of one epoch, from `job.state` on where there is one. Ranks are
processes with torchrun's variables. A rank writes a line a batch, saves where it is told to, takes one batch more and
kills itself; the state of every rank lies in a file of its own, and each rank that goes on is handed all of them.
"""

import hashlib
import io
import json
import os
import pickle
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SEED, CLASSES, CROP = 7, 500, 56
WORKERS = 2


@dataclass(frozen=True)
class Delivered:
    """One batch of this rank.

    Attributes:
        samples: B numbers of samples.
        images: B arrays, augmented and not mixed.
        targets: float (B, CLASSES), mixed.
        state: Gives what a checkpoint after this batch holds.
    """

    samples: list[int]
    images: Iterable[Any]
    targets: Any
    state: Callable[[], Any]


#: Makes the states of the ranks that go on of those of the ranks before: their number, and a folder to work in.
Between = Callable[[list[Any], int, Path], list[Any]]


@dataclass(frozen=True)
class Job:
    """What a rank is to do.

    Attributes:
        data: What `prepare` wrote.
        tars: The tars.
        rank: This process.
        world: How many there are.
        global_batch: Rows of a step, over all ranks.
        states: What the ranks of the life before saved, by rank; None: begin.
        scratch: A folder of this life, shared by its ranks.
        steps: Global batches of an epoch.
        micro_batch: Rows of a batch of one rank; None: those of its global batch.
    """

    data: Path
    tars: list[str]
    rank: int
    world: int
    global_batch: int
    states: list[Any] | None
    scratch: Path
    steps: int
    micro_batch: int | None

    @property
    def parts(self) -> int:
        """Batches of this rank that make up its part of a global batch."""
        return 1 if self.micro_batch is None else self.batch // self.micro_batch

    @property
    def batch(self) -> int:
        """Rows of a step on this rank."""
        return self.global_batch // self.world

    @property
    def state(self) -> Any:
        """What the rank of this number saved, and the first rank's where there was none; None: begin."""
        return None if self.states is None else self.states[self.rank % len(self.states)]


def samples(tars: Iterable[Path]) -> Iterator[tuple[int, bytes, int]]:
    """Number, JPEG and class of every sample in the tars."""
    for path in tars:
        with tarfile.open(path) as tar:
            parts: dict[str, bytes] = {}
            for info in tar:
                key, _, suffix = info.name.partition(".")
                file = tar.extractfile(info)
                parts[suffix] = file.read() if file else b""
                if {"jpg", "cls"} <= parts.keys():
                    yield int(key), parts["jpg"], int(parts["cls"])
                    parts = {}


def decoded(jpeg: bytes) -> np.ndarray:
    """uint8 (H, W, 3)."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))


def crop_flip(image: np.ndarray, numbers: Any) -> np.ndarray:
    """A crop of CROP pixels and a flip, by three numbers in 0..1."""
    top, left, flip = (float(number) for number in numbers)
    top, left = int(top * (image.shape[0] - CROP + 1)), int(left * (image.shape[1] - CROP + 1))
    image = image[top : top + CROP, left : left + CROP]
    return image[:, ::-1] if flip < 0.5 else image


def crop_flip_by_torch(image: np.ndarray) -> np.ndarray:
    """The same with torch's global generator, as torchvision's transforms draw."""
    import torch

    return np.ascontiguousarray(crop_flip(image, torch.rand(3)))


def mixed(labels: Any, lam: float) -> np.ndarray:
    """Targets of a batch whose rows are mixed with the row before them, as torchvision's MixUp does."""
    hot = np.zeros((len(labels), CLASSES), np.float32)
    hot[np.arange(len(labels)), np.asarray(labels)] = 1
    return np.float32(lam) * hot + np.float32(1 - lam) * np.roll(hot, 1, axis=0)


class Mixing:
    """Mixes targets by λ of a generator of the loop's own, whose state goes into the checkpoint.

    For loaders that mix nothing themselves. Torch's global generator would not do: a DataLoader draws from it too.
    """

    def __init__(self, state: dict[str, Any] | None) -> None:
        self.rng = np.random.default_rng(SEED)
        if state is not None:
            self.rng.bit_generator.state = state["mixing"]

    def targets(self, labels: Any) -> np.ndarray:
        """Float32 (B, CLASSES)."""
        return mixed(labels, self.rng.beta(0.4, 0.4))

    def checkpoint(self, loader: Any) -> dict[str, Any]:
        """What a checkpoint holds of a loader's state and of this."""
        return {"loader": loader, "mixing": self.rng.bit_generator.state}


def resumed(loader: Any, job: Job) -> Iterator[Delivered]:
    """Batches of a loader of (numbers, pixels, labels) with torchdata's state methods, from the job's state on."""
    mixing = Mixing(job.state)
    if job.state is not None:
        loader.load_state_dict(job.state["loader"])
    for numbers, pixels, labels in loader:
        yield Delivered(
            numbers.tolist(), pixels.numpy(), mixing.targets(labels), lambda: mixing.checkpoint(loader.state_dict())
        )


def digest(values: Any) -> str:
    """16 hexadecimal digits over an array's bytes."""
    return hashlib.blake2b(np.ascontiguousarray(values).tobytes(), digest_size=8).hexdigest()


def cpu_seconds(number: int | None = None) -> float:
    """Of this process, of those that it started, and so on, the ended ones included."""
    folder = Path(f"/proc/{number or os.getpid()}")
    try:
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        children = [child for path in folder.glob("task/*/children") for child in path.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(cpu_seconds(int(child)) for child in children)


def train(job: Job, batches: Callable[[Job], Iterator[Delivered]], folder: Path, save_at: int | None) -> None:
    """Take batches to the end of the epoch, or to one after the checkpoint, and be killed there."""
    started, cpu = time.perf_counter(), cpu_seconds()
    with (folder / f"rows-{job.rank}.jsonl").open("w", buffering=1) as rows:
        for number, batch in enumerate(batches(job), start=1):
            if number == 1:
                first = {"seconds": time.perf_counter() - started, "cpu": cpu_seconds() - cpu}
                (folder / f"first-{job.rank}.json").write_text(json.dumps(first))
            images, targets = map(digest, batch.images), map(digest, batch.targets)
            line = [[int(sample), *rest] for sample, *rest in zip(batch.samples, images, targets, strict=True)]
            print(json.dumps(line), file=rows)
            if save_at is not None and number == save_at * job.parts:
                (folder / f"state-{job.rank}.new").write_bytes(pickle.dumps(batch.state()))
                (folder / f"state-{job.rank}.new").rename(folder / f"state-{job.rank}")
            if save_at is not None and number == save_at * job.parts + 1:
                # The others may still have to save: they are killed when all have.
                while not all((folder / f"state-{rank}").exists() for rank in range(job.world)):
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            if number >= 3 * job.steps * job.parts:
                break
    (folder / f"done-{job.rank}").write_text("")


def main(
    prepare: Callable[[Path, Path], None],
    batches: Callable[[Job], Iterator[Delivered]],
    micro_batch: int | None = None,
    between: Between | None = None,
) -> None:
    """Do what the command line asks for, as JSON."""
    asked = json.loads(sys.argv[1])
    if asked["what"] == "prepare":
        prepare(Path(asked["tars"]), Path(asked["data"]))
        return
    before = asked["before"]
    states = None
    if before is not None:
        paths = sorted(Path(before).glob("state-*"), key=lambda path: int(path.name.partition("-")[2]))
        states = [pickle.loads(path.read_bytes()) for path in paths]
    folder, rank, world = Path(asked["folder"]), int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if states is not None and between is not None:
        states = between(states, world, folder / f"between-{rank}")
    job = Job(
        data=Path(asked["data"]),
        tars=sorted(str(path) for path in Path(asked["tars"]).glob("*.tar")),
        rank=rank,
        world=world,
        global_batch=asked["global_batch"],
        states=states,
        scratch=folder,
        steps=asked["steps"],
        micro_batch=micro_batch,
    )
    train(job, batches, folder, asked["save_at"])
    sys.stdout.flush()
    # Some loaders' threads and workers outlive their epoch; what is to be known is on the disk.
    os._exit(0)
