"""RandAugment (Cubuk et al., 2020, arXiv 1909.13719), with the tables of torchvision's `v2.RandAugment`."""

from dataclasses import dataclass

import numpy as np

from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent
from streamaug.ops.policy import FOURTEEN, SIGNED, Choice, Policy, Step, amounts_table, signs

_BINS = 31
_TABLE = amounts_table(_BINS, shear=0.3, translate=150.0 / 331.0, rotate=30.0, enhance=0.9, lost_bits=4)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandAugment(Policy):
    """Some of fourteen sub-operations, each chosen uniformly, all of one strength; their geometry first.

    Args:
        n: How many, 1..8.
        magnitude: Their strength, a whole number 0..30.
        border: What lies outside the image: "constant" (see fill), "replicate", "reflect", "reflect_101", "wrap";
            None: as another operation of the recipe names it, else constant.
        fill: Gray level of a constant border, 0..255; None: as another operation names it, else 0.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    n: int = 2
    magnitude: int = 9
    border: str | None = None
    fill: float | None = None
    probability: float = 1.0

    def __post_init__(self) -> None:
        fields.integer(self, "n", low=1, high=8)
        fields.integer(self, "magnitude", low=0, high=_BINS - 1)
        fields.border_mode(self)
        fields.gray_level(self, optional=True)
        fields.probability(self)

    @property
    def steps(self) -> int:
        """As asked."""
        return self.n

    @property
    def draws(self) -> int:
        """Two for each step: which, and its sign."""
        return 2 * self.n

    def choose(self, draws: Draws, height: Extent, width: Extent) -> Choice:
        """Uniform over the fourteen; translations are fractions of the frame."""
        steps = FOURTEEN[(draws[:, : self.n] * len(FOURTEEN)).astype(np.int64)]
        amounts = _TABLE[steps, self.magnitude]
        amounts = np.where(steps == Step.TRANSLATE_X, amounts * width[:, None], amounts)
        amounts = np.where(steps == Step.TRANSLATE_Y, amounts * height[:, None], amounts)
        return Choice(steps, np.where(SIGNED[steps], signs(draws[:, self.n :]), 1.0) * amounts)
