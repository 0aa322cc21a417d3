"""Trains an image classifier on WebDataset shards, stops when told to, and goes on exactly there.

    python imagenet_train.py --train '/data/train-{000000..001281}.tar' --val '/data/val-{000000..000063}.tar'
    torchrun --nproc-per-node 8 imagenet_train.py … --resume

Ctrl-C and SIGTERM finish the step under way, save the checkpoint and end. `--resume` goes on with the very next batch,
on any number of ranks; without a checkpoint it starts anew, so a job that may be preempted always passes it.

Exit codes: 0 all epochs done; 130 (Ctrl-C) or 143 (SIGTERM) checkpoint saved, go on with --resume; 1 an error; 2 wrong
arguments.
"""

import argparse
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from batch_log import BatchLog, weights_digest
from imagenet_eval import evaluate, evaluation_pipe
from launch import Job, argument_parser, build_model, launched
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from streamaug import Augmenter, Batch, CutMix, Mixup, MixupOrCutMix, ShardReader, ShardSet, recipes


def training_pipe(args: argparse.Namespace, job: Job) -> Augmenter | Mixup | CutMix | MixupOrCutMix:
    """Shards to mixed batches: all of what this library does for training."""
    reader = ShardReader(ShardSet.open(args.train), batch_size=args.batch_size, seed=args.seed, lanes=args.lanes)
    recipe = recipes.imagenet_train(size=args.size, scale=(args.min_scale, 1.0), antialias=args.antialias)
    pipe = reader.augment(recipe, device=job.loader_device, num_threads=args.threads)
    if args.mix == "mixup":
        return pipe.mixup(num_classes=args.num_classes, label_smoothing=args.label_smoothing)
    if args.mix == "cutmix":
        return pipe.cutmix(num_classes=args.num_classes, label_smoothing=args.label_smoothing)
    if args.mix == "both":
        return pipe.mixup_or_cutmix(num_classes=args.num_classes, label_smoothing=args.label_smoothing)
    return pipe


class StopRequest:
    """Notes Ctrl-C and SIGTERM instead of dying of them; the loop asks after each step."""

    def __init__(self, job: Job) -> None:
        self.signal = 0
        self._job = job
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._note)

    def _note(self, number: int, _: FrameType | None) -> None:
        self.signal = number

    def agreed(self) -> bool:
        """Whether any rank was told to stop: all ranks stop after the same step."""
        return self._job.any(self.signal != 0)

    @property
    def exit_code(self) -> int:
        """As a shell reports the signal; another rank's counts as SIGTERM."""
        return 128 + (self.signal or signal.SIGTERM)


class ProgressLine:
    """Images/s over all ranks, and the share of time that the model waited for data."""

    def __init__(self, job: Job, every: int) -> None:
        self._job, self._every = job, every
        self._start()

    def _start(self) -> None:
        self._since, self._waited, self._images = time.perf_counter(), 0.0, 0

    def timed(self, pipe: Augmenter | Mixup | CutMix | MixupOrCutMix) -> Iterator[Batch]:
        """The batches of the pipe, with the time spent getting each."""
        batches = iter(pipe)
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            self._waited += time.perf_counter() - asked
            self._images += len(batch.images) * self._job.world_size
            yield batch

    def step(self, batch: Batch, steps: int, loss: torch.Tensor) -> None:
        """Print every so many steps, and after the last one of an epoch."""
        done = batch.origin.step + 1
        if not self._job.is_first or (done % self._every and done != steps):
            return
        value = loss.item()  # waits for the device, so that the time below is that of finished work
        seconds = time.perf_counter() - self._since
        print(
            f"epoch {batch.origin.epoch + 1}  step {done}/{steps}  loss {value:.3f}  "
            f"{self._images / seconds:.0f} images/s  waited for data {self._waited / seconds:.0%}",
            flush=True,
        )
        self._start()


