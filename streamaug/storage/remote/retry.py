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
    started = since = time.monotonic()
    tries = in_a_row = pauses = had = 0
    previous: type[RemoteError] | None = None
    said = False
    while True:
        tries += 1
        try:
            return attempt()
        except RemoteError as error:
            failure = error
        now = time.monotonic()
        # Progress: the deadline counts from here, and the pauses are short again.
        came, had = done() - had, max(had, done())
        if came > 0:
            since, pauses, previous = now, 0, None
        in_a_row = in_a_row + 1 if type(failure) is previous else 1
        previous = type(failure)
        if now - started >= _SAY_SECONDS and not said:
            say(failure, now - started)
            said = True
        # Whether to try again, and when.
        patience = float("inf") if has_answered else failure.patience
        left = min(deadline - (now - since), patience - (now - started))
        if failure.final or in_a_row >= failure.tries or left <= 0.0:
            break
        pause = random.uniform(0.5, 1.0) * min(_FIRST_PAUSE * 2**pauses, _LONGEST_PAUSE)
        pauses += 1
        if came < _WORTH_BYTES and cancellation.wait(min(pause, left)):
            break
        counting.add(retries=1)
    if isinstance(failure, MissingError):
        raise StorageError(f"{location.shown}: the object must exist, got none. {failure.fix}") from failure
    raise StorageError(
        f"{location.shown}: must be {must_be}, got after {tries} {'try' if tries == 1 else 'tries'} in "
        f"{now - started:.1f} s: {failure}. {failure.fix}"
    ) from failure
