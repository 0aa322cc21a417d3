"""`ShardReader(read_ahead=True)`: what the next pass begins with is there before it begins, and at nobody's cost."""

import copy
import gc
import itertools
import pickle
import threading
import weakref

import pytest
from chains import STEPS, epoch, places, plain, standing, taken, train
from reading import reader, readers, rows
from watching import PATIENCE, fetchers, going_on

from streamaug.errors import StorageError
from streamaug.reader import reading
from streamaug.reader.batch_reader import BatchReader
from streamaug.reader.prefetch import IndexCache
from streamaug.shards import ShardSet
from streamaug.storage import Fetcher, Storage, StorageOptions


class Counted(Storage):
    """Storage that notes what is read, and refuses all reads from a certain one on.

    Attributes:
        ranges: (start, stop) of all reads so far.
        last: Reads that are served; None: all of them.
    """

    def __init__(self, options=None):
        super().__init__(options or StorageOptions())
        self.ranges, self.last = [], None

    def read(self, url, start, stop):
        self.ranges.append((start, stop))
        if self.last is not None and len(self.ranges) > self.last:
            raise StorageError(f"{url}: must be there, got nothing. Plug it in again.")
        return super().read(url, start, stop)

    def stop(self):
        """Serve nothing more."""
        self.last = 0


def counted(chain):
    """The storage of a chain's reader, from now on one that counts."""
    storage = chain._reader.shards.catalogue.storage = Counted()
    return storage


def read_twice(url, chain=plain, **options):
    """A chain that was read twice to the end, its storage, and no thread left."""
    made = chain(url, **options)
    storage = counted(made)
    for number in range(2):
        assert places(made) == epoch(number)
    assert not going_on(fetchers())
    return made, storage


@pytest.mark.parametrize("chain", [plain, train], ids=["reader", "augmenter"])
def test_the_third_pass_begins_with_what_the_second_has_read(url, chain):
    made, storage = read_twice(url, chain)
    storage.stop()
    assert next(iter(made)).origin.epoch == 2
    made.close()


@pytest.mark.parametrize("shuffle", [True, False])
def test_what_is_read_ahead_is_what_the_next_pass_would_read(url, shuffle):
    expected = [rows(one) for one in itertools.repeat(plain(url, shuffle=shuffle, read_ahead=False, tail="pad"), 4)]
    one = plain(url, shuffle=shuffle, tail="pad")
    storage = counted(one)
    assert [rows(one) for _ in range(4)] == expected
    assert not going_on(fetchers())
    size = sum(stop - start for start, stop in storage.ranges)
    for_four = sum(len(row.content) for each in expected for row in each.values())
    ahead = size - for_four
    assert 0 < ahead < for_four  # one window ahead at the end, tar headers, and no epoch twice


def test_the_first_pass_reads_nothing_ahead(url):
    one = plain(url)
    storage = counted(one)
    assert places(one) == epoch(0)
    assert not going_on(fetchers())
    storage.stop()
    with pytest.raises(StorageError):
        next(iter(one))


def test_without_the_option_nothing_is_read_ahead(url):
    one, storage = read_twice(url, read_ahead=False)
    storage.stop()
    with pytest.raises(StorageError):
        next(iter(one))


def test_a_loop_that_takes_every_batch_and_asks_no_further_has_ended(url):
    one = plain(url)
    storage = counted(one)
    for _ in range(2):
        assert len(list(itertools.islice(one, STEPS))) == STEPS
    assert not going_on(fetchers())
    storage.stop()
    assert next(iter(one)).origin.epoch == 2


