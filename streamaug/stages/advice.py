"""Warnings that a reader gives as soon as the ranks are settled: of orders that read bytes twice or drop samples."""

import warnings
from math import gcd

from streamaug.order.base import Order
from streamaug.reader import Share


def warn_of_shared_lanes(order: Order, world_size: int) -> None:
    """Warn where several ranks read the same bytes, because they share lanes."""
    if not order.shuffle or order.lanes % world_size == 0:
        return
    readers = world_size // gcd(world_size, order.lanes)
    warnings.warn(
        f"ShardReader.lanes: should be a multiple of the {world_size} ranks, got {order.lanes}, so each byte is read "
        f"by up to {readers} ranks. Batches are the same; "
        f"lanes={world_size * max(1, order.lanes // world_size)} would read each byte once.",
        UserWarning,
        stacklevel=4,
    )


def warn_of_dropped_tail(order: Order, share: Share) -> None:
    """Warn where a listed order, an evaluation most likely, leaves samples out."""
    dropped = order.num_positions - share.num_batches(order) * share.global_batch
    if not order.shuffle and order.tail == "drop" and dropped > 0:
        warnings.warn(
            f"ShardReader.tail: an evaluation should count every sample, got {dropped} of "
            f"{order.num_positions} that fill no global batch of {share.global_batch} and are dropped. Give "
            'tail="pad", and leave out the rows of origin.is_padding.',
            UserWarning,
            stacklevel=4,
        )
