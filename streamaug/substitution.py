"""What becomes of a bad sample: an error that names it, or a deterministic stand-in, recorded.

In: a batch and its bad rows. Out: the batch with those rows replaced by other samples of the same run, in an order that
depends on seed, epoch and the bad sample alone; so every rank count and every replay chooses the same.
"""

import dataclasses
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from streamaug.batch import Encoded, EncodedBatch, Problem
from streamaug.errors import BadSampleError
from streamaug.order import Order
from streamaug.random import Stream, uniform
from streamaug.shards import ShardIndex, ShardSet
from streamaug.storage.checksum import crc32c

OnBadSample = Literal["raise", "substitute"]


class Substitution:
    """Replaces bad samples, or refuses to.

    Args:
        shards: The dataset.
        order: Its order.
        on_bad_sample: "raise" or "substitute".
        max_bad_samples: More different bad samples than this are an error; None: no bound.
        quarantine: A JSON-lines file that each bad sample is appended to, or None.

    Raises:
        ValueError: If a value is none of those.
    """

    def __init__(
        self,
        shards: ShardSet,
        order: Order,
        *,
        on_bad_sample: OnBadSample = "raise",
        max_bad_samples: int | None = None,
        quarantine: str | Path | None = None,
    ) -> None:
        if on_bad_sample not in ("raise", "substitute"):
            raise ValueError(f'on_bad_sample: must be "raise" or "substitute", got {on_bad_sample!r}. Choose one.')
        if max_bad_samples is not None and max_bad_samples < 0:
            raise ValueError(f"max_bad_samples: must be at least 0, got {max_bad_samples}. None sets no bound.")
        self._shards, self._order = shards, order
        self._mode, self._most = on_bad_sample, max_bad_samples
        self._quarantine = None if quarantine is None else Path(quarantine)
        self._bad: set[int] = set()
        self._lock = threading.Lock()
        self._index: tuple[int, ShardIndex] | None = None

    @property
    def num_bad(self) -> int:
        """Different bad samples met so far by this process."""
        return len(self._bad)

    def stand_in(self, epoch: int, position: int, attempt: int) -> int:
        """The sample id that stands in at a position, attempt 0, 1, …: the others of its run, then those around it.

        Raises:
            BadSampleError: If there is no further sample.
        """
        own = self._order.sample_ids(epoch, np.array([position], np.int64))
        others = np.setdiff1d(self._order.run_members(epoch, position), own)
        number = attempt
        if number >= len(others):
            number -= len(others)
            others = np.setdiff1d(self._order.run_members(epoch, position, wide=True), np.append(others, own))
        if not 0 <= number < len(others):
            raise BadSampleError(
                f"stand_in: around position {position} there must be a usable sample, got none in {attempt} "
                "attempts. Repair the shard, or read it in another order."
            )
        keys = uniform(self._order.seed, epoch, own, stream=Stream.STAND_IN, n=len(others))[0]
        return int(others[np.argsort(keys, kind="stable")[number]])

    def replace(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        """The batch with a stand-in in each bad row; rows whose stand-in is bad too come again with the next attempt.

        Raises:
            BadSampleError: If bad samples are errors, are more than allowed, or nothing can stand in.
        """
        origin = batch.origin
        for row, problem in sorted(problems.items()):
            self._record(int(origin.sample_ids[row]), origin.keys[row], origin.epoch, problem)
        return self._swapped(batch, sorted(problems))

    def reject(self, batch: EncodedBatch, rows: Sequence[int]) -> EncodedBatch:
        """The same for samples that are good and not wanted: no error, and not recorded.

        Raises:
            BadSampleError: If nothing can stand in, or a stand-in is bad and bad samples are errors.
        """
        return self._swapped(batch, rows)

    def _swapped(self, batch: EncodedBatch, rows: Sequence[int]) -> EncodedBatch:
        if not rows:
            return batch
        origin = batch.origin
        data, extras = list(batch.data), {name: list(column) for name, column in batch.extras.items()}
        ids, keys, substitute = origin.sample_ids.copy(), list(origin.keys), origin.is_substitute.copy()
        attempts = np.zeros(len(keys), np.int64) if batch.attempts is None else batch.attempts.copy()
        for row in rows:
            while True:
                ids[row] = self.stand_in(origin.epoch, int(origin.positions[row]), int(attempts[row]))
                attempts[row] += 1
                keys[row], columns, again = self._read(int(ids[row]))
                if again is None:
                    break
                self._record(int(ids[row]), keys[row], origin.epoch, again)
            data[row] = columns[0]
            for column, value in zip(extras.values(), columns[1:], strict=True):
                column[row] = value
            substitute[row] = True
        changed = dataclasses.replace(origin, sample_ids=ids, keys=tuple(keys), is_substitute=substitute)
        return EncodedBatch(data, extras, changed, attempts)

    def _record(self, sample_id: int, key: str, epoch: int, problem: Problem) -> None:
        shard = int(np.searchsorted(self._shards.starts, sample_id, side="right")) - 1
        url = self._shards.shards[shard].url
        where = f"sample {key!r} of shard {url}"
        if self._mode == "raise":
            raise problem.error(
                f'{where}: must be usable, but {problem.reason}. Repair it, or read with on_bad_sample="substitute".'
            )
        with self._lock:
            new = sample_id not in self._bad
            self._bad.add(sample_id)
        if new and self._quarantine is not None:
            index = self._load(shard)
            offset = int(index.offsets[sample_id - int(self._shards.starts[shard]), 0])
            line = {"shard": url, "key": key, "offset": offset, "epoch": epoch, "reason": problem.reason}
            with self._quarantine.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if self._most is not None and len(self._bad) > self._most:
            raise problem.error(
                f"max_bad_samples: at most {self._most} samples may be bad, got {len(self._bad)}; the last is {where}: "
                f"{problem.reason}. Repair the dataset, or allow more."
            )

    def _load(self, shard: int) -> ShardIndex:
        with self._lock:
            if self._index is None or self._index[0] != shard:
                self._index = (shard, self._shards.index(shard))
            return self._index[1]

    def _read(self, sample_id: int) -> tuple[str, list[Encoded], Problem | None]:
        """A sample's key and components, fetched at once, and what is wrong with them."""
        shard = int(np.searchsorted(self._shards.starts, sample_id, side="right")) - 1
        index, row = self._load(shard), sample_id - int(self._shards.starts[shard])
        columns: list[Encoded] = []
        for number, alternatives in enumerate(self._shards.components):
            offset, size = int(index.offsets[row, number]), int(index.sizes[row, number])
            if offset < 0:
                return index.keys[row], columns, missing(alternatives)
            columns.append(self._shards.storage.read(self._shards.shards[shard].url, offset, offset + size))
            if index.checksums is not None and crc32c(columns[-1]) != int(index.checksums[row, number]):
                return index.keys[row], columns, mismatch(alternatives[0])
        return index.keys[row], columns, None


def missing(alternatives: tuple[str, ...]) -> Problem:
    """The sample has no such component."""
    return Problem(f"it has no component {' or '.join(alternatives)}", BadSampleError)


def mismatch(name: str) -> Problem:
    """The bytes are not those that the checksum was made of."""
    return Problem(f"component {name} does not match its checksum", BadSampleError)
