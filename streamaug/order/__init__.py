"""Which sample stands at which position of an epoch, as arithmetic; each file has one order.

base, ordering (the contracts) → shuffled (one dataset) | mixture (several, with weights) | balanced (every class
equally often) → repeated (each sample several times in a row)
"""

from streamaug.order.base import Order, OrderOptions, Tail
from streamaug.order.ordering import Ordering
from streamaug.order.shuffled import SampleOrder

__all__ = ["Order", "OrderOptions", "Ordering", "SampleOrder", "Tail"]
