"""Trains a small ResNet on CIFAR-10 shards with an augmentation or a mixing by name, and measures it.

    python cifar10_mix.py --data '../shared/data/cifar10' --method cutmix --epochs 20 --seed 1 --json cutmix-1.json

Shards → augmentation → mixing → network; then the test images, plain and in ten views, and the network's outputs in
between training images. Runs on CPU or GPU. It prints a line for each curve point, and writes all figures with --json.
`--minutes` ends the training at the next batch after this time; the figures are then marked.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from cifar10_methods import CLASSES, METHODS, VIEWS, Method, evaluation_recipe
from in_between import in_between
from tiny_resnet import tiny_resnet
from torch import nn

from streamaug import Augmenter, Batch, MixupOrCutMix, ShardReader, ShardSet, mix, tta

#: The shards of the two halves in `--data`; a number of training shards takes the first of them.
TRAIN = "train-{{000000..{last:06}}}.tar"
TEST = "test-{000000..000001}.tar"


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Parse and check the command line, or the words in its place."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder or URL of the shards train-*.tar and test-*.tar")
    parser.add_argument("--train-shards", type=int, default=10, help="the first so many of the training shards")
    parser.add_argument("--method", choices=METHODS, default="both")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order, augmentation and mixing")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=math.inf, help="time limit of the training")
    parser.add_argument("--batch-size", type=int, default=100)
    parser.add_argument("--lr", type=float, default=0.1, help="peak of the learning rate")
    parser.add_argument("--weight-decay", type=float, default=5e-4)
    parser.add_argument("--width", type=int, default=16, help="channels of the first block; the last has four times")
    parser.add_argument("--curve-every", type=int, default=1, help="epochs between two points of the learning curve")
    parser.add_argument("--pairs", type=int, default=200, help="of training images, to look in between")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16 in training; weights stay float32")
    parser.add_argument("--threads", type=int, default=1, help="of DALI and of torch, on a CPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    args = parser.parse_args(words)
    for name in ("epochs", "train_shards", "curve_every", "pairs", "batch_size"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')}: must be at least 1, got {getattr(args, name)}. Write 1.")
    if not args.minutes > 0:
        parser.error(f"--minutes: must be above 0, got {args.minutes:g}. Write 10.")
    return args


def _reader(args: argparse.Namespace, shards: str, *, shuffle: bool) -> ShardReader:
    return ShardReader(
        ShardSet.open(f"{args.data}/{shards}"),
        batch_size=args.batch_size,
        seed=args.seed,
        shuffle=shuffle,
        tail="drop" if shuffle else "pad",
        lanes=1,
    )


def _augment(args: argparse.Namespace, reader: ShardReader, recipe: Any) -> Augmenter:
    return reader.augment(recipe, device="gpu" if args.device == "cuda" else "cpu", num_threads=args.threads)


def training_chain(args: argparse.Namespace, method: Method) -> Augmenter | MixupOrCutMix:
    """Shuffled, augmented and mixed batches."""
    pipe = _augment(args, _reader(args, TRAIN.format(last=args.train_shards - 1), shuffle=True), method.recipe)
    if not method.mixes:
        return pipe
    return pipe.mixup_or_cutmix(num_classes=CLASSES, mixup_alpha=method.mixup_alpha, cutmix_alpha=method.cutmix_alpha)


def evaluation_chain(args: argparse.Namespace, *, views: bool = False) -> Augmenter:
    """The test images in order, with all views if `views`."""
    return _augment(args, _reader(args, TEST, shuffle=False), evaluation_recipe(views=views))


def plain_images(args: argparse.Namespace, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first training images without augmentation, float32 (count, 3, 32, 32), and their classes, int64 (count,)."""
    shards = TRAIN.format(last=args.train_shards - 1)
    chain = _augment(args, _reader(args, shards, shuffle=False), evaluation_recipe())
    batches = list(islice(chain, -(-count // args.batch_size)))
    images = torch.cat([batch.images for batch in batches])[:count]
    return images, torch.cat([batch.targets for batch in batches])[:count]


class Training:
    """A network, its optimizer and its batches.

    Attributes:
        model: The network.
        curve: Points of the learning curve: epochs done, training loss, test error, NLL and seconds.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.method = args, METHODS[args.method]
        torch.manual_seed(args.seed)
        model = tiny_resnet(CLASSES, args.width)
        self.model = model.to(args.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its types
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), args.lr, momentum=0.9, weight_decay=args.weight_decay, nesterov=True
        )
        self.chain, self.test = training_chain(args, self.method), evaluation_chain(args)
        self.curve: list[dict[str, float]] = []

    def learning_rate(self, done: float) -> float:
        """Linear warm-up over a fifth of the epochs, then down to 0 along a line, after so many epochs."""
        share = done / self.args.epochs
        return float(self.args.lr * min(share / 0.2, (1 - share) / 0.8))

    def step(self, batch: Batch, steps: int) -> torch.Tensor:
        """Move the weights by a batch; returns its loss."""
        images, targets = batch.to(self.args.device, non_blocking=True)
        self.model.train()
        with torch.autocast(self.args.device, torch.bfloat16, enabled=self.args.bf16):
            logits = self.model(images)
        loss = mix.soft_target_cross_entropy(logits, targets)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(batch.origin.epoch + (batch.origin.step + 1) / steps)
        self.optimizer.step()
        return loss.detach()

    def run(self) -> bool:
        """Train all epochs; False if the time limit ended it."""
        begin, steps, ended = time.monotonic(), len(self.chain), False
        for epoch in range(self.args.epochs):
            losses = []
            for batch in self.chain:
                losses.append(self.step(batch, steps))
                ended = time.monotonic() - begin > 60 * self.args.minutes
                if ended:
                    break
            done = epoch + len(losses) / steps
            if ended or (epoch + 1) % self.args.curve_every == 0 or epoch + 1 == self.args.epochs:
                self.point(done, float(torch.stack(losses).mean()), time.monotonic() - begin)
            if ended:
                return False
        return True

    def point(self, epochs: float, loss: float, seconds: float) -> None:
        """Add the test images' figures to the curve, and print them."""
        self.model.eval()
        logits, targets = tta.collect_logits(self.model, self.test)
        figures = tta.measure(tta.merge(logits), targets)
        error = 1 - figures.accuracy
        self.curve.append(
            {"epochs": epochs, "train_loss": loss, "error": error, "nll": figures.nll, "seconds": seconds}
        )
        print(f"epoch {epochs:6.2f}  loss {loss:.3f}  test error {error:.2%}  NLL {figures.nll:.3f}", flush=True)


def view_figures(model: nn.Module, args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Error, NLL and ECE of the test images: plain, with their mirror image, in ten views, and weighted.

    The weights of "fitted" are learned on one half of the test images and reported on the other, both ways, averaged.
    """
    model.eval()
    logits, targets = tta.collect_logits(model, evaluation_chain(args, views=True))
    mirrored = [0, len(VIEWS) // 2]
    chosen = {"plain": logits[:1], "mirrored": logits[mirrored], "ten": logits}
    found = {name: tta.measure(tta.merge(views), targets) for name, views in chosen.items()}
    figures = {name: {"error": 1 - m.accuracy, "nll": m.nll, "ece": m.ece} for name, m in found.items()}
    halves = [(logits[:, part::2], targets[part::2]) for part in (0, 1)]
    fits = [tta.fit_tta_weights(*half, report_on=other).report.fitted for half, other in (halves, halves[::-1])]
    both = {"error": [1 - m.accuracy for m in fits], "nll": [m.nll for m in fits], "ece": [m.ece for m in fits]}
    figures["fitted"] = {name: sum(values) / 2 for name, values in both.items()}
    return figures


def trained(args: argparse.Namespace) -> dict[str, Any]:
    """Train and measure; returns all figures, in plain types."""
    torch.set_num_threads(args.threads)
    began, busy = time.monotonic(), time.process_time()
    training = Training(args)
    finished = training.run()
    model = training.model
    images, classes = plain_images(args, min(2 * args.pairs, 1000 * args.train_shards))
    return {
        "method": args.method,
        "title": METHODS[args.method].title,
        "seed": args.seed,
        "epochs": args.epochs,
        "finished": finished,
        "weights": sum(weight.numel() for weight in model.parameters()),
        "test": view_figures(model, args),
        "curve": training.curve,
        "in_between": in_between(model, images.to(args.device), classes.to(args.device)),
        "seconds": time.monotonic() - began,
        "cpu_seconds": time.process_time() - busy,
    }


def lines(result: dict[str, Any]) -> Iterator[str]:
    """The lines that the program prints at its end."""
    for name, row in result["test"].items():
        yield f"{name:10}  top-1 error {row['error']:.2%}  NLL {row['nll']:.3f}  ECE {row['ece']:.3f}"
    if not result["finished"]:
        yield "the time limit ended the training: --epochs were not reached"


def main() -> int:
    """Train, print, and write the figures."""
    args = arguments()
    result = trained(args)
    for line in lines(result):
        print(line)
    if args.json is not None:
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
