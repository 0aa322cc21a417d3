"""The engine below `ShardReader`: a pass over an epoch as encoded batches, this rank's rows of each global batch.

In: a catalogue, an order, a share, a pass. Out: `EncodedBatch`es whose images are views into fetched ranges, not
copies. Threads live as long as the pass, and as the requests that it has sent for the next pass.
"""

import warnings
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator

import numpy as np

from streamaug.batch import EncodedBatch, Origin
from streamaug.encoded import Encoded
from streamaug.order.base import Order
from streamaug.reader.metering import ReaderCounts
from streamaug.reader.prefetch import Held
from streamaug.reader.read_ahead import ReadAhead, RunsHeld
from streamaug.reader.reading import Reading
from streamaug.reader.schedule import Share
from streamaug.reader.state import EpochPass
from streamaug.samples.problem import Problem, Replace, mismatch, missing
from streamaug.shards.catalogue import Catalogue
from streamaug.shards.checksum import crc32c


class BatchReader:
    """Reads passes.

    Args:
        catalogue: The dataset's shards.
        order: The order of its samples.
        share: This rank's share of it.
        replace: Replaces rows that cannot be used; it gets every batch, and the problems found in it here.
        reads_ahead: Whether a pass, from the second on, reads the beginning of the next.
    """

    def __init__(
        self, catalogue: Catalogue, order: Order, share: Share, replace: Replace, *, reads_ahead: bool = True
    ) -> None:
        self._catalogue, self._order, self._share, self._replace = catalogue, order, share, replace
        self._names = [alternatives[0] for alternatives in catalogue.components]
        self._warned = False
        self._reads_ahead, self._comes_again = reads_ahead, False
        self._pass: EpochPass | None = None
        #: The reading of the pass that comes next, and the pass that has begun it.
        self._next: tuple[Reading, EpochPass] | None = None
        #: Its first batches, as far as they were asked for, with their problems.
        self._begun: deque[tuple[EncodedBatch, dict[int, Problem]]] = deque()

    def read(self, epoch_pass: EpochPass, counts: ReaderCounts | None = None) -> Iterator[EncodedBatch]:
        """The batches of a pass. Closing the generator ends its threads.

        Args:
            epoch_pass: The pass.
            counts: Counts the reading; reading ahead for the next pass counts here.
        """
        share, last = self._share, epoch_pass.num_batches - 1
        reading, begun = self._reading_of(epoch_pass)
        counts = counts or ReaderCounts()
        counts.read = reading.counts
        try:
            self._warn_of_window(reading.read_ahead)
            for number in range(epoch_pass.num_batches):
                start = epoch_pass.start + number * share.global_batch
                batch, problems = begun.popleft() if begun else self._assemble(epoch_pass.epoch, start, reading)
                counts.queue_depth, counts.prefetch_fill = reading.depth, reading.fill
                # Not in the first half: the requests at the start of a pass are urgent.
                if self._reads_ahead and self._comes_again and 2 * number >= last:
                    reading.ask_for_next()
                    if number == last and (following := reading.hand_over()) is not None:
                        self._next = following, epoch_pass
                yield self._replace(batch, problems)
            if self._next is not None:
                self._next[0].settle()
        finally:
            reading.close()
            counts.queue_depth, counts.prefetch_fill = 0, 0.0

    def begin_next(self) -> EncodedBatch | None:
        """The next batch of the pass that comes next, if its bytes are here and nothing is wrong with it.

        That pass, if it comes, delivers the very object, unless it replaces rows.
        """
        if self._next is None or (self._begun and self._begun[-1][1]):
            return None
        reading, number = self._next[0], len(self._begun)
        epoch_pass = reading.epoch_pass
        start = epoch_pass.start + number * self._share.global_batch
        pieces = reading.arrived(start + self._share.global_batch) if number < epoch_pass.num_batches else None
        if pieces is None:
            return None
        try:
            batch, problems = self._joined(epoch_pass.epoch, start, pieces)
        except Exception:  # noqa: BLE001 - the pass itself, if it comes, reads anew and raises it again
            self.drop_ahead()
            return None
        self._begun.append((batch, problems))
        return None if problems else batch

    def _reading_of(self, epoch_pass: EpochPass) -> tuple[Reading, deque[tuple[EncodedBatch, dict[int, Problem]]]]:
        """The reading of a pass, and its first batches, if the pass before has begun it; else a new one, and none."""
        # An earlier pass that delivered a batch makes this the second, and a further pass likely.
        if self._pass is not None and self._pass is not epoch_pass and self._pass.delivered:
            self._comes_again = True
        self._pass = epoch_pass
        self.keep_ahead(epoch_pass.epoch, epoch_pass.start)
        ahead, self._next = self._next, None
        begun, self._begun = self._begun, deque()
        if ahead is None or ahead[0].epoch_pass.num_batches != epoch_pass.num_batches:
            return Reading(self._catalogue, self._order, self._share, epoch_pass), deque()
        ahead[0].begin()
        return ahead[0], begun

    def keep_ahead(self, epoch: int, position: int) -> None:
        """Drop the bytes that were read ahead, unless the next pass begins there."""
        if self._next is not None:
            following = self._next[0].epoch_pass
            if (following.epoch, following.start) != (epoch, position):
                self.drop_ahead()

    def drop_ahead(self, of: EpochPass | None = None) -> None:
        """Drop the bytes that were read ahead (by a certain pass only, if it is given), and end their threads."""
        ahead = self._next
        if ahead is not None and of in (None, ahead[1]):
            self._next = None
            self._begun.clear()
            ahead[0].close()

    def _warn_of_window(self, read_ahead: ReadAhead) -> None:
        """Warn once that whole runs do not fit the memory limit, and say which window does."""
        if self._warned or read_ahead.piece_limit is None or not self._order.shuffle:
            return
        self._warned = True
        runs = RunsHeld.of(self._catalogue, self._order, self._share)
        limit = read_ahead.memory_limit
        warnings.warn(
            f"window: the runs of {runs.lanes} lanes must fit the memory_limit of {limit} bytes, got some "
            f"{int(runs.num_bytes)} bytes of {runs.run} samples a run, so samples are fetched in smaller requests. "
            f"A window of {runs.window_within(limit, self._order)} fits, or give StorageOptions a larger memory_limit.",
            stacklevel=2,
        )

    def _assemble(self, epoch: int, start: int, reading: Reading) -> tuple[EncodedBatch, dict[int, Problem]]:
        """The batch at a position, and which of its rows lack a component or fail their checksum; waits for it."""
        return self._joined(epoch, start, reading.take(start + self._share.global_batch))

    def _joined(self, epoch: int, start: int, pieces: list[Held]) -> tuple[EncodedBatch, dict[int, Problem]]:
        """The batch at a position, of its pieces, and which of its rows lack a component or fail their checksum."""
        share, order = self._share, self._order
        size = share.batch_size
        columns: list[list[Encoded]] = [[b""] * size for _ in self._names]
        ids, keys = [0] * size, [""] * size
        problems: dict[int, Problem] = {}
        stop = start + share.global_batch
        # A piece holds few samples of this batch, often one, and there are many pieces.
        for held in pieces:
            piece = held.piece
            last = bisect_left(piece.positions, stop, piece.taken)
            for nth in range(piece.taken, last):
                row = share.row(piece.positions[nth], start)
                ids[row], keys[row] = piece.sample_ids[nth], piece.keys[nth]
                for number, (parts, begins, ends, checksums) in enumerate(piece.spans):
                    part = parts[nth]
                    if part < 0:
                        problems[row] = missing(self._catalogue.components[number])
                        continue
                    data = held.part(part)[begins[nth] : ends[nth]]
                    # A few bytes of a label must not keep their whole range alive.
                    columns[number][row] = data if number == 0 else bytes(data)
                    if checksums[nth] >= 0 and crc32c(data) != checksums[nth]:
                        problems[row] = mismatch(self._names[number])
            piece.taken = last
        # The rows' positions do not depend on the pieces.
        positions = share.positions(start)
        origin = Origin(
            seed=order.seed,
            epoch=epoch,
            step=start // share.global_batch,
            lanes=order.lanes,
            positions=positions,
            sample_ids=np.array(ids, np.int64),
            keys=tuple(keys),
            is_padding=order.is_padding(epoch, positions),
            is_substitute=np.zeros(size, np.bool_),
            repeats=order.repeats,
        )
        extras = dict(zip(self._names[1:], columns[1:], strict=True))
        return EncodedBatch(columns[0], extras, origin, np.zeros(size, np.int64)), problems
