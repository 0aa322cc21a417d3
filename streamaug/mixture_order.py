"""The order of a mixture of datasets: which of them a position takes from, and which of its samples.

In: the shards' sizes of each dataset, and weights. Out: the same interface as `SampleOrder`. Every lane of an epoch
takes a fixed number of samples from each dataset, in a shuffled pattern; each dataset's own order runs on from epoch to
epoch, so that all its samples are seen equally often, however small its weight. Elastic and resumable alike.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from streamaug.order import RUN_LENGTH, Int64Array, SampleOrder, Tail, checked_positions
from streamaug.random import Stream, words

_SEED_STEP = 0x9E3779B9  # members draw apart from each other, whatever the seed


class MixtureOrder:
    """The samples of every epoch of a mixture.

    Args:
        shard_sizes: For each dataset, the samples of each of its shards.
        weights: For each dataset, its share of every epoch, > 0; they need not sum to 1.
        seed: As of `SampleOrder`.
        lanes: As of `SampleOrder`; no dataset may have fewer samples.
        window: Samples in the shuffle window, over all datasets; None: 256 a lane.
        tail: Fills the last global batch ("pad") or leaves it out ("drop").

    Attributes:
        num_samples: Of all datasets; ids count through the datasets in the order given.
        num_positions: Positions of one epoch, L·⌊N/L⌋.

    Raises:
        ValueError: If a weight is not positive, too small for one sample a lane and epoch, or a dataset has fewer
            samples than there are lanes.
    """

    shuffle = True

    def __init__(
        self,
        shard_sizes: Sequence[Sequence[int] | Int64Array],
        weights: Sequence[float],
        *,
        seed: int = 0,
        lanes: int = 32,
        window: int | None = None,
        tail: Tail = "drop",
    ) -> None:
        shares = np.asarray(weights, np.float64)
        if len(shares) != len(shard_sizes) or not len(shares) or not (np.isfinite(shares) & (shares > 0)).all():
            raise ValueError(
                f"weights: must be one positive number for each dataset, got {list(weights)}. Leave out 0."
            )
        shares = shares / shares.sum()
        if tail not in ("drop", "pad"):
            raise ValueError(f'tail: must be "drop" or "pad", got {tail!r}. Training wants "drop".')
        self.seed, self.lanes, self.tail = int(seed), int(lanes), tail
        self.window = RUN_LENGTH * lanes if window is None else int(window)
        self._members = [
            SampleOrder(
                sizes, seed=seed + (i + 1) * _SEED_STEP, lanes=lanes, window=max(lanes, int(self.window * share))
            )
            for i, (sizes, share) in enumerate(zip(shard_sizes, shares.tolist(), strict=True))
        ]
        counts = [member.num_samples for member in self._members]
        self._bases = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        self.num_samples = sum(counts)
        self._slots = self.num_samples // self.lanes
        self._quotas = _apportion(shares, self._slots)
        self._weights = [round(share, 12) for share in shares.tolist()]
        if min(self._quotas) == 0:
            i = self._quotas.index(0)
            raise ValueError(
                f"weights: each dataset must give at least one sample a lane and epoch, got {weights[i]} for dataset "
                f"{i}, less than one of {self._slots}. Raise it to {1 / self._slots:.3g} of the sum, or leave it out."
            )
        self.num_positions = self._slots * self.lanes
        self._patterns: OrderedDict[tuple[int, int], tuple[Int64Array, Int64Array]] = OrderedDict()

    def __repr__(self) -> str:
        shares = ", ".join(f"{weight:.3g}" for weight in self._weights)
        return f"MixtureOrder({self.num_samples} samples, weights {shares}, seed={self.seed}, lanes={self.lanes})"

    @property
    def parameters(self) -> dict[str, int | bool | str]:
        """What a saved state must agree with, besides dataset and seed; weights are part of the fingerprint."""
        return {"lanes": self.lanes, "window": self.window, "shuffle": True, "tail": self.tail}

    def sample_ids(self, epoch: int, positions: Int64Array) -> Int64Array:
        """The samples at positions of an epoch, int64 (M,) each; past the end the lanes wrap when tail is "pad".

        Raises:
            IndexError: If a position is negative, or past the end when tail is "drop".
        """
        places = checked_positions(self, positions)
        which, slots = self._taken(epoch, places)
        out = np.zeros(len(places), np.int64)
        for i, member in enumerate(self._members):
            rows = np.flatnonzero(which == i)
            lanes = places[rows] % self.lanes
            length = member.lane_length(0)
            rounds = slots[rows] // length
            for number in np.unique(rounds).tolist():
                now = rows[rounds == number]
                inner = slots[now] % length * self.lanes + lanes[rounds == number]
                out[now] = self._bases[i] + member.sample_ids(number, inner)
        return out

    def is_padding(self, epoch: int, positions: Int64Array) -> npt.NDArray[np.bool_]:
        """Which positions only fill up the last global batch, bool (M,)."""
        del epoch
        return checked_positions(self, positions) >= self.num_positions

    def lane_length(self, lane: int) -> int:
        """Slots of a lane before it wraps."""
        del lane
        return self._slots

    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """A lane's slots [start, stop), run by run of each dataset, by first slot; see `SampleOrder.lane_runs`."""
        which, _ = self._pattern(epoch, lane)
        while start < stop:
            cycle = start // self._slots * self._slots
            end = min(stop, cycle + self._slots)
            inside = slice(start - cycle, end - cycle)
            streams = [
                self._member_runs(epoch, lane, i, start + np.flatnonzero(which[inside] == i))
                for i in range(len(self._members))
            ]
            yield from heapq.merge(*streams, key=lambda run: int(run[0][0]))
            start = end

    def run_members(self, epoch: int, position: int, *, wide: bool = False) -> Int64Array:
        """All samples of the run that holds a position; wide: and those around it, of the same dataset."""
        places = checked_positions(self, np.array([position], np.int64))
        which, slots = self._taken(epoch, places)
        i = int(which[0])
        member = self._members[i]
        number, slot = divmod(int(slots[0]), member.lane_length(0))
        inner = slot * self.lanes + int(places[0]) % self.lanes
        members: Int64Array = self._bases[i] + member.run_members(number, inner, wide=wide)
        return members

    def _member_runs(self, epoch: int, lane: int, i: int, slots: Int64Array) -> Iterator[tuple[Int64Array, Int64Array]]:
        """The runs of dataset i that the mixture's slots of a lane take, which are consecutive in its own order."""
        if not len(slots):
            return
        member = self._members[i]
        _, ranks = self._pattern(epoch, lane)
        first = epoch * self._quotas[i] + int(ranks[slots[0] % self._slots])
        done, length = 0, member.lane_length(0)
        while done < len(slots):
            number, slot = divmod(first + done, length)
            count = min(len(slots) - done, length - slot)
            for own, ids in member.lane_runs(number, lane, slot, slot + count):
                chosen = slots[done + own[0] - slot : done + own[-1] + 1 - slot]
                yield chosen, self._bases[i] + ids
            done += count

    def _taken(self, epoch: int, places: Int64Array) -> tuple[Int64Array, Int64Array]:
        """For each position the dataset and the slot in that dataset's own endless order, int64 (M,) each."""
        lanes, slots = np.mod(places, self.lanes), np.mod(places // self.lanes, self._slots)
        which, ranks = np.zeros_like(places), np.zeros_like(places)
        for lane in np.unique(lanes).tolist():
            rows = lanes == lane
            pattern = self._pattern(epoch, lane)
            which[rows], ranks[rows] = pattern[0][slots[rows]], pattern[1][slots[rows]]
        return which, epoch * np.array(self._quotas, np.int64)[which] + ranks

    def _pattern(self, epoch: int, lane: int) -> tuple[Int64Array, Int64Array]:
        """A lane's datasets, slot by slot, and how many earlier slots took from the same one."""
        known = self._patterns.get((epoch, lane))
        if known is None:
            raw = words(
                self.seed,
                epoch,
                np.arange(lane * self._slots, (lane + 1) * self._slots),
                stream=Stream.MIXTURE,
                blocks=1,
            ).astype(np.uint64)
            keys = (raw[:, 0] << np.uint64(32)) | raw[:, 1]
            which = np.repeat(np.arange(len(self._quotas)), self._quotas)[np.argsort(keys, kind="stable")]
            ranks = np.empty_like(which)
            ranks[np.argsort(which, kind="stable")] = np.concatenate([np.arange(quota) for quota in self._quotas])
            known = self._patterns[epoch, lane] = (which, ranks)
            while len(self._patterns) > 2 * self.lanes:
                self._patterns.popitem(last=False)
        return known


def _apportion(shares: npt.NDArray[np.float64], seats: int) -> list[int]:
    """Whole numbers that sum to `seats`, in proportion to the shares, by largest remainder."""
    exact = shares * seats
    whole = np.floor(exact).astype(np.int64)
    left = seats - int(whole.sum())
    whole[np.argsort(-(exact - whole), kind="stable")[:left]] += 1
    out: list[int] = whole.tolist()
    return out
