"""Progress: a line each half minute where nobody watches, and nothing for what is over before."""

from concurrent.futures import Future

import pytest

from streamaug.storage import progress
from streamaug.storage.progress import LINE_SECONDS, Progress


class Clock:
    """Time that passes only while a step is waited for."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Slow(Future):
    """A step that takes so many seconds of a clock."""

    def __init__(self, clock, seconds, result=None):
        super().__init__()
        self._clock, self._ends, self._seconds = clock, None, seconds
        self.value = result

    def result(self, timeout=None):
        self._ends = self._clock.now + self._seconds if self._ends is None else self._ends
        if timeout is not None and self._clock.now + timeout < self._ends:
            self._clock.now += timeout
            raise progress.NotYetError
        self._clock.now = self._ends
        if isinstance(self.value, Exception):
            self.set_exception(self.value)
            raise self.value
        return self.value


def run(seconds):
    clock = Clock()
    with Progress(total=len(seconds), what="Indexing", clock=clock) as shown:
        return [shown.step(Slow(clock, each, number)) for number, each in enumerate(seconds)]


def test_a_line_comes_every_half_minute_also_within_one_step(capsys):
    assert run([20, 5, 70, 3]) == [0, 1, 2, 3]
    assert capsys.readouterr().err.splitlines() == [
        "Indexing: 2 of 4 shards after 0:30 minutes",
        "Indexing: 2 of 4 shards after 1:00 minutes",
        "Indexing: 2 of 4 shards after 1:30 minutes",
    ]


def test_what_is_over_in_a_moment_says_nothing(capsys):
    run([LINE_SECONDS / 10] * 9)
    assert capsys.readouterr() == ("", "")


def test_the_error_of_a_step_is_its_own(capsys):
    clock = Clock()
    for error in (KeyError("k"), TimeoutError("the step's own")):
        with Progress(total=1, what="Opening", clock=clock) as shown, pytest.raises(type(error), match=error.args[0]):
            shown.step(Slow(clock, 1, error))