class Training:
    """A model, its optimizer and its data, moving together; what `save` writes, `load` brings back."""

    def __init__(self, args: argparse.Namespace, job: Job) -> None:
        self.args, self.job = args, job
        torch.manual_seed(args.seed)
        self.model = build_model(args.model, args.num_classes, job.device)
        self.step_model: nn.Module = self.model
        if job.world_size > 1:
            self.step_model = DistributedDataParallel(self.model, [job.device] if job.device.type == "cuda" else None)
        torch.manual_seed(args.seed + job.rank)  # dropout masks differ between ranks
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=args.lr, momentum=0.9, nesterov=True, weight_decay=args.weight_decay
        )
        self.loss = nn.CrossEntropyLoss(label_smoothing=args.label_smoothing if args.mix == "none" else 0.0)
        self.pipe = training_pipe(args, job)
        self.stop = StopRequest(job)

    def learning_rate(self, epoch: int, step: int) -> float:
        """Linear warm-up over a tenth of the run, then a cosine: of the place in the run alone, so nothing to save."""
        done = (epoch + (step + 1) / len(self.pipe)) / self.args.epochs
        return float(self.args.lr * min(done / 0.1, (1 + math.cos(math.pi * done)) / 2))

    def step(self, batch: Batch) -> torch.Tensor:
        """One update; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(batch.origin.epoch, batch.origin.step)
        batch = batch.to(self.job.device, non_blocking=True)
        loss: torch.Tensor = self.loss(self.step_model(batch.images), batch.targets)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        return loss.detach()

    def run(self) -> int:
        """Train all epochs that are left; returns the exit code."""
        progress, log = ProgressLine(self.job, self.args.print_every), BatchLog(self.args.log_batches, self.job.rank)
        validation = evaluation_pipe(self.args, self.job) if self.args.val else None
        while self.pipe.epoch < self.args.epochs:
            self.step_model.train()
            for batch in progress.timed(self.pipe):
                log.write(batch)
                loss = self.step(batch)
                progress.step(batch, len(self.pipe), loss)
                if self.stop.agreed():
                    return self.stopped()
                if self.args.save_every and (batch.origin.step + 1) % self.args.save_every == 0:
                    self.save()
            self.save()
            if validation is not None:
                self.job.same_buffers(self.model)
                accuracy = evaluate(self.model, validation, self.job, self.stop.agreed)
                if self.stop.agreed():
                    return self.stopped()
                self.say(f"epoch {self.pipe.epoch} validation: {accuracy}")
        self.say(f"done: {self.args.epochs} epochs, weights {weights_digest(self.model)}")
        return 0

    def stopped(self) -> int:
        """Save because a signal asked for it; returns the exit code."""
        self.save()
        state = self.pipe.state_dict()
        self.say(f"stopped in epoch {state['epoch'] + 1} at position {state['position']}, saved {self.args.checkpoint}")
        return self.stop.exit_code

    def save(self) -> None:
        """Write the checkpoint: the old one or the new one is there at any moment, never half of one."""
        on_cuda = self.job.device.type == "cuda"
        rng = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state() if on_cuda else None}
        every_rng = self.job.gather(rng)
        if self.job.is_first:
            state = {
                "version": 1,
                "loader": self.pipe.state_dict(),  # the same on every rank
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "rng": every_rng,
            }
            temporary = self.args.checkpoint.with_suffix(".tmp")
            with temporary.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.args.checkpoint)

    def load(self) -> None:
        """Go on where a checkpoint was written, on any number of ranks."""
        state: dict[str, Any] = torch.load(self.args.checkpoint, map_location="cpu", weights_only=True)
        self.pipe.load_state_dict(state["loader"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        rng = state["rng"][self.job.rank % len(state["rng"])]
        torch.set_rng_state(rng["cpu"])
        if rng["cuda"] is not None and self.job.device.type == "cuda":
            torch.cuda.set_rng_state(rng["cuda"])
        self.say(f"resumed in epoch {state['loader']['epoch'] + 1} at position {state['loader']['position']}")

    def say(self, text: str) -> None:
        """Print once, not once a rank."""
        if self.job.is_first:
            print(text, flush=True)


def arguments() -> argparse.Namespace:
    """Parse and check the command line."""
    parser = argument_parser(__doc__)
    parser.add_argument("--train", required=True, help="training shards, a path or URL with braces")
    parser.add_argument("--val", help="validation shards; evaluated after each epoch")
    parser.add_argument("--epochs", type=int, default=90)
    parser.add_argument("--mix", choices=("none", "mixup", "cutmix", "both"), default="both")
    parser.add_argument("--label-smoothing", type=float, default=0.1)
    parser.add_argument("--lr", type=float, default=0.1, help="peak learning rate")
    parser.add_argument("--weight-decay", type=float, default=5e-5)
    parser.add_argument("--min-scale", type=float, default=0.08, help="smallest crop, as a share of the image's area")
    parser.add_argument("--antialias", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lanes", type=int, default=32, help="twice a multiple of every number of ranks in use")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoint.pt"))
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint if it is there")
    parser.add_argument("--save-every", type=int, default=0, help="steps between checkpoints; 0: once an epoch")
    parser.add_argument("--print-every", type=int, default=20, help="steps between progress lines")
    parser.add_argument("--log-batches", type=Path, help="a folder for digests of every batch, see batch_log.py")
    args = parser.parse_args()
    if args.checkpoint.exists() and not args.resume:
        parser.error(f"--checkpoint: {args.checkpoint} exists. Pass --resume to go on, or name another file.")
    return args


def main() -> int:
    """Train; returns the exit code."""
    args = arguments()
    with launched(args.device) as job:
        training = Training(args, job)
        if args.resume and args.checkpoint.exists():
            training.load()
        return training.run()


if __name__ == "__main__":
    sys.exit(main())
