"""The samples to resize lying on their side, because DALI's CPU resize is three times slower along rows first.

In: windows of interest and output sizes. Out: flags. Pure.

DALI resizes in two passes and takes for each sample the order that does less arithmetic. Down the columns first, both
passes use vector instructions; along the rows first, the first pass does not (DALI 2.4.0, one core: 500 x 375 to 224²
in 2.85 ms, 375 x 500 in 0.98 ms). A sample turned by 90 degrees, which is a copy, resized and turned back has the same
passes in the same order with vector instructions in both (1.49 ms, both turns included).
"""

import numpy as np
import numpy.typing as npt

_Floats = npt.NDArray[np.float64]

_PASS = 3.0  # cost that DALI adds for each pixel between the passes, in taps of a filter
_ALONG = 1.4  # cost of a tap along a row, if a tap down a column costs 1: measured, between 1.36 and 1.43


def sideways(
    low: _Floats, high: _Floats, extent: _Floats, size: tuple[int, int], support: float
) -> npt.NDArray[np.bool_]:
    """The samples that DALI would filter along their rows first, and down the columns first if they are turned.

    Args:
        low: float64 (B, 2), top and left of the region of interest.
        high: Likewise, bottom and right.
        extent: Likewise, height and width of the whole image to resize.
        size: Height and width of the result.
        support: Half the width of the filter, in source pixels at scale 1.

    Returns:
        bool (B,).
    """
    radius = support * np.maximum((high - low) / np.array(size), 1.0)
    taps = np.ceil(2.0 * radius)
    first = np.clip(np.floor(low - radius), 0.0, extent)
    last = np.clip(np.floor(high - radius + taps), 0.0, extent)
    rows, columns = (last - first).T
    # Pixels between the passes, and taps of each pass, for the image as it is and for the image turned.
    standing = _costs(columns * size[0], rows * size[1], taps[:, 0], taps[:, 1], size[0] * size[1])
    lying = _costs(rows * size[1], columns * size[0], taps[:, 1], taps[:, 0], size[0] * size[1])
    return (standing[1] < standing[0]) & (lying[0] <= lying[1])


def _costs(
    after_down: _Floats, after_along: _Floats, down: _Floats, along: _Floats, area: int
) -> tuple[_Floats, _Floats]:
    """The costs, in DALI's estimate, of going down the columns first and of going along the rows first."""
    along = _ALONG * along
    return after_down * (_PASS + down) + area * along, after_along * (_PASS + along) + area * down
