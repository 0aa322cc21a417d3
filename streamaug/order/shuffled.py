"""The order of an epoch as arithmetic: which sample stands at which global position.

In: the shards' sizes, a seed, an epoch, positions. Out: sample ids. Pure: it keeps no state but tables that it could
compute again, so any position of any epoch costs the same, and every rank computes the same order by itself.

    shards, permuted and rotated  →  the tape of N samples
    the tape, cut into L parts    →  lanes; position p lies in lane p mod L at slot p div L
    a lane, cut into runs         →  contiguous byte ranges; inside a run the samples are permuted
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import tee

import numpy as np
import numpy.typing as npt

from streamaug.order.base import RUN_LENGTH, Int64Array, Order, OrderOptions, Tail, first_position
from streamaug.order.ordering import Ordering
from streamaug.order.tape import DealtAnew, DealtOnce, Tape
from streamaug.random import Stream, keys

_Run = tuple[Int64Array, Int64Array]

#: Samples of the runs that are laid out in one go: their random numbers stay in the processor's cache.
_SAMPLES_AT_ONCE = 8192


class SampleOrder(Order):
    """The samples of every epoch, position by position.

    Args:
        shard_sizes: Samples of each shard, as listed; S integers ≥ 0.
        seed: With the epoch, the key of every random number.
        lanes: L, independent streams through the tape. Choose a multiple of every number of ranks in use.
        window: Samples in the whole shuffle window, L runs together; None: 256 a lane.
        shuffle: False is the identity order: position p is sample p.
        tail: "drop" leaves out samples that do not fill every lane, "pad" repeats from each lane's start.
        sticky_lanes: True deals the shards to the lanes once for a seed, not anew each epoch, so that a lane holds the
            same samples in every epoch, in another order.

    Attributes:
        num_samples: N, the sum of the sizes.
        num_positions: Positions of one epoch: L·⌊N/L⌋ (drop), L·⌈N/L⌉ (pad), or N without shuffle.

    Raises:
        ValueError: If a value is out of its range, or N < L in a shuffled order.
    """

    def __init__(
        self,
        shard_sizes: Sequence[int] | Int64Array,
        *,
        seed: int = 0,
        lanes: int = 32,
        window: int | None = None,
        shuffle: bool = True,
        tail: Tail = "drop",
        sticky_lanes: bool = False,
    ) -> None:
        options = OrderOptions(
            seed=seed, lanes=lanes, window=window, shuffle=shuffle, tail=tail, sticky_lanes=sticky_lanes
        )
        sizes = np.asarray(shard_sizes, np.int64)
        if sizes.ndim != 1 or (sizes < 0).any() or sizes.sum() == 0:
            raise ValueError(f"shard_sizes: at least one sample is needed, got {sizes!r:.80}. Pass each shard's count.")
        total, lanes = int(sizes.sum()), options.lanes
        if shuffle and total < lanes:
            raise ValueError(
                f"lanes: must not exceed the number of samples, got {lanes} lanes for {total} samples. "
                f"The largest that fits is lanes={total}."
            )
        full = total // lanes if tail == "drop" else -(-total // lanes)
        super().__init__(options, num_samples=total, num_positions=full * lanes if shuffle else total)
        # The shards as listed, and the tape of an epoch, which is made when a position of the epoch is first needed.
        bounds = (np.arange(lanes + 1, dtype=object) * total // lanes).astype(np.int64)  # l·N may pass 2⁶³
        self._sizes = sizes
        self._dealer = DealtOnce(sizes, bounds, self.seed) if sticky_lanes else DealtAnew(sizes, self.seed)
        self._tapes: OrderedDict[int, Tape] = OrderedDict()
        # Lanes and runs.
        self._lane_starts, lengths = bounds[:-1], np.diff(bounds)
        self._lane_lengths = np.full_like(lengths, total // lanes) if tail == "drop" else lengths
        self._run = max(1, self.window // lanes)
        self._first_runs = -(-self._run * (np.arange(lanes, dtype=np.int64) + 1) // lanes)

    def __repr__(self) -> str:
        return (
            f"SampleOrder({self.num_samples} samples in {len(self._sizes)} shards, seed={self.seed}, "
            f"lanes={self.lanes}, window={self.window}, shuffle={self.shuffle}, tail={self.tail!r}"
            f"{', sticky_lanes=True' if self.sticky_lanes else ''})"
        )

    def sample_ids(self, epoch: int, positions: Int64Array) -> Int64Array:
        """The samples at positions of an epoch.

        Args:
            epoch: The epoch, from 0.
            positions: int64 (M,), each ≥ 0. Positions past the end go on, wrapped lane by lane, when tail is "pad".

        Returns:
            int64 (M,), numbers of samples in the shards as listed.

        Raises:
            IndexError: If a position is negative, or past the end when tail is "drop".
        """
        checked = self.checked(positions)
        if not self.shuffle:
            return checked % self.num_samples
        # Each run that holds a position is permuted once.
        lanes, slots = self._lane_slots(checked)
        starts, stops = self.run_bounds(lanes, slots)
        runs, inverse = np.unique(self._lane_starts[lanes] + starts, return_inverse=True)
        lengths = np.zeros(len(runs), np.int64)
        lengths[inverse] = stops - starts
        permuted, offsets = self._permuted(epoch, runs, lengths)
        return self._ids(epoch, permuted[offsets[inverse] + slots - starts])

    def is_padding(self, epoch: int, positions: Int64Array) -> npt.NDArray[np.bool_]:
        """Which positions only repeat a sample to fill up, bool (M,); the arguments are those of `sample_ids`."""
        if not self.shuffle:
            return super().is_padding(epoch, positions)
        checked = self.checked(positions)
        return checked // self.lanes >= self._lane_lengths[checked % self.lanes]

    def run_bounds(self, lanes: Int64Array, slots: Int64Array) -> tuple[Int64Array, Int64Array]:
        """The runs [start, stop), in slots of their lanes, that hold the slots, int64 (M,) each; slots do not wrap."""
        first, length = self._first_runs[lanes], self._lane_lengths[lanes]
        later = first + np.maximum(slots - first, 0) // self._run * self._run
        starts = np.where(slots < first, 0, later)
        stops = np.where(slots < first, first, later + self._run)
        return starts, np.minimum(stops, length)

    def lane_length(self, lane: int) -> int:
        """Slots of a lane before it wraps."""
        return int(self._lane_lengths[lane])

    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[_Run]:
        """A lane's slots [start, stop), run by run, as (slots, sample ids), int64 (m,) each; past its end it wraps.

        The samples of a run lie in a contiguous part of the tape, so it is worth fetching them together.
        """
        for positions, ids in self.runs(epoch, [lane], start * self.lanes + lane, stop * self.lanes + lane):
            yield positions // self.lanes, ids

    def runs(self, epoch: int, lanes: Sequence[int], start: int, stop: int) -> Iterator[_Run]:
        """See `Order.runs`. Lays out the next run of many lanes in one go: numpy's calls cost more than short runs."""
        together = max(1, _SAMPLES_AT_ONCE // self._run)
        each: list[Iterator[_Run]] = []
        for first in range(0, len(lanes), together):
            group = np.array(lanes[first : first + together], np.int64)
            turns = tee(self._turns(epoch, group, *self.slots_between(group, start, stop)), len(group))
            each += [_nth(number, own) for number, own in enumerate(turns)]
        return heapq.merge(*each, key=first_position)

    def _turns(self, epoch: int, lanes: Int64Array, slots: Int64Array, ends: Int64Array) -> Iterator[list[_Run | None]]:
        """The next run of each lane, again and again: (positions, sample ids), or None where the lane has ended.

        Args:
            epoch: The epoch.
            lanes: int64 (n,), the lanes.
            slots: int64 (n,), the slot at which each begins.
            ends: int64 (n,), the slot before which each ends.
        """
        slots = slots.copy()
        while len(left := np.flatnonzero(slots < ends)):
            # The whole runs that hold the lanes' slots, and the part of each run that is asked for.
            lane, first = lanes[left], slots[left]
            cycle = first // self._lane_lengths[lane] * self._lane_lengths[lane]
            begin, stop = self.run_bounds(lane, first - cycle)
            on_tape, offsets = self._permuted(epoch, self._lane_starts[lane] + begin, stop - begin)
            ids = self._ids(epoch, on_tape)
            slots[left] = np.minimum(cycle + stop, ends[left])
            # As a run for each lane.
            runs: list[_Run | None] = [None] * len(lanes)
            columns = (left, lane, first, slots[left], offsets + first - cycle - begin)
            for row, number, slot, end, offset in zip(*(column.tolist() for column in columns), strict=True):
                positions = np.arange(slot, end, dtype=np.int64) * self.lanes + number
                runs[row] = positions, ids[offset : offset + end - slot]
            yield runs

    def run_samples(self, epoch: int, position: int) -> Int64Array:
        """All samples of the run that holds a position, in the order of the tape; without shuffle, a block of 256."""
        return self._around(epoch, position, margin=0)

    def neighbourhood(self, epoch: int, position: int) -> Int64Array:
        """The samples of the run, and 256 more on either side within the lane."""
        return self._around(epoch, position, margin=RUN_LENGTH)

    def _around(self, epoch: int, position: int, *, margin: int) -> Int64Array:
        checked = self.checked(np.array([position], np.int64))
        if not self.shuffle:
            first = int(checked[0]) % self.num_samples // RUN_LENGTH * RUN_LENGTH
            return np.arange(max(0, first - margin), min(first + RUN_LENGTH + margin, self.num_samples))
        lanes, slots = self._lane_slots(checked)
        starts, stops = self.run_bounds(lanes, slots)
        base, length = self._lane_starts[lanes[0]], self._lane_lengths[lanes[0]]
        first, last = max(0, int(starts[0]) - margin), min(int(stops[0]) + margin, int(length))
        return self._ids(epoch, np.arange(base + first, base + last))

    def _lane_slots(self, positions: Int64Array) -> tuple[Int64Array, Int64Array]:
        lanes: Int64Array = np.mod(positions, self.lanes)
        return lanes, np.mod(positions // self.lanes, self._lane_lengths[lanes])

    def _permuted(self, epoch: int, starts: Int64Array, lengths: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Tape indices of whole runs, each run permuted by its Philox keys, and where each run begins in the result."""
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        run = np.repeat(np.arange(len(starts)), lengths)
        on_tape = np.arange(len(run)) - offsets[run] + starts[run]
        by_key = np.lexsort((keys(self.seed, epoch, on_tape, stream=Stream.RUN_ORDER), run))
        return on_tape[by_key], offsets

    def _ids(self, epoch: int, on_tape: Int64Array) -> Int64Array:
        """The samples at indices of the tape."""
        tape = self._tapes.get(epoch)
        if tape is None:
            tape = self._tapes[epoch] = self._dealer.tape(epoch)
            while len(self._tapes) > 2:
                self._tapes.popitem(last=False)
        return tape.ids(on_tape)


def _nth(number: int, turns: Iterator[list[_Run | None]]) -> Iterator[_Run]:
    """One lane's runs."""
    for runs in turns:
        run = runs[number]
        if run is None:
            return
        yield run


class Shuffled(Ordering):
    """The plain ordering of a set as it is opened: it shuffles shards and runs, or nothing."""

    is_plain = True

    def order(self, shard_sizes: Int64Array, options: OrderOptions) -> SampleOrder:
        """The order, see `SampleOrder`."""
        return SampleOrder(
            shard_sizes,
            seed=options.seed,
            lanes=options.lanes,
            window=options.window,
            shuffle=options.shuffle,
            tail=options.tail,
            sticky_lanes=options.sticky_lanes,
        )

    def fingerprint(self, dataset: str) -> str:
        """The dataset's own: only the shards as listed decide."""
        return dataset

    def describe(self, dataset: str) -> str:
        """The dataset's repr."""
        return dataset
