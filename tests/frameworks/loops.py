"""Chains for other people's loops, and what they deliver: a digest of a batch's pixels and targets tells its place."""

import hashlib

import torch

import streamaug as sa

SIZES = (31, 1, 40, 25)  # of shards
STEPS = 6  # of 16 rows, on one rank or on two: 97 samples are 96 positions of 8 lanes
EPOCHS = 3
CLASSES = 1000


def reader(url, *, ranks, rank=None, **options):
    """A reader of 16 rows on all ranks together, which finds its rank later where it is not given."""
    options = {"batch_size": 16 // ranks, "seed": 3, "lanes": 8, "window": 32} | options
    if rank is not None:
        options |= {"rank": rank, "world_size": ranks}
    return sa.ShardReader(sa.ShardSet.open(url), **options)


def plain(url, *, ranks=1, size=16, **options):
    """Augmented images with integer labels."""
    recipe = sa.recipes.imagenet_train(size=size)
    return reader(url, ranks=ranks, **options).augment(recipe, device="cpu", num_threads=1)


def mixed(url, **options):
    """Augmented and mixed images with soft targets."""
    return plain(url, **options).mixup_or_cutmix(num_classes=CLASSES)


def evaluated(url, *, ranks=1, views=None, **options):
    """All images in order, padded: 7 batches of 16, 15 rows of padding; with 5 views where they are asked for."""
    recipe = sa.recipes.imagenet_tta("five_crop", size=16) if views else sa.recipes.imagenet_eval(size=16)
    head = reader(url, ranks=ranks, **{"shuffle": False, "tail": "pad", "lanes": None, "window": None} | options)
    return head.augment(recipe, device="cpu", num_threads=1)


def digest(images, targets):
    """A short text that is different for different pixels or targets."""
    known = hashlib.blake2b(digest_size=8)
    for tensor in (images, targets):
        known.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return known.hexdigest()


def places(url, make, *, rank=0, ranks=1, epochs=EPOCHS + 1, **options):
    """{digest: [epoch, step]} of an unbroken run of a chain, read without any framework."""
    chain = make(url, ranks=ranks, rank=rank, **options)
    found = {}
    for _ in range(epochs):
        for batch in chain:
            found[digest(*batch)] = [batch.origin.epoch, batch.origin.step]
    return found


def epochs(*numbers, start=0, stop=STEPS):
    """The places of some epochs; the first one from a step on."""
    every = [[number, step] for number in numbers for step in range(stop)]
    return every[start:]


class Classifier(torch.nn.Module):
    """The smallest model of images (B, 3, H, W): the mean of each channel, and a linear layer."""

    def __init__(self, classes=CLASSES):
        super().__init__()
        self.layer = torch.nn.Linear(3, classes)

    def forward(self, images):
        return self.layer(images.mean((2, 3)))


def loss_of(logits, targets):
    """Cross-entropy with either kind of targets."""
    return torch.nn.functional.cross_entropy(logits.float(), targets.float() if targets.ndim == 2 else targets)
