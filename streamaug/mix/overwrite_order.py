"""The order in which rows of a batch can be overwritten by blends of themselves and their partners.

In: each row's partner. Out: chains of rows in which a row is written only when no later row needs its old pixels. It
never touches pixels.
"""

from collections.abc import Iterator

import numpy as np

from streamaug.batch import BoolArray, Float64Array, Int64Array


def untouched_rows(partner: Int64Array, lam: Float64Array, boxes: Int64Array) -> BoolArray:
    """Rows that mixing does not change: bool (B,)."""
    empty = (boxes[:, 1] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 2])
    return np.asarray((partner == np.arange(len(partner))) | ((lam == 1) & empty))


def chains(partner: Int64Array, untouched: BoolArray) -> Iterator[tuple[list[int], bool]]:
    """Orders in which rows can be overwritten: a row only when no later row needs its old pixels.

    Args:
        partner: int64 (B,), the row that each row reads besides itself.
        untouched: bool (B,), rows that need no work.

    Yields:
        (rows, closed): rows to work through in this order. If closed, the last row's partner is the first row, as it
        was before; pairs come out as closed chains of two.
    """
    following = [-1 if idle else int(mate) for mate, idle in zip(partner, untouched, strict=True)]
    readers = np.bincount([mate for mate in following if mate >= 0], minlength=len(following)).tolist()
    done = [mate < 0 for mate in following]
    for start in range(len(following)):  # rows that no other row reads any more, and the rows that they set free
        row, rows = start, []
        while row >= 0 and not done[row] and not readers[row]:
            rows.append(row)
            done[row] = True
            row = following[row]
            readers[row] -= 1
        if rows:
            yield rows, False
    for start in range(len(following)):  # only rings are left
        row, rows = start, []
        while not done[row]:
            rows.append(row)
            done[row] = True
            row = following[row]
        if rows:
            yield rows, True
