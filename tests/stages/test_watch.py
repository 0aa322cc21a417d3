"""A stall is said while it lasts: which stage, why, and where the late thread is; no thread stays behind."""

import gc
import logging
import threading
from queue import Empty

import pytest
from reading import reader
from servers import http_proxy
from shards_on_disk import write_shards
from slowing import Own
from watching import PATIENCE, going_on

import streamaug as sa
from streamaug.cli import main as streamaug
from streamaug.reader.state import EpochPass
from streamaug.stages import watch
from streamaug.stages.watch import THREAD_NAME


class Said(logging.Handler):
    """Keeps what is said; `wait` goes on when something was."""

    def __init__(self):
        super().__init__()
        self.lines, self._changed = [], threading.Condition()

    def emit(self, record):
        with self._changed:
            self.lines.append(record.getMessage())
            self._changed.notify_all()

    def of(self, *texts):
        return [line for line in self.lines if all(text in line for text in texts)]

    def wait(self, *texts, count=1):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.of(*texts)) >= count, PATIENCE), self.lines


@pytest.fixture
def said():
    handler, logger = Said(), logging.getLogger("streamaug.stages")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


@pytest.fixture(scope="module")
def folder(drawn, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stalled")
    streamaug(["index", write_shards(folder, "x", drawn[:64], [64])])
    return folder


@pytest.fixture
def url(folder):
    return str(folder / "x-000000.tar")


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == THREAD_NAME]


def test_a_function_that_does_not_return_is_shown(url, said):
    def dawdling(batch):
        if batch.origin.step == 1:
            said.wait("MapBatch is late", count=2)
        return batch

    chain = reader(url, batch_size=16, stall_after=0.05).map_batch(dawdling).pipe(Own)
    assert len(list(chain)) == 4
    first, second = said.of("MapBatch is late")
    for line in (first, second):
        assert "the batch of epoch 0, step 1 should be there" in line
        assert "MapBatch is late: its code has not returned. The thread MainThread is here:" in line
        assert "in dawdling" in line
        assert "said.wait(" in line
    assert not watchers()


def test_a_range_that_does_not_come_is_named_with_the_thread_that_reads_it(folder, said):
    with http_proxy(folder) as (proxy, base):
        chain = reader(f"{base}/x-000000.tar?secret=1", batch_size=16, stall_after=0.05).map_batch(lambda batch: batch)
        list(chain)  # its index is there from now on
        proxy.fault = lambda method, path, number: "stall" if path.partition("?")[0].endswith(".tar") else None
        # On a busy machine the first pass may be late too, and a report may find the thread on its way to the request:
        # `_ask` is where the answer is waited for.
        report = "ShardReader is late: bytes ", "in _ask"
        waiting = threading.Thread(target=lambda: said.wait(*report) or proxy.released.set())
        waiting.start()
        assert len(list(chain)) == 4
        waiting.join()
    line = said.of(*report)[0]
    assert f"of {base}/x-000000.tar" in line
    assert "secret" not in line
    assert "The thread streamaug-fetch-" in line


def test_the_thread_that_prepares_is_named(url, said, monkeypatch):
    from streamaug.dali.prepare import Preparer

    prepared = Preparer.prepare_ahead

    def dawdling(self, batch):
        said.wait("has not finished one")
        return prepared(self, batch)

    monkeypatch.setattr(Preparer, "prepare_ahead", dawdling)
    chain = reader(url, batch_size=16, stall_after=0.05).augment(
        sa.recipes.imagenet_train(size=16), device="cpu", num_threads=1
    )
    list(chain)
    line = said.of("has not finished one")[0]
    assert "Augmenter is late: the thread that prepares batches has not finished one" in line
    assert "The thread streamaug-prepare is here" in line
    assert "in dawdling" in line


class Looks:
    """Stands for the queue that ends a watch: ends it at the n-th look."""

    def __init__(self, count):
        self.count, self.timeouts = count, []

    def get(self, timeout):
        self.timeouts.append(timeout)
        if len(self.timeouts) < self.count:
            raise Empty


def test_a_slow_loop_is_no_stall_and_the_watch_looks_seldom(said):
    looks = Looks(5)
    watch._watch(looks, EpochPass(0, 0, 4, 16), 60.0)
    assert looks.timeouts == [60.0] * 5
    assert not said.lines


@pytest.mark.parametrize("end", ["finished", "closed", "dropped", "moved", "peeked", "failed"])
def test_no_thread_stays_behind(url, end):
    def failing(batch):
        raise LookupError(batch)

    chain = reader(url, batch_size=16)
    if end == "failed":
        chain = chain.map_batch(failing)
        with pytest.raises(LookupError):
            list(chain)
    elif end == "peeked":
        chain.peek()
    elif end == "finished":
        list(chain)
    else:
        stream = iter(chain)
        next(stream)
        (watcher,) = watchers()
        if end == "dropped":
            del stream
            gc.collect()
        elif end == "closed":
            chain.close()
        else:
            chain.seek(0, 1)
        assert not going_on([watcher])
    assert not watchers()


def test_none_watches_nothing_and_other_values_are_refused(url):
    stream = iter(reader(url, stall_after=None))
    next(stream)
    assert not watchers()
    for value in (0, -1, "60"):
        with pytest.raises(ValueError, match=r"ShardReader\.stall_after: must be seconds above 0"):
            reader(url, stall_after=value)
