"""The treatment of a bad sample: an error that names it, or a deterministic stand-in and a record.

In: a batch and its bad rows. Out: the batch with those rows replaced by other samples, in an order that depends on
seed, epoch and the position alone (`stand_ins`); so every number of ranks and every replay chooses the same samples.
"""

import dataclasses
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from streamaug.arguments import whole
from streamaug.bad_samples.quarantine import Quarantine
from streamaug.bad_samples.stand_ins import StandIns
from streamaug.bad_samples.tally import Tally
from streamaug.batch import EncodedBatch
from streamaug.encoded import Encoded
from streamaug.errors import BadSampleError
from streamaug.order.base import Order
from streamaug.samples.problem import Problem, mismatch, missing
from streamaug.shards.catalogue import Catalogue
from streamaug.shards.checksum import crc32c
from streamaug.shards.index import ShardIndex
from streamaug.storage.location import shown

OnBadSample = Literal["raise", "substitute"]
#: Batches under way whose rows may be replaced again and again, attempt by attempt.
_BATCHES_KEPT = 4


class Substitution:
    """Replaces bad samples, or refuses to.

    Samples whose bytes alone make them bad are remembered, and are not read again until `forget_verdicts`. That changes
    no row: a candidate that is skipped counts as an attempt, as a candidate that is tried in vain does.

    Args:
        catalogue: The dataset's shards.
        order: The order of its samples.
        on_bad_sample: "raise" or "substitute".
        max_bad_samples: With more different bad samples than this it raises an error; None: no bound.
        quarantine: A JSON-lines file that each bad sample is appended to, or None.

    Raises:
        ValueError: If a value is not allowed, or the quarantine cannot be written to.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        order: Order,
        *,
        on_bad_sample: OnBadSample = "raise",
        max_bad_samples: int | None = None,
        quarantine: str | Path | None = None,
    ) -> None:
        if on_bad_sample not in ("raise", "substitute"):
            raise ValueError(f'on_bad_sample: must be "raise" or "substitute", got {on_bad_sample!r}. Choose one.')
        if max_bad_samples is not None:
            max_bad_samples = whole("max_bad_samples", max_bad_samples, "None sets no bound", least=0)
        self._catalogue, self._order = catalogue, order
        self._names = [alternatives[0] for alternatives in catalogue.components]
        self._mode, self._most = on_bad_sample, max_bad_samples
        self._quarantine = None if quarantine is None else Quarantine(quarantine)
        self._bad: set[int] = set()
        self._num_replaced = 0
        self._lasting: dict[int, Problem] = {}
        self._lock = threading.Lock()
        self._index: tuple[int, ShardIndex] | None = None
        self._stand_ins: OrderedDict[tuple[int, int], StandIns] = OrderedDict()
        self._kept = 1
        self._tally = Tally()

    @property
    def num_bad(self) -> int:
        """Different bad samples met so far by this process."""
        return len(self._bad)

    def bad_counts(self) -> tuple[int, int]:
        """Different bad samples met so far by this process, and rows with stand-ins for bad or rejected samples."""
        return len(self._bad), self._num_replaced

    def stand_in(self, epoch: int, position: int, attempt: int) -> int:
        """The sample id that stands in at a position, attempt 0, 1, …: see `StandIns`.

        Raises:
            BadSampleError: If there is no further sample.
        """
        return self._nth(epoch, position, attempt)

    def forget_verdicts(self) -> None:
        """Judge all samples anew, for another chain, which may map labels or ignore them."""
        self._lasting.clear()

    def replace_known_bad(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        """`replace` for batches as they are read: rows whose samples were bad before are replaced with the others.

        Raises:
            BadSampleError: As `replace` does.
        """
        self._tally.meet(len(batch.data))
        if self._lasting:
            ids = batch.origin.sample_ids.tolist()
            lasting = {row: self._lasting[sample_id] for row, sample_id in enumerate(ids) if sample_id in self._lasting}
            problems = lasting | dict(problems)
        return self.replace(batch, problems)

    def replace(self, batch: EncodedBatch, problems: Mapping[int, Problem]) -> EncodedBatch:
        """The batch with a stand-in in each bad row; rows whose stand-in is bad too come again with the next attempt.

        Raises:
            BadSampleError: If bad samples are errors, are more than allowed, or nothing can stand in.
        """
        origin = batch.origin
        for row, problem in sorted(problems.items()):
            is_new = not origin.is_substitute[row]
            self._record(int(origin.sample_ids[row]), origin.keys[row], origin.epoch, problem, in_tally=is_new)
        if problems:
            self._tally.judge()
        return self._swapped(batch, sorted(problems))

    def replace_unwanted(self, batch: EncodedBatch, rows: Sequence[int]) -> EncodedBatch:
        """`replace` for good samples that a later stage rejects: no error, and not recorded.

        Raises:
            BadSampleError: If nothing can stand in, or a stand-in is bad and bad samples are errors.
        """
        return self._swapped(batch, rows)

    def _swapped(self, batch: EncodedBatch, rows: Sequence[int]) -> EncodedBatch:
        if not rows:
            return batch
        self._kept = max(self._kept, _BATCHES_KEPT * len(batch.data))
        origin = batch.origin
        data, extras = list(batch.data), {name: list(column) for name, column in batch.extras.items()}
        ids, keys, substitute = origin.sample_ids.copy(), list(origin.keys), origin.is_substitute.copy()
        attempts = np.zeros(len(keys), np.int64) if batch.attempts is None else batch.attempts.copy()
        for row in rows:
            self._num_replaced += not substitute[row]
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
        while True:
            chosen = self._nth(epoch, position, attempt)
            attempt += 1
            if chosen in self._lasting:
                continue
            key, columns, problem = self._read(chosen)
            if problem is None:
                return chosen, key, columns, attempt
            self._record(chosen, key, epoch, problem)

    def _nth(self, epoch: int, position: int, attempt: int) -> int:
        """The stand-in of an attempt; candidates of recent positions are kept, since each attempt asks anew."""
        with self._lock:
            stand_ins = self._stand_ins.pop((epoch, position), None) or StandIns(self._order, epoch, position)
            self._stand_ins[epoch, position] = stand_ins
            while len(self._stand_ins) > self._kept:
                self._stand_ins.popitem(last=False)
            chosen = stand_ins.nth(attempt)
        if chosen is None:
            commonest = self._tally.commonest()
            why = "" if commonest is None else f", most often because {commonest}"
            raise BadSampleError(
                f"stand_in: for position {position} the dataset must have a usable sample, got none in {attempt} "
                f"attempts, near it and far{why}. Repair the shards: `streamaug check` lists what is wrong."
            )
        return chosen

    def _record(self, sample_id: int, key: str, epoch: int, problem: Problem, *, in_tally: bool = False) -> None:
        """Raise the error of a bad sample, or record it; also in the tally, where it cost a row of a batch.

        Raises:
            BadSampleError: If bad samples are errors, or are more than allowed.
        """
        # The name for an error, or for the record.
        shard = self._shard_of(sample_id)
        problem = self._explained(shard, sample_id, problem)
        url = shown(self._catalogue.shards[shard].url)
        where = f"sample {key!r} of shard {url}"
        if self._mode == "raise":
            others = f", or ask for others than {self._asked()} in ShardSet.open" if problem.is_missing else ""
            raise problem.error(
                f"{where}: must be usable, but {problem.reason}. "
                f'Repair it{others}, or read with on_bad_sample="substitute".'
            ) from problem.cause
        with self._lock:
            new = sample_id not in self._bad
            self._bad.add(sample_id)
            if problem.lasting:
                self._lasting[sample_id] = problem
        if in_tally:
            self._tally.add(where, problem.reason)
        # It is recorded once; too many are an error.
        if new and self._quarantine is not None:
            offset = self._offset(shard, sample_id, problem.component)
            line = {"shard": url, "key": key, "offset": offset, "epoch": epoch, "reason": problem.reason}
            self._quarantine.add(line)
        if self._most is not None and len(self._bad) > self._most:
            raise problem.error(
                f"max_bad_samples: at most {self._most} samples may be bad, got {len(self._bad)}; the last is {where}: "
                f"{problem.reason}. Repair the dataset, or allow more."
            )

    def _explained(self, shard: int, sample_id: int, problem: Problem) -> Problem:
        """The problem, with the suffixes that the sample has instead of the component that it lacks."""
        if not problem.is_missing:
            return problem
        suffixes = self._load(shard).incomplete.get(sample_id - int(self._catalogue.starts[shard]), ())
        alternatives = next(names for names in self._catalogue.components if names[0] == problem.component)
        return missing(alternatives, suffixes)

    def _asked(self) -> str:
        """The components as they are asked for."""
        names = [f'"{";".join(alternatives)}"' for alternatives in self._catalogue.components]
        return f"components=({', '.join(names)}{',' if len(names) == 1 else ''})"

    def _offset(self, shard: int, sample_id: int, component: str | None) -> int | None:
        """The offset of a component's bytes, else of the sample's first component; None if it has none."""
        offsets: list[int] = self._load(shard).offsets[sample_id - int(self._catalogue.starts[shard])].tolist()
        wanted = offsets[0 if component is None else self._names.index(component)]
        return wanted if wanted >= 0 else min((offset for offset in offsets if offset >= 0), default=None)

    def _shard_of(self, sample_id: int) -> int:
        return int(self._catalogue.shards_of(np.array([sample_id], np.int64))[0])

    def _load(self, shard: int) -> ShardIndex:
        with self._lock:
            if self._index is None or self._index[0] != shard:
                self._index = (shard, self._catalogue.index(shard))
            return self._index[1]

    def _read(self, sample_id: int) -> tuple[str, list[Encoded], Problem | None]:
        """A sample's key and components, fetched at once, and the problem with them."""
        shard = self._shard_of(sample_id)
        index, row = self._load(shard), sample_id - int(self._catalogue.starts[shard])
        columns: list[Encoded] = []
        for number, alternatives in enumerate(self._catalogue.components):
            offset, size = int(index.offsets[row, number]), int(index.sizes[row, number])
            if offset < 0:
                return index.keys[row], columns, missing(alternatives)
            data = self._catalogue.storage.read(self._catalogue.shards[shard].url, offset, offset + size)
            columns.append(data if number == 0 else bytes(data))
            if index.checksums is not None and crc32c(columns[-1]) != int(index.checksums[row, number]):
                return index.keys[row], columns, mismatch(alternatives[0])
        return index.keys[row], columns, None
