"""A chain in timm's training loop (pytorch-image-models): `Loader` for the loop, `mixing_arguments` for its options.

In: the last stage of a chain, or the options of timm's `train.py`. Out: a loader with the attributes that the loop
uses, and the arguments of `mixup_or_cutmix` that mean the same. It does not import timm.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from streamaug.arguments import whole
from streamaug.batch import decoded
from streamaug.stages.base import Stage
from streamaug.stages.mixing import CutMix, Mixup, MixupOrCutMix
from streamaug.stages.stage_wrapper import StageWrapper

__all__ = ["Loader", "mixing_arguments"]

_MIXING = (Mixup, CutMix, MixupOrCutMix)
_MODES = {"batch": "batch", "pair": "pair", "elem": "element"}


class _Options(Protocol):
    """The options of timm's `train.py` that `mixing_arguments` reads."""

    num_classes: int
    mixup: float
    cutmix: float
    cutmix_minmax: Any
    mixup_prob: float
    mixup_switch_prob: float
    mixup_mode: str
    mixup_off_epoch: int
    smoothing: float


class Loader(StageWrapper):
    """The batches of a chain as (input, target), with the attributes that timm's loop uses.

    Without mixing, which an epoch number, or `loader.mixup_enabled = False`, switches off for the passes that follow,
    targets are int64 class numbers, for timm's other loss. Before mixing, pixels and order are the same either way.

    Args:
        stage: The last stage of the chain; a mixing stage, if images are to be mixed.
        mixup_off_epoch: The first epoch without mixing; 0: every epoch mixes.

    Raises:
        TypeError: If it is no stage.
        ValueError: If the epoch is negative, or a mixing stage is not the chain's last.
    """

    __slots__ = ("_mixup_enabled", "_off_epoch", "_plain", "_stage")

    def __init__(self, stage: Stage, *, mixup_off_epoch: int = 0) -> None:
        if not isinstance(stage, Stage):
            raise TypeError(
                f"Loader.stage: must be a streamaug stage, got {type(stage).__name__}. Pass the last one of the chain."
            )
        mixup_off_epoch = whole("Loader.mixup_off_epoch", mixup_off_epoch, "0 is never", least=0)
        earlier = [one for one in _before(stage) if isinstance(one, _MIXING)]
        if earlier:
            raise ValueError(
                f"Loader.stage: a stage that mixes must be the last of the chain, got {type(earlier[0]).__name__} "
                f"before {type(stage).__name__}. Put the other stage before it."
            )
        self._stage, self._off_epoch = stage, mixup_off_epoch
        self._plain = stage.source if isinstance(stage, _MIXING) else stage
        self._mixup_enabled = isinstance(stage, _MIXING)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for batch in self._stage if self._mixes(self._stage.epoch) else self._plain:
            images, targets = decoded(batch, "timm.Loader")
            yield images, targets

    def __repr__(self) -> str:
        return f"Loader({self._stage!r})"

    def _mixes(self, epoch: int) -> bool:
        return self._mixup_enabled and not 0 < self._off_epoch <= epoch

    @property
    def mixup_enabled(self) -> bool:
        """Whether the next pass mixes."""
        return self._mixes(self._stage.epoch)

    @mixup_enabled.setter
    def mixup_enabled(self, enabled: bool) -> None:
        if enabled and self._plain is self._stage:
            raise ValueError(
                "Loader.mixup_enabled: must stay False for a chain that does not mix, got True. End the chain with "
                "mixup_or_cutmix(**mixing_arguments(args))."
            )
        self._mixup_enabled = bool(enabled)

    @property
    def sampler(self) -> "Loader":
        """The loader itself: timm calls `loader.sampler.set_epoch(epoch)`."""
        return self

    @property
    def dataset(self) -> "_Samples":
        """The dataset whose samples timm counts."""
        return _Samples(self._stage)

    @property
    def batch_size(self) -> int:
        """B, samples of this rank's batch."""
        return self._stage._reader.batch_size


class _Samples:
    """The samples of an epoch, counted.

    Args:
        stage: A stage of the chain.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __len__(self) -> int:
        return self._stage._reader.order.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Deliver an epoch next, see `Stage.set_epoch`."""
        self._stage.set_epoch(epoch)


def mixing_arguments(args: _Options) -> dict[str, Any]:
    """The arguments of `mixup_or_cutmix` for the options of timm's `train.py`.

        chain = reader.augment(recipe).mixup_or_cutmix(**mixing_arguments(args))

    λ and targets have the distributions of `timm.data.Mixup`, but for `cutmix_minmax`, whose upper end ours includes,
    and boxes of odd size in small images, where timm's are a pixel larger.

    Args:
        args: An object with `num_classes`, `mixup`, `cutmix`, `cutmix_minmax`, `mixup_prob`, `mixup_switch_prob`,
            `mixup_mode`, `mixup_off_epoch` and `smoothing`, as `train.py` names them.

    Raises:
        ValueError: If `mixup_mode` is not "batch", "pair" or "elem".
    """
    lam = _MODES.get(args.mixup_mode)
    if lam is None:
        raise ValueError(
            f'mixing_arguments.mixup_mode: must be "batch", "pair" or "elem", got {args.mixup_mode!r}. Use "batch", '
            "timm's default."
        )
    minmax = None if args.cutmix_minmax is None else tuple(float(value) for value in args.cutmix_minmax)
    arguments: dict[str, Any] = {
        "num_classes": args.num_classes,
        "mixup_alpha": args.mixup,
        "cutmix_alpha": args.cutmix if minmax is None else 1.0,  # as timm does
        "cutmix_minmax": minmax,
        "probability": args.mixup_prob,
        "switch_probability": args.mixup_switch_prob,
        "lam": lam,
        "label_smoothing": args.smoothing,
    }
    if args.mixup_off_epoch:
        from streamaug.mix import off_from

        arguments["schedule"] = off_from(args.mixup_off_epoch)
    return arguments


def _before(stage: Stage) -> Iterator[Stage]:
    earlier: Stage | None = stage.__dict__.get("_source")
    while earlier is not None:
        yield earlier
        earlier = earlier.__dict__.get("_source")
