"""The class-balanced order: every class equally often, whatever the dataset's counts.

In: the class of each sample. Out: the same interface as `SampleOrder`. Every K consecutive positions hold each of the K
classes once, in a shuffled order; within a class the samples follow each other in a permutation of their own, which
runs on from epoch to epoch, so that all samples of a class are seen equally often. Elastic and resumable alike.
"""

from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from streamaug.order import RUN_LENGTH, Int64Array, Tail, checked_positions
from streamaug.random import Stream, words

_CACHED = 4096


class BalancedOrder:
    """The samples of every epoch, each class equally often.

    Args:
        labels: The class of each sample, int64 (N,).
        seed: As of `SampleOrder`.
        lanes: As of `SampleOrder`; here lanes only pair samples for mixing and share them among ranks.
        window: Samples fetched ahead together, over all lanes; None: 256 a lane.
        tail: Fills the last global batch ("pad") or leaves it out ("drop").

    Attributes:
        num_samples: N.
        num_classes: K, classes that have a sample.
        num_positions: Positions of one epoch, L·⌊N/L⌋.

    Raises:
        ValueError: If there are fewer samples than lanes.
    """

    shuffle = True

    def __init__(
        self, labels: Int64Array, *, seed: int = 0, lanes: int = 32, window: int | None = None, tail: Tail = "drop"
    ) -> None:
        if tail not in ("drop", "pad"):
            raise ValueError(f'tail: must be "drop" or "pad", got {tail!r}. Training wants "drop".')
        if not 1 <= lanes <= len(labels):
            raise ValueError(f"lanes: must lie in 1..{len(labels)}, the number of samples, got {lanes}. Use fewer.")
        self.seed, self.lanes = int(seed), int(lanes)
        self.tail: Tail = tail
        self.window = RUN_LENGTH * lanes if window is None else int(window)
        self.num_samples = len(labels)
        classes, which = np.unique(labels, return_inverse=True)
        self.num_classes = len(classes)
        by_class = np.argsort(which, kind="stable")
        self._members = np.split(by_class, np.cumsum(np.bincount(which))[:-1])
        self._class_of = which
        self.num_positions = self.num_samples // lanes * lanes
        self._rounds = -(-self.num_positions // self.num_classes)
        self._permutations: OrderedDict[tuple[int, int], Int64Array] = OrderedDict()

    def __repr__(self) -> str:
        counts = f"{self.num_samples} samples, {self.num_classes} classes"
        return f"BalancedOrder({counts}, seed={self.seed}, lanes={self.lanes})"

    @property
    def parameters(self) -> dict[str, int | bool | str]:
        """What a saved state must agree with, besides dataset and seed; labels are part of the fingerprint."""
        return {"lanes": self.lanes, "window": self.window, "shuffle": True, "tail": self.tail}

    def sample_ids(self, epoch: int, positions: Int64Array) -> Int64Array:
        """The samples at positions of an epoch, int64 (M,) each; past the end it wraps when tail is "pad".

        Raises:
            IndexError: If a position is negative, or past the end when tail is "drop".
        """
        places = checked_positions(self, positions)
        rounds, turns = np.divmod(np.mod(places, self.num_positions), self.num_classes)
        out = np.zeros(len(places), np.int64)
        for number in np.unique(rounds).tolist():
            rows = np.flatnonzero(rounds == number)
            classes = self._class_order(epoch, number)[turns[rows]]
            for row, chosen in zip(rows.tolist(), classes.tolist(), strict=True):
                out[row] = self._nth(chosen, epoch * self._rounds + number)
        return out

    def is_padding(self, epoch: int, positions: Int64Array) -> npt.NDArray[np.bool_]:
        """Which positions only fill up the last global batch, bool (M,)."""
        del epoch
        return np.asarray(positions, np.int64) >= self.num_positions

    def lane_runs(self, epoch: int, lane: int, start: int, stop: int) -> Iterator[tuple[Int64Array, Int64Array]]:
        """A lane's slots [start, stop) and their samples, as many together as the window gives a lane."""
        together = max(1, self.window // self.lanes)
        while start < stop:
            end = min(stop, (start // together + 1) * together)
            slots = np.arange(start, end, dtype=np.int64)
            yield slots, self.sample_ids(epoch, slots * self.lanes + lane)
            start = end

    def run_members(self, epoch: int, position: int, *, wide: bool = False) -> Int64Array:
        """All samples of the class at a position, so that a stand-in keeps the balance; wide: the same."""
        del wide
        own = self.sample_ids(epoch, np.array([position], np.int64))
        return self._members[int(self._class_of[own[0]])]

    def dataset_ids(self, epoch: int, position: int) -> range:
        """All samples of the dataset that a position takes from: every one there is."""
        del epoch, position
        return range(self.num_samples)

    def _class_order(self, epoch: int, number: int) -> Int64Array:
        """The order of the classes in one round of K positions."""
        return self._shuffled(self.seed, epoch, -1, number, self.num_classes)

    def _nth(self, chosen: int, turn: int) -> int:
        """The sample that a class gives at its turn, counted over all epochs."""
        members = self._members[chosen]
        cycle, place = divmod(turn, len(members))
        return int(members[self._shuffled(self.seed + 1, cycle, chosen, 0, len(members))[place]])

    def _shuffled(self, seed: int, epoch: int, owner: int, number: int, count: int) -> Int64Array:
        """A permutation of `count`, keyed by all the other arguments."""
        key = (owner, epoch if owner >= 0 else epoch << 40 | number)
        known = self._permutations.get(key)
        if known is None:
            base = (owner + 1) << 32 if owner >= 0 else number * count
            raw = words(seed, epoch, np.arange(base, base + count), stream=Stream.MIXTURE, blocks=1).astype(np.uint64)
            known = np.argsort((raw[:, 0] << np.uint64(32)) | raw[:, 1], kind="stable")
            self._permutations[key] = known
            while len(self._permutations) > max(_CACHED, 2 * self.num_classes):
                self._permutations.popitem(last=False)
        return known
