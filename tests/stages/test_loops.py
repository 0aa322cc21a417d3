"""Loops as people write them, in threads too: right or an error with words, and nothing is left behind."""

import gc
import itertools
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from chains import STEPS, epoch, place, places, plain, standing, taken, train
from reading import rows
from tqdm import tqdm
from watching import PATIENCE, descriptors, fetchers, going_on

import streamaug as sa

# --- loops ------------------------------------------------------------------------------------


def test_zip_of_two_chains_interleaves_them(url):
    pairs = list(zip(plain(url), plain(url), strict=True))
    assert [(place(a), place(b)) for a, b in pairs] == [(where, where) for where in epoch(0)]


def test_two_chains_of_one_set_do_not_disturb_each_other(url):
    shards = sa.ShardSet.open(url)
    first, second = (iter(plain(shards)) for _ in range(2))
    turns = [next(first), next(second), next(first), next(second), next(second)]
    assert places(turns) == [(0, 0), (0, 0), (0, 1), (0, 1), (0, 2)]
    assert rows([turns[0], turns[2]]) == rows(turns[1:2] + turns[3:4])


def test_zip_of_two_stages_of_one_chain_is_an_error(url):
    head = plain(url)
    with pytest.raises(sa.StreamaugError, match="one loop over a chain at a time"):
        list(zip(head.map_batch(lambda batch: batch), head.map_batch(lambda batch: batch), strict=True))


def test_islice_tqdm_enumerate_and_cycle_are_loops_like_any_other(url):
    chain = plain(url)
    assert places(itertools.islice(chain, 2)) == [(0, 0), (0, 1)]
    assert standing(chain) == (0, 2)
    assert places(tqdm(chain, disable=True)) == epoch(1)
    assert [number for number, _ in enumerate(chain)] == list(range(STEPS))

    def forever():
        while True:
            yield from chain

    assert places(itertools.islice(forever(), STEPS + 1)) == [*epoch(3), (4, 0)]


def test_a_loop_within_the_loop_ends_the_outer_one_with_an_error(url):
    chain = plain(url)
    outer = taken(chain, 1)
    assert places(itertools.islice(chain, 1)) == [(1, 0)]
    with pytest.raises(sa.StreamaugError, match="one loop over a chain at a time"):
        next(outer)


@pytest.mark.parametrize("name", ["+", "map", "shuffle", "batch"])
def test_torchs_own_ways_to_go_on_warn_that_the_state_ends_there(url, name):
    ways = {
        "+": lambda chain: chain + plain(url),
        "map": lambda chain: chain.map(place),
        "shuffle": lambda chain: chain.shuffle(),
        "batch": lambda chain: chain.batch(2),
    }
    with pytest.warns(UserWarning, match=r"without state_dict\(\) and set_epoch\(\)") as caught:
        datapipe = ways[name](plain(url))
    assert caught[0].filename == __file__
    assert not hasattr(datapipe, "state_dict")


# --- threads ----------------------------------------------------------------------------------


def test_one_iterator_pulled_by_three_threads_delivers_each_batch_once(url):
    stream = iter(train(url))
    with ThreadPoolExecutor(3) as threads:
        seen = sorted(place(batch) for batch in threads.map(lambda _: next(stream), range(STEPS)))
    assert seen == epoch(0)
    assert next(stream, None) is None


def test_two_loops_over_one_chain_in_two_threads_end_with_errors_of_ours_or_whole(url):
    chain = plain(url)
    with ThreadPoolExecutor(2) as threads:
        ends = [threads.submit(places, chain) for _ in range(2)]
        failed = [end for end in ends if end.exception(PATIENCE) is not None]
    assert all(isinstance(end.exception(), sa.StreamaugError) for end in failed)
    assert all(len(end.result()) == STEPS for end in ends if end not in failed)
    assert len(failed) < 2


def test_closing_a_chain_that_another_thread_reads_ends_its_loop_with_an_error(url):
    begun, closed = threading.Event(), threading.Event()

    def wait(batch):
        begun.set()
        assert closed.wait(PATIENCE)
        return batch

    chain = plain(url)
    waiting = chain.map_batch(lambda batch: wait(batch) if batch.origin.step == 2 else batch)
    with ThreadPoolExecutor(2) as threads:
        loop = threads.submit(list, waiting)
        assert begun.wait(PATIENCE)
        close = threads.submit(chain.close)  # waits for the batch that is being made
        closed.set()
        close.result(PATIENCE)
        error = loop.exception(PATIENCE)
    assert error is None or isinstance(error, sa.StreamaugError)
    assert places(chain) == epoch(1)


# --- nothing is left --------------------------------------------------------------------------


def test_del_in_the_middle_leaves_no_thread_and_no_pipeline(url):
    gc.collect()
    before, chain = set(fetchers()), train(url)
    stream = taken(chain, 2)
    pipeline = weakref.ref(chain._engine._flight.runner._pipeline)
    gc.disable()
    try:
        del chain, stream
        assert pipeline() is None  # at once: it may hold gigabytes of a GPU
    finally:
        gc.enable()
    gc.collect()
    assert going_on([thread for thread in fetchers() if thread not in before]) == []


def test_loops_left_early_leave_no_descriptor(url):
    chain = plain(url)
    next(iter(chain))
    chain.close()
    before = descriptors()
    for _ in range(10):
        next(iter(chain))
    chain.close()
    assert descriptors() <= before


class Keeping(sa.Stage):
    """Keeps what it was given by the stage before, so that the passes of that stage end late."""

    def __init__(self, source, kept):
        super().__init__(source)
        self._kept = kept

    def run(self, epoch_pass):
        batches = self.source.run(epoch_pass)
        self._kept.append(batches)
        for batch in batches:  # noqa: UP028 - `yield from` would close them
            yield batch


def test_a_pass_that_ends_late_takes_nothing_from_the_next_one(url):
    kept, expected = [], rows(train(url))
    chain = train(url).pipe(Keeping, kept)
    taken(chain, 2)
    chain.set_epoch(0)
    stream = iter(chain)
    seen = [next(stream)]
    kept.clear()
    gc.collect()
    assert rows([*seen, *stream]) == expected


def test_an_error_that_is_kept_keeps_no_later_pass_from_running(url):
    kept = []

    def interrupted(batch):
        if batch.origin.step == 2 and not kept:
            raise KeyboardInterrupt
        return batch

    expected, chain = rows(train(url)), train(url).map_batch(interrupted)
    stream = iter(chain)
    seen = [next(stream), next(stream)]
    try:
        next(stream)
    except KeyboardInterrupt as error:
        kept.append(error)  # as sys.last_value does: its frames hold the pass that was interrupted
    assert standing(chain) == (0, 2)
    chain.load_state_dict(chain.state_dict())
    stream = iter(chain)
    seen.append(next(stream))
    kept.clear()
    gc.collect()
    assert rows([*seen, *stream]) == expected
