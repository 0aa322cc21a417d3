"""Trains an image classifier on WebDataset shards for weeks: stops when told to, and goes on exactly there.

    python imagenet_train.py --train '/data/train-{000000..001281}.tar' --val '/data/val-{000000..000063}.tar'
    torchrun --nproc-per-node 8 imagenet_train.py … --model resnet50 --bf16 --channels-last --resume auto

Ctrl-C, SIGTERM and SIGUSR1 finish the update under way, save a checkpoint and end. `--resume auto` goes on with the
very next batch, on any number of ranks; without a checkpoint it begins, so preemptible jobs always pass it.

Exit codes: 0 all epochs done; 130 (Ctrl-C), 143 (SIGTERM) or 138 (SIGUSR1) checkpoint saved, go on with --resume auto;
1 an error; 2 wrong arguments.
"""

import argparse
import math
import os
import platform
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from batch_log import BatchLog, weights_digest
from checkpoints import Checkpoints
from imagenet_eval import evaluate, evaluation_pipe
from launch import Job, launched
from models import build_model, find_model
from stopping import StopRequest
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from training_data import training_pipe
from training_log import TrainingLog, Value
from training_options import AUTO, arguments

from streamaug import Augmenter, Batch


def learning_rate(args: argparse.Namespace, done: float) -> float:
    """Linear warm-up, then a cosine, after so many epochs: of the place in the run alone, so nothing to save."""
    if done < args.warmup_epochs:
        return float(args.lr * done / args.warmup_epochs)
    progress = (done - args.warmup_epochs) / (args.epochs - args.warmup_epochs)
    return float(args.min_lr + (args.lr - args.min_lr) * (1 + math.cos(math.pi * progress)) / 2)


