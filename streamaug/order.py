"""The order of an epoch as arithmetic: which sample stands at which global position.

In: the shards' sizes, a seed, an epoch, positions. Out: sample ids. Pure: no state is kept but tables that could be
computed again, so any position of any epoch costs the same, and every rank computes the same order by itself.

    shards, permuted and rotated  →  the tape of N samples
    the tape, cut into L parts    →  lanes; position p lies in lane p mod L at slot p div L
    a lane, cut into runs         →  contiguous byte ranges; inside a run the samples are permuted
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from streamaug.random import Stream, uniform, words

Int64Array = npt.NDArray[np.int64]
Tail = Literal["drop", "pad"]

RUN_LENGTH = (
    256  # samples a lane and run when no window is given: some 28 MB of ImageNet, what object stores serve best
)


class Order(Protocol):
    """What a reader needs to know of an order; `SampleOrder` says what each means."""

    seed: int
    lanes: int
    window: int
    tail: Tail
    num_samples: int
    num_positions: int

    @property
    def shuffle(self) -> bool:
        """Whether the order is shuffled, in lanes and runs."""

    @property
    def parameters(self) -> dict[str, int | bool | str]:
        """What a saved state must agree with."""

    def sample_ids(self, epoch: int, positions: Int64Array) -> Int64Array:
        """The samples at positions of an epoch."""

    def is_padding(self, epoch: int, positions: Int64Array) -> npt.NDArray[np.bool_]:
        """Which positions only fill up."""

    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """A lane's slots and samples, run by run."""

    def run_members(self, epoch: int, position: int, *, wide: bool = False) -> Int64Array:
        """The samples of a position's run; wide: and those around it."""

    def dataset_ids(self, epoch: int, position: int) -> range:
        """All samples of the dataset that a position takes from."""


def checked_positions(order: Order, positions: Int64Array) -> Int64Array:
    """The positions as int64 (M,); IndexError if one is negative, or past the end of an order that drops its tail."""
    places = np.asarray(positions, np.int64)
    past = order.tail == "drop" and places.size > 0 and int(places.max()) >= order.num_positions
    if past or (places.size > 0 and int(places.min()) < 0):
        raise IndexError(
            f"positions: must lie in 0..{order.num_positions - 1}, got {int(places.min())}..{int(places.max())}. "
            'Only tail="pad" goes on past the end.'
        )
    return places


@dataclass(frozen=True, slots=True, eq=False)
class _Tape:
    """An epoch's shards in their order: `stops[i]` is the tape's length up to and with the i-th of them."""

    shards: Int64Array
    stops: Int64Array
    offset: int


