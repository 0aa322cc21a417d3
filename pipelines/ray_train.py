"""Trains an image classifier on WebDataset shards with Ray Train: workers may die, and new workers go on exactly.

    python ray_train.py --train '/data/train-{000000..001281}.tar' --storage /shared/runs --workers 8

Each worker makes its own chain, whose ranks are those of the process group that Ray starts. A checkpoint holds the
chain's state beside the weights; after a failure Ray starts all workers anew from the last checkpoint.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray.train
import torch
from ray.train.torch import TorchTrainer, prepare_model
from tiny_resnet import tiny_resnet

from streamaug import Batch, ShardReader, ShardSet, Stage, recipes


def make_chain(options: dict[str, Any]) -> Stage:
    """The batches of one worker, B = global batch / workers."""
    workers = ray.train.get_context().get_world_size()
    reader = ShardReader(ShardSet.open(options["train"]), batch_size=options["global_batch"] // workers)
    recipe = recipes.imagenet_train(size=options["size"])
    return reader.augment(recipe).mixup_or_cutmix(num_classes=options["num_classes"])


class Worker:
    """A worker's model and data."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        torch.manual_seed(0)
        self.chain = make_chain(options)
        self.model = prepare_model(tiny_resnet(options["num_classes"]))
        self.optimizer = torch.optim.SGD(self.model.parameters(), options["lr"], momentum=0.9)
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is not None:
            with checkpoint.as_directory() as folder:
                self.load(torch.load(Path(folder) / "state.pt", weights_only=True))

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint, on any number of workers with the same global batch."""
        self.chain.load_state_dict(state["chain"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])

    def step(self, batch: Batch) -> float:
        """Train on a batch; returns its loss."""
        device = next(self.model.parameters()).device
        images, targets = batch.to(device, non_blocking=True)
        loss = torch.nn.functional.cross_entropy(self.model(images), targets)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.item()

    def report(self, metrics: dict[str, Any], *, save: bool) -> None:
        """Report the progress to Ray; rank 0 hands over a checkpoint."""
        if not save or ray.train.get_context().get_world_rank() != 0:
            ray.train.report(metrics)
            return
        state = {
            "chain": self.chain.state_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with tempfile.TemporaryDirectory() as folder:
            torch.save(state, Path(folder) / "state.pt")
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))


def train(options: dict[str, Any]) -> None:
    """The function that every worker runs."""
    worker = Worker(options)
    while worker.chain.epoch < options["epochs"]:
        for batch in worker.chain:
            loss = worker.step(batch)
            where = {"epoch": batch.origin.epoch, "step": batch.origin.step}
            if options.get("watch") is not None:
                options["watch"](batch)
            worker.report(where | {"loss": loss}, save=(batch.origin.step + 1) % options["save_every"] == 0)


def run(options: dict[str, Any], *, workers: int, storage: str, gpu: bool = False, failures: int = 3) -> Any:
    """Train on some workers, and begin anew from the last checkpoint after each of `failures` failures."""
    trainer = TorchTrainer(
        train,
        train_loop_config=options,
        scaling_config=ray.train.ScalingConfig(num_workers=workers, use_gpu=gpu),
        run_config=ray.train.RunConfig(
            storage_path=storage, failure_config=ray.train.FailureConfig(max_failures=failures)
        ),
    )
    return trainer.fit()


def main(arguments: list[str] | None = None) -> int:
    """Read the flags and train; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="shards, as a path or URL with {000000..000999}")
    parser.add_argument("--storage", required=True, help="a folder that all nodes see, absolute, for checkpoints")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--gpu", action="store_true", help="one GPU a worker")
    parser.add_argument("--global-batch", type=int, default=256, help="images of all workers together in a step")
    parser.add_argument("--num-classes", type=int, default=1000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--save-every", type=int, default=500, help="steps between checkpoints")
    args = parser.parse_args(arguments)
    options = vars(args)
    print(run(options, workers=args.workers, storage=args.storage, gpu=args.gpu))
    return 0


if __name__ == "__main__":
    sys.exit(main())
