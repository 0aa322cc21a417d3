"""How well an order shuffles: its global batches beside those of a full shuffle of all samples.

In: an order and where the shards begin. Out: a few numbers. No sample is read.
"""

import numpy as np

from streamaug.order.base import Int64Array, Order


def quality(
    order: Order, starts: Int64Array, global_batch: int, steps: int, epoch: int, *, most: int = 64
) -> dict[str, float]:
    """Measures how well an epoch's global batches are mixed, beside a full shuffle of all samples.

    Args:
        order: The order.
        starts: int64 (S + 1,), the first sample of each shard, and N.
        global_batch: G.
        steps: Steps of the epoch.
        epoch: The epoch.
        most: Steps to measure, at most; they lie evenly in the epoch.

    Returns:
        `shards`: different shards in a global batch of G samples, on average over the steps; `shards_full`: of a full
        shuffle, Σₛ 1 − (1 − nₛ/N)ᴳ. `neighbours`: the share of a batch's samples whose successor in the shard is in
        the batch too; `neighbours_full`: G/N. `drift`: the correlation of a step with the mean number of its samples as
        listed; a full shuffle has 0.
    """
    chosen = np.unique(np.linspace(0, steps - 1, min(most, steps)).astype(np.int64))
    different, together, places = [], [], []
    for step in chosen.tolist():
        positions = np.arange(step * global_batch, (step + 1) * global_batch)
        ids = order.sample_ids(epoch, positions[positions < order.num_positions])
        different.append(len(np.unique(np.searchsorted(starts, ids, side="right"))))
        together.append(float(np.isin(ids + 1, ids).mean()))
        places.append((step, float(ids.mean())))
    sizes, total = np.diff(starts), int(starts[-1])
    drift = float(np.corrcoef(np.array(places).T)[0, 1]) if len(places) > 2 else 0.0
    return {
        "shards": float(np.mean(different)),
        "shards_full": float((1 - (1 - sizes / total) ** global_batch).sum()),
        "neighbours": float(np.mean(together)),
        "neighbours_full": min(1.0, global_batch / total),
        "drift": 0.0 if np.isnan(drift) else drift,
    }
