"""The weights of a mixture: numbers, or functions of the epoch; and the slots of a lane for them.

In: a weight for each dataset. Out: shares, and whole numbers of slots, epoch by epoch. Pure where the functions are.
"""

import hashlib
import json
import operator
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from streamaug.arguments import is_number
from streamaug.order.base import Int64Array

#: A dataset's share of an epoch: a number, or a pure function from the epoch's number to it.
Weight = float | Callable[[int], float]


class Weights:
    """Weights, checked.

    Args:
        weights: For each dataset a positive number, or a function from the epoch to a number of at least 0.

    Attributes:
        weights: As given.
        vary: Whether a weight is a function.

    Raises:
        ValueError: If the list is empty, a number is not positive, or a function returns no weight for epoch 0.
    """

    def __init__(self, weights: Sequence[Weight]) -> None:
        self.weights = list(weights)
        self.vary = any(callable(weight) for weight in weights)
        for i, weight in enumerate(weights):
            if not callable(weight) and not (is_number(weight) and 0 < weight <= sys.float_info.max):
                raise ValueError(
                    f"weights: each must be a positive number, got {weight!r} for dataset {i}. "
                    "Leave out a dataset without a weight."
                )
        self._constant = None if self.vary else self._shares(0)
        self.shares(0)

    def shares(self, epoch: int) -> npt.NDArray[np.float64]:
        """The weights of an epoch as shares of their sum, float64 (D,).

        Raises:
            ValueError: If a function returns no weight for it; names the epoch.
        """
        return self._shares(epoch) if self._constant is None else self._constant

    def share(self, number: int) -> Weight:
        """A dataset's share, for a mixture that contains this mixture."""
        return _Share(self, number) if self.vary else float(self.shares(0)[number])

    def names(self) -> list[str]:
        """Each weight as an error or a repr shows it."""
        return [_name(weight) if callable(weight) else f"{weight:g}" for weight in self.weights]

    def _shares(self, epoch: int) -> npt.NDArray[np.float64]:
        values = [value_at(weight, epoch) for weight in self.weights]
        shares = np.array(values, np.float64)
        with np.errstate(over="ignore"):
            total = float(shares.sum())
        if not 0 < total <= sys.float_info.max:
            where = f", in epoch {epoch}" if self.vary else ""
            raise ValueError(
                f"weights: must be at least one above 0, with a finite sum, got {values}{where}. "
                "Write shares, such as 0.3 and 0.7."
            )
        return shares / total


def value_at(weight: Weight, epoch: int) -> float:
    """A weight in an epoch.

    Raises:
        ValueError: If a function returns no number of at least 0; names the epoch.
    """
    if not callable(weight):
        return weight
    try:
        value: object = weight(epoch)
    except Exception as error:
        error.add_note(f"weights: {_name(weight)} was asked for epoch {epoch}")
        raise
    if not is_number(value) or not 0 <= value <= sys.float_info.max:
        raise ValueError(
            f"weights: must be a number of at least 0 in each epoch, got {value!r} of {_name(weight)} for epoch "
            f"{epoch}. Return 0 where a dataset rests."
        )
    return value


def times(first: Weight, second: Weight) -> Weight:
    """The product of two weights, epoch by epoch."""
    return first if _is(second, 1) else _joined(operator.mul, first, second)


def plus(first: Weight, second: Weight) -> Weight:
    """The sum of two weights, epoch by epoch."""
    return second if _is(first, 0) else _joined(operator.add, first, second)


def _is(weight: Weight, number: int) -> bool:
    return not callable(weight) and weight == number


def _joined(operation: Callable[[Any, Any], Any], first: Weight, second: Weight) -> Weight:
    if callable(first) or callable(second):
        return _Joined(operation, first, second)
    joined: float = operation(float(first), float(second))
    return joined


@dataclass(frozen=True, slots=True, repr=False)
class _Joined:
    """Two weights, at least one of them a function, joined by an operation."""

    operation: Callable[[Any, Any], Any]
    first: Weight
    second: Weight

    def __repr__(self) -> str:
        sign = "·" if self.operation is operator.mul else "+"
        first, second = (_name(weight) if callable(weight) else f"{weight:g}" for weight in (self.first, self.second))
        return f"({first} {sign} {second})"

    def __call__(self, epoch: int) -> float:
        joined: float = self.operation(value_at(self.first, epoch), value_at(self.second, epoch))
        return joined


@dataclass(frozen=True, slots=True, repr=False)
class _Share:
    """A dataset's share of a mixture whose weights vary."""

    weights: Weights
    number: int

    def __repr__(self) -> str:
        return f"share {self.number} of ({', '.join(self.weights.names())})"

    def __call__(self, epoch: int) -> float:
        return float(self.weights.shares(epoch)[self.number])


class Quotas:
    """How many slots of each lane a dataset has, epoch by epoch: the shares, by largest remainder.

    Args:
        weights: The weights.
        slots: Slots of a lane in an epoch.
    """

    def __init__(self, weights: Weights, slots: int) -> None:
        self._weights, self._slots = weights, slots
        self._constant = None if weights.vary else _apportion(weights.shares(0), slots)
        # For each epoch up to the last that was asked for: its slots, and the slots of all epochs before it.
        self._epochs: list[list[int]] = []
        self._totals = [np.zeros(len(weights.weights), np.int64)]

    def of(self, epoch: int) -> list[int]:
        """The slots of each dataset in an epoch.

        Raises:
            ValueError: As `Weights.shares`.
        """
        if self._constant is not None:
            return self._constant
        self._know(epoch)
        return self._epochs[epoch]

    def before(self, epoch: int) -> Int64Array:
        """The slots of each dataset in all earlier epochs together, int64 (D,).

        Raises:
            ValueError: As `Weights.shares`, of any of those epochs.
        """
        if self._constant is not None:
            return epoch * np.array(self._constant, np.int64)
        self._know(epoch - 1)
        return self._totals[epoch]

    def digest(self, epochs: int) -> str:
        """A hash of the slots of the first epochs."""
        quotas = [self.of(epoch) for epoch in range(epochs)]
        return hashlib.sha256(json.dumps(quotas).encode()).hexdigest()[:16]

    def _know(self, epoch: int) -> None:
        """Count up to an epoch; several threads may do so, since all get the same result."""
        epochs, totals = list(self._epochs), list(self._totals)
        while len(epochs) <= epoch:
            epochs.append(_apportion(self._weights.shares(len(epochs)), self._slots))
            totals.append(totals[len(epochs) - 1] + np.array(epochs[-1], np.int64))
        if len(epochs) > len(self._epochs):
            self._totals, self._epochs = totals, epochs


def _name(weight: object) -> str:
    return str(getattr(weight, "__qualname__", None) or repr(weight))


def _apportion(shares: npt.NDArray[np.float64], seats: int) -> list[int]:
    """Whole numbers that sum to `seats`, in proportion to the shares, by largest remainder."""
    exact = shares * seats
    whole = np.floor(exact).astype(np.int64)
    left = seats - int(whole.sum())
    whole[np.argsort(-(exact - whole), kind="stable")[:left]] += 1
    out: list[int] = whole.tolist()
    return out
