"""Progress of a long run, its speed and the time left: a renewed line on a terminal, else a line now and then.

In: counts. Out: text on stderr. A log gets a line every 30 s, so a shorter run writes nothing.
"""

import time
from collections.abc import Callable
from typing import TextIO

_TERMINAL_SECONDS, _LOG_SECONDS = 0.5, 30.0


class SampleProgress:
    """Counts samples.

    Args:
        total: The number of samples to make.
        stream: The stream to write to, stderr.
        clock: Seconds.
    """

    def __init__(self, total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._done = total, 0
        self._stream, self._clock = stream, clock
        self._is_terminal = stream.isatty()
        self._began = self._written = clock()

    def add(self, number: int) -> None:
        """Count samples that are done; 0 only lets it write."""
        self._done += number
        now = self._clock()
        if now - self._written >= (_TERMINAL_SECONDS if self._is_terminal else _LOG_SECONDS):
            self._written = now
            line = self.line(now)
            self._stream.write(f"\r{line}\x1b[K" if self._is_terminal else f"{line}\n")
            self._stream.flush()

    def line(self, now: float) -> str:
        """The line to show at a moment."""
        rate = self._done / max(1e-9, now - self._began)
        left = f", {duration((self._total - self._done) / rate)} left" if self._done else ""
        return f"make-shards: {self._done:,} of {self._total:,} samples, {rate:,.0f} a second{left}"

    def close(self) -> None:
        """Clear the line on a terminal."""
        if self._is_terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def duration(seconds: float) -> str:
    """Seconds in words: "45 s", "12 min", "3 h 20 min"."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
