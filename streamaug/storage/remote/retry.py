"""Repeats failed attempts: with growing, jittered pauses, under one deadline, and only where it can help."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from streamaug.errors import StorageError
from streamaug.storage.cancellation import cancellation
from streamaug.storage.counting import counting
from streamaug.storage.location import Location
from streamaug.storage.remote.failures import MissingError, RemoteError

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 15.0
#: Bytes after which the next request follows at once: the server works, if in pieces.
_WORTH_BYTES = 64 << 10
#: Seconds after which a warning says that this takes long, and why.
_SAY_SECONDS = 10.0


def retried(
    location: Location,
    attempt: Callable[[], T],
    *,
    deadline: float,
    has_answered: bool,
    done: Callable[[], int],
    say: Callable[[RemoteError, float], None],
    must_be: str = "readable",
) -> T:
    """Repeat an attempt until it succeeds, cannot, or the deadline has passed.

    Args:
        location: The object to read or write.
        attempt: Does it, or raises a `RemoteError`.
        deadline: Seconds without progress, after which there is one last attempt.
        has_answered: Whether the store has answered this process before, which shows that its address and keys are
            right.
        done: Returns the number of bytes that have come; more than at the failure before is progress.
        say: Called once with the failure and the seconds spent, if it takes long.
        must_be: What the object must be for the attempt: "readable" or "writable".

    Raises:
        StorageError: If no attempt succeeded; names the URL, the last failure, and a fix.
    """
    tries = _Tries(deadline, has_answered)
    said = False
    while True:
        try:
            return attempt()
        except RemoteError as error:
            failure = error
        pause = tries.pause_after(failure, done())
        if tries.seconds >= _SAY_SECONDS and not said:
            say(failure, tries.seconds)
            said = True
        if pause is None or (pause > 0.0 and cancellation.wait(pause)):
            break
        counting.add(retries=1)
    if isinstance(failure, MissingError):
        raise StorageError(f"{location.shown}: the object must exist, got none. {failure.fix}") from failure
    count = f"{tries.count} {'try' if tries.count == 1 else 'tries'}"
    raise StorageError(
        f"{location.shown}: must be {must_be}, got after {count} in {tries.seconds:.1f} s: {failure}. {failure.fix}"
    ) from failure


class _Tries:
    """The failed tries of an attempt, and whether and when another can help.

    Args:
        deadline: See `retried`.
        has_answered: See `retried`.

    Attributes:
        count: The number of tries.
        seconds: The time from the beginning to the last failure.
    """

    def __init__(self, deadline: float, has_answered: bool) -> None:
        self._deadline, self._has_answered = deadline, has_answered
        self._started = self._progressed = time.monotonic()
        self._done = self._pauses = self._in_a_row = 0
        self._previous: type[RemoteError] | None = None
        self.count, self.seconds = 0, 0.0

    def pause_after(self, failure: RemoteError, done: int) -> float | None:
        """Seconds to wait before the next try, 0 if the server works; None where it cannot help, or it is too late.

        Args:
            failure: The failure.
            done: The number of bytes that have come so far.
        """
        now = time.monotonic()
        self.count, self.seconds = self.count + 1, now - self._started
        # Progress: the deadline counts from here, and the pauses are short again.
        came, self._done = done - self._done, max(self._done, done)
        if came > 0:
            self._progressed, self._pauses, self._previous = now, 0, None
        self._in_a_row = self._in_a_row + 1 if type(failure) is self._previous else 1
        self._previous = type(failure)
        patience = float("inf") if self._has_answered else failure.patience
        left = min(self._deadline - (now - self._progressed), patience - self.seconds)
        if failure.final or self._in_a_row >= failure.tries or left <= 0.0:
            return None
        pause = random.uniform(0.5, 1.0) * min(_FIRST_PAUSE * 2**self._pauses, _LONGEST_PAUSE)
        self._pauses += 1
        return min(pause, left) if came < _WORTH_BYTES else 0.0
