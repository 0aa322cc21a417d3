"""Megatron-Energon: `get_savable_loader`, a task encoder, `energon checkpoint redist` for another number of ranks.

That command asks for the same micro-batch and the same number of all workers: 2 ranks have 3 each, 3 ranks have 2.
"""

import functools
import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from megatron.energon import (
    Cooker,
    DefaultTaskEncoder,
    Sample,
    WorkerConfig,
    basic_sample_keys,
    edataclass,
    get_savable_loader,
    get_train_dataset,
    stateless,
)
from protocol import SEED, Delivered, Job, crop_flip_by_torch, decoded, main, mixed

ALL_WORKERS, MICRO_BATCH = 6, 8
PROGRAM = str(Path(sys.executable).with_name("energon"))


@edataclass
class Image(Sample):
    """A sample that was decoded and augmented."""

    number: int
    pixels: torch.Tensor
    label: int


@stateless
def cook(sample: dict) -> Image:
    pixels = torch.from_numpy(decoded(sample["jpg"]).copy())
    return Image(**basic_sample_keys(sample), number=int(sample["cls"]), pixels=pixels, label=int(sample["cls"]))


class Encoder(DefaultTaskEncoder):
    """Augments samples and mixes batches, in functions whose seeds come back with a sample."""

    decoder = None
    cookers = (Cooker(cook),)

    @stateless(restore_seeds=True)
    def encode_sample(self, sample: Image) -> Image:
        sample.pixels = torch.from_numpy(crop_flip_by_torch(sample.pixels.numpy()))
        return sample

    @stateless(restore_seeds=True)
    def batch(self, rows: list[Image]) -> Any:
        lam = float(torch.distributions.Beta(0.4, 0.4).sample())
        return {
            "numbers": torch.tensor([row.number for row in rows]),
            "pixels": torch.stack([row.pixels for row in rows]),
            "targets": torch.from_numpy(mixed([row.label for row in rows], lam)),
        }


def prepare(tars: Path, data: Path) -> None:
    data.mkdir()
    for path in sorted(tars.glob("*.tar")):
        shutil.copyfile(path, data / path.name)
    flags = ["--non-interactive", "--split-ratio", "1,0,0", "--sample-type", "CrudeWebdataset", "--no-progress"]
    subprocess.run([PROGRAM, "prepare", *flags, str(data)], check=True)


def redistribute(states: list[Any], world: int, folder: Path) -> list[Any]:
    """Saved states for another number of ranks."""
    if len(states) == world:
        return states
    for name in ("in", "out"):
        (folder / name).mkdir(parents=True)
    paths = [folder / "in" / f"state{rank}.pt" for rank in range(len(states))]
    for path, state in zip(paths, states, strict=True):
        torch.save(state["loader"], path)
    command = [PROGRAM, "checkpoint", "redist", "--new-world-size", str(world)]
    subprocess.run([*command, *map(str, paths), str(folder / "out")], check=True)
    made = [torch.load(folder / "out" / f"state{rank}.pt", weights_only=False) for rank in range(world)]
    return [{"loader": state, "rows": states[0]["rows"]} for state in made]


def batches(job: Job) -> Iterator[Delivered]:
    torch.manual_seed(SEED)
    workers = WorkerConfig(rank=job.rank, world_size=job.world, num_workers=ALL_WORKERS // job.world)
    data = get_train_dataset(
        str(job.data),
        batch_size=MICRO_BATCH,
        batch_drop_last=True,
        shuffle_buffer_size=20,
        max_samples_per_sequence=None,
        worker_config=workers,
        task_encoder=Encoder(),
    )
    loader = get_savable_loader(data)
    done = 0 if job.state is None else job.state["rows"]
    if job.state is not None:
        loader.restore_state_rank(job.state["loader"])
    # The stream has no end: a loop takes the steps that are left.
    together = MICRO_BATCH * job.world
    left = (job.steps * job.global_batch - done) // together
    for number, batch in enumerate(itertools.islice(loader, left), start=1):
        columns = (batch[name] for name in ("numbers", "pixels", "targets"))
        numbers, pixels, targets = (column.numpy() for column in columns)
        yield Delivered(
            numbers.tolist(), pixels, targets, functools.partial(checkpoint, loader, done + number * together)
        )


def checkpoint(loader: Any, rows: int) -> dict[str, Any]:
    return {"loader": loader.save_state_rank(), "rows": rows}


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(prepare, batches, micro_batch=MICRO_BATCH, between=redistribute)
