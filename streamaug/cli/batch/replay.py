"""Computes a training step again: the batch of every rank, and the facts of each row.

In: a function that makes the training's chain, and a step. Out: a `RankBatch` for each rank. Its cost does not depend
on the step's number.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from streamaug.batch import Batch, SparseTargets
from streamaug.dali.windows import windows
from streamaug.encoded import Encoded
from streamaug.errors import StreamaugError
from streamaug.recipes.recipe import Recipe
from streamaug.shards.shard_set import ShardSet
from streamaug.stages.augmenter import Augmenter
from streamaug.stages.base import Stage
from streamaug.stages.reader import ShardReader

#: The most classes that are listed of a mixed target.
_CLASSES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """The step that the user asks for.

    Attributes:
        state: A chain's saved state, which is loaded first; None: none.
        epoch: The epoch; None: that of the state.
        step: The step within it; None: the step that follows the state.
        world_size: W, the ranks of the training.
    """

    state: Mapping[str, Any] | None
    epoch: int | None
    step: int | None
    world_size: int


@dataclass(frozen=True, slots=True, eq=False)
class RankBatch:
    """The batch of a rank.

    Attributes:
        rank: Its number.
        delivered: The object that its loop got: a `Batch`, or the result of the chain's last stage.
        batch: The batch of images.
        recipe: The recipe that made it; None where the chain has none.
        stored: B encoded images as the augmenter got them; None for a stand-in that it asked for itself.
        rows: B mappings of facts, which JSON can hold.
    """

    rank: int
    delivered: Any
    batch: Batch
    recipe: Recipe | None
    stored: list[Encoded | None]
    rows: list[dict[str, Any]]


def replay(make_chain: Callable[[], Stage], wanted: Wanted) -> Iterator[RankBatch]:
    """The batches of a step, rank by rank.

    Raises:
        StreamaugError: If the chain delivers no images, or is no chain of that many ranks.
        StateError: If the state is of another dataset, seed or order.
        ValueError: If there is no such step.
    """
    for rank in range(wanted.world_size):
        with _as_rank(rank, wanted.world_size):
            chain = make_chain()
            with chain:
                yield _of_rank(chain, rank, wanted)


@contextmanager
def _as_rank(rank: int, world_size: int) -> Iterator[None]:
    """The environment that torchrun gives a rank."""
    values = {"RANK": rank, "WORLD_SIZE": world_size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world_size}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _of_rank(chain: Stage, rank: int, wanted: Wanted) -> RankBatch:
    """One rank's batch; where the last stage delivers another type, the stages before it are asked too."""
    delivered = _peeked(chain, wanted)
    reader = _reader(chain)
    settled = reader.ranks.settle()
    if settled != (rank, wanted.world_size):
        raise StreamaugError(
            f"--world-size: the chain must be one of rank {rank} of {wanted.world_size}, got one of rank {settled[0]} "
            f"of {settled[1]}. Leave rank and world_size out in FUNCTION, or take them from the environment."
        )
    batch, stage = delivered, chain
    while not isinstance(batch, Batch):
        if isinstance(stage, ShardReader | Augmenter):
            raise StreamaugError(
                f"FUNCTION: the chain must decode images, got {chain!r}. Return it with its augment(…) stage."
            )
        stage.close()
        stage = stage.source
        batch = _peeked(stage, wanted)
    augmenter = _augmenter(stage)
    recipe = None if augmenter is None else augmenter.recipe(batch.origin.epoch)
    stored: list[Encoded | None] = [None] * batch.batch_size
    if augmenter is not None:
        stored = _stored(augmenter, batch, wanted)
    return RankBatch(rank, delivered, batch, recipe, stored, _rows(rank, reader.shards, batch, recipe, stored))


def _reader(stage: Stage) -> ShardReader:
    while not isinstance(stage, ShardReader):
        stage = stage.source
    return stage


def _peeked(stage: Stage, wanted: Wanted) -> Any:
    if wanted.state is not None:
        stage.load_state_dict(wanted.state)
    if wanted.step is not None:
        stage.seek(stage.epoch if wanted.epoch is None else wanted.epoch, wanted.step)
    stage._reader._look_at_one_batch()
    return stage.peek()


