"""Progress of work on many shards: a bar on a terminal, else a line in the log every half minute.

In: steps, and waits for the next step. Out: text on stderr; nothing for work that is over in a moment.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from types import TracebackType
from typing import Any, TypeVar

from tqdm import tqdm

T = TypeVar("T")

#: Seconds between two lines where no terminal shows a bar.
LINE_SECONDS = 30.0
#: Columns of a bar where the terminal does not say how many it has.
_USUAL_COLUMNS = 79


class Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """A bar without tqdm's monitor thread, which would outlive it, and shown where a terminal has no size, too."""

    monitor_interval = 0
    nrows: int | None

    def display(self, msg: str | None = None, pos: int | None = None) -> bool:
        """Draw the bar; tqdm draws none on a terminal of 0 rows, such as those of containers and CI."""
        if self.nrows is not None and self.nrows < 1:
            self.nrows = None
        return bool(super().display(msg, pos))

    @property
    def format_dict(self) -> dict[str, Any]:
        """Facts of the bar; on a terminal of 0 columns it is as wide as most terminals are."""
        facts: dict[str, Any] = super().format_dict
        if facts["ncols"] is not None and facts["ncols"] < 1:
            facts["ncols"] = _USUAL_COLUMNS
        return facts


def progress_bar(items: Iterable[T], *, total: int, what: str, unit: str = "shard") -> Iterator[T]:
    """The items, counted."""
    with Progress(total=total, what=what, unit=unit) as progress:
        for item in items:
            yield item
            progress.advance()


class Progress:
    """Counts finished steps, and shows their number.

    Args:
        total: Steps in all.
        what: The work's title.
        unit: The name of the things counted, in the plural.
        clock: Returns seconds.
    """

    def __init__(
        self, *, total: int, what: str, unit: str = "shard", clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total, self._what, self._unit, self._clock = total, what, unit, clock
        self._done = 0
        self._began = self._said = clock()
        self._bar = Bar(desc=what, total=total, unit=unit, delay=0.5) if sys.stderr.isatty() else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """Count a finished step, and show the progress when that is due."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        elif self._clock() - self._said >= LINE_SECONDS:
            self._line()

    def step(self, future: "Future[T]") -> T:
        """The result of the next step; waits for it, and shows the progress meanwhile.

        Raises:
            Exception: The exception of the step.
        """
        while True:
            left = None if self._bar is not None else self._said + LINE_SECONDS - self._clock()
            if left is not None and left <= 0:
                self._line()
                continue
            try:
                result = future.result(left)
            except NotYetError:
                if future.done():
                    raise  # the step's own error
                continue
            self.advance()
            return result

    def _line(self) -> None:
        """Write a line of progress."""
        self._said = self._clock()
        minutes, seconds = divmod(int(self._said - self._began), 60)
        sys.stderr.write(
            f"{self._what}: {self._done} of {self._total} {self._unit}s after {minutes}:{seconds:02d} minutes\n"
        )
        sys.stderr.flush()
