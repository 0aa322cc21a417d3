"""Byte ranges that cover samples: merged over narrow gaps, cut where they grow too long.

In: where the components of samples lie in their shards. Out: ranges of about a given size, cut where samples end. Pure.
"""

import numpy as np
import numpy.typing as npt

from streamaug.batch import Int64Array

_STRIDE = 1 << 42  # more than a shard has bytes


def covering(
    stretches: Int64Array,
    offsets: Int64Array,
    sizes: Int64Array,
    apart: npt.NDArray[np.bool_],
    gap: int,
    part_bytes: int,
) -> tuple[tuple[Int64Array, Int64Array, Int64Array], Int64Array]:
    """Ranges that cover all components that the samples have, and the number of the range of each component.

    Args:
        stretches: int64 (M,), for each sample the number, from 0, of the shard of a want; no range covers two.
        offsets: int64 (M, C), where the components begin in their shards, -1 where a sample lacks one.
        sizes: int64 (M, C), their bytes.
        apart: The samples that are to be ranges of their own.
        gap: The most bytes between two components of a range.
        part_bytes: The bytes of a range, which is larger by less than a sample.

    Returns:
        The ranges by stretch and place: int64 (P,) each, stretch, first byte, and one past the last. And int64 (M, C).
    """
    part = np.full(offsets.shape, -1, np.int64)
    rows, columns = np.nonzero(offsets >= 0)
    if not len(rows):
        return (rows, rows, rows), part
    # All components in one line of addresses, stretch after stretch.
    address = stretches[rows] * _STRIDE + offsets[rows, columns]
    by_address = np.argsort(address, kind="stable")
    rows, columns, address = rows[by_address], columns[by_address], address[by_address]
    ends = address + sizes[rows, columns]
    # Cut where the gap is too wide, and around samples that are to be parts of their own.
    other = np.concatenate([[True], rows[1:] != rows[:-1]])  # where another sample begins
    before = np.maximum.accumulate(np.concatenate([[address[0]], ends[:-1]]))
    cut = address - before > gap
    cut |= other & (apart[rows] | np.concatenate([[False], apart[rows[:-1]]]))
    cut[0] = True
    # Cut runs of bytes that are longer than a part: a sample belongs to the part in which it begins.
    position = np.arange(len(rows))
    whole = address[np.maximum.accumulate(np.where(cut, position, 0))]
    begins = np.maximum.accumulate(np.where(other | cut, position, 0))
    number = (address[begins] - whole) // part_bytes
    cut[1:] |= other[1:] & (number[1:] != number[:-1])
    # From the line of addresses back to places in shards.
    first = np.flatnonzero(cut)
    part[rows, columns] = np.cumsum(cut) - 1
    stretch, begin = np.divmod(address[first], _STRIDE)
    return (stretch, begin, np.maximum.reduceat(ends, first) - stretch * _STRIDE), part
