"""Top-1 and top-5 accuracy of a checkpoint on a validation set; every image counts once, on any number of ranks.

    python imagenet_eval.py --val '/data/val-{000000..000063}.tar' --checkpoint checkpoint.pt
    torchrun --nproc-per-node 8 imagenet_eval.py …

The images are resized to 8/7 of `--size` on their shorter side, 256 for 224, and the centre is cut out.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import torch
from launch import Job, argument_parser, launched
from models import build_model, load_weights
from torch import nn

from streamaug import Augmenter, ShardReader, ShardSet, recipes


@dataclass(frozen=True)
class Accuracy:
    """Shares of `count` images whose class was the first, or among the first five, of the model's guesses."""

    top1: float
    top5: float
    count: int

    def __str__(self) -> str:
        return f"top-1 {self.top1:.2%}, top-5 {self.top5:.2%} of {self.count} images"


def evaluation_pipe(args: argparse.Namespace, job: Job) -> Augmenter:
    """The shards as listed, the last batch filled up with repeats that `origin.is_padding` marks."""
    reader = ShardReader(ShardSet.open(args.val), batch_size=args.batch_size, shuffle=False, tail="pad")
    recipe = recipes.imagenet_eval(size=args.size, resize=round(args.size * 8 / 7))
    return reader.augment(recipe, device=job.loader_device, num_threads=args.threads)


@torch.inference_mode()
def evaluate(model: nn.Module, pipe: Augmenter, job: Job, stopped: Callable[[], bool] = lambda: False) -> Accuracy:
    """Count over one pass and all ranks; gives up early, with what it has, when stopped() says so."""
    model.eval()
    counts = torch.zeros(3, dtype=torch.float64)
    for batch in pipe:
        real = torch.from_numpy(~batch.origin.is_padding)
        logits = model(batch.images.to(job.device)).cpu()
        guesses = logits.topk(min(5, logits.shape[1])).indices
        hits = guesses == batch.targets.cpu()[:, None]
        counts += torch.stack([hits[real, 0].sum(), hits[real].sum(), real.sum()])
        if stopped():
            break
    top1, top5, count = job.sum(counts).tolist()
    return Accuracy(top1 / max(count, 1), top5 / max(count, 1), round(count))


def main() -> int:
    """Evaluate and print."""
    parser = argument_parser(__doc__)
    parser.add_argument("--val", required=True, help="validation shards, a path or URL with braces")
    parser.add_argument("--checkpoint", required=True, help="written by imagenet_train.py")
    parser.add_argument("--ema", action="store_true", help="the moving average of the weights, not the weights")
    args = parser.parse_args()
    with launched(args.device, deterministic=args.deterministic) as job:
        model = build_model(args.model, args.num_classes, job.device)
        load_weights(args.checkpoint, model, job.device, average=args.ema)
        accuracy = evaluate(model, evaluation_pipe(args, job), job)
        if job.is_first:
            print(accuracy)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