def make_optimizer(args: argparse.Namespace, model: nn.Module) -> torch.optim.Optimizer:
    """SGD or AdamW; biases and norms, which have one dimension or none, do not decay."""
    weights = [weight for weight in model.parameters() if weight.dim() > 1]
    others = [weight for weight in model.parameters() if weight.dim() <= 1]
    groups = [{"params": weights, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if args.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=args.lr)
    return torch.optim.SGD(groups, lr=args.lr, momentum=0.9, nesterov=True)


class Training:
    """A model, its average, its optimizer and its data; `load` restores all that `save` writes.

    Attributes:
        model: The weights.
        parallel: The same weights with gradients exchanged between ranks, where there are several.
        step_model: The module that a step calls: one of these two, compiled or not.
        average: Their moving average, if one is kept.
        evaluated: Epochs that were evaluated.
    """

    def __init__(self, args: argparse.Namespace, job: Job) -> None:
        self.args, self.job = args, job
        torch.manual_seed(args.seed)
        self.layout = torch.channels_last if args.channels_last else torch.contiguous_format
        model = build_model(args.model, args.num_classes, job.device)
        self.model = model.to(memory_format=self.layout)  # type: ignore[call-overload]  # not in its types
        self.average: AveragedModel | None = None
        if args.ema is not None:
            moving: Callable[..., None] = get_ema_multi_avg_fn(args.ema)  # type: ignore[no-untyped-call]  # untyped
            self.average = AveragedModel(self.model, multi_avg_fn=moving, use_buffers=True)
        self.parallel: DistributedDataParallel | None = None
        if job.world_size > 1:
            self.parallel = DistributedDataParallel(self.model, [job.device] if job.device.type == "cuda" else None)
        self.step_model: Callable[[torch.Tensor], torch.Tensor] = self.parallel or self.model
        if args.compile:  # not dynamic: a size's code must not depend on the sizes that this process saw before it
            self.step_model = torch.compile(self.step_model, dynamic=False, backend=args.compile)
        torch.manual_seed(args.seed + job.rank)  # dropout masks differ between ranks
        self.optimizer = make_optimizer(args, self.model)
        self.loss = nn.CrossEntropyLoss(label_smoothing=args.label_smoothing if args.mix == "none" else 0.0)
        self.pipe = training_pipe(args, job)
        self.validation = evaluation_pipe(args, job) if args.val else None
        self.checkpoints = Checkpoints(args.checkpoint, args.keep)
        self.log = TrainingLog(job, args.log_file, args.print_every)
        self.stop = StopRequest(job)
        self.evaluated = 0

    def backward(self, batch: Batch, *, share: float, last: bool) -> torch.Tensor:
        """Add a batch's gradient to those of its update; returns its loss, as a part of the update's.

        Args:
            batch: The batch.
            share: Its part of the update, 1 over the number of batches.
            last: Whether the update follows: only then do ranks exchange gradients.
        """
        together: AbstractContextManager[None] = nullcontext()
        if self.parallel is not None and not last:
            together = self.parallel.no_sync()
        batch = batch.to(self.job.device, non_blocking=True)
        images = batch.images.contiguous(memory_format=self.layout)
        with together:
            with torch.autocast(self.job.device.type, torch.bfloat16, enabled=self.args.bf16):
                loss: torch.Tensor = self.loss(self.step_model(images), batch.targets) * share
            torch.autograd.backward(loss)
        return loss.detach()

    def update(self, rate: float) -> None:
        """Move the weights by the gradients that were added up."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.args.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.args.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.model)

    def train_epoch(self, batches: BatchLog) -> bool:
        """Train the rest of an epoch; returns False if a signal ended it."""
        self.model.train()
        steps, every = len(self.pipe), self.args.accumulate
        loss = torch.zeros((), device=self.job.device)
        for batch in self.log.timed(self.pipe):
            batches.write(batch)
            epoch, step = batch.origin.epoch, batch.origin.step
            first = step // every * every
            last = min(first + every, steps) - 1
            part = self.backward(batch, share=1 / (last + 1 - first), last=step == last)
            loss = part if step == first else loss + part
            if step != last:
                continue
            number, rate = step // every + 1, learning_rate(self.args, epoch + (step + 1) / steps)
            self.update(rate)
            self.log.step(batch, steps, number, loss, rate)
            if self.stop.agreed():
                return False
            if self.args.save_every and number % self.args.save_every == 0:
                self.save()
        return True

    def run(self) -> int:
        """Train all epochs that are left; returns the exit code."""
        batches = BatchLog(self.args.log_batches, self.job.rank)
        while True:
            if self.validation is not None and self.evaluated < self.pipe.epoch and not self.evaluate(self.validation):
                return self.stopped()
            if self.pipe.epoch >= self.args.epochs:
                digest = weights_digest(self.model)
                self.log.event("done", f"done: {self.args.epochs} epochs, weights {digest}", {"weights": digest})
                return 0
            if not self.train_epoch(batches):
                return self.stopped()
            self.save()

    def evaluate(self, validation: Augmenter) -> bool:
        """Evaluate the weights, and their average, in float32 as imagenet_eval.py does; False if a signal ended it."""
        models = [("model", "validation", self.model)]
        if self.average is not None:
            models.append(("average", "validation of the average", self.average.module))
        for name, label, model in models:
            self.job.same_buffers(model)
            accuracy = evaluate(model, validation, self.job, self.stop.agreed)
            if self.stop.agreed():
                return False
            record: dict[str, Value] = {"epoch": self.pipe.epoch, "weights": name}
            record |= {"top1": accuracy.top1, "top5": accuracy.top5, "images": accuracy.count}
            self.log.event("validation", f"epoch {self.pipe.epoch} {label}: {accuracy}", record)
        self.evaluated = self.pipe.epoch
        return True

    def stopped(self) -> int:
        """Save because a signal asked for it; returns the exit code."""
        self.save()
        place = {key: self.pipe.state_dict()[key] for key in ("epoch", "position")}
        where = f"in epoch {place['epoch'] + 1} at position {place['position']}"
        self.log.event("stopped", f"stopped {where}, saved {self.args.checkpoint}", place)
        return self.stop.exit_code

    def save(self) -> None:
        """Write a checkpoint, between two updates: no gradient is under way."""
        on_cuda = self.job.device.type == "cuda"
        rng = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state() if on_cuda else None}
        every_rng = self.job.gather(rng)
        if self.job.is_first:
            average = self.average
            state = {
                "version": 2,
                "loader": self.pipe.state_dict(),  # the same on every rank
                "model": self.model.state_dict(),
                "ema": average and {"model": average.module.state_dict(), "updates": int(average.n_averaged)},
                "optimizer": self.optimizer.state_dict(),
                "evaluated": self.evaluated,
                "rng": every_rng,
            }
            self.checkpoints.save(state)

    def load(self, checkpoints: Checkpoints) -> None:
        """Go on from the newest whole checkpoint, on any number of ranks; begin if there is none.

        Raises:
            ValueError: If ranks see different checkpoints, or the checkpoint is of an earlier version.
        """
        found = checkpoints.load()
        seen = self.job.gather(None if found is None else str(found[1]))
        if len(set(seen)) > 1:
            raise ValueError(f"--checkpoint: all ranks must see one file, they see {seen}. Put it on a shared disk.")
        if self.job.is_first:
            checkpoints.set_torn_aside()
        if found is None:
            return
        state, path = found
        if state["version"] != 2:
            raise ValueError(f"--checkpoint: must be of version 2, got {state['version']} in {path}. Begin anew.")
        self.restore(state)
        place = {key: state["loader"][key] for key in ("epoch", "position")}
        where = f"in epoch {place['epoch'] + 1} at position {place['position']}"
        self.log.event("resumed", f"resumed {where}", place | {"checkpoint": str(path)})

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the contents of a checkpoint."""
        self.pipe.load_state_dict(state["loader"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.evaluated = state["evaluated"]
        if self.average is not None:
            if state["ema"] is None:
                raise ValueError("--ema: the checkpoint must hold a moving average, it has none. Leave --ema out.")
            self.average.module.load_state_dict(state["ema"]["model"])
            self.average.n_averaged.fill_(state["ema"]["updates"])
        rng = state["rng"][self.job.rank % len(state["rng"])]
        torch.set_rng_state(rng["cpu"])
        if rng["cuda"] is not None and self.job.device.type == "cuda":
            torch.cuda.set_rng_state(rng["cuda"])


def main() -> int:
    """Train; returns the exit code."""
    args = arguments(__doc__)
    with launched(args.device, deterministic=args.deterministic) as job:
        training = Training(args, job)
        source = find_model(args.model)[1]
        flags: dict[str, object] = {name: str(value) for name, value in vars(args).items()}
        processes = job.gather({"host": platform.node(), "pid": os.getpid()})
        training.log.event("begin", f"model {args.model} of {source}", {"flags": flags, "processes": processes})
        if args.resume is not None:
            checkpoints = training.checkpoints if args.resume == AUTO else Checkpoints(Path(args.resume))
            training.load(checkpoints)
        return training.run()


if __name__ == "__main__":
    sys.exit(main())
