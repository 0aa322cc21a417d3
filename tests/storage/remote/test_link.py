"""How many ranges at once, and how large, as the link has it: with a clock that the test moves."""

import threading
from contextlib import ExitStack

import pytest
from watching import PATIENCE, comes_true, going_on

from streamaug.storage.cancellation import cancellation
from streamaug.storage.remote.link import FEW, LEAST_BYTES, Link


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def stream(link, clock, *, seconds, rate_of):
    """Have as many answers under way as the link allows, for some seconds; each gives `rate_of(n)` bytes a second."""
    until = clock.now + seconds
    while clock.now < until:
        active = link.limit
        with ExitStack() as stack:
            transfers = [stack.enter_context(link.transfer()) for _ in range(active)]
            for transfer in transfers:
                transfer.received(1)
            for _ in range(8):
                clock.now += 0.25
                for transfer in transfers:
                    transfer.received(int(rate_of(active) * 0.25))


@pytest.fixture
def clock():
    return Clock()


def test_fast_answers_allow_more_at_once_up_to_the_most(clock):
    link = Link(16, clock)
    assert link.limit == FEW
    stream(link, clock, seconds=30, rate_of=lambda active: 20e6)
    assert link.limit == 16
    assert link.next_request() >= 100e6


def test_a_limit_for_each_connection_is_overcome_by_more_of_them(clock):
    link = Link(16, clock)
    stream(link, clock, seconds=60, rate_of=lambda active: 0.2e6)
    assert link.limit == 16
    assert 1.9e6 < link.next_request() < 2.1e6  # ten seconds' bytes


def test_a_narrow_line_is_not_shared_by_more_than_it_serves(clock):
    """1.2 MB/s in all: twice as many at once bring nothing, so they are given up after they were tried."""
    link = Link(16, clock)
    most = []

    def rate_of(active):
        most.append(active)
        return 1.2e6 / active

    stream(link, clock, seconds=50, rate_of=rate_of)
    assert max(most) == 2 * FEW
    assert most[-1] == link.limit == FEW
    assert sum(active > FEW for active in most) < 0.5 * len(most)


def test_a_line_that_becomes_slow_is_shared_by_fewer_and_by_many_again(clock):
    link = Link(16, clock)
    stream(link, clock, seconds=30, rate_of=lambda active: 20e6)
    stream(link, clock, seconds=60, rate_of=lambda active: 0.5e6 / active)
    assert link.limit == FEW
    stream(link, clock, seconds=60, rate_of=lambda active: 20e6)
    assert link.limit == 16


def test_an_answer_in_one_piece_says_nothing_of_a_slow_line(clock):
    link = Link(16, clock)
    stream(link, clock, seconds=4, rate_of=lambda active: 0.1e6)
    for _ in range(100):
        with link.transfer() as transfer:
            transfer.received(1000)
    assert link.limit == FEW


def test_an_answer_that_fails_allows_none(clock):
    link = Link(16, clock)
    for _ in range(100):
        with link.transfer():
            pass
    assert link.limit == FEW


def test_requests_keep_to_what_answers_hold_and_try_more_now_and_then(clock):
    link = Link(16, clock)
    link.answers_hold(1000)
    sizes = [link.next_request() for _ in range(20)]
    assert sizes[:8] == [1000] * 8
    assert sizes[8:16] == [2000] * 8
    link.answers_hold(1000)
    assert link.next_request() == 1000


def test_a_request_asks_for_a_quarter_of_a_megabyte_at_least(clock):
    link = Link(16, clock)
    stream(link, clock, seconds=10, rate_of=lambda active: 100)
    assert link.next_request() == LEAST_BYTES


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_than_the_most_are_read_at_once(most):
    link = Link(most)
    under_way, highest, lock = 0, 0, threading.Lock()

    def read():
        nonlocal under_way, highest
        with link.turn():
            with lock:
                under_way += 1
                highest = max(highest, under_way)
            with link.transfer() as transfer:
                transfer.received(10)
            with lock:
                under_way -= 1

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    assert not going_on(threads)
    assert highest <= most


def test_turns_come_in_the_order_asked():
    link = Link(1)
    order, waiting = [], threading.Event()

    def read(number):
        waiting.set()
        with link.turn():
            order.append(number)

    with link.turn():
        threads = []
        for number in range(5):
            waiting.clear()
            threads.append(threading.Thread(target=read, args=(number,)))
            threads[-1].start()
            assert waiting.wait(PATIENCE)
            assert comes_true(lambda: len(link._queue) > number)  # noqa: B023 - called at once
    assert not going_on(threads)
    assert order == list(range(5))


def test_a_thread_that_must_stop_waits_for_no_turn():
    link, cancelled, ended = Link(1), threading.Event(), threading.Event()

    def read():
        cancellation.event = cancelled
        with link.turn():
            ended.set()

    with link.turn():
        thread = threading.Thread(target=read)
        thread.start()
        cancelled.set()
        assert ended.wait(PATIENCE)
    assert not going_on([thread])
