"""Repeating what failed: with growing, jittered pauses, under one deadline, and only where it can help."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from streamaug.errors import StorageError
from streamaug.storage.cancellation import cancellation
from streamaug.storage.failures import MissingError, RemoteError
from streamaug.storage.urls import shown

T = TypeVar("T")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 15.0


def retried(url: str, attempt: Callable[[], T], *, deadline: float, has_read: bool) -> T:
    """Repeat an attempt until it succeeds, cannot, or the deadline is near.

    Args:
        url: What it is about.
        attempt: Does it, or raises a `RemoteError`.
        deadline: Seconds for all attempts; one that is under way then is waited for.
        has_read: Whether this process has read from a store before, so that its credentials are known to be there.

    Raises:
        StorageError: If no attempt succeeded; names the URL, the last failure, and what to do.
    """
    started = time.monotonic()
    tries = 0
    while True:
        tries += 1
        try:
            return attempt()
        except RemoteError as error:
            failure = error
        pause = random.uniform(0.5, 1.0) * min(_FIRST_PAUSE * 2 ** (tries - 1), _LONGEST_PAUSE)
        spent = time.monotonic() - started
        patience = float("inf") if has_read else failure.patience
        if failure.final or spent + pause > min(patience, deadline) or cancellation.wait(pause):
            break
    if isinstance(failure, MissingError):
        raise StorageError(f"{shown(url)}: the object must exist, got none. {failure.fix}") from failure
    raise StorageError(
        f"{shown(url)}: must be readable, got after {tries} tries in {spent:.1f} s: {failure}. {failure.fix}"
    ) from failure
