"""The sub-operations of timm's RandAugment, and their strengths at levels 0..10.

In: sub-operations and levels. Out: amounts of `Step`. The formulas are those of timm 1.0's
`timm/data/auto_augment.py`, `_RAND_TRANSFORMS` and `_RAND_INCREASING_TRANSFORMS`.
"""

import numpy as np
import numpy.typing as npt

from streamaug.ops.policy_steps import Step, Values

#: The sub-operations: each is chosen with chance 1/15 and then applied with chance 1/2.
FIFTEEN = np.array(
    [
        Step.AUTO_CONTRAST,
        Step.EQUALIZE,
        Step.INVERT,
        Step.ROTATE,
        Step.POSTERIZE,
        Step.SOLARIZE,
        Step.SOLARIZE_ADD,
        Step.COLOR,
        Step.CONTRAST,
        Step.BRIGHTNESS,
        Step.SHARPNESS,
        Step.SHEAR_X,
        Step.SHEAR_Y,
        Step.TRANSLATE_X,
        Step.TRANSLATE_Y,
    ],
    np.int64,
)
CHANCE = 0.5
TOP_LEVEL = 10.0


def amounts(steps: npt.NDArray[np.int64], levels: Values, signs: Values, *, increasing: bool) -> Values:
    """Each sub-operation's amount; translations as fractions of the frame.

    Args:
        steps: int64 (B, n), values of `Step`.
        levels: float64 (B, n), 0..10.
        signs: float64 (B, n), -1 or 1.
        increasing: Whether a higher level is a stronger change throughout: timm's `inc1`.
    """
    share = levels / TOP_LEVEL
    bits, threshold = np.trunc(share * 4), np.trunc(share * 256)
    factor = signs * 0.9 * share if increasing else share * 1.8 + 0.1 - 1.0
    out = np.zeros(steps.shape)
    for step, values in (
        (Step.ROTATE, signs * 30.0 * share),
        (Step.SHEAR_X, signs * 0.3 * share),
        (Step.SHEAR_Y, signs * 0.3 * share),
        (Step.TRANSLATE_X, signs * 0.45 * share),
        (Step.TRANSLATE_Y, signs * 0.45 * share),
        (Step.BRIGHTNESS, factor),
        (Step.COLOR, factor),
        (Step.CONTRAST, factor),
        (Step.SHARPNESS, factor),
        (Step.POSTERIZE, 4 - bits if increasing else bits),
        (Step.SOLARIZE, 256 - threshold if increasing else threshold),
        (Step.SOLARIZE_ADD, np.trunc(share * 110)),
    ):
        out = np.where(steps == step, values, out)
    return out
