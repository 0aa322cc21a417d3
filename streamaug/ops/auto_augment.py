"""AutoAugment (Cubuk et al., 2019, arXiv 1805.09501), with the tables of torchvision's version."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.ops import fields
from streamaug.ops.base import Color, Draws, Extent
from streamaug.ops.policy import Choice, Policy, in_pixels
from streamaug.ops.policy_steps import SIGNED, Step, Values, amounts_table, signs
from streamaug.ops.sub_policies import SUB_POLICIES, Part

_BINS = 10
_TABLE = amounts_table(_BINS, shear=0.3, translate=150.0 / 331.0, rotate=30.0, enhance=0.9, lost_bits=4)


class _Table(NamedTuple):
    """Sub-policies as arrays (25, 2).

    Attributes:
        steps: int64, values of `Step`.
        chances: float64, 0..1.
        amounts: float64, without signs; translations as fractions of the frame.
    """

    steps: npt.NDArray[np.int64]
    chances: Values
    amounts: Values


def _table(pairs: Sequence[tuple[Part, Part]]) -> _Table:
    rows = [[(int(step), chance, _TABLE[step, strength]) for step, chance, strength in pair] for pair in pairs]
    steps, chances, amounts = np.moveaxis(np.array(rows, np.float64), -1, 0)
    return _Table(steps.astype(np.int64), chances, amounts)


_TABLES = {data: _table(pairs) for data, pairs in SUB_POLICIES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoAugment(Policy):
    """Applies one of the 25 sub-policies that were learned on a data set: two sub-operations, each with its own chance.

    Args:
        policy: The data set: "imagenet", "cifar10" or "svhn".
        border, fill: The pixels outside the image, see `Bordered`.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    policy: str = "imagenet"
    border: str | None = None
    fill: Color | None = None
    probability: float = 1.0

    draws = 5

    def __post_init__(self) -> None:
        fields.choice(self, "policy", tuple(SUB_POLICIES))
        self.check_border()
        fields.probability(self)

    @property
    def steps(self) -> int:
        return 2

    @property
    def uses(self) -> frozenset[int]:
        return frozenset(_TABLES[self.policy].steps.ravel().tolist())

    def choose(self, draws: Draws, height: Extent, width: Extent) -> Choice:
        """Uniform over the sub-policies; translations are fractions of the frame."""
        table = _TABLES[self.policy]
        row = (draws[:, 0] * len(table.steps)).astype(np.int64)
        steps = np.where(draws[:, 1:3] < table.chances[row], table.steps[row], Step.IDENTITY)
        amounts = np.where(SIGNED[steps], signs(draws[:, 3:5]), 1.0) * table.amounts[row]
        return Choice(steps, in_pixels(steps, amounts, height, width))
