"""The stages that mix training images: `Mixup`, `CutMix` and `MixupOrCutMix`.

In: batches of decoded images with targets. Out: the same batches, mixed in place, with their `MixPlan` in `Batch.mix`.
`streamaug.mix` does the work.
"""

from collections.abc import Iterator

from streamaug.batch import Batch
from streamaug.mix.mixer import Mixer
from streamaug.mix.schedules import Schedule
from streamaug.mix.settings import Lam, MixSettings, TargetForm
from streamaug.reader.state import EpochPass
from streamaug.stages.base import Stage


def _upwards(stage: Stage | None) -> Iterator[Stage]:
    while stage is not None:
        yield stage
        stage = stage._source


class _Mixing(Stage):
    """Runs a `Mixer` over the batches of its source."""

    _delivers_plain_images = False

    def __init__(self, source: Stage, settings: MixSettings) -> None:
        super().__init__(source)
        earlier = [stage for stage in _upwards(source) if not stage._delivers_plain_images]
        if earlier:
            raise ValueError(
                f"{settings.stage}: needs images that nothing mixed or merged, got a chain with "
                f"{type(earlier[0]).__name__} in it. Use mixup_or_cutmix() for both kinds, and mix in training only."
            )
        self._mixer = Mixer(settings)

    def run(self, epoch_pass: EpochPass) -> Iterator[Batch]:
        """The mixed batches of a pass."""
        for batch in self.source.run(epoch_pass):
            yield self._mixer.mix(batch)


class Mixup(_Mixing):
    """Blend pairs of images and their targets (Zhang et al., "mixup: Beyond empirical risk minimization", ICLR 2018).

    Args:
        source: The stage before, usually an `Augmenter`. Its batches are changed in place.
        num_classes: K, the width of the soft targets; 1 for binary targets.
        alpha: α ≥ 0 of λ ~ Beta(α, α); 0 mixes nothing.
        probability: Chance that a pair is mixed, 0..1.
        label_smoothing: ε, 0..1, in the soft targets.
        lam: The rows that share λ: "pair", the two images of a pair; "batch", the whole global batch; "element": each
            row has its own.
        schedule: A pure function (epoch, step) -> 0..1, the factor of `probability`, see `mix.off_from`, `mix.ramp`.
        targets: "soft": `Batch.targets` is float32 (B, K), or (B,) for binary targets. "sparse": it is a
            `SparseTargets`, which unpacks to (targets, partner_targets, lam) for a two-term loss; both go into
            `mix.soft_target_cross_entropy`.

    Raises:
        ValueError: If an argument is out of range; while it runs, if the schedule returns no number in 0..1.
    """

    def __init__(
        self,
        source: Stage,
        *,
        num_classes: int,
        alpha: float = 0.2,
        probability: float = 1.0,
        label_smoothing: float = 0.0,
        lam: Lam = "pair",
        schedule: Schedule | None = None,
        targets: TargetForm = "soft",
    ) -> None:
        settings = MixSettings(
            stage="Mixup",
            num_classes=num_classes,
            mixup_alpha=alpha,
            cutmix_alpha=0.0,
            probability=probability,
            label_smoothing=label_smoothing,
            lam=lam,
            schedule=schedule,
            targets=targets,
        )
        super().__init__(source, settings)


class CutMix(_Mixing):
    """Paste boxes between pairs of images (Yun et al., "CutMix: Regularization strategy …", ICCV 2019).

    Args:
        source: The stage before, usually an `Augmenter`. Its batches are changed in place.
        num_classes: K, the width of the soft targets; 1 for binary targets.
        alpha: α ≥ 0 of λ ~ Beta(α, α), from which the box's area comes; the targets use the area after clipping. 0
            mixes nothing.
        probability: Chance that a pair is mixed, 0..1.
        label_smoothing: ε, 0..1, in the soft targets.
        lam: The rows that share λ and the box, as in `Mixup`.
        cutmix_minmax: (low, high): height and width of a box are uniform fractions of the image's in this range, to
            whole pixels; its position is uniform over all that lie wholly inside. `alpha` is then not used, and must
            not be 0.
        schedule: As in `Mixup`.
        targets: As in `Mixup`.

    Raises:
        ValueError: If an argument is out of range; while it runs, if the schedule returns no number in 0..1.
    """

    def __init__(
        self,
        source: Stage,
        *,
        num_classes: int,
        alpha: float = 1.0,
        probability: float = 1.0,
        label_smoothing: float = 0.0,
        lam: Lam = "pair",
        cutmix_minmax: tuple[float, float] | None = None,
        schedule: Schedule | None = None,
        targets: TargetForm = "soft",
    ) -> None:
        settings = MixSettings(
            stage="CutMix",
            num_classes=num_classes,
            mixup_alpha=0.0,
            cutmix_alpha=alpha,
            probability=probability,
            label_smoothing=label_smoothing,
            lam=lam,
            cutmix_minmax=cutmix_minmax,
            schedule=schedule,
            targets=targets,
        )
        super().__init__(source, settings)


class MixupOrCutMix(_Mixing):
    """Mixup or CutMix, drawn for each pair of images.

    Args:
        source: The stage before, usually an `Augmenter`. Its batches are changed in place.
        num_classes: K, the width of the soft targets; 1 for binary targets.
        mixup_alpha: α ≥ 0 of Mixup's λ; 0: all mixed pairs are CutMix's.
        cutmix_alpha: α ≥ 0 of CutMix's λ; 0: all mixed pairs are Mixup's. Both 0: nothing is mixed.
        probability: Chance that a pair is mixed at all, 0..1.
        switch_probability: Chance that a mixed pair is CutMix's, 0..1; not used where an α is 0.
        label_smoothing: ε, 0..1, in the soft targets.
        lam: The rows that share chance, kind, λ and box, as in `Mixup`.
        cutmix_minmax: As in `CutMix`; `cutmix_alpha` is then not used, and must not be 0.
        schedule: As in `Mixup`.
        targets: As in `Mixup`.

    Raises:
        ValueError: If an argument is out of range; while it runs, if the schedule returns no number in 0..1.
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
        lam: Lam = "pair",
        cutmix_minmax: tuple[float, float] | None = None,
        schedule: Schedule | None = None,
        targets: TargetForm = "soft",
    ) -> None:
        settings = MixSettings(
            stage="MixupOrCutMix",
            num_classes=num_classes,
            mixup_alpha=mixup_alpha,
            cutmix_alpha=cutmix_alpha,
            probability=probability,
            switch_probability=switch_probability,
            label_smoothing=label_smoothing,
            lam=lam,
            cutmix_minmax=cutmix_minmax,
            schedule=schedule,
            targets=targets,
        )
        super().__init__(source, settings)
