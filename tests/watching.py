"""Watching what other threads and processes do: by events, and never by how long it took.

`PATIENCE` only bounds how long a test waits for what never comes before it fails.
"""

import subprocess
import threading
import time
import weakref
from contextlib import contextmanager
from pathlib import Path

from streamaug.storage import Storage, StorageOptions

PATIENCE = 300.0


class WatchedStorage(Storage):
    """Storage that counts the reads under way, and holds them while `released` is not set.

    Attributes:
        asked: First bytes of all reads so far, in the order in which they began.
        under_way: Reads that began and have not ended.
        most: The largest number of reads that were under way at once.
        released: Reads go on when this is set; set from the start unless `hold`.
    """

    def __init__(self, options=None, *, hold=False):
        super().__init__(options or StorageOptions())
        self.asked, self.under_way, self.most = [], 0, 0
        self.released, self._changed = threading.Event(), threading.Condition()
        if not hold:
            self.released.set()

    def read(self, url, start, stop):
        with self._changed:
            self.asked.append(start)
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            self._changed.notify_all()
        try:
            assert self.released.wait(2 * PATIENCE)
            return super().read(url, start, stop)
        finally:
            with self._changed:
                self.under_way -= 1

    def wait_until_asked(self, count):
        """Wait until so many reads have begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.asked) >= count, PATIENCE), self.asked


#: Threads that were there when the test began: of chains that an earlier test, or a fixture of several, still holds.
EARLIER = weakref.WeakSet()


def fetchers():
    """The threads of the fetchers that the test made."""
    own = set(threading.enumerate()) - set(EARLIER)
    return [thread for thread in own if thread.name.startswith("streamaug-fetch-")]


def descriptors():
    """The number of files and sockets that this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def going_on(threads):
    """Those of the threads that do not end."""
    until = time.monotonic() + PATIENCE
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [thread for thread in threads if thread.is_alive()]


@contextmanager
def started(command, **options):
    """A process whose output is text; killed at the end, should it still run."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def comes_true(condition):
    """Whether a condition that another thread or process brings about, and that nothing announces, comes true."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
