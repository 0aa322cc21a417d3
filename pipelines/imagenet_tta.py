"""Accuracy of a checkpoint with test-time augmentation: of each view alone, and of the views merged.

    python imagenet_tta.py --val '/data/val-{000000..000063}.tar' --checkpoint checkpoint.pt --views ten_crop

The DALI graph decodes every image once and cuts its views from it. Compare the merged line with the first views: a view
that is worse than the others pulls the merge down. Correct on any number of ranks (torchrun).
"""

import argparse

import torch
from launch import Job, argument_parser, launched
from models import build_model, load_weights
from torch import nn

from streamaug import Augmenter, ShardReader, ShardSet, recipes, tta


def views_pipe(args: argparse.Namespace, job: Job) -> Augmenter:
    """The shards as listed; V views of each image, view-major."""
    reader = ShardReader(ShardSet.open(args.val), batch_size=args.batch_size, shuffle=False, tail="pad")
    recipe = recipes.imagenet_tta(views=args.views, size=args.size, resize=round(args.size * 8 / 7))
    return reader.augment(recipe, device=job.loader_device, num_threads=args.threads)


@torch.inference_mode()
def evaluate_views(model: nn.Module, pipe: Augmenter, job: Job, *, views: int, merge: str) -> tuple[list[float], int]:
    """Top-1 of each view and, last, of the merge; and the number of images. Over all ranks, each image once."""
    model.eval()
    hits = torch.zeros(views + 2, dtype=torch.float64)
    for batch in pipe:
        real = torch.from_numpy(~batch.origin.is_padding)
        views_of_batch = batch.images.chunk(batch.views)
        logits = torch.stack([model(view.to(job.device)).cpu() for view in views_of_batch])  # (V, B, K)
        merged = tta.merge(logits, merge)
        guesses = torch.cat([logits, merged[None]]).argmax(-1)  # (V + 1, B)
        correct = (guesses == batch.targets.cpu()) & real
        hits += torch.cat([correct.sum(1), real.sum()[None]])
    *correct_counts, count = job.sum(hits).tolist()
    return [correct / count for correct in correct_counts], round(count)


def main() -> int:
    """Evaluate, and print a line for each view."""
    parser = argument_parser(__doc__)
    parser.add_argument("--val", required=True, help="validation shards, a path or URL with braces")
    parser.add_argument("--checkpoint", required=True, help="written by imagenet_train.py")
    parser.add_argument("--ema", action="store_true", help="the moving average of the weights, not the weights")
    parser.add_argument("--views", choices=recipes.VIEWS, default="ten_crop")
    parser.add_argument("--merge", choices=tta.METHODS, default="mean")
    args = parser.parse_args()
    names = recipes.view_names(args.views)
    with launched(args.device, deterministic=args.deterministic) as job:
        model = build_model(args.model, args.num_classes, job.device)
        load_weights(args.checkpoint, model, job.device, average=args.ema)
        accuracies, count = evaluate_views(model, views_pipe(args, job), job, views=len(names), merge=args.merge)
        if job.is_first:
            for name, accuracy in zip([*names, f"merged ({args.merge})"], accuracies, strict=True):
                print(f"{name:24} top-1 {accuracy:.2%}")
            print(f"{count} images")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
