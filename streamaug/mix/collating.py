"""Mixup and CutMix for torch's `DataLoader`: a function to pass as `collate_fn`.

In: the samples of a batch. Out: images and targets, mixed in the memory into which they were collated. It runs in the
loader's workers, and draws one number a batch from torch's generator there, which the loader seeds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from streamaug.batch import Batch, Origin, SparseTargets
from streamaug.mix.mixer import Mixer
from streamaug.mix.settings import Lam, MixSettings, TargetForm

#: From the samples of a batch to (images, targets).
Collate = Callable[[list[Any]], Any]


@dataclass(frozen=True, slots=True)
class _MixingCollate:
    settings: MixSettings
    collate_fn: Collate

    def __call__(self, samples: list[Any]) -> tuple[torch.Tensor, torch.Tensor | SparseTargets]:
        collated = self.collate_fn(samples)
        if not (isinstance(collated, tuple | list) and len(collated) == 2):
            raise ValueError(
                f"mix.collate: samples must be (image, target), got {type(collated).__name__} of them. "
                "Let the data set return two values, or give a collate_fn that does."
            )
        images, targets = collated
        batch = Batch(images, torch.as_tensor(targets), _origin(len(images)))
        mixed = Mixer(self.settings).mix(batch)
        if mixed.targets is None:
            raise ValueError("mix.collate: samples must have targets, got none. Return (image, target).")
        return mixed.images, mixed.targets


def _origin(rows: int) -> Origin:
    """An origin whose seed torch's generator drew; the rows are numbered."""
    seed = int(torch.randint(1 << 32, ()))
    numbers, flags = np.arange(rows, dtype=np.int64), np.zeros(rows, bool)
    keys = tuple(f"row {number} of the batch" for number in range(rows))
    return Origin(seed, 0, 0, 1, numbers, numbers, keys, flags, flags)


def collate(
    *,
    num_classes: int,
    mixup_alpha: float = 0.2,
    cutmix_alpha: float = 1.0,
    probability: float = 1.0,
    switch_probability: float = 0.5,
    label_smoothing: float = 0.0,
    lam: Lam = "pair",
    cutmix_minmax: tuple[float, float] | None = None,
    targets: TargetForm = "soft",
    collate_fn: Collate = default_collate,
) -> Callable[[list[Any]], tuple[torch.Tensor, torch.Tensor | SparseTargets]]:
    """A `collate_fn` for torch's DataLoader that mixes each batch; it can be pickled, so workers may be spawned.

    `DataLoader(dataset, batch_size=64, collate_fn=mix.collate(num_classes=10))`. A collate function does not learn the
    epoch, so there is no schedule. Mixing depends on the loader's workers, as all its random numbers do; streamaug's
    own chains repeat exactly, on any number of ranks.

    Args:
        num_classes: K.
        mixup_alpha: As in `MixupOrCutMix`; 0 leaves Mixup out.
        cutmix_alpha: As in `MixupOrCutMix`; 0 leaves CutMix out.
        probability: Chance that a pair is mixed, 0..1.
        switch_probability: Chance that a mixed pair is CutMix's, 0..1.
        label_smoothing: ε, 0..1.
        lam: The rows that share λ: "pair", "batch" or "element".
        cutmix_minmax: As in `MixupOrCutMix`.
        targets: "soft": float32 (B, K). "sparse": `SparseTargets`.
        collate_fn: Makes (images (B, C, H, W), targets) of samples; torch's own by default.

    Returns:
        A function from samples (image, target) to (images, targets).

    Raises:
        ValueError: If an argument is out of range; when it is called, if the samples are no such pairs.
    """
    settings = MixSettings(
        stage="mix.collate",
        num_classes=num_classes,
        mixup_alpha=mixup_alpha,
        cutmix_alpha=cutmix_alpha,
        probability=probability,
        switch_probability=switch_probability,
        label_smoothing=label_smoothing,
        lam=lam,
        cutmix_minmax=cutmix_minmax,
        targets=targets,
    )
    return _MixingCollate(settings, collate_fn)
