"""Readers of a few samples, and what their batches hold, row by row, in a form that compares by `==`."""

from typing import NamedTuple

import torch

from streamaug import EncodedBatch, Prediction, ShardReader, ShardSet, StorageOptions


class Row(NamedTuple):
    """One sample of a batch; two are equal if they agree bit for bit.

    Attributes:
        sample_id: Its number in the set.
        key: Its key.
        is_substitute: Whether it stands in for a bad one.
        content: The encoded image; or the pixels; or, of a prediction, the probabilities.
        target: The label, int; or what a mixed batch has for it.
    """

    sample_id: int
    key: str
    is_substitute: bool
    content: bytes
    target: int | bytes | tuple


def rows(batches):
    """{position: Row}; every position must come once."""
    out = {}
    for batch in batches:
        origin = batch.origin
        for row, position in enumerate(origin.positions.tolist()):
            assert position not in out
            facts = int(origin.sample_ids[row]), origin.keys[row], bool(origin.is_substitute[row])
            out[position] = Row(*facts, *_content_and_target(batch, row))
    return out


def _content_and_target(batch, row):
    if isinstance(batch, EncodedBatch):
        return bytes(batch.data[row]), int(bytes(batch.extras["cls"][row]))
    content = _bits(batch.probabilities[row] if isinstance(batch, Prediction) else batch.images[row])
    if not isinstance(batch.targets, torch.Tensor):  # sparse: labels a and b, and the share of a
        return content, tuple(part[row].item() for part in batch.targets)
    return content, _bits(batch.targets[row]) if batch.targets.ndim > 1 else int(batch.targets[row])


def _bits(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def reader(source, *, batch_size=32, rank=0, world_size=1, storage=None, **options):
    """A reader of a set, or of the URLs of one, by short runs; `batch_size` counts the rows of all ranks together."""
    shards = source if isinstance(source, ShardSet) else ShardSet.open(source, storage=storage or StorageOptions())
    options = {"seed": 3, "lanes": 16, "window": 128} | options
    return ShardReader(shards, batch_size=batch_size // world_size, rank=rank, world_size=world_size, **options)


def readers(source, world_size, **options):
    """The readers of all ranks."""
    return [reader(source, rank=rank, world_size=world_size, **options) for rank in range(world_size)]
