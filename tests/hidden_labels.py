"""A training run of tests/cli/test_batch_proof.py: each rank is a process of this file, killed and started again.

    python hidden_labels.py FOLDER EPOCHS [EPOCH STEP]

The ranks, their number and the shards stand in RANK, WORLD_SIZE and SHARDS. What each rank is given is noted as digests
in FOLDER, the losses by rank 0, which also writes a checkpoint every four steps. With EPOCH and STEP the process
waits behind that step, to be killed there.
"""

import hashlib
import json
import os
import sys
import threading
from pathlib import Path

import torch
from torch import distributed

import streamaug as sa

GLOBAL_BATCH = 12


def chain():
    """The training's chain, which `streamaug batch` asks for too."""
    shards = sa.ShardSet.open(os.environ["SHARDS"])
    reader = sa.ShardReader(shards, batch_size=GLOBAL_BATCH // int(os.environ["WORLD_SIZE"]), seed=4, lanes=6)
    return reader.augment(sa.recipes.imagenet_train(size=16), device="cpu", num_threads=1)


def digest(images, targets):
    return hashlib.sha256(images.numpy().tobytes() + targets.numpy().tobytes()).hexdigest()


def note(path, *words):
    with path.open("a") as file:
        file.write(json.dumps(words) + "\n")


def summed(tensor):
    distributed.all_reduce(tensor)
    return tensor / distributed.get_world_size()


class Run:
    """A linear model of an image's mean colour, and its data."""

    def __init__(self, folder):
        self.folder = folder
        torch.manual_seed(0)
        self.model = torch.nn.Linear(3, 2)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 1.0)
        self.chain = chain()
        self.checkpoint = folder / "run.pt"
        if self.checkpoint.exists():
            state = torch.load(self.checkpoint, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.chain.load_state_dict(state["loader"])

    def step(self, batch):
        """Train on a batch; returns the loss of all ranks."""
        scores = self.model(batch.images.mean((2, 3)))
        loss = torch.nn.functional.cross_entropy(scores, batch.targets)
        self.optimizer.zero_grad()
        loss.backward()
        for parameter in self.model.parameters():
            parameter.grad.copy_(summed(parameter.grad))
        self.optimizer.step()
        return float(summed(loss.detach().clone()))

    def save(self):
        torch.save({"model": self.model.state_dict(), "loader": self.chain.state_dict()}, self.folder / "new.pt")
        (self.folder / "new.pt").replace(self.checkpoint)


def main():
    folder, epochs, stops_at = Path(sys.argv[1]), int(sys.argv[2]), tuple(map(int, sys.argv[3:]))
    rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    group = f"file://{folder}/group-of-{world_size}"
    distributed.init_process_group("gloo", init_method=group, rank=rank, world_size=world_size)
    torch.set_num_threads(1)
    run = Run(folder)
    while run.chain.epoch < epochs:
        for batch in run.chain:
            origin = batch.origin
            loss = run.step(batch)
            place = (origin.epoch, origin.step)
            note(folder / f"given-{world_size}-{rank}.jsonl", *place, digest(batch.images, batch.targets), origin.keys)
            if rank == 0:
                note(folder / f"losses-{world_size}.jsonl", *place, loss)
                if origin.step % 4 == 3:
                    run.save()
            if place == stops_at:
                threading.Event().wait()  # for the signal that kills it
    distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    sys.exit(main())
