"""The contract of an order, the arithmetic of positions, and the options that a reader's user chooses.

In: the options. Out: the methods by which a reader uses an order. `ordering` makes an order for a dataset.
"""

import heapq
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from streamaug.arguments import flag, whole

Int64Array = npt.NDArray[np.int64]
T = TypeVar("T", int, Int64Array)
Tail = Literal["drop", "pad"]

#: Samples of a run when no window is given: some 28 MB of ImageNet, a size that object stores serve well.
RUN_LENGTH = 256
#: The advice to whoever passes a number as `shuffle`, as other loaders take it.
SHUFFLE_FIX = "How far samples are shuffled is window"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderOptions:
    """The options that decide the order of the samples; `SampleOrder` explains each value.

    Args:
        seed: With the epoch, the key of every random number.
        lanes: L, at least 1.
        window: Samples in the whole shuffle window, at least 1; None: 256 a lane.
        shuffle: Whether the order is shuffled.
        tail: "drop" or "pad".
        sticky_lanes: Whether a lane holds the same samples in every epoch.

    Raises:
        ValueError: If a value is out of its range; names it.
        TypeError: If `shuffle` or `sticky_lanes` is no bool.
    """

    seed: int = 0
    lanes: int = 32
    window: int | None = None
    shuffle: bool = True
    tail: Tail = "drop"
    sticky_lanes: bool = False

    def __post_init__(self) -> None:
        for field in ("seed", "lanes"):
            object.__setattr__(self, field, whole(field, getattr(self, field), "Write a whole number"))
        if self.window is not None:
            object.__setattr__(self, "window", whole("window", self.window, "Write a whole number"))
        object.__setattr__(self, "shuffle", flag("shuffle", self.shuffle, SHUFFLE_FIX))
        object.__setattr__(self, "sticky_lanes", flag("sticky_lanes", self.sticky_lanes))
        if self.lanes < 1:
            raise ValueError(f"lanes: must be at least 1, got {self.lanes}. A reader's default is 96.")
        if self.window is not None and self.window < 1:
            raise ValueError(f"window: must be at least 1 sample, got {self.window}. None takes {RUN_LENGTH} a lane.")
        if self.tail not in ("drop", "pad"):
            raise ValueError(
                f'tail: must be "drop" or "pad", got {self.tail!r}. Training wants "drop", evaluation "pad".'
            )
        if self.sticky_lanes and not self.shuffle:
            raise ValueError(
                "sticky_lanes: must be False where shuffle is False, which has no lanes, got True. "
                "Leave one of them out."
            )


