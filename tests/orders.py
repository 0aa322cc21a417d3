"""An example of each order of the package, for tests that hold for all of them; and how the package's own are found."""

import importlib
import pkgutil
import sys

import numpy as np

import streamaug.order
from streamaug.order import Order, OrderOptions, SampleOrder
from streamaug.order.balanced import Balanced, BalancedOrder
from streamaug.order.mixture import Mixture, MixtureOrder
from streamaug.order.repeated import RepeatedOrder
from streamaug.order.shuffled import Shuffled

SIZES = (31, 1, 120, 64, 99, 7, 67)
LABELS = np.array([0] * 100 + [3] * 5 + [7] * 37 + [9])
PARTS = [np.array(sizes) for sizes in ([60, 40], [30, 10, 8], [200])]

PLAIN = SampleOrder(SIZES, seed=4, lanes=16, window=128)
STICKY = SampleOrder(SIZES, seed=4, lanes=16, window=128, sticky_lanes=True)
LISTED = SampleOrder(SIZES, seed=4, shuffle=False)
MIXTURE = MixtureOrder(PARTS, [3, 1, 2], OrderOptions(seed=3, lanes=8, window=160))
BALANCED = BalancedOrder(LABELS, OrderOptions(seed=2, lanes=8, window=40))


def whole(order, epoch=0):
    """The sample ids of an epoch."""
    return order.sample_ids(epoch, np.arange(order.num_positions))


def rising(epoch):
    """The weight of a dataset that rests in epoch 0, and comes ever more often."""
    return min(epoch, 4) / 2


VARYING = MixtureOrder(PARTS, [3, rising, 2], OrderOptions(seed=3, lanes=8, window=160))

#: A row for each order: it shows the order's positions, runs and kin to the tests of tests/order and tests/bad_samples.
ORDERS = {
    "plain": PLAIN,
    "sticky": STICKY,
    "listed": LISTED,
    "mixture": MIXTURE,
    "varying mixture": VARYING,
    "balanced": BALANCED,
}
ORDERS |= {
    "repeated": RepeatedOrder(PLAIN, 3),
    "repeated, sticky": RepeatedOrder(STICKY, 2),
    "repeated, mixture": Mixture(PARTS, [3, 1, 2], ["a", "b", "c"]).repeated(
        np.concatenate(PARTS), OrderOptions(seed=3, lanes=8, window=160), 3
    ),
    "repeated, balanced": RepeatedOrder(BALANCED, 4),
}
#: A row for each ordering, with sizes of shards that it can order.
ORDERINGS = {
    "plain": (Shuffled(), np.array(SIZES)),
    "mixture": (Mixture(PARTS, [3, 1, 2], ["a", "b", "c"]), np.concatenate(PARTS)),
    "varying mixture": (Mixture(PARTS, [3, rising, 2], ["a", "b", "c"]), np.concatenate(PARTS)),
    "balanced": (Balanced(LABELS), np.array([100, 43])),
}


def of_package(base):
    """All classes of `streamaug.order` that derive from one, found by importing whatever lies there."""
    for module in pkgutil.iter_modules(streamaug.order.__path__):
        importlib.import_module(f"streamaug.order.{module.name}")
    found, waiting = set(), [base]
    while waiting:
        for derived in waiting.pop().__subclasses__():
            waiting.append(derived)
            module = sys.modules[derived.__module__]
            if module.__name__.startswith("streamaug.order.") and getattr(module, derived.__name__) is derived:
                found.add(derived)  # a dataclass with slots is made twice, and only the second stays
    return found


def classes(base):
    """The classes that have a row."""
    rows = ORDERS.values() if base is Order else [ordering for ordering, _ in ORDERINGS.values()]
    return {type(row) for row in rows}
