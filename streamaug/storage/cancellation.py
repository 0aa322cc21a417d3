"""Whether a thread must stop reading: a `Fetcher` tells its threads when it is closed."""

import threading
import time


class _Cancellation(threading.local):
    """The event of each thread; None: it never stops."""

    event: threading.Event | None = None

    def is_set(self) -> bool:
        """Whether this thread must stop reading."""
        return self.event is not None and self.event.is_set()

    def wait(self, seconds: float) -> bool:
        """Pause; True, at once, if this thread must stop reading."""
        if self.event is not None:
            return self.event.wait(seconds)
        time.sleep(seconds)
        return False


cancellation = _Cancellation()
