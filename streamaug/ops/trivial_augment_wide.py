"""TrivialAugment, wide (Müller and Hutter, 2021, arXiv 2103.10158), with the tables of torchvision's version."""

from dataclasses import dataclass

import numpy as np

from streamaug.ops import fields
from streamaug.ops.base import Draws, Extent
from streamaug.ops.policy import FOURTEEN, SIGNED, Choice, Policy, amounts_table, signs

_BINS = 31
_TABLE = amounts_table(_BINS, shear=0.99, translate=32.0, rotate=135.0, enhance=0.99, lost_bits=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrivialAugmentWide(Policy):
    """One of fourteen sub-operations, of a strength that is uniform over 31 steps.

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

    draws = 3

    def __post_init__(self) -> None:
        fields.border_mode(self)
        fields.gray_level(self, optional=True)
        fields.probability(self)

    @property
    def steps(self) -> int:
        """One."""
        return 1

    def choose(self, draws: Draws, height: Extent, width: Extent) -> Choice:
        """Uniform over the fourteen and over the bins; translations are up to 32 pixels."""
        steps = FOURTEEN[(draws[:, :1] * len(FOURTEEN)).astype(np.int64)]
        amounts = _TABLE[steps, (draws[:, 1:2] * _BINS).astype(np.int64)]
        return Choice(steps, np.where(SIGNED[steps], signs(draws[:, 2:3]), 1.0) * amounts)
