"""What becomes of a bad sample: an error that names it, or a deterministic stand-in, recorded.

In: a batch and its bad rows. Out: the batch with those rows replaced by other samples, in an order that depends on
seed, epoch and the position alone (`stand_ins`); so every rank count and every replay chooses the same.
"""

import dataclasses
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from streamaug.batch import Encoded, EncodedBatch, Problem
from streamaug.errors import BadSampleError
from streamaug.order import Order
from streamaug.quarantine import Quarantine
from streamaug.shards import ShardIndex, ShardSet
from streamaug.stand_ins import StandIns
from streamaug.storage.checksum import crc32c
from streamaug.storage.urls import shown

OnBadSample = Literal["raise", "substitute"]


class Substitution:
    """Replaces bad samples, or refuses to.

    Samples whose bytes alone make them bad are remembered, and are not read again until `forget`. That changes no row:
    a candidate that is passed over and one that is tried in vain count as one attempt alike.

    Args:
        shards: The dataset.
        order: Its order.
        on_bad_sample: "raise" or "substitute".
        max_bad_samples: More different bad samples than this are an error; None: no bound.
        quarantine: A JSON-lines file that each bad sample is appended to, or None.

    Raises:
        ValueError: If a value is none of those, or the quarantine cannot be written to.
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
        self._names = [alternatives[0] for alternatives in shards.components]
        self._mode, self._most = on_bad_sample, max_bad_samples
        self._quarantine = None if quarantine is None else Quarantine(quarantine)
        self._bad: set[int] = set()
        self._lasting: dict[int, Problem] = {}
        self._lock = threading.Lock()
        self._index: tuple[int, ShardIndex] | None = None

    @property
    def num_bad(self) -> int:
        """Different bad samples met so far by this process."""
        return len(self._bad)

    def stand_in(self, epoch: int, position: int, attempt: int) -> int:
        """The sample id that stands in at a position, attempt 0, 1, …: see `StandIns`.

        Raises:
            BadSampleError: If there is no further sample.
        """
        return self._nth(StandIns(self._order, epoch, position), position, attempt)

    def forget(self) -> None:
        """Judge all samples anew: they are for another chain, which may map labels, or not look at them at all."""
        self._lasting.clear()

    def screen(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        """`replace` for batches as they are read: rows known to be bad from earlier are replaced with the others.

        Raises:
            BadSampleError: As `replace` does.
        """
        if self._lasting:
            ids = batch.origin.sample_ids.tolist()
            problems = {row: self._lasting[one] for row, one in enumerate(ids) if one in self._lasting} | dict(problems)
        return self.replace(batch, problems)

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
            position, attempt = int(origin.positions[row]), int(attempts[row])
            ids[row], keys[row], columns, attempts[row] = self._usable(origin.epoch, position, attempt)
            data[row] = columns[0]
            for column, value in zip(extras.values(), columns[1:], strict=True):
                column[row] = value
            substitute[row] = True
        changed = dataclasses.replace(origin, sample_ids=ids, keys=tuple(keys), is_substitute=substitute)
        return EncodedBatch(data, extras, changed, attempts)

    def _usable(self, epoch: int, position: int, attempt: int) -> tuple[int, str, list[Encoded], int]:
        """The first stand-in from an attempt on that can be read: id, key and components, and the attempt after it."""
        stand_ins = StandIns(self._order, epoch, position)
        while True:
            chosen = self._nth(stand_ins, position, attempt)
            attempt += 1
            if chosen in self._lasting:
                continue
            key, columns, problem = self._read(chosen)
            if problem is None:
                return chosen, key, columns, attempt
            self._record(chosen, key, epoch, problem)

    def _nth(self, stand_ins: StandIns, position: int, attempt: int) -> int:
        chosen = stand_ins.nth(attempt)
        if chosen is None:
            raise BadSampleError(
                f"stand_in: for position {position} the dataset must have a usable sample, got none in {attempt} "
                "attempts, near it and far. Repair the shards: `streamaug check` lists what is wrong."
            )
        return chosen

    def _record(self, sample_id: int, key: str, epoch: int, problem: Problem) -> None:
        shard = self._shard_of(sample_id)
        url = shown(self._shards.shards[shard].url)
        where = f"sample {key!r} of shard {url}"
        if self._mode == "raise":
            raise problem.error(
                f'{where}: must be usable, but {problem.reason}. Repair it, or read with on_bad_sample="substitute".'
            )
        with self._lock:
            new = sample_id not in self._bad
            self._bad.add(sample_id)
            if problem.lasting:
                self._lasting[sample_id] = problem
        if new and self._quarantine is not None:
            offset = self._offset(shard, sample_id, problem.component)
            line = {"shard": url, "key": key, "offset": offset, "epoch": epoch, "reason": problem.reason}
            self._quarantine.add(line)
        if self._most is not None and len(self._bad) > self._most:
            raise problem.error(
                f"max_bad_samples: at most {self._most} samples may be bad, got {len(self._bad)}; the last is {where}: "
                f"{problem.reason}. Repair the dataset, or allow more."
            )

    def _offset(self, shard: int, sample_id: int, component: str | None) -> int | None:
        """Where a component's bytes begin, else those of the sample's first component; None if it has none."""
        offsets: list[int] = self._load(shard).offsets[sample_id - int(self._shards.starts[shard])].tolist()
        wanted = offsets[0 if component is None else self._names.index(component)]
        return wanted if wanted >= 0 else min((offset for offset in offsets if offset >= 0), default=None)

    def _shard_of(self, sample_id: int) -> int:
        return int(np.searchsorted(self._shards.starts, sample_id, side="right")) - 1

    def _load(self, shard: int) -> ShardIndex:
        with self._lock:
            if self._index is None or self._index[0] != shard:
                self._index = (shard, self._shards.index(shard))
            return self._index[1]

    def _read(self, sample_id: int) -> tuple[str, list[Encoded], Problem | None]:
        """A sample's key and components, fetched at once, and what is wrong with them."""
        shard = self._shard_of(sample_id)
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
    return Problem(f"it has no component {' or '.join(alternatives)}", BadSampleError, alternatives[0], lasting=True)


def mismatch(name: str) -> Problem:
    """The bytes are not those that the checksum was made of; not lasting, for they may have changed on their way."""
    return Problem(f"component {name} does not match its checksum", BadSampleError, name)
