"""AutoAugment for ImageNet (Cubuk et al., 2019, arXiv 1805.09501), with the tables of torchvision's version."""

from dataclasses import dataclass

import numpy as np

from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent
from streamaug.ops.policy import SIGNED, Choice, Policy, Step, amounts_table, signs

_BINS = 10
_TABLE = amounts_table(_BINS, shear=0.3, translate=150.0 / 331.0, rotate=30.0, enhance=0.9, lost_bits=4)

#: The 25 sub-policies: twice a sub-operation, its chance, and its strength (0 where it has none).
SUB_POLICIES = (
    ((Step.POSTERIZE, 0.4, 8), (Step.ROTATE, 0.6, 9)),
    ((Step.SOLARIZE, 0.6, 5), (Step.AUTO_CONTRAST, 0.6, 0)),
    ((Step.EQUALIZE, 0.8, 0), (Step.EQUALIZE, 0.6, 0)),
    ((Step.POSTERIZE, 0.6, 7), (Step.POSTERIZE, 0.6, 6)),
    ((Step.EQUALIZE, 0.4, 0), (Step.SOLARIZE, 0.2, 4)),
    ((Step.EQUALIZE, 0.4, 0), (Step.ROTATE, 0.8, 8)),
    ((Step.SOLARIZE, 0.6, 3), (Step.EQUALIZE, 0.6, 0)),
    ((Step.POSTERIZE, 0.8, 5), (Step.EQUALIZE, 1.0, 0)),
    ((Step.ROTATE, 0.2, 3), (Step.SOLARIZE, 0.6, 8)),
    ((Step.EQUALIZE, 0.6, 0), (Step.POSTERIZE, 0.4, 6)),
    ((Step.ROTATE, 0.8, 8), (Step.COLOR, 0.4, 0)),
    ((Step.ROTATE, 0.4, 9), (Step.EQUALIZE, 0.6, 0)),
    ((Step.EQUALIZE, 0.0, 0), (Step.EQUALIZE, 0.8, 0)),
    ((Step.INVERT, 0.6, 0), (Step.EQUALIZE, 1.0, 0)),
    ((Step.COLOR, 0.6, 4), (Step.CONTRAST, 1.0, 8)),
    ((Step.ROTATE, 0.8, 8), (Step.COLOR, 1.0, 2)),
    ((Step.COLOR, 0.8, 8), (Step.SOLARIZE, 0.8, 7)),
    ((Step.SHARPNESS, 0.4, 7), (Step.INVERT, 0.6, 0)),
    ((Step.SHEAR_X, 0.6, 5), (Step.EQUALIZE, 1.0, 0)),
    ((Step.COLOR, 0.4, 0), (Step.EQUALIZE, 0.6, 0)),
    ((Step.EQUALIZE, 0.4, 0), (Step.SOLARIZE, 0.2, 4)),
    ((Step.SOLARIZE, 0.6, 5), (Step.AUTO_CONTRAST, 0.6, 0)),
    ((Step.INVERT, 0.6, 0), (Step.EQUALIZE, 1.0, 0)),
    ((Step.COLOR, 0.6, 4), (Step.CONTRAST, 1.0, 8)),
    ((Step.EQUALIZE, 0.8, 0), (Step.EQUALIZE, 0.6, 0)),
)
_STEPS = np.array([[int(part[0]) for part in each] for each in SUB_POLICIES])
_CHANCES = np.array([[part[1] for part in each] for each in SUB_POLICIES])
_AMOUNTS = np.array([[_TABLE[part[0], part[2]] for part in each] for each in SUB_POLICIES])


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoAugment(Policy):
    """One of the 25 sub-policies that were learned on ImageNet: two sub-operations, each with its own chance.

    Args:
        border: What lies outside the image: "constant" (see fill), "replicate", "reflect", "reflect_101", "wrap";
            None: as another operation of the recipe names it, else constant.
        fill: Gray level of a constant border, 0..255; None: as another operation names it, else 0.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    border: str | None = None
    fill: float | None = None
    probability: float = 1.0

    draws = 5

    def __post_init__(self) -> None:
        fields.border_mode(self)
        fields.gray_level(self, optional=True)
        fields.probability(self)

    @property
    def steps(self) -> int:
        """Two."""
        return 2

    @property
    def uses(self) -> frozenset[int]:
        """Those of the table."""
        return frozenset(_STEPS.ravel().tolist())

    def choose(self, draws: Draws, height: Extent, width: Extent) -> Choice:
        """Uniform over the sub-policies; the table has no translations."""
        row = (draws[:, 0] * len(SUB_POLICIES)).astype(np.int64)
        steps = np.where(draws[:, 1:3] < _CHANCES[row], _STEPS[row], Step.IDENTITY)
        return Choice(steps, np.where(SIGNED[steps], signs(draws[:, 3:5]), 1.0) * _AMOUNTS[row])