def _augmenter(stage: Stage) -> Augmenter | None:
    """The chain's augmenter."""
    while not isinstance(stage, ShardReader | Augmenter):
        stage = stage.source
    return stage if isinstance(stage, Augmenter) else None


def _stored(augmenter: Augmenter, batch: Batch, wanted: Wanted) -> list[Encoded | None]:
    """Each row's image as delivered by the stages before the augmenter, which may change the stored image."""
    augmenter.close()
    encoded = _peeked(augmenter.source, wanted)
    same = encoded.origin.sample_ids == batch.origin.sample_ids
    return [data if is_same else None for data, is_same in zip(encoded.data, same.tolist(), strict=True)]


def _rows(
    rank: int, shards: ShardSet, batch: Batch, recipe: Recipe | None, stored: list[Encoded | None]
) -> list[dict[str, Any]]:
    """The facts of each row."""
    origin, mix = batch.origin, batch.mix
    taken = None if recipe is None else windows(recipe, [data or b"" for data in stored], origin)
    numbers = shards.catalogue.shards_of(origin.sample_ids).tolist()
    rows: list[dict[str, Any]] = []
    for row, key in enumerate(origin.keys):
        facts: dict[str, Any] = {
            "rank": rank,
            "row": row,
            "position": int(origin.positions[row]),
            "key": key,
            "sample_id": int(origin.sample_ids[row]),
            "shard": shards.shards[numbers[row]].location.shown,
            "target": _target(batch, row),
            "is_padding": bool(origin.is_padding[row]),
            "is_substitute": bool(origin.is_substitute[row]),
        }
        if origin.repeats > 1:
            facts["copy"] = int(origin.copies[row])
        if taken is not None:
            known = not facts["is_substitute"] and bool(np.isfinite(taken[:, row]).all())
            facts["windows"] = (taken[:, row].round(2) + 0.0).tolist() if known else None  # no -0.0
        if mix is not None:
            partner = int(mix.partner[row])
            facts["mix"] = {
                "kind": "none" if mix.lam[row] == 1 else "cutmix" if mix.is_cutmix[row] else "mixup",
                "lam": float(mix.lam[row]),
                "partner": partner,
                "partner_key": origin.keys[partner],
                "box": mix.boxes[row].tolist(),
            }
        rows.append(facts)
    return rows


def _target(batch: Batch, row: int) -> Any:
    """The target as a class number, as shares of classes of a mixed target, largest first, or as a list of values."""
    targets = batch.targets
    if targets is None:
        return None
    if isinstance(targets, SparseTargets):
        share = float(targets.lam[row])
        return {str(int(targets.targets[row])): share, str(int(targets.partner_targets[row])): 1.0 - share}
    if targets.ndim == 2 and targets.dtype.is_floating_point:
        shares, classes = targets[row].float().topk(min(_CLASSES, targets.shape[1]))
        pairs = zip(classes.tolist(), shares.tolist(), strict=True)
        return {str(number): share for number, share in pairs if share > 0}
    return targets[row].tolist()


def tensors_of(delivered: Any) -> Any:
    """The tensors that the loop was given, in plain containers, so that `torch.load(weights_only=True)` reads them."""
    if isinstance(delivered, Batch):
        values = {"images": delivered.images, "targets": delivered.targets, "boxes": delivered.boxes}
        values |= {"box_labels": delivered.box_labels, "keypoints": delivered.keypoints}
        return tensors_of({name: value for name, value in values.items() if value is not None})
    if isinstance(delivered, torch.Tensor):
        return delivered.detach().cpu().clone()
    if isinstance(delivered, Mapping):
        return {str(name): tensors_of(value) for name, value in delivered.items()}
    if isinstance(delivered, tuple | list):
        return [tensors_of(value) for value in delivered]
    if isinstance(delivered, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(delivered))
    return delivered if isinstance(delivered, str | int | float | bytes | None) else repr(delivered)
