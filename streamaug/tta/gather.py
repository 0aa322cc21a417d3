"""Puts predictions together by position, whatever the batches and ranks.

In: predictions in any order, of any batch size, from any number of ranks. Out: one prediction, in the order of the
epoch, without padding. A position that is missing or comes twice is an error, never a silent change of the average.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np
import torch
from torch import distributed

from streamaug.batch import Int64Array, Origin, Prediction


def merge_predictions(predictions: Iterable[Prediction], *, num_samples: int | None = None) -> Prediction:
    """One prediction of a whole evaluation, ordered by position, without padding.

    Args:
        predictions: In any order; all of one epoch of one reader (or of the same reader on several ranks).
        num_samples: The expected number of samples, such as `shards.num_samples`. None: a position missing at the end
            goes unnoticed.

    Returns:
        probabilities float32 (N, K), targets and origin, N without padding; on the CPU. `origin.step` is the first
        step.

    Raises:
        ValueError: If a position is missing or came twice, predictions are of different epochs, seeds or numbers of
            classes, or N is not `num_samples`.
    """
    parts = list(predictions)
    if not parts:
        raise ValueError("predictions: there must be at least one, got none. Iterate the tta stage first.")
    identities = {(part.origin.seed, part.origin.epoch, part.origin.lanes) for part in parts}
    if len(identities) > 1:
        raise ValueError(
            f"predictions: must be of one epoch of one reader, got (seed, epoch, lanes) {sorted(identities)}. "
            "Merge each epoch by itself."
        )
    classes = sorted({part.probabilities.shape[1] for part in parts})
    if len(classes) > 1:
        raise ValueError(
            f"predictions: must be of one model's classes, got {' and '.join(map(str, classes))} classes. "
            "Merge each model's predictions by themselves."
        )
    positions = np.concatenate([part.origin.positions for part in parts])
    padding = np.concatenate([part.origin.is_padding for part in parts])
    _check_positions(positions)
    order = np.argsort(positions, kind="stable")
    order = order[~padding[order]]
    if num_samples is not None and len(order) != num_samples:
        raise ValueError(
            f"predictions: must be of {num_samples} samples, got {len(order)}. "
            'Merge all batches of all ranks, read with tail="pad".'
        )
    rows = torch.from_numpy(order)
    without = [part.targets is None for part in parts]
    if any(without) and not all(without):
        raise ValueError("predictions: must all have targets or none, got both. Read all with the same components.")
    targets = (
        None if without[0] else torch.cat([part.targets.cpu() for part in parts if part.targets is not None])[rows]
    )
    probabilities = torch.cat([part.probabilities.cpu() for part in parts])[rows]
    return Prediction(probabilities, targets, _origin([part.origin for part in parts], order))


def _check_positions(positions: Int64Array) -> None:
    distinct, counts = np.unique(positions, return_counts=True)
    if (counts > 1).any():
        twice = distinct[counts > 1]
        raise ValueError(
            f"predictions: each position must come once, got {len(twice)} more than once, the first {twice[0]}. "
            "Start a new list for each epoch, and give each rank its own rank number."
        )
    if distinct[-1] + 1 != len(distinct):
        missing = np.setdiff1d(np.arange(distinct[-1] + 1), distinct)
        raise ValueError(
            f"predictions: no position may be missing, got none for {len(missing)} of {distinct[-1] + 1}, the first "
            f"{missing[0]}. Merge the batches of all ranks, padding rows too."
        )


def _origin(origins: list[Origin], order: Int64Array) -> Origin:
    def column(name: str) -> np.ndarray:
        return np.concatenate([getattr(origin, name) for origin in origins])[order]

    keys = [key for origin in origins for key in origin.keys]
    return dataclasses.replace(
        origins[0],
        step=min(origin.step for origin in origins),
        positions=column("positions"),
        sample_ids=column("sample_ids"),
        keys=tuple(keys[row] for row in order.tolist()),
        is_padding=column("is_padding"),
        is_substitute=column("is_substitute"),
    )


def gather_predictions(predictions: Iterable[Prediction], *, num_samples: int | None = None) -> Prediction:
    """`merge_predictions` over all ranks of `torch.distributed`, if it is initialised; every rank gets the result.

    Args:
        predictions: This rank's.
        num_samples: As in `merge_predictions`.

    Raises:
        ValueError: As in `merge_predictions`, on every rank alike.
    """
    mine = [
        Prediction(part.probabilities.cpu(), None if part.targets is None else part.targets.cpu(), part.origin)
        for part in predictions
    ]
    if not (distributed.is_available() and distributed.is_initialized()):
        return merge_predictions(mine, num_samples=num_samples)
    ranks: list[list[Prediction] | None] = [None] * distributed.get_world_size()
    distributed.all_gather_object(ranks, mine)
    return merge_predictions([part for rank in ranks for part in rank or []], num_samples=num_samples)
