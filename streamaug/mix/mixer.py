"""The plain engine behind the stages: draws a batch's plan and applies it in place.

In: a `Batch` of one view with integer targets. Out: the same memory, mixed, with its targets and plan. The one state is
whether a warning was given already.
"""

import dataclasses
import re
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from streamaug.batch import Batch, Origin, SparseTargets
from streamaug.errors import TargetError
from streamaug.mix.arrays import ArrayT, TargetsT
from streamaug.mix.pixels import blend
from streamaug.mix.plan import Lam, MixPlan, check_parameters, partners
from streamaug.mix.targets import check_classes, mix_targets


def apply(
    images: ArrayT,
    targets: TargetsT,
    plan: MixPlan,
    *,
    num_classes: int,
    label_smoothing: float = 0.0,
    out: ArrayT | None = None,
) -> tuple[ArrayT, TargetsT]:
    """Mix a batch as a plan says.

    Args:
        images: (B, C, H, W), see `mixup`; H and W as the plan was drawn for.
        targets: int (B,), see `mix_targets`.
        plan: What to do.
        num_classes: K.
        label_smoothing: ε, 0..1.
        out: Where the images go; `out=images` works in place. None: new memory.

    Returns:
        (images, soft targets float32 (B, K)).

    Raises:
        ValueError: If an argument does not fit the others.
    """
    soft = mix_targets(targets, plan.partner, plan.lam, num_classes=num_classes, label_smoothing=label_smoothing)
    return _apply_pixels(images, plan, out), soft


def _apply_pixels(images: ArrayT, plan: MixPlan, out: ArrayT | None) -> ArrayT:
    return blend(images, plan.partner, np.where(plan.is_cutmix, 1.0, plan.lam), plan.boxes, out=out)


@dataclass(frozen=True, slots=True, kw_only=True)
class MixSettings:
    """What a mixing stage was asked for; `stage` names it in errors. The other fields are explained in `MixPlan.draw`.

    Raises:
        ValueError: If a field is out of range.
    """

    stage: str
    num_classes: int
    mixup_alpha: float = 0.2
    cutmix_alpha: float = 1.0
    probability: float = 1.0
    switch_probability: float = 0.5
    label_smoothing: float = 0.0
    lam: Lam = "pair"
    targets: Literal["soft", "sparse"] = "soft"

    def __post_init__(self) -> None:
        try:
            check_parameters(self.mixup_alpha, self.cutmix_alpha, self.probability, self.switch_probability, self.lam)
            check_classes(self.num_classes, self.label_smoothing)
        except ValueError as error:
            # A stage for one kind only calls its α alpha.
            parameter = str(error) if self.stage == "MixupOrCutMix" else re.sub("^(mixup|cutmix)_", "", str(error))
            raise ValueError(f"{self.stage}.{parameter}") from None
        if self.targets not in ("soft", "sparse"):
            raise ValueError(f'{self.stage}.targets: must be "soft" or "sparse", got {self.targets!r}. Use "soft".')
        if self.targets == "sparse" and self.label_smoothing:
            raise ValueError(
                f'{self.stage}.label_smoothing: must be 0 with targets="sparse", got {self.label_smoothing}. '
                "Give it to the loss, as in soft_target_cross_entropy(logits, targets, label_smoothing=0.1)."
            )


class Mixer:
    """Mixes batches, one at a time, in place."""

    def __init__(self, settings: MixSettings) -> None:
        self.settings = settings
        self._warned = False

    def mix(self, batch: Batch) -> Batch:
        """The batch with mixed images (in the memory they came in), mixed targets and its plan.

        Raises:
            TypeError: If it is no batch of decoded images.
            ValueError: If the batch has several views, is mixed already, or has boxes or keypoints.
            TargetError: If a target is no class, on the CPU.
        """
        self._refuse(batch)
        settings, origin = self.settings, batch.origin
        self._warn_if_local(origin)
        plan = MixPlan.draw(
            origin,
            height=batch.images.shape[2],
            width=batch.images.shape[3],
            mixup_alpha=settings.mixup_alpha,
            cutmix_alpha=settings.cutmix_alpha,
            probability=settings.probability,
            switch_probability=settings.switch_probability,
            lam=settings.lam,
        )
        targets = None if batch.targets is None else self._mixed_targets(batch.targets, plan, origin)
        _apply_pixels(batch.images, plan, out=batch.images)
        return dataclasses.replace(batch, targets=targets, mix=plan)

    def _refuse(self, batch: object) -> None:
        stage = self.settings.stage
        if not isinstance(batch, Batch):
            raise TypeError(
                f"{stage}: needs batches of decoded images, got {type(batch).__name__}. Put it behind .augment()."
            )
        if batch.mix is not None:
            raise ValueError(f"{stage}: a batch is mixed once, got one that is mixed already. Use .mixup_or_cutmix().")
        if batch.views != 1:
            raise ValueError(
                f"{stage}: images of several views are not mixed, got {batch.views} views. "
                "Mix in training, and use test-time augmentation without it."
            )
        if batch.boxes is not None or batch.keypoints is not None:
            raise ValueError(
                f"{stage}: images with boxes or keypoints are not mixed, got a batch with annotations. "
                "Leave annotations out of .augment()."
            )

    def _warn_if_local(self, origin: Origin) -> None:
        if self._warned or partners(origin)[1]:
            return
        self._warned = True
        stage, lanes, size = self.settings.stage, origin.lanes, len(origin.positions)
        if lanes % 2:
            needs, fix = f"an even number of lanes, got {lanes}", f"Read with lanes={lanes + 1}"
        else:
            needs = f"both partners of every pair in one batch, got {size} rows from position {origin.positions[0]} on"
            fix = f"Make batch_size × world_size a multiple of {lanes} lanes, on ranks that divide {lanes // 2}"
        warnings.warn(
            f"{stage}: mixing the same pairs on any number of ranks needs {needs}; neighbours in the batch are mixed "
            f"instead. {fix}.",
            UserWarning,
            stacklevel=2,
        )

    def _mixed_targets(
        self, targets: torch.Tensor | SparseTargets, plan: MixPlan, origin: Origin
    ) -> torch.Tensor | SparseTargets:
        settings = self.settings
        if not isinstance(targets, torch.Tensor) or targets.ndim != 1:
            raise ValueError(f"{settings.stage}: targets must be class numbers (B,). Mix before they are made soft.")
        if targets.device.type == "cpu":
            self._check_targets(targets, origin)
        if settings.targets == "sparse":
            index = torch.from_numpy(plan.partner).to(targets.device)
            return SparseTargets(targets, targets[index], torch.from_numpy(plan.lam).float().to(targets.device))
        return mix_targets(
            targets,
            plan.partner,
            plan.lam,
            num_classes=settings.num_classes,
            label_smoothing=settings.label_smoothing,
        )

    def _check_targets(self, targets: torch.Tensor, origin: Origin) -> None:
        outside = ((targets < 0) | (targets >= self.settings.num_classes)).nonzero()
        if len(outside):
            row = int(outside[0])
            raise TargetError(
                f"{self.settings.stage}.num_classes: labels must lie in 0..{self.settings.num_classes - 1}, got "
                f"{int(targets[row])} of sample {origin.keys[row]!r} (number {int(origin.sample_ids[row])} in the "
                "shards as listed). Set num_classes to the number of classes of the data set, mend the label, or give "
                "ShardReader num_classes too, which then replaces such samples if asked to."
            )