MOVES = {
    "set_epoch": lambda chain, state: chain.set_epoch(7),
    "seek": lambda chain, state: chain.seek(2, 1),
    "load_state_dict": lambda chain, state: chain.load_state_dict(state | {"epoch": 1, "position": 64}),
    "close": lambda chain, state: chain.close(),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_another_place_drops_it_at_once(url, move):
    one, storage = read_twice(url)
    held = weakref.ref(one._reading.engine._next[0])
    move(one, one.state_dict())
    assert held() is None
    storage.stop()
    one.set_epoch(2)
    with pytest.raises(StorageError):
        next(iter(one))


STAYS = {
    "set_epoch": lambda chain, state: chain.set_epoch(2),
    "seek": lambda chain, state: chain.seek(2, 0),
    "load_state_dict": lambda chain, state: chain.load_state_dict(state),
    "peek": lambda chain, state: chain.peek(),
}


@pytest.mark.parametrize("stay", STAYS.values(), ids=STAYS)
def test_the_same_place_keeps_it(url, stay):
    one, storage = read_twice(url)
    storage.stop()
    stay(one, one.state_dict())
    assert next(iter(one)).origin.epoch == 2


def fail_at_the_end(batch):
    if (batch.origin.epoch, batch.origin.step) == (1, STEPS - 1):
        raise LookupError("the last batch of the second pass")
    return batch


@pytest.mark.parametrize("leave", ["break", "error", "drop"])
def test_a_pass_that_is_left_early_leaves_nothing(url, leave):
    chain = train(url).map_batch(fail_at_the_end)
    one = chain._reader
    assert places(chain) == epoch(0)
    if leave == "error":
        with pytest.raises(LookupError):
            list(chain)
    elif leave == "break":
        for batch in chain:
            if batch.origin.step == STEPS - 2:  # the reader itself has come to its end meanwhile
                break
    else:
        stream = taken(chain, STEPS - 1)
        assert one._reading.engine._next is not None
        del stream
    assert one._reading.engine._next is None
    assert not going_on(fetchers())
    chain.close()


class Held(Counted):
    """Storage with a cache; from the read `after` on, reads wait for `release`, or for `seconds`.

    Attributes:
        done: Reads that have ended.
    """

    def __init__(self, folder, after, seconds):
        super().__init__(StorageOptions(cache_dir=folder))
        self.after, self.seconds, self.release, self.done = after, seconds, threading.Event(), []

    def read(self, url, start, stop):
        if len(self.ranges) >= self.after:
            self.release.wait(self.seconds)
        data = super().read(url, start, stop)
        self.done.append(start)
        return data


@pytest.mark.parametrize(("patience", "seconds", "ends"), [(PATIENCE, 0.1, True), (0.1, PATIENCE, False)])
def test_a_pass_waits_for_the_blocks_of_a_cache_that_it_reads_ahead(
    url, tmp_path, monkeypatch, patience, seconds, ends
):
    monkeypatch.setattr(reading, "_SETTLE_SECONDS", patience)
    _, storage = read_twice(url, read_ahead=False)
    one = plain(url)
    held = one._reader.shards.catalogue.storage = Held(tmp_path, len(storage.ranges), seconds)
    assert [places(one) for _ in range(2)] == [epoch(0), epoch(1)]
    assert (len(held.done) > held.after) == ends
    held.release.set()
    assert not going_on(fetchers())
    assert len(held.done) == len(held.ranges) > held.after
    one.close()


def test_a_dropped_reader_takes_it_along(url):
    one, _ = read_twice(url)
    one.peek()
    gone = weakref.ref(one._reading.engine)
    del one
    assert not going_on(fetchers())
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("limit", [100_000, 600_000])
def test_memory_stays_within_its_limit(url, limit, monkeypatch):
    peaks, original = [], BatchReader._assemble

    def watched(self, epoch, start, reading):
        result = original(self, epoch, start, reading)
        peaks.append(reading.peak_bytes)
        return result

    monkeypatch.setattr(BatchReader, "_assemble", watched)
    expected = [rows(one) for one in itertools.repeat(reader(url, batch_size=16, read_ahead=False), 3)]
    peaks.clear()
    one = reader(url, batch_size=16, storage=StorageOptions(memory_limit=limit))
    with pytest.warns(UserWarning, match="window"):
        got = [rows(one) for _ in range(3)]
    assert got == expected
    assert one._reading.engine._next is not None
    assert max(peaks) <= limit


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.filterwarnings("ignore:ShardReader.lanes")
def test_ranks_share_the_batches_of_one(url, world_size):
    alone = reader(url, batch_size=96)
    ranks = readers(url, world_size, batch_size=96)
    for _ in range(3):
        assert rows([batch for one in ranks for batch in one]) == rows(alone)
    assert all(one._reading.engine._next is not None for one in ranks)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))], ids=["deep", "pickle"])
def test_a_copy_does_not_carry_it(url, copied):
    one, _ = read_twice(url)
    other = copied(one)
    assert other._reading.engine is None
    assert standing(other) == (2, 0)
    assert not fetchers()
    assert rows(other) == rows(one)


def test_an_error_ahead_is_raised_in_the_pass_that_asks_for_the_bytes(url):
    without, storage = read_twice(url, read_ahead=False)
    served = len(storage.ranges)
    one = plain(url)
    storage = counted(one)
    storage.last = served
    assert [places(one) for _ in range(2)] == [epoch(0), epoch(1)]
    assert not going_on(fetchers())
    assert len(storage.ranges) > served
    with pytest.raises(StorageError, match="Plug it in again"):
        next(iter(one))
    assert standing(one) == (2, 0)
    storage.last = None
    assert rows(one) == rows(without)


def test_what_has_arrived_is_what_would_be_taken(url):
    one, storage = read_twice(url)
    asked, following = len(storage.ranges), one._reading.engine._next[0]
    assert following.arrived(STEPS * 64) is None  # an epoch, of which only the beginning is here
    arrived = following.arrived(64)
    assert len(storage.ranges) == asked
    assert arrived
    assert arrived == following.take(64)


def test_what_could_not_be_fetched_has_not_arrived(url):
    _, storage = read_twice(url, read_ahead=False)
    one, served = plain(url), len(storage.ranges)
    counted(one).last = served
    assert [places(one) for _ in range(2)] == [epoch(0), epoch(1)]
    assert not going_on(fetchers())
    assert one._reading.engine._next[0].arrived(64) is None
    assert one._begin_next() is None


def test_an_index_that_cannot_be_read_is_not_ready_and_raises_where_it_is_needed(uneven):
    catalogue = ShardSet.open(uneven[0]).catalogue
    fetcher = Fetcher(Counted(), threads=1)
    indexes = IndexCache(catalogue, fetcher, capacity=8)
    indexes.request([0, len(catalogue.shards)])  # there is no such shard
    fetcher.call(int).result(PATIENCE)  # by the same thread, so both were tried
    assert indexes.ready([0])
    assert not indexes.ready([0, len(catalogue.shards)])
    with pytest.raises(IndexError):
        indexes.get([len(catalogue.shards)])
    fetcher.close()
