"""Chains of the drawn samples in 6 steps an epoch, and where their batches and states stand."""

import dataclasses

from reading import reader

from streamaug import recipes

STEPS = 6  # of 64 rows: 389 samples in 16 lanes are 384 positions


def plain(source, **options):
    """A reader alone."""
    return reader(source, batch_size=64, **options)


def train(source, **options):
    """A reader and small augmented images."""
    return plain(source, **options).augment(recipes.imagenet_train(size=16), device="cpu", num_threads=2)


def negative(batch):
    """The batch with its images turned to their negatives."""
    return dataclasses.replace(batch, images=-batch.images)


def place(batch):
    """(epoch, step)."""
    return batch.origin.epoch, batch.origin.step


def places(batches):
    return [place(batch) for batch in batches]


def epoch(number, start=0):
    """The places of an epoch, from a step on."""
    return [(number, step) for step in range(start, STEPS)]


def taken(chain, count):
    """An iterator that has delivered so many batches."""
    stream = iter(chain)
    for _ in range(count):
        next(stream)
    return stream


def standing(chain):
    """(epoch, step) of a chain's state."""
    state = chain.state_dict()
    return state["epoch"], state["position"] // 64
