"""Shards to mixed batches: the whole work of streamaug in a training, by the flags of training_options.py."""

import argparse
import math
from collections.abc import Callable
from dataclasses import replace

from launch import Job

from streamaug import Augmenter, MixupOrCutMix, ShardReader, ShardSet, StorageOptions, mix, ops, recipes
from streamaug.ops.base import Operation
from streamaug.recipes.imagenet import IMAGENET_MEAN
from streamaug.recipes.recipe import Recipe

TrainingPipe = Augmenter | MixupOrCutMix

#: Progressive sizes are multiples of this, as most models want.
SIZE_STEP = 32
#: Share of the epochs over which images grow; the other epochs have the full size.
GROWING = 0.75


def sizes(epochs: int, first: int | None, last: int) -> list[int]:
    """Pixels of each epoch's images: from `first` to `last` in multiples of 32 over three quarters of the epochs.

    Args:
        epochs: The number of epochs.
        first: Of the first epoch; None: `last` throughout.
        last: Of the last epochs.
    """
    if first is None:
        return [last] * epochs
    grown = max(1, math.floor(GROWING * epochs))
    exact = (first + (last - first) * min(1.0, epoch / grown) for epoch in range(epochs))
    return [last if size >= last else min(last, max(first, int(size) // SIZE_STEP * SIZE_STEP)) for size in exact]


def policy(args: argparse.Namespace) -> Operation | None:
    """The operation that --policy names."""
    if args.policy == "rand":
        return ops.RandAugment(n=args.rand_operations, magnitude=args.rand_magnitude)
    if args.policy == "trivial":
        return ops.TrivialAugmentWide()
    return ops.AutoAugment() if args.policy == "auto" else None


def training_recipe(args: argparse.Namespace) -> Callable[[int], Recipe]:
    """The recipe of each epoch; past the last epoch, that of the last."""
    pixels = sizes(args.epochs, args.progressive, args.size)

    def recipe(epoch: int) -> Recipe:
        usual = recipes.imagenet_train(
            size=pixels[min(epoch, args.epochs - 1)],
            scale=(args.min_scale, 1.0),
            antialias=args.antialias,
            jitter=args.jitter,
            policy=policy(args),
            erase=args.erase,
        )
        if args.cutout is None:
            return usual
        cutout = ops.Erase(size=args.cutout, fill=IMAGENET_MEAN, probability=1.0)
        return replace(usual, operations=(*usual.operations, cutout))

    return recipe


def training_pipe(args: argparse.Namespace, job: Job) -> TrainingPipe:
    """Shards to mixed batches."""
    shards = ShardSet.open(args.train, storage=StorageOptions(cache_dir=args.cache_dir))
    reader = ShardReader(shards, batch_size=args.batch_size, seed=args.seed, lanes=args.lanes, repeats=args.repeats)
    pipe = reader.augment(training_recipe(args), device=job.loader_device, num_threads=args.threads)
    if args.mix == "none":
        return pipe
    # An α of 0 leaves a kind out.
    mixup_alpha, cutmix_alpha = (
        alpha if args.mix in (kind, "both") else 0.0
        for kind, alpha in (("mixup", args.mixup_alpha), ("cutmix", args.cutmix_alpha))
    )
    return pipe.mixup_or_cutmix(
        num_classes=args.num_classes,
        mixup_alpha=mixup_alpha,
        cutmix_alpha=cutmix_alpha,
        probability=args.mix_probability,
        switch_probability=args.switch_probability,
        label_smoothing=args.label_smoothing,
        schedule=None if args.mix_off_epoch is None else mix.off_from(args.mix_off_epoch),
    )
