"""The sub-operations of learned and random policies: their names, and tables of their strengths.

In: the ranges of a policy. Out: numpy tables, from which the policies' files take each sample's amounts.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


class Step(IntEnum):
    """Sub-operations, with the meaning of their amounts; those before BRIGHTNESS are geometric."""

    IDENTITY = 0
    SHEAR_X = 1  # the tangent of the angle
    SHEAR_Y = 2
    TRANSLATE_X = 3  # pixels
    TRANSLATE_Y = 4
    ROTATE = 5  # degrees
    BRIGHTNESS = 6  # the factor less 1; likewise the next three
    COLOR = 7
    CONTRAST = 8
    SHARPNESS = 9
    POSTERIZE = 10  # bits that are kept
    SOLARIZE = 11  # the threshold, 0..255
    AUTO_CONTRAST = 12  # none; likewise the next two
    EQUALIZE = 13
    INVERT = 14
    SOLARIZE_ADD = 15  # added to values below 128, at most 127


#: Sub-operations whose amount gets a random sign.
SIGNED = np.isin(np.arange(len(Step)), range(Step.SHEAR_X, Step.POSTERIZE))
#: The sub-operations that RandAugment and TrivialAugmentWide choose from.
FOURTEEN = np.arange(Step.INVERT)


def amounts_table(
    bins: int, *, shear: float, translate: float, rotate: float, enhance: float, lost_bits: int
) -> Values:
    """float64 (steps, bins): each step's amount in each bin, as torchvision tabulates them.

    Args:
        bins: Number of magnitudes.
        shear: The last bin's tangent.
        translate: The last bin's shift, in any unit.
        rotate: The last bin's angle in degrees.
        enhance: The last bin's factor of brightness, colour, contrast and sharpness, less 1.
        lost_bits: Bits that Posterize clears in the last bin.
    """
    table = np.zeros((len(Step), bins))
    rising = np.linspace(0.0, 1.0, bins)
    table[[Step.SHEAR_X, Step.SHEAR_Y]] = shear * rising
    table[[Step.TRANSLATE_X, Step.TRANSLATE_Y]] = translate * rising
    table[Step.ROTATE] = rotate * rising
    table[Step.BRIGHTNESS : Step.POSTERIZE] = enhance * rising
    table[Step.POSTERIZE] = 8 - np.rint(lost_bits * rising)
    table[Step.SOLARIZE] = 255.0 * (1.0 - rising)
    return table


def signs(draws: Values) -> Values:
    """-1 or 1, of the shape of the uniform numbers."""
    return np.where(draws <= 0.5, -1.0, 1.0)
