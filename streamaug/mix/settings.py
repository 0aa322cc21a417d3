"""The parameters of mixing as one frozen value, which checks them.

`PlanSettings` decide a plan; `MixSettings` add the form of the targets, and the stage that errors name. A new parameter
is a field here, and an argument of the stages that offer it.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal, get_args

import numpy as np

from streamaug.mix.schedules import Schedule
from streamaug.mix.targets import check_classes

Lam = Literal["pair", "batch", "element"]
LAMS: tuple[str, ...] = get_args(Lam)

TargetForm = Literal["soft", "sparse"]
TARGET_FORMS: tuple[str, ...] = get_args(TargetForm)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """The parameters that decide a plan; `MixPlan.draw` explains them.

    Raises:
        ValueError: If a field is out of range; names it.
    """

    mixup_alpha: float = 0.2
    cutmix_alpha: float = 1.0
    probability: float = 1.0
    switch_probability: float = 0.5
    lam: Lam = "pair"
    cutmix_minmax: tuple[float, float] | None = None
    schedule: Schedule | None = None

    def __post_init__(self) -> None:
        for name in ("mixup_alpha", "cutmix_alpha"):
            alpha = getattr(self, name)
            if not (_is_number(alpha) and 0.0 <= alpha < math.inf):
                raise ValueError(f"{name}: must be finite and at least 0, got {alpha!r}. 0 leaves this kind out.")
        for name in ("probability", "switch_probability"):
            chance = getattr(self, name)
            if not (_is_number(chance) and 0.0 <= chance <= 1.0):
                raise ValueError(f"{name}: must lie in 0..1, got {chance!r}. Write a chance, such as 0.5.")
        if self.lam not in LAMS:
            raise ValueError(f'lam: must be one of {", ".join(LAMS)}, got {self.lam!r}. Use "pair".')
        if self.cutmix_minmax is not None:
            object.__setattr__(self, "cutmix_minmax", _minmax(self.cutmix_minmax))
            if not self.cutmix_alpha:
                raise ValueError(
                    "cutmix_alpha: must be above 0 with cutmix_minmax, got 0, which leaves CutMix out. "
                    "Leave out one of the two."
                )
        if not (self.schedule is None or callable(self.schedule)):
            raise ValueError(
                f"schedule: must be a function (epoch, step) -> 0..1, got {self.schedule!r}. "
                "Write mix.off_from(280), or give a constant as probability."
            )

    @property
    def cutmix_share(self) -> float:
        """The chance that a mixed pair is CutMix's: an α of 0 leaves all of them to the other kind."""
        if not self.mixup_alpha:
            return 1.0
        return self.switch_probability if self.cutmix_alpha else 0.0

    def chance(self, epoch: int, step: int) -> float:
        """The chance of a pair to be mixed at a step, 0..1.

        Raises:
            ValueError: If the schedule returns no number in 0..1.
        """
        if not (self.mixup_alpha or self.cutmix_alpha):
            return 0.0
        if self.schedule is None:
            return self.probability
        factor = self.schedule(epoch, step)
        if not (_is_number(factor) and 0.0 <= factor <= 1.0):
            raise ValueError(
                f"schedule: must return a number in 0..1, got {factor!r} for epoch {epoch}, step {step}. "
                "It is the factor of probability at that step."
            )
        return self.probability * float(factor)


def _is_number(value: object) -> bool:
    return isinstance(value, Real | np.bool_)


def _minmax(fractions: Sequence[float]) -> tuple[float, float]:
    """The two fractions, checked."""
    given = tuple(fractions) if isinstance(fractions, Sequence | np.ndarray) else ()
    if not (len(given) == 2 and all(map(_is_number, given)) and 0.0 < given[0] <= given[1] <= 1.0):
        raise ValueError(
            f"cutmix_minmax: must be (low, high) with 0 < low ≤ high ≤ 1, got {fractions!r}. "
            "Write the range of a box's sides as fractions of the image's, such as (0.2, 0.8)."
        )
    return float(given[0]), float(given[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class MixSettings(PlanSettings):
    """The parameters of a mixing stage; `stage` names it in errors.

    Raises:
        ValueError: If a field is out of range; names the stage and the field.
    """

    stage: str
    num_classes: int
    label_smoothing: float = 0.0
    targets: TargetForm = "soft"

    def __post_init__(self) -> None:
        try:
            PlanSettings.__post_init__(self)
            check_classes(self.num_classes, self.label_smoothing)
        except ValueError as error:
            # A stage for one kind only calls its α alpha.
            parameter = str(error)
            if self.stage in ("Mixup", "CutMix"):
                parameter = re.sub("^(mixup|cutmix)_alpha", "alpha", parameter)
            raise ValueError(f"{self.stage}.{parameter}") from None
        if self.targets not in TARGET_FORMS:
            raise ValueError(f'{self.stage}.targets: must be "soft" or "sparse", got {self.targets!r}. Use "soft".')
        if self.targets == "sparse" and self.label_smoothing:
            raise ValueError(
                f'{self.stage}.label_smoothing: must be 0 with targets="sparse", got {self.label_smoothing}. '
                "Give it to the loss, as in soft_target_cross_entropy(logits, targets, label_smoothing=0.1)."
            )

    def chance(self, epoch: int, step: int) -> float:
        """The chance of a pair to be mixed at a step, 0..1; an error names the stage too."""
        try:
            return PlanSettings.chance(self, epoch, step)
        except ValueError as error:
            if str(error).startswith("schedule: must return"):
                raise ValueError(f"{self.stage}.{error}") from None
            raise