class SampleOrder:
    """The samples of every epoch, position by position.

    Args:
        shard_sizes: Samples of each shard, as listed; S integers ≥ 0.
        seed: With the epoch, the key of every random number.
        lanes: L, independent streams through the tape. Choose twice a multiple of every number of ranks in use.
        window: Samples in the whole shuffle window, L runs together; None: 256 a lane.
        shuffle: False is the identity order: position p is sample p.
        tail: "drop" leaves out what does not fill every lane, "pad" repeats from each lane's start.

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
    ) -> None:
        sizes = np.asarray(shard_sizes, np.int64)
        if sizes.ndim != 1 or (sizes < 0).any() or sizes.sum() == 0:
            raise ValueError(f"shard_sizes: at least one sample is needed, got {sizes!r:.80}. Pass each shard's count.")
        if lanes < 1:
            raise ValueError(f"lanes: must be at least 1, got {lanes}. The default is 32.")
        if window is not None and window < 1:
            raise ValueError(f"window: must be at least 1 sample, got {window}. None takes {RUN_LENGTH} a lane.")
        if tail not in ("drop", "pad"):
            raise ValueError(f'tail: must be "drop" or "pad", got {tail!r}. Evaluation wants "pad".')
        self.num_samples = int(sizes.sum())
        if shuffle and self.num_samples < lanes:
            raise ValueError(
                f"lanes: must not exceed the number of samples, got {lanes} lanes for {self.num_samples} samples. "
                f"The largest that fits is lanes={self.num_samples}."
            )
        self.seed, self.lanes, self.shuffle = int(seed), int(lanes), bool(shuffle)
        self.tail: Tail = tail
        self.window = RUN_LENGTH * lanes if window is None else int(window)
        self._sizes = sizes
        self._starts = np.concatenate([[0], np.cumsum(sizes)])
        self._run = max(1, self.window // self.lanes)
        self._tapes: OrderedDict[int, _Tape] = OrderedDict()
        bounds = np.arange(self.lanes + 1, dtype=object) * self.num_samples // self.lanes  # object: l·N may pass 2⁶³
        self._lane_starts = bounds[:-1].astype(np.int64)
        lengths = np.diff(bounds.astype(np.int64))
        self._lane_lengths = np.full_like(lengths, self.num_samples // self.lanes) if tail == "drop" else lengths
        self._first_runs = -(-self._run * (np.arange(self.lanes, dtype=np.int64) + 1) // self.lanes)
        full = self.num_samples // lanes if tail == "drop" else -(-self.num_samples // lanes)
        self.num_positions = int(full * lanes) if shuffle else self.num_samples

    def __repr__(self) -> str:
        return (
            f"SampleOrder({self.num_samples} samples in {len(self._sizes)} shards, seed={self.seed}, "
            f"lanes={self.lanes}, window={self.window}, shuffle={self.shuffle}, tail={self.tail!r})"
        )

    @property
    def parameters(self) -> dict[str, int | bool | str]:
        """What a saved state must agree with, besides dataset and seed."""
        return {"lanes": self.lanes, "window": self.window, "shuffle": self.shuffle, "tail": self.tail}

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
        places = checked_positions(self, positions)
        if not self.shuffle:
            return places % self.num_samples
        lanes, slots = self._lane_slots(places)
        starts, stops = self.run_bounds(lanes, slots)
        runs, inverse = np.unique(self._lane_starts[lanes] + starts, return_inverse=True)
        lengths = np.zeros(len(runs), np.int64)
        lengths[inverse] = stops - starts
        permuted, offsets = self._permuted(epoch, runs, lengths)
        return self._ids(epoch, permuted[offsets[inverse] + slots - starts])

    def is_padding(self, epoch: int, positions: Int64Array) -> npt.NDArray[np.bool_]:
        """Which positions only repeat a sample to fill up, bool (M,); the arguments are those of `sample_ids`."""
        del epoch  # padding is the same in every epoch
        places = checked_positions(self, positions)
        if not self.shuffle:
            return places >= self.num_samples
        return places // self.lanes >= self._lane_lengths[places % self.lanes]

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

    def run_sample_ids(self, epoch: int, lane: int, start: int, stop: int) -> Int64Array:
        """The samples of one whole run, slot by slot, int64 (stop − start,); bounds as `run_bounds` gives them."""
        runs = np.array([self._lane_starts[lane] + start])
        permuted, _ = self._permuted(epoch, runs, np.array([stop - start]))
        return self._ids(epoch, permuted)

    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """A lane's slots [start, stop), run by run, as (slots, sample ids), int64 (m,) each; past its end it wraps.

        What one item holds lies in one contiguous part of the tape, so it is worth fetching together.
        """
        length = self.lane_length(lane)
        slot = start
        while slot < stop:
            cycle, inner = divmod(slot, length)
            bounds = self.run_bounds(np.array([lane]), np.array([inner]))
            first, last = (cycle * length + int(bound[0]) for bound in bounds)
            slots = np.arange(slot, min(last, stop), dtype=np.int64)
            ids = self.run_sample_ids(epoch, lane, first - cycle * length, last - cycle * length)
            yield slots, ids[slots - first]
            slot = int(slots[-1]) + 1

    def run_members(self, epoch: int, position: int, *, wide: bool = False) -> Int64Array:
        """All samples of the run that holds a position, in the order of the tape; without shuffle, a block of 256.

        Wide: 256 more on either side, as far as the lane goes.
        """
        place = checked_positions(self, np.array([position], np.int64))
        more = RUN_LENGTH if wide else 0
        if not self.shuffle:
            first = int(place[0]) % self.num_samples // RUN_LENGTH * RUN_LENGTH
            return np.arange(max(0, first - more), min(first + RUN_LENGTH + more, self.num_samples))
        lanes, slots = self._lane_slots(place)
        starts, stops = self.run_bounds(lanes, slots)
        base, length = self._lane_starts[lanes[0]], self._lane_lengths[lanes[0]]
        first, last = max(0, int(starts[0]) - more), min(int(stops[0]) + more, int(length))
        return self._ids(epoch, np.arange(base + first, base + last))

    def dataset_ids(self, epoch: int, position: int) -> range:
        """All samples of the dataset that a position takes from: every one there is."""
        del epoch, position
        return range(self.num_samples)

    def _lane_slots(self, places: Int64Array) -> tuple[Int64Array, Int64Array]:
        lanes: Int64Array = np.mod(places, self.lanes)
        return lanes, np.mod(places // self.lanes, self._lane_lengths[lanes])

    def _permuted(self, epoch: int, starts: Int64Array, lengths: Int64Array) -> tuple[Int64Array, Int64Array]:
        """Tape places of whole runs, each run permuted by its Philox keys, and where each run begins in the result."""
        offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        run = np.repeat(np.arange(len(starts)), lengths)
        places = np.arange(len(run)) - offsets[run] + starts[run]
        raw = words(self.seed, epoch, places, stream=Stream.RUN_ORDER, blocks=1).astype(np.uint64)
        keys = (raw[:, 0] << np.uint64(32)) | raw[:, 1]
        return places[np.lexsort((keys, run))], offsets

    def _ids(self, epoch: int, places: Int64Array) -> Int64Array:
        """Samples at places of the tape."""
        tape = self._tape(epoch)
        turned: Int64Array = np.mod(places + tape.offset, self.num_samples)
        which = np.searchsorted(tape.stops, turned, side="right")
        shards = tape.shards[which]
        return self._starts[shards] + turned - (tape.stops[which] - self._sizes[shards])

    def _tape(self, epoch: int) -> _Tape:
        tape = self._tapes.get(epoch)
        if tape is None:
            raw = words(self.seed, epoch, np.arange(len(self._sizes)), stream=Stream.SHARD_ORDER, blocks=1)
            keys = (raw[:, 0].astype(np.uint64) << np.uint64(32)) | raw[:, 1]
            shards = np.argsort(keys, kind="stable")
            turn = uniform(self.seed, epoch, np.zeros(1, np.int64), stream=Stream.TAPE_ROTATION, n=1)[0, 0]
            tape = _Tape(shards, np.cumsum(self._sizes[shards]), int(turn * self.num_samples))
            self._tapes[epoch] = tape
            while len(self._tapes) > 2:
                self._tapes.popitem(last=False)
        return tape
