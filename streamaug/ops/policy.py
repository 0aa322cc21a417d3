"""The base of learned and random policies: their sub-operations, as one matrix and a few branches of the graph.

In: from a policy, the sub-operation of each sample at each step, and its strength. Out: the steps' shears,
translations and rotations as one matrix per sample, which joins the recipe's other geometry, and the steps' other
sub-operations, each of which runs only on the samples that chose it. The geometry of all steps comes first.
"""

from abc import abstractmethod
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamaug.geometry import Matrices, about_center, identity, rotation
from streamaug.ops.base import Draws, Extent, Parameters, Photometric
from streamaug.ops.bordered import Bordered
from streamaug.ops.nodes import Arguments, Node, with_prefix
from streamaug.ops.policy_branches import BRANCH_INPUTS, add_branches, step_parameters
from streamaug.ops.policy_steps import FOURTEEN, Step, Values


class Choice(NamedTuple):
    """The steps that each sample gets.

    Attributes:
        steps: int64 (B, n), values of `Step`, applied from left to right.
        amounts: float64 (B, n), with their signs.
    """

    steps: npt.NDArray[np.int64]
    amounts: Values


def in_pixels(steps: npt.NDArray[np.int64], amounts: Values, height: Extent, width: Extent) -> Values:
    """The amounts (B, n) with translations in pixels, from fractions of the frames' widths and heights (B,)."""
    amounts = np.where(steps == Step.TRANSLATE_X, amounts * width[:, None], amounts)
    return np.where(steps == Step.TRANSLATE_Y, amounts * height[:, None], amounts)


class Policy(Bordered, Photometric):
    """The base of policies: subclasses are dataclasses with the fields `border`, `fill` and `probability`.

    Attributes:
        steps: The number of sub-operations of a sample.
        uses: The sub-operations that can occur.
    """

    __slots__ = ()

    #: Sub-operations commute with mirroring, and geometry written later is done before them, like their own.
    spatial = False
    inputs = BRANCH_INPUTS

    @property
    @abstractmethod
    def steps(self) -> int:
        """The number of sub-operations of a sample."""

    @property
    def uses(self) -> frozenset[int]:
        """The sub-operations that can occur."""
        return frozenset(FOURTEEN.tolist())

    @abstractmethod
    def choose(self, draws: Draws, height: Extent, width: Extent) -> Choice:
        """The sub-operations of each sample, and their strengths.

        Args:
            draws: float64 (B, `draws`) in [0, 1).
            height: float64 (B,), the frames' heights in pixels.
            width: float64 (B,), their widths.
        """

    def matrix(self, draws: Draws, height: Extent, width: Extent) -> Matrices:
        """The geometric steps in their order; shears about the top-left corner, rotations about the centre."""
        chosen = self.choose(draws, height, width)
        total = identity(len(draws))
        for step, amount in zip(chosen.steps.T, chosen.amounts.T, strict=True):
            matrices = identity(len(draws))
            matrices[:, 0, 1] = np.where(step == Step.SHEAR_X, -amount, 0.0)
            matrices[:, 1, 0] = np.where(step == Step.SHEAR_Y, -amount, 0.0)
            matrices[:, 0, 2] = np.where(step == Step.TRANSLATE_X, np.trunc(amount), 0.0)
            matrices[:, 1, 2] = np.where(step == Step.TRANSLATE_Y, np.trunc(amount), 0.0)
            turned = step == Step.ROTATE
            if turned.any():
                angle = np.deg2rad(amount[turned])
                matrices[turned] = about_center(rotation(angle), height[turned], width[turned])
            total = matrices @ total
        return total

    def parameters(self, draws: Draws, height: int, width: int) -> Parameters:
        """For each step: the samples of each branch, and the numbers of the branches."""
        extent = np.full(len(draws), float(height)), np.full(len(draws), float(width))
        chosen = self.choose(draws, *extent)
        parameters: Parameters = {}
        for number, (step, amount) in enumerate(zip(chosen.steps.T, chosen.amounts.T, strict=True)):
            for name, values in step_parameters(step, amount, self.uses).items():
                parameters[f"{number}.{name}"] = values
        return parameters

    def build(self, image: Node, arguments: Arguments) -> Node:
        for number in range(self.steps):
            image = add_branches(image, arguments, with_prefix(arguments.nodes, f"{number}."))
        return image
