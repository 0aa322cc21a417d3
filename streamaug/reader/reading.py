"""The fetching of one pass: its threads, its prefetcher, and, towards its end, the beginning of the next pass.

In: a dataset, an order, a share, and the start of a pass. Out: pieces in the order of need. A pass that is told to read
ahead sends, behind all requests of its own, those that the next pass would send before its first batch: by the same
threads and within the same memory limit. `BatchReader` decides whether their bytes are kept.
"""

import weakref

from streamaug.order.base import Order
from streamaug.reader.prefetch import Held, Prefetcher
from streamaug.reader.read_ahead import ReadAhead, plan_ahead
from streamaug.reader.schedule import Share, wants
from streamaug.reader.state import EpochPass
from streamaug.shards.catalogue import Catalogue
from streamaug.storage.counting import ReadCounts
from streamaug.storage.fetcher import Fetcher

#: The most seconds for which a pass waits for the blocks of a cache that it has read ahead for the next.
_SETTLE_SECONDS = 1.0


class Reading:
    """The requests of a pass. Dropped without a close, it ends its threads too.

    Args:
        catalogue: The dataset's shards.
        order: The order of its samples.
        share: This rank's share of it.
        epoch_pass: The pass.
        before: The reading of the pass before, whose threads and memory limit it shares until they are handed over;
            None: it has its own.

    Attributes:
        epoch_pass: The pass; the reading ahead of another pass has a provisional one.
        read_ahead: How far, how large and how eagerly it reads.
    """

    def __init__(
        self, catalogue: Catalogue, order: Order, share: Share, epoch_pass: EpochPass, before: "Reading | None" = None
    ) -> None:
        self._catalogue, self._order, self._share, self.epoch_pass = catalogue, order, share, epoch_pass
        self.read_ahead: ReadAhead = plan_ahead(catalogue, order, share, epoch_pass.start, waited_for=before is None)
        upcoming = wants(order, share, epoch_pass.epoch, epoch_pass.start, epoch_pass.num_batches)
        self._next: Reading | None = None
        self._is_last = False
        self._close: weakref.finalize[..., Reading] | None = None
        if before is None:
            self._fetcher = Fetcher(catalogue.storage, threads=self.read_ahead.threads, extra_bytes=self._extra_bytes)
            self._prefetcher = Prefetcher(catalogue, self._fetcher, upcoming, self.read_ahead)
            self._own_threads()
        else:
            self._fetcher = before._fetcher
            self._prefetcher = before._prefetcher.followed_by(upcoming, self.read_ahead)

    def _own_threads(self) -> None:
        self._close = weakref.finalize(self, self._fetcher.close)

    def take(self, stop: int) -> list[Held]:
        """Every piece that holds a position below `stop`, see `Prefetcher.take`."""
        return self._prefetcher.take(stop)

    def arrived(self, stop: int) -> list[Held] | None:
        """`take`, which neither waits nor asks for anything: None if a byte is missing."""
        return self._prefetcher.arrived(stop)

    @property
    def peak_bytes(self) -> int:
        """The most bytes held so far, those for the next pass included."""
        return self._prefetcher.memory.peak

    @property
    def counts(self) -> ReadCounts:
        """The counts of reading so far."""
        return self._fetcher.counts

    @property
    def depth(self) -> int:
        """Ranges and indexes that were asked for and have not come."""
        return self._fetcher.depth

    @property
    def fill(self) -> float:
        """Bytes held and on their way, as a share of the memory limit."""
        return self._prefetcher.fill

    def ask_for_next(self) -> None:
        """Ask for the beginning of the next epoch, as far as there is room, once all of this pass is asked for."""
        if self._next is None and self._prefetcher.all_asked and not self._is_last:
            share = self._share
            following = EpochPass(self.epoch_pass.epoch + 1, 0, share.num_batches(self._order), share.global_batch)
            try:
                self._next = Reading(self._catalogue, self._order, share, following, before=self)
            except Exception:  # noqa: BLE001 - the order has no such epoch; its own pass, if it comes, raises it again
                self._is_last = True
        if self._next is not None:
            self._next._prefetcher.ask_ahead(0)

    def hand_over(self) -> "Reading | None":
        """After the last batch: the reading of the next pass, if it was begun.

        The threads belong to the next pass from then on. They end when nothing is left to fetch.
        """
        following, self._next = self._next, None
        if following is None or self._close is None:
            return None
        self._prefetcher.release_all()
        following._fetcher.rest()
        following._own_threads()
        self._close.detach()
        return following

    def settle(self) -> None:
        """Let what was handed over come to its end, where it writes to a cache: its files stay open until then."""
        if self._catalogue.storage.options.cache_dir is not None:
            self._fetcher.join(_SETTLE_SECONDS)

    def begin(self) -> None:
        """Go on as the reading of the pass under way, after it was handed over."""
        self._fetcher.allow_extra(self._extra_bytes)
        self._fetcher.count_anew()

    def close(self) -> None:
        """End the threads, unless they were handed over; forget the beginning of the next pass."""
        self._next = None
        if self._close is not None:
            self._close()

    @property
    def _extra_bytes(self) -> int:
        """Bytes of a pass that hedging may ask for twice: 1% of its own."""
        return self._catalogue.num_bytes // (100 * self._share.world_size)
