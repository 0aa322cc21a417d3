"""The plain engine behind the stages: draws a batch's plan and applies it in place.

In: a `Batch` of one view. Out: the same memory, mixed, with its targets and plan. Its only state is whether it has
warned already.
"""

import dataclasses
import warnings

import numpy as np
import torch

from streamaug.batch import Batch, Origin, SparseTargets, decoded
from streamaug.errors import TargetError
from streamaug.mix.arrays import ArrayT, TargetsT, uploaded
from streamaug.mix.pixels import blend
from streamaug.mix.plan import MixPlan, draw, leaves_rows_alone
from streamaug.mix.settings import MixSettings
from streamaug.mix.targets import are_classes, check_form, mix_targets, rows_outside


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
        targets: int (B,), a table (B, K), or binary, float (B,); see `mix_targets`.
        plan: The plan.
        num_classes: K.
        label_smoothing: ε, 0..1.
        out: The memory for the mixed images; `out=images` works in place. None: new memory.

    Returns:
        (images, soft targets float32 (B, K), or (B,) for binary ones).

    Raises:
        ValueError: If an argument does not fit the others.
    """
    soft = mix_targets(targets, plan.partner, plan.lam, num_classes=num_classes, label_smoothing=label_smoothing)
    return _apply_pixels(images, plan, out), soft


def _apply_pixels(images: ArrayT, plan: MixPlan, out: ArrayT | None) -> ArrayT:
    return blend(images, plan.partner, np.where(plan.is_cutmix, 1.0, plan.lam), plan.boxes, out=out)


class Mixer:
    """Mixes batches, one at a time, in place."""

    def __init__(self, settings: MixSettings) -> None:
        self.settings = settings
        self._warned = False

    def mix(self, batch: Batch) -> Batch:
        """The batch with mixed images (in the memory they came in), mixed targets and its plan.

        Raises:
            TypeError: If the batch has no decoded images, or its targets are no tensor.
            ValueError: If the batch has several views, is mixed already, or has boxes or keypoints, or its targets are
                not of num_classes classes.
            TargetError: If a target is no class, or lies outside of 0..1, on the CPU.
        """
        settings, origin = self.settings, decoded(batch, self.settings.stage).origin
        self._refuse(batch)
        self._warn_if_alone(origin)
        plan = draw(origin, settings, height=batch.images.shape[2], width=batch.images.shape[3])
        targets = None if batch.targets is None else self._mixed_targets(batch.targets, plan, origin)
        _apply_pixels(batch.images, plan, out=batch.images)
        return dataclasses.replace(batch, targets=targets, mix=plan)

    def _refuse(self, batch: Batch) -> None:
        stage = self.settings.stage
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

    def _warn_if_alone(self, origin: Origin) -> None:
        if self._warned or not leaves_rows_alone(origin):
            return
        self._warned = True
        size = len(origin.positions)
        warnings.warn(
            f"{self.settings.stage}: the batches of a rank must be of even size to be mixed whole, and alike on any "
            f"number of ranks, got {size} rows; the last row of each batch stays as it is. Read with "
            f"batch_size={size + 1}.",
            UserWarning,
            stacklevel=2,
        )

    def _mixed_targets(
        self, targets: torch.Tensor | SparseTargets, plan: MixPlan, origin: Origin
    ) -> torch.Tensor | SparseTargets:
        settings = self.settings
        if not isinstance(targets, torch.Tensor):
            raise TypeError(f"{settings.stage}: targets must be a tensor, got {type(targets).__name__}. Mix once only.")
        try:
            check_form(targets, settings.num_classes)
        except ValueError as error:
            raise ValueError(f"{settings.stage}.{error}") from None
        if targets.device.type == "cpu":
            self._check_targets(targets, origin)
        if settings.targets == "sparse":
            if not are_classes(targets):
                raise ValueError(
                    f'{settings.stage}.targets: "sparse" needs class numbers, integers (B,), got {targets.dtype} '
                    f'{tuple(targets.shape)}. Use targets="soft".'
                )
            partner, lam = uploaded(targets.device, plan.partner, plan.lam)
            return SparseTargets(targets, targets[partner], lam.float())
        return mix_targets(
            targets,
            plan.partner,
            plan.lam,
            num_classes=settings.num_classes,
            label_smoothing=settings.label_smoothing,
        )

    def _check_targets(self, targets: torch.Tensor, origin: Origin) -> None:
        outside = rows_outside(targets, self.settings.num_classes).nonzero()
        if not len(outside):
            return
        row = int(outside[0])
        sample = f"of sample {origin.keys[row]!r} (number {int(origin.sample_ids[row])} in the shards as listed)"
        if not are_classes(targets):
            raise TargetError(
                f"{self.settings.stage}: targets that are no class numbers must lie in 0..1, got "
                f"{targets[row].tolist()} {sample}. Give probabilities, or 0 and 1."
            )
        raise TargetError(
            f"{self.settings.stage}.num_classes: labels must lie in 0..{self.settings.num_classes - 1}, got "
            f"{int(targets[row])} {sample}. Set num_classes to the number of classes of the data set, mend the label, "
            "or give ShardReader num_classes too, which then replaces such samples if asked to."
        )
