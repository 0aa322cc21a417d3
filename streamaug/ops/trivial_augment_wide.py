"""TrivialAugment, wide (Müller and Hutter, 2021, arXiv 2103.10158), with the tables of torchvision's version."""

from dataclasses import dataclass

import numpy as np

from streamaug.ops import fields
from streamaug.ops.base import Color, Draws, Extent
from streamaug.ops.policy import Choice, Policy
from streamaug.ops.policy_steps import FOURTEEN, SIGNED, amounts_table, signs

_BINS = 31
_TABLE = amounts_table(_BINS, shear=0.99, translate=32.0, rotate=135.0, enhance=0.99, lost_bits=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrivialAugmentWide(Policy):
    """Applies one of fourteen sub-operations, with a strength that is uniform over 31 steps.

    Args:
        border, fill: The pixels outside the image, see `Bordered`.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    border: str | None = None
    fill: Color | None = None
    probability: float = 1.0

    draws = 3

    def __post_init__(self) -> None:
        self.check_border()
        fields.probability(self)

    @property
    def steps(self) -> int:
        return 1

    def choose(self, draws: Draws, height: Extent, width: Extent) -> Choice:
        """Uniform over the fourteen and over the bins; translations are up to 32 pixels."""
        steps = FOURTEEN[(draws[:, :1] * len(FOURTEEN)).astype(np.int64)]
        amounts = _TABLE[steps, (draws[:, 1:2] * _BINS).astype(np.int64)]
        return Choice(steps, np.where(SIGNED[steps], signs(draws[:, 2:3]), 1.0) * amounts)
