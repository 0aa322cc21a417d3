"""RandAugment (Cubuk et al., 2020, arXiv 1909.13719), with the tables of torchvision's `v2.RandAugment` or of timm."""

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamaug.errors import RecipeError
from streamaug.ops import fields, timm_steps
from streamaug.ops.base import Color, Draws, Extent
from streamaug.ops.fields import refuse
from streamaug.ops.policy import Choice, Policy, in_pixels
from streamaug.ops.policy_steps import FOURTEEN, SIGNED, Step, Values, amounts_table, signs

_BINS = 31
_TABLE = amounts_table(_BINS, shear=0.3, translate=150.0 / 331.0, rotate=30.0, enhance=0.9, lost_bits=4)
#: A deviation above it means, in timm, that magnitudes are uniform.
_UNIFORM_ABOVE = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RandAugment(Policy):
    """Applies sub-operations that are chosen uniformly, all of the same strength; their geometry comes first.

    Args:
        n: The number of sub-operations, 1..8.
        magnitude: Their strength: a whole number 0..30, or a number 0..10 where the tables are timm's.
        mstd: Standard deviation of the strength, at least 0: each sub-operation has a strength of its own, normal about
            `magnitude` and clipped to its range. Above 100: uniform between 0 and `magnitude`.
        inc: Whether a higher strength is a stronger change throughout, for timm's tables, in which solarize, posterize
            and the colours else run the other way or through no change.
        tables: "torchvision": fourteen sub-operations, one of which does nothing. "timm": fifteen, each applied with
            chance 1/2; translations are cut to whole pixels, and the interpolation is always bilinear.
        border, fill: The pixels outside the image, see `Bordered`.
        probability: Chance that a sample is changed at all, 0..1.

    Raises:
        RecipeError: If a value lies outside its bounds.
    """

    n: int = 2
    magnitude: float = 9
    mstd: float = 0.0
    inc: bool = False
    tables: str = "torchvision"
    border: str | None = None
    fill: Color | None = None
    probability: float = 1.0

    def __post_init__(self) -> None:
        fields.integer(self, "n", low=1, high=8)
        fields.choice(self, "tables", ("torchvision", "timm"))
        if self._timm:
            fields.number(self, "magnitude", low=0.0, high=timm_steps.TOP_LEVEL)
        else:
            fields.integer(self, "magnitude", low=0, high=_BINS - 1)
        fields.number(self, "mstd", low=0.0)
        fields.flag(self, "inc")
        if self.inc and not self._timm:
            must = "is for timm's tables; torchvision's increase throughout"
            raise refuse(self, "inc", must, 'Write tables="timm", or inc=False.')
        self.check_border()
        fields.probability(self)

    @classmethod
    def from_timm(cls, config: str, *, fill: Color | None = None) -> "RandAugment":
        """The RandAugment that timm makes of a string such as "rand-m9-n2-mstd0.5-inc1".

        Args:
            config: timm's string, with the parts m, n, mstd and inc.
            fill: Colour of a constant border, see `Bordered`; timm's is the data set's mean, (124, 116, 104).

        Raises:
            RecipeError: If it is no such string, or has other parts.
        """
        name, *parts = config.split("-")
        found = [re.fullmatch(r"(m|n|mstd|inc)(\d+(?:\.\d+)?)", part) for part in parts]
        if name != "rand" or not all(found):
            raise RecipeError(
                f"RandAugment.from_timm: config must be rand with -m, -n, -mstd and -inc, got {config!r}. "
                'Write "rand-m9-mstd0.5-inc1".'
            )
        given = {match[1]: float(match[2]) for match in found if match}
        return cls(
            n=int(given.get("n", 2)),
            magnitude=given.get("m", timm_steps.TOP_LEVEL),
            mstd=given.get("mstd", 0.0),
            inc=bool(given.get("inc", 0)),
            tables="timm",
            fill=fill,
        )

    @property
    def steps(self) -> int:
        return self.n

    @property
    def uses(self) -> frozenset[int]:
        return frozenset((timm_steps.FIFTEEN if self._timm else FOURTEEN).tolist())

    @property
    def draws(self) -> int:
        """For each step: the sub-operation and its sign; its chance (timm), and its strength where that varies."""
        return self.n * (2 + self._timm + (self.mstd > 0))

    @property
    def _timm(self) -> bool:
        return self.tables == "timm"

    def choose(self, draws: Draws, height: Extent, width: Extent) -> Choice:
        """Uniform over the sub-operations; translations are fractions of the frame."""
        which, sign, *more = np.split(draws, draws.shape[1] // self.n, axis=1)
        members = timm_steps.FIFTEEN if self._timm else FOURTEEN
        steps: npt.NDArray[np.int64] = members[(which * len(members)).astype(np.int64)]
        levels = self._levels(more[-1]) if self.mstd > 0 else np.full(steps.shape, float(self.magnitude))
        if self._timm:
            steps = np.where(more[0] < timm_steps.CHANCE, steps, Step.IDENTITY)
            amounts = timm_steps.amounts(steps, levels, signs(sign), increasing=self.inc)
            return Choice(steps, in_pixels(steps, amounts, height, width))
        amounts = in_pixels(steps, _TABLE[steps, np.rint(levels).astype(np.int64)], height, width)
        return Choice(steps, np.where(SIGNED[steps], signs(sign), 1.0) * amounts)

    def _levels(self, draws: Draws) -> Values:
        """Strengths, float64 (B, n), from uniform numbers of that shape."""
        if self.mstd > _UNIFORM_ABOVE:
            return self.magnitude * draws
        from scipy.special import ndtri  # 0.4 s to import, which only such a policy should pay

        top = timm_steps.TOP_LEVEL if self._timm else _BINS - 1.0
        return np.asarray(np.clip(self.magnitude + self.mstd * ndtri(draws), 0.0, top))
