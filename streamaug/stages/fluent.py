"""The functional names of the stages: `reader.augment(…).mixup(…).tta(…)`.

The only file in which stages refer to each other: `Stage` inherits these methods, and each imports its stage when it is
called.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    import torch

    from streamaug.batch import Batch
    from streamaug.mix.schedules import Schedule
    from streamaug.mix.settings import Lam, TargetForm
    from streamaug.recipes.annotations import Annotations
    from streamaug.recipes.recipe import Recipe
    from streamaug.samples.target import TargetFunction
    from streamaug.stages.augmenter import Augmenter
    from streamaug.stages.base import Stage
    from streamaug.stages.dataset import StageDataset
    from streamaug.stages.map_batch import MapBatch
    from streamaug.stages.map_samples import MapSamples, SampleFunction
    from streamaug.stages.mixing import CutMix, Mixup, MixupOrCutMix
    from streamaug.stages.shapes import AsDicts, AsTuples
    from streamaug.stages.tta import TestTimeAugment
    from streamaug.tta import TTAWeights
    from streamaug.tta.merge import Activation
    from streamaug.tta.output import OutputPicker

P = ParamSpec("P")
S = TypeVar("S", bound="Stage")


def _stage(fluent: "Fluent") -> "Stage":
    """This object as a stage: `Stage` alone derives from `Fluent`."""
    return cast("Stage", fluent)


class Fluent:
    """The methods of a stage that put another stage behind it, and `iter()`.

    `__iter__` is defined here, since torch wraps it in every class derived from `IterDataPipe`, and then ends iterators
    and words their errors itself.
    """

    def __iter__(self) -> "Iterator[Any]":
        """An iterator that begins the next pass at its first `next()`."""
        return _stage(self).iterator()

    def pipe(self, stage: "Callable[Concatenate[Stage, P], S]", *arguments: P.args, **options: P.kwargs) -> "S":
        """Put a stage of your own behind this one: `stage(self, *arguments, **options)`.

        Args:
            stage: A class that derives from `streamaug.Stage`.
            arguments: The arguments of its constructor after the source.
            options: Its keyword arguments.

        Raises:
            TypeError: If `stage` is no class derived from `Stage`.
        """
        from streamaug.stages.base import Stage

        if not (isinstance(stage, type) and issubclass(stage, Stage)):
            raise TypeError(
                f"pipe.stage: must be a class derived from streamaug.Stage, got {stage!r}. Use map_batch(fn)."
            )
        return cast("S", stage(_stage(self), *arguments, **options))

    def as_tuples(self) -> "AsTuples":
        """Batches as (images, targets), see `AsTuples`."""
        from streamaug.stages.shapes import AsTuples

        return AsTuples(_stage(self))

    def as_dicts(self, images: str = "pixel_values", targets: str = "labels") -> "AsDicts":
        """Batches as dicts of two keys, see `AsDicts`."""
        from streamaug.stages.shapes import AsDicts

        return AsDicts(_stage(self), images=images, targets=targets)

    def as_dataset(self) -> "StageDataset":
        """The chain for torch's DataLoader and StatefulDataLoader, see `StageDataset`."""
        from streamaug.stages.dataset import StageDataset

        return StageDataset(_stage(self))

    def augment(
        self,
        recipe: "Recipe | Callable[[int], Recipe]",
        *,
        device: "str | int | torch.device | None" = "auto",
        num_threads: int | None = None,
        prefetch: int = 2,
        annotations: "Annotations | None" = None,
        targets: "TargetFunction | Literal['label'] | None" = "label",
        hw_decoder_load: float = 0.0,
    ) -> "Augmenter":
        """Decode and augment, see `Augmenter`."""
        from streamaug.stages.augmenter import Augmenter

        return Augmenter(
            _stage(self),
            recipe,
            device=device,
            num_threads=num_threads,
            prefetch=prefetch,
            annotations=annotations,
            targets=targets,
            hw_decoder_load=hw_decoder_load,
        )

    def map_batch(self, fn: "Callable[[Batch], Batch]") -> "MapBatch":
        """Apply a function of your own to every batch, see `MapBatch`."""
        from streamaug.stages.map_batch import MapBatch

        return MapBatch(_stage(self), fn)

    def map_samples(self, fn: "SampleFunction") -> "MapSamples":
        """Relabel or reject samples before they are decoded, see `MapSamples`."""
        from streamaug.stages.map_samples import MapSamples

        return MapSamples(_stage(self), fn)

    def mixup(
        self,
        *,
        num_classes: int,
        alpha: float = 0.2,
        probability: float = 1.0,
        label_smoothing: float = 0.0,
        lam: "Lam" = "pair",
        schedule: "Schedule | None" = None,
        targets: "TargetForm" = "soft",
    ) -> "Mixup":
        """Blend pairs of images, see `Mixup`."""
        from streamaug.stages.mixing import Mixup

        return Mixup(
            _stage(self),
            num_classes=num_classes,
            alpha=alpha,
            probability=probability,
            label_smoothing=label_smoothing,
            lam=lam,
            schedule=schedule,
            targets=targets,
        )

    def cutmix(
        self,
        *,
        num_classes: int,
        alpha: float = 1.0,
        probability: float = 1.0,
        label_smoothing: float = 0.0,
        lam: "Lam" = "pair",
        cutmix_minmax: tuple[float, float] | None = None,
        schedule: "Schedule | None" = None,
        targets: "TargetForm" = "soft",
    ) -> "CutMix":
        """Paste boxes between pairs of images, see `CutMix`."""
        from streamaug.stages.mixing import CutMix

        return CutMix(
            _stage(self),
            num_classes=num_classes,
            alpha=alpha,
            probability=probability,
            label_smoothing=label_smoothing,
            lam=lam,
            cutmix_minmax=cutmix_minmax,
            schedule=schedule,
            targets=targets,
        )

    def mixup_or_cutmix(
        self,
        *,
        num_classes: int,
        mixup_alpha: float = 0.2,
        cutmix_alpha: float = 1.0,
        probability: float = 1.0,
        switch_probability: float = 0.5,
        label_smoothing: float = 0.0,
        lam: "Lam" = "pair",
        cutmix_minmax: tuple[float, float] | None = None,
        schedule: "Schedule | None" = None,
        targets: "TargetForm" = "soft",
    ) -> "MixupOrCutMix":
        """Mixup or CutMix, drawn for each pair, see `MixupOrCutMix`."""
        from streamaug.stages.mixing import MixupOrCutMix

        return MixupOrCutMix(
            _stage(self),
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

    def tta(
        self,
        model: "Callable[[torch.Tensor], Any]",
        *,
        merge: str = "mean",
        weights: "torch.Tensor | Sequence[Sequence[float]] | TTAWeights | None" = None,
        chunk_size: int | None = None,
        activation: "Activation | None" = "softmax",
        output: "OutputPicker" = None,
    ) -> "TestTimeAugment":
        """Run a model on every view and merge its outputs, see `TestTimeAugment`."""
        from streamaug.stages.tta import TestTimeAugment

        return TestTimeAugment(
            _stage(self),
            model,
            merge=merge,
            weights=weights,
            chunk_size=chunk_size,
            activation=activation,
            output=output,
        )
