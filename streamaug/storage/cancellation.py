"""Whether what a thread reads is still wanted: a `Fetcher` says so to its threads when it is closed."""

import threading
import time


class _Cancellation(threading.local):
    """One for each thread."""

    event: threading.Event | None = None

    def is_set(self) -> bool:
        """Whether nothing is wanted any more."""
        return self.event is not None and self.event.is_set()

    def wait(self, seconds: float) -> bool:
        """Pause; True, at once, if nothing is wanted any more."""
        if self.event is not None:
            return self.event.wait(seconds)
        time.sleep(seconds)
        return False


cancellation = _Cancellation()