class Order(ABC):
    """Which sample stands at which position of every epoch.

    A subclass is pure: an epoch's order depends on its arguments, the seed and the epoch alone, so that every rank
    computes the same order by itself. Several threads call it.

    Args:
        options: The options of the reader's user.
        num_samples: N, all samples of the dataset; their ids are 0 to N − 1.
        num_positions: Positions of one epoch.

    Attributes:
        seed: The seed.
        lanes: L; position p lies in lane p mod L, at slot p div L.
        window: Samples in the whole shuffle window.
        shuffle: Whether the order is shuffled, in lanes and runs.
        tail: "drop" or "pad".
        sticky_lanes: Whether a lane holds the same samples in every epoch.
        repeats: Consecutive slots of a lane that hold one sample; 1 except in a `RepeatedOrder`.
        num_samples: N.
        num_positions: Positions of one epoch.
    """

    repeats = 1

    def __init__(self, options: OrderOptions, *, num_samples: int, num_positions: int) -> None:
        self.seed, self.lanes, self.shuffle = options.seed, options.lanes, options.shuffle
        self.tail: Tail = options.tail
        self.sticky_lanes = options.sticky_lanes
        self.window = RUN_LENGTH * options.lanes if options.window is None else options.window
        self.num_samples, self.num_positions = num_samples, num_positions

    @property
    def parameters(self) -> dict[str, int | bool | str]:
        """The fields that must be equal in a saved state, besides the seed and the dataset's fingerprint."""
        sticky = {"sticky_lanes": True} if self.sticky_lanes else {}  # states of 0.1.0 have no such field
        return {"lanes": self.lanes, "window": self.window, "shuffle": self.shuffle, "tail": self.tail, **sticky}

    def so_far(self, epoch: int, position: int) -> Mapping[str, str]:
        """A further field of a state saved at (epoch, position), where an order depends on earlier epochs."""
        del epoch, position
        return {}

    @abstractmethod
    def sample_ids(self, epoch: int, positions: Int64Array) -> Int64Array:
        """The samples at positions of an epoch.

        Args:
            epoch: The epoch, from 0.
            positions: int64 (M,), each ≥ 0. Positions past the end are defined when tail is "pad".

        Returns:
            int64 (M,), numbers of samples in the shards as listed.

        Raises:
            IndexError: If a position is negative, or past the end when tail is "drop".
        """

    def is_padding(self, epoch: int, positions: Int64Array) -> npt.NDArray[np.bool_]:
        """Which positions only repeat a sample to fill up the last global batch, bool (M,).

        Raises:
            IndexError: As `sample_ids` does.
        """
        del epoch  # padding is the same in every epoch
        return self.checked(positions) >= self.num_positions

    @abstractmethod
    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """A lane's slots [start, stop), run by run, as (slots, sample ids), int64 (m,) each, by first slot.

        A run holds samples that are worth fetching together. Slots past the lane's end wrap.
        """

    def runs(self, epoch: int, lanes: Sequence[int], start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """The runs of several lanes in positions [start, stop), as (positions, sample ids), by first position.

        An order may replace it, where it lays out the runs of several lanes in one go.
        """

        def of(lane: int) -> Iterator[tuple[Int64Array, Int64Array]]:
            first, end = self.slots_between(lane, start, stop)
            for slots, ids in self.lane_runs(epoch, lane, first, end):
                yield slots * self.lanes + lane, ids

        return heapq.merge(*map(of, lanes), key=first_position)

    def slots_between(self, lane: T, start: int, stop: int) -> tuple[T, T]:
        """The slots [first, end) of a lane, or of each of an array of lanes, at positions [start, stop)."""
        return -((lane - start) // self.lanes), -((lane - stop) // self.lanes)

    @abstractmethod
    def run_samples(self, epoch: int, position: int) -> Int64Array:
        """All samples of the run that holds a position, int64 (m,): the first candidates for a stand-in."""

    def neighbourhood(self, epoch: int, position: int) -> Int64Array:
        """The samples of `run_samples`, and those around the run where an order has any, int64 (m,)."""
        return self.run_samples(epoch, position)

    def dataset_range(self, epoch: int, position: int) -> range:
        """All samples of the dataset that a position takes from; only a mixture has several datasets."""
        del epoch, position
        return range(self.num_samples)

    def checked(self, positions: Int64Array) -> Int64Array:
        """The positions as int64 (M,).

        Raises:
            IndexError: If a position is negative, or past the end of an order that drops its tail.
        """
        checked = np.asarray(positions, np.int64)
        past = self.tail == "drop" and checked.size > 0 and int(checked.max()) >= self.num_positions
        if past or (checked.size > 0 and int(checked.min()) < 0):
            raise IndexError(
                f"positions: must lie in 0..{self.num_positions - 1}, got {int(checked.min())}..{int(checked.max())}. "
                'Only tail="pad" goes on past the end.'
            )
        return checked


def first_position(run: tuple[Int64Array, Int64Array]) -> int:
    """The first position of a run that `Order.runs` gives."""
    return int(run[0][0])


def default_lanes(num_samples: int, most: int) -> int:
    """The default lanes of a reader: 96, or the most that leave 4 samples a lane of a small set.

    Ranks in numbers of 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48 and 96 then read lanes of their own.

    Args:
        num_samples: Of the whole set.
        most: The largest number of lanes that the set's ordering can have, see `Ordering.most_lanes`.
    """
    return next((lanes for lanes in (96, 48, 24, 12, 6, 2) if 4 * lanes <= num_samples and lanes <= most), 1)


def default_window(lanes: int) -> int:
    """The default window of a reader: 8,192 samples in all, and at least 64 a lane."""
    return max(8192, 64 * lanes)
