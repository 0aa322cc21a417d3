"""A progress bar where somebody watches: on a terminal, and not for what is over in a moment."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")


class _Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """A bar without tqdm's monitor thread, which would outlive it."""

    monitor_interval = 0


def progress(items: Iterable[T], *, total: int, what: str, unit: str = "shard") -> Iterator[T]:
    """The items, counted on stderr if that is a terminal."""
    if not sys.stderr.isatty():
        yield from items
        return
    yield from _Bar(items, desc=what, total=total, unit=unit, delay=0.5)
