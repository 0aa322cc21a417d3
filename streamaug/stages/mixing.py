"""The stages that mix training images: `Mixup`, `CutMix` and `MixupOrCutMix`.

In: batches of decoded images with integer targets. Out: the same batches, mixed in place, with their `MixPlan` in
`Batch.mix`. The work is done by `streamaug.mix`.
"""

from collections.abc import Iterator
from typing import Literal

from streamaug.batch import Batch
from streamaug.mix import Mixer, MixSettings
from streamaug.stages.base import EpochPass, Stage
from streamaug.stages.tta import TestTimeAugment


def _upwards(stage: Stage | None) -> Iterator[Stage]:
    while stage is not None:
        yield stage
        stage = stage._source


class _Mixing(Stage):
    """Runs a `Mixer` over the batches of its source."""

    def __init__(self, source: Stage, settings: MixSettings) -> None:
        super().__init__(source)
        earlier = [stage for stage in _upwards(source) if isinstance(stage, _Mixing | TestTimeAugment)]
        if earlier:
            raise ValueError(
                f"{settings.stage}: needs images that nothing mixed or merged, got a chain with "
                f"{type(earlier[0]).__name__} in it. Use mixup_or_cutmix() for both kinds, and mix in training only."
            )
        self._mixer = Mixer(settings)

    def _run(self, epoch_pass: EpochPass) -> Iterator[Batch]:
        for batch in self._batches(epoch_pass):
            yield self._mixer.mix(batch)


class Mixup(_Mixing):
    """Blend pairs of images and their targets (Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018).

    Args:
        source: The stage before, usually an `Augmenter`. Its batches are changed in place.
        num_classes: K, the width of the soft targets.
        alpha: α > 0 of λ ~ Beta(α, α).
        probability: Chance that a pair is mixed, 0..1.
        label_smoothing: ε, 0..1, in the soft targets.
        lam: Who shares λ: "pair", the two images of a pair; "batch", the whole global batch; "element", nobody.
        targets: "soft": `Batch.targets` is float32 (B, K). "sparse": it is a `SparseTargets`, which unpacks to
            (targets, partner_targets, lam) for a two-term loss; both go into `mix.soft_target_cross_entropy`.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        source: Stage,
        *,
        num_classes: int,
        alpha: float = 0.2,
        probability: float = 1.0,
        label_smoothing: float = 0.0,
        lam: Literal["pair", "batch", "element"] = "pair",
        targets: Literal["soft", "sparse"] = "soft",
    ) -> None:
        settings = MixSettings(
            stage="Mixup",
            num_classes=num_classes,
            mixup_alpha=alpha,
            probability=probability,
            switch_probability=0.0,
            label_smoothing=label_smoothing,
            lam=lam,
            targets=targets,
        )
        super().__init__(source, settings)


class CutMix(_Mixing):
    """Paste boxes between pairs of images (Yun et al., "CutMix: Regularization strategy …", ICCV 2019).

    Args:
        source: The stage before, usually an `Augmenter`. Its batches are changed in place.
        num_classes: K, the width of the soft targets.
        alpha: α > 0 of λ ~ Beta(α, α), from which the box's area comes; the targets use the area after clipping.
        probability: Chance that a pair is mixed, 0..1.
        label_smoothing: ε, 0..1, in the soft targets.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        source: Stage,
        *,
        num_classes: int,
        alpha: float = 1.0,
        probability: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> None:
        settings = MixSettings(
            stage="CutMix",
            num_classes=num_classes,
            cutmix_alpha=alpha,
            probability=probability,
            switch_probability=1.0,
            label_smoothing=label_smoothing,
        )
        super().__init__(source, settings)


class MixupOrCutMix(_Mixing):
    """Mixup or CutMix, drawn for each pair of images.

    Args:
        source: The stage before, usually an `Augmenter`. Its batches are changed in place.
        num_classes: K, the width of the soft targets.
        mixup_alpha: α > 0 of Mixup's λ.
        cutmix_alpha: α > 0 of CutMix's λ.
        probability: Chance that a pair is mixed at all, 0..1.
        switch_probability: Chance that a mixed pair is CutMix's, 0..1.
        label_smoothing: ε, 0..1, in the soft targets.

    Raises:
        ValueError: If an argument is out of range.
    """

    def __init__(
        self,
        source: Stage,
        *,
        num_classes: int,
        mixup_alpha: float = 0.2,
        cutmix_alpha: float = 1.0,
        probability: float = 1.0,
        switch_probability: float = 0.5,
        label_smoothing: float = 0.0,
    ) -> None:
        settings = MixSettings(
            stage="MixupOrCutMix",
            num_classes=num_classes,
            mixup_alpha=mixup_alpha,
            cutmix_alpha=cutmix_alpha,
            probability=probability,
            switch_probability=switch_probability,
            label_smoothing=label_smoothing,
        )
        super().__init__(source, settings)
