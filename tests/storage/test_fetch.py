import gc
import threading
import time
import warnings

import pytest

from streamaug.errors import StorageError
from streamaug.storage import Fetcher, Storage, StorageOptions


class Slow(Storage):
    """Storage that notes what it is asked, and waits for an event where one is set."""

    def __init__(self, hold=None):
        super().__init__(StorageOptions())
        self.asked, self.hold, self.most, self.now, self.lock = [], hold, 0, 0, threading.Lock()

    def read(self, url, start, stop):
        with self.lock:
            self.asked.append(start)
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            if self.hold is not None:
                self.hold.wait(20)
            return super().read(url, start, stop)
        finally:
            with self.lock:
                self.now -= 1


def fetchers():
    return [t for t in threading.enumerate() if t.name.startswith("streamaug-fetch-")]


@pytest.fixture(autouse=True)
def none_left():
    assert not fetchers()
    yield
    until = time.monotonic() + 3
    while fetchers() and time.monotonic() < until:
        gc.collect()
        time.sleep(0.02)
    assert not fetchers()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(range(256)) * 40)
    return path


def test_futures_hold_the_bytes_asked_for(file):
    fetcher = Fetcher(Storage(StorageOptions()), threads=4)
    data = file.read_bytes()
    futures = [fetcher.submit(str(file), i, i + 100) for i in range(1000)]
    assert all(bytes(f.result(10)) == data[i : i + 100] for i, f in enumerate(futures))
    assert 1 <= len(fetchers()) <= 4
    assert all(t.daemon for t in fetchers())
    fetcher.close()
    assert not fetchers()


def test_requests_are_served_in_the_order_asked(file):
    storage = Slow()
    fetcher = Fetcher(storage, threads=1)
    for future in [fetcher.submit(str(file), i, i + 1) for i in range(200)]:
        future.result(10)
    assert storage.asked == list(range(200))
    fetcher.close()


def test_no_more_threads_than_asked_for(file):
    hold = threading.Event()
    storage = Slow(hold)
    fetcher = Fetcher(storage, threads=3)
    futures = [fetcher.submit(str(file), i, i + 1) for i in range(20)]
    time.sleep(0.2)
    assert storage.now == 3
    hold.set()
    [f.result(10) for f in futures]
    assert storage.most == 3
    fetcher.close()


def test_an_error_is_the_futures(tmp_path):
    fetcher = Fetcher(Storage(StorageOptions()), threads=2)
    with pytest.raises(StorageError, match="gone"):
        fetcher.submit(str(tmp_path / "gone.tar"), 0, 10).result(10)
    fetcher.close()


def test_a_warning_turned_error_does_not_hang_the_reader(file):
    class Warns(Storage):
        def read(self, url, start, stop):
            warnings.warn("range", UserWarning, stacklevel=1)

    fetcher = Fetcher(Warns(StorageOptions()), threads=1)
    with pytest.raises(UserWarning, match="range"):
        fetcher.submit(str(file), 0, 10).result(10)
    fetcher.close()


def test_close_cancels_what_waits_and_does_not_wait_for_what_is_stuck(file):
    hold = threading.Event()
    fetcher = Fetcher(Slow(hold), threads=2)
    futures = [fetcher.submit(str(file), i, i + 1) for i in range(10)]
    time.sleep(0.1)
    started = time.monotonic()
    fetcher.close()
    fetcher.close()
    assert time.monotonic() - started < 1.5
    assert sum(f.cancelled() for f in futures) == 8
    with pytest.raises(RuntimeError, match="open"):
        fetcher.submit(str(file), 0, 1)
    hold.set()


def test_a_forgotten_fetcher_ends_by_itself(file):
    fetcher = Fetcher(Storage(StorageOptions()), threads=2)
    fetcher.submit(str(file), 0, 10).result(10)
    del fetcher


def test_a_fetcher_goes_on_after_a_pause(file):
    fetcher = Fetcher(Storage(StorageOptions()), threads=2)
    fetcher.submit(str(file), 0, 10).result(10)
    time.sleep(1.5)
    assert not fetchers()
    assert len(fetcher.submit(str(file), 0, 10).result(10)) == 10
    fetcher.close()


def test_at_least_one_thread():
    with pytest.raises(ValueError, match="threads"):
        Fetcher(Storage(StorageOptions()), threads=0)
