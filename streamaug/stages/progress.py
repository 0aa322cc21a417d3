"""`progress`: a loop over a chain that shows images/s, the share of time waited for data, and the part that is late.

In: a chain, or a loader of one. Out: its batches, unchanged; text on stderr: a bar on a terminal, else a line every
half minute, and nothing on other ranks than the first.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from streamaug.stages.base import Stage
from streamaug.stages.dataset import stage_of
from streamaug.stages.stats import Stats
from streamaug.storage.progress import LINE_SECONDS, Bar

#: Seconds between two looks at the numbers of a bar.
_LOOK_SECONDS = 1.0
#: Columns from which on the terminal has room for a bar, and for the reason why a stage is late.
_MEDIUM, _WIDE = 100, 120
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}{postfix}]"
_NARROW_FORMAT = "{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt}{postfix}"


def progress(
    loader: Iterable[Any], *, file: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Any]:
    """The batches of the next pass, with a progress bar: `for batch in streamaug.progress(chain)`.

    On a terminal it shows steps, images a second (of all ranks), the share of time for which the loop waited for
    batches, and the part that is late: the stage that held up the loop longest, or "loop" where the loop itself takes
    longer. Elsewhere a line says the same every 30 seconds. The first rank alone shows it.

    Args:
        loader: A chain, `chain.as_dataset()`, or a DataLoader over either.
        file: Where the text goes; None: stderr.
        clock: Returns seconds.

    Raises:
        TypeError: If it is no chain and no loader of a chain.
    """
    stage = stage_of(loader)
    if stage is None:
        raise TypeError(
            f"progress.loader: must be a chain of streamaug or a loader of one, got {type(loader).__name__}. "
            "Write progress(chain)."
        )
    return _shown(loader, stage, sys.stderr if file is None else file, clock)


def _shown(loader: Iterable[Any], stage: Stage, file: TextIO, clock: Callable[[], float]) -> Iterator[Any]:
    display: _Bar | _Lines | None = None
    try:
        for batch in loader:
            if display is None and stage._reader.ranks.settle()[0] == 0:
                display = (_Bar if file.isatty() else _Lines)(stage, file, clock)
            if display is not None:
                display.advance()
            yield batch
    finally:
        if display is not None:
            display.close()


class _Bar:
    """A bar on a terminal."""

    def __init__(self, stage: Stage, file: TextIO, clock: Callable[[], float]) -> None:
        self._stage, self._clock = stage, clock
        self._before = Stats()
        self._looked = clock()
        stats = stage.stats()
        self._bar = Bar(
            desc=f"epoch {stats.epoch}",
            total=stats.steps,
            initial=stats.step - 1,
            file=file,
            dynamic_ncols=True,
            delay=1e-9,  # nothing is drawn before the form of the bar is set
        )
        self._bar.start_t -= stats.seconds  # the first batch's time belongs to it
        self._say(stats)
        self._bar.refresh()

    def advance(self) -> None:
        """Count a batch, and look at the numbers where that is due."""
        if self._clock() - self._looked >= _LOOK_SECONDS:
            stats = self._stage.stats()
            self._say(stats.since(self._before))
            self._looked, self._before = self._clock(), stats
        self._bar.update()

    def close(self) -> None:
        """Draw the bar with the numbers of the whole pass."""
        self._say(self._stage.stats())
        self._bar.close()

    def _say(self, stats: Stats) -> None:
        columns = self._bar.format_dict["ncols"] or 0
        self._bar.bar_format = _FORMAT if columns >= _MEDIUM else _NARROW_FORMAT
        self._bar.set_postfix_str(_described(stats, "waited", why=columns >= _WIDE), refresh=False)


class _Lines:
    """Lines in a log."""

    def __init__(self, stage: Stage, file: TextIO, clock: Callable[[], float]) -> None:
        self._stage, self._file, self._clock = stage, file, clock
        self._before = Stats()
        self._said = clock()

    def advance(self) -> None:
        """Write a line when it is due."""
        if self._clock() - self._said < LINE_SECONDS:
            return
        stats = self._stage.stats()
        recent = stats.since(self._before)
        self._said, self._before = self._clock(), stats
        numbers = _described(recent, "waited for data", why=True)
        self._file.write(f"epoch {stats.epoch}: step {stats.step} of {stats.steps}, {numbers}\n")
        self._file.flush()

    def close(self) -> None:
        """Do nothing: a log keeps its lines."""


def _described(stats: Stats, waited: str, *, why: bool = False) -> str:
    reason = f" ({stats.why})" if why and stats.why else ""
    return f"{stats.images_per_second:,.0f} images/s, {stats.wait_share:.0%} {waited}, late: {stats.late}{reason}"
