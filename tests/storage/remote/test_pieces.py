"""Answers that hold a part of what was asked for: what has come is kept."""

import random

import numpy as np
import pytest
from odd_servers import Reply, served

from streamaug.errors import StorageError
from streamaug.storage import Storage, StorageOptions

DATA = np.random.default_rng(0).bytes(300_003)
FILES = {"a.tar": DATA}


def capped(most):
    """A server whose answers hold `most` bytes at most, and say so."""

    def answer(server, request):
        return (
            server.part(request, request.start, min(request.stop, request.start + most)) if request.is_range else None
        )

    return answer


def in_blocks(size):
    """A cache in between that answers up to the end of its block."""

    def answer(server, request):
        end = request.start // size * size + size if request.is_range else 0
        return server.part(request, request.start, min(request.stop, end)) if request.is_range else None

    return answer


def breaking_off(most):
    """A connection that ends after `most` bytes of a body."""

    def answer(server, request):
        if not request.is_range:
            return None
        reply = server.reply(request)
        reply.sent = min(most, len(reply.body))
        return reply

    return answer


def saying_too_much(most):
    """A body that ends where it says, and sooner than its Content-Range says."""

    def answer(server, request):
        if not request.is_range:
            return None
        reply = server.reply(request)
        reply.body = reply.body[:most]
        return reply

    return answer


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "times"),
    [
        (capped(131_072), 1.6),
        (capped(1_000), 2.5),
        (in_blocks(131_072), 2.2),
        (breaking_off(131_072), 1.01),
        (breaking_off(20_000), 1.01),
        (breaking_off(131_072 + 77), 1.01),
        (saying_too_much(131_072), 1.01),
    ],
)
def test_a_range_is_put_together_from_what_comes(answer, times):
    with served(FILES, answer) as (server, base):
        storage = Storage(StorageOptions(deadline=30))
        assert bytes(storage.read(f"{base}/a.tar", 10, 300_000)) == DATA[10:300_000]
        assert bytes(storage.read(f"{base}/a.tar", 131_000, 131_100)) == DATA[131_000:131_100]
        assert server.sent < times * len(DATA)


def test_bodies_that_end_anywhere_make_the_same_bytes():
    rng = random.Random(0)

    def answer(server, request):
        if not request.is_range:
            return None
        reply = server.reply(request)
        reply.sent = rng.choice([1, 100, 10_000, 100_000, len(reply.body)])
        return reply

    with served(FILES, answer) as (_, base):
        storage = Storage(StorageOptions(deadline=30))
        for start in range(0, len(DATA), 100_000):
            stop = min(len(DATA), start + 100_000)
            assert bytes(storage.read(f"{base}/a.tar", start, stop)) == DATA[start:stop]


def test_a_server_that_only_ever_sends_nothing_is_given_up():
    with served(FILES, breaking_off(0)) as (_, base), pytest.raises(StorageError, match=r"tries.*ended early"):
        Storage(StorageOptions(deadline=1.0)).read(f"{base}/a.tar", 0, 1000)


@pytest.mark.slow
def test_progress_puts_the_deadline_off():
    """Each answer brings a kilobyte: forty need longer than the deadline, since a pause follows each."""
    with served(FILES, breaking_off(1_000)) as (server, base):
        storage = Storage(StorageOptions(deadline=0.5))
        assert bytes(storage.read(f"{base}/a.tar", 0, 40_000)) == DATA[:40_000]
        assert len(server.requests) == 40


def test_a_version_that_comes_in_the_middle_of_a_range_is_an_error():
    """Never a mixture of two versions."""
    cut = breaking_off(131_072)

    def answer(server, request):
        reply = cut(server, request)
        if reply is not None and request.start:
            reply.headers["ETag"] = '"two"'
        return reply

    with served(FILES, answer) as (_, base), pytest.raises(StorageError, match=r"another etag.*two"):
        Storage(StorageOptions(deadline=5)).read(f"{base}/a.tar", 0, 300_000)


def test_a_server_that_sends_more_than_was_asked_for_is_named_after_three_tries():
    def answer(server, request):
        if request.is_range:
            reply = server.reply(request)
            return Reply(206, reply.headers, reply.body + b"more")
        return None

    with served(FILES, answer) as (server, base):
        with pytest.raises(StorageError, match=r"after 3 tries.*more came"):
            Storage(StorageOptions()).read(f"{base}/a.tar", 0, 1000)
        assert len(server.requests) == 3
