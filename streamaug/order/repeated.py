"""Repeated augmentation: another order, in which each sample comes several times in a row of its lane.

In: an order, and how many copies of each sample. Out: an order with the same number of positions. The copies of a
sample are consecutive slots of one lane, so a reader fetches its bytes once. Pure, like the order that it repeats.

Hoffer et al., "Augment your batch: improving generalization through instance repetition", CVPR 2020.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from streamaug.order.base import Int64Array, Order

#: In the ids by which random numbers are drawn, the copy's number stands above the 48 bits of the sample id.
MOST_REPEATS = 1 << 15


class RepeatedOrder(Order):
    """Slot s of a lane holds copy s mod r of a sample: a slot of the order that is repeated, taken r times.

    An epoch takes one r-th of a lane's samples, and r epochs together take each sample once: epoch e is part e mod r of
    epoch e div r of the repeated order. Where r does not divide the slots of a lane, the last sample of an epoch has
    fewer copies, and may come in the next epoch again.

    Args:
        order: The order to repeat; shuffled.
        repeats: r, copies of each sample, at least 2.
        num_positions: Positions of an epoch that takes all samples of a (shorter) epoch of `order`. None: those of
            `order`, where r epochs together take all samples.

    Raises:
        ValueError: If the order is not shuffled, or r is no integer from 2 to the number of slots of a lane.
    """

    def __init__(self, order: Order, repeats: int, num_positions: int | None = None) -> None:
        if not order.shuffle:
            raise ValueError(
                f"repeats: must be 1 where shuffle is False, got {repeats}. An epoch would hold only some of the "
                "samples: evaluate without repeats, or use a recipe with views."
            )
        self._order, self._parts = order, repeats if num_positions is None else 1
        self.seed, self.lanes, self.window, self.shuffle = order.seed, order.lanes, order.window, order.shuffle
        self.tail, self.sticky_lanes = order.tail, order.sticky_lanes
        self.num_samples = order.num_samples
        self.num_positions = order.num_positions if num_positions is None else num_positions
        most = min(self.num_positions // self.lanes, MOST_REPEATS)
        if repeats > most:
            raise ValueError(
                f"repeats: must lie in 1..{most}, the slots of a lane of {self.num_positions} positions in "
                f"{self.lanes} lanes, got {repeats}. Use fewer repeats, or fewer lanes."
            )
        self.repeats = repeats

    def __repr__(self) -> str:
        return f"RepeatedOrder({self._order}, repeats={self.repeats})"

    @property
    def parameters(self) -> dict[str, int | bool | str]:
        """The parameters of the repeated order, and `repeats`."""
        return {**self._order.parameters, "repeats": self.repeats}

    def so_far(self, epoch: int, position: int) -> Mapping[str, str]:
        """`so_far` of the repeated order."""
        return self._order.so_far(epoch // self._parts, position + epoch % self._parts)

    def sample_ids(self, epoch: int, positions: Int64Array) -> Int64Array:
        """The samples at positions of an epoch, int64 (M,) each; past the end the lanes wrap when tail is "pad".

        Raises:
            IndexError: If a position is negative, or past the end when tail is "drop".
        """
        return self._order.sample_ids(epoch // self._parts, self._repeated(epoch, self.checked(positions)))

    def is_padding(self, epoch: int, positions: Int64Array) -> npt.NDArray[np.bool_]:
        """Which positions are padding: those past the end, and copies of padding; bool (M,)."""
        past: npt.NDArray[np.bool_] = super().is_padding(epoch, positions)
        filled = self._order.is_padding(epoch // self._parts, self._repeated(epoch, np.asarray(positions, np.int64)))
        return past | filled

    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """The runs of the repeated order, each slot as often as it is taken; see `Order.lane_runs`."""
        length = int(self._slots(np.array([lane]))[0])
        begin = epoch % self._parts * length // self._parts
        while start < stop:
            cycle = start // length * length
            end = min(stop, cycle + length)
            first, last = (start - cycle) // self.repeats, -(-(end - cycle) // self.repeats)
            runs = self._order.lane_runs(epoch // self._parts, lane, begin + first, begin + last)
            for slots, ids in runs:
                copies = cycle + ((slots - begin)[:, None] * self.repeats + np.arange(self.repeats)).ravel()
                taken = (copies >= start) & (copies < end)
                yield copies[taken], np.repeat(ids, self.repeats)[taken]
            start = end

    def run_samples(self, epoch: int, position: int) -> Int64Array:
        """All samples of the run that holds a position."""
        return self._order.run_samples(epoch // self._parts, self._one(epoch, position))

    def neighbourhood(self, epoch: int, position: int) -> Int64Array:
        """The samples of the run and those around it."""
        return self._order.neighbourhood(epoch // self._parts, self._one(epoch, position))

    def dataset_range(self, epoch: int, position: int) -> range:
        """All samples of the dataset that a position takes from."""
        return self._order.dataset_range(epoch // self._parts, self._one(epoch, position))

    def _one(self, epoch: int, position: int) -> int:
        return int(self._repeated(epoch, self.checked(np.array([position], np.int64)))[0])

    def _repeated(self, epoch: int, positions: Int64Array) -> Int64Array:
        """For each position, the position in the epoch of the repeated order."""
        lanes = np.mod(positions, self.lanes)
        lengths = self._slots(lanes)
        begins = epoch % self._parts * lengths // self._parts
        slots = begins + positions // self.lanes % lengths // self.repeats
        repeated: Int64Array = slots * self.lanes + lanes
        return repeated

    def _slots(self, lanes: Int64Array) -> Int64Array:
        """Slots of an epoch of each lane."""
        slots: Int64Array = (self.num_positions - 1 - lanes) // self.lanes + 1
        return slots
