import warnings
from concurrent.futures import as_completed

import pytest
from servers import http_proxy
from watching import PATIENCE, WatchedStorage, fetchers, going_on

from streamaug.errors import StorageError
from streamaug.storage import Fetcher, Storage, StorageOptions


@pytest.fixture(autouse=True)
def none_left():
    assert not fetchers()
    yield
    assert not going_on(fetchers())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(bytes(range(256)) * 40)
    return path


def test_futures_hold_the_bytes_asked_for(file):
    fetcher = Fetcher(Storage(StorageOptions()), threads=4)
    data = file.read_bytes()
    futures = [fetcher.submit(str(file), i, i + 100) for i in range(1000)]
    assert all(bytes(f.result(PATIENCE)) == data[i : i + 100] for i, f in enumerate(futures))
    assert 1 <= len(fetchers()) <= 4
    assert all(t.daemon for t in fetchers())
    fetcher.close()
    assert not fetchers()


def test_requests_are_served_in_the_order_asked(file):
    storage = WatchedStorage()
    fetcher = Fetcher(storage, threads=1)
    for future in [fetcher.submit(str(file), i, i + 1) for i in range(200)]:
        future.result(PATIENCE)
    assert storage.asked == list(range(200))
    fetcher.close()


def test_no_more_threads_than_asked_for(file):
    storage = WatchedStorage(hold=True)
    fetcher = Fetcher(storage, threads=3)
    futures = [fetcher.submit(str(file), i, i + 1) for i in range(20)]
    storage.wait_until_asked(3)
    assert len(fetchers()) == 3
    storage.released.set()
    [f.result(PATIENCE) for f in futures]
    assert storage.most == 3
    fetcher.close()


def test_an_error_is_the_futures(tmp_path):
    fetcher = Fetcher(Storage(StorageOptions()), threads=2)
    with pytest.raises(StorageError, match="gone"):
        fetcher.submit(str(tmp_path / "gone.tar"), 0, 10).result(PATIENCE)
    fetcher.close()


def test_a_warning_turned_error_does_not_hang_the_reader(file):
    class Warns(Storage):
        def read(self, url, start, stop):
            warnings.warn("range", UserWarning, stacklevel=1)

    fetcher = Fetcher(Warns(StorageOptions()), threads=1)
    with pytest.raises(UserWarning, match="range"):
        fetcher.submit(str(file), 0, 10).result(PATIENCE)
    fetcher.close()


def test_close_cancels_what_waits_and_does_not_wait_for_what_is_stuck(file):
    storage = WatchedStorage(hold=True)
    fetcher = Fetcher(storage, threads=2)
    futures = [fetcher.submit(str(file), i, i + 1) for i in range(10)]
    storage.wait_until_asked(2)
    fetcher.close()
    fetcher.close()
    assert storage.under_way == 2
    assert [f.cancelled() for f in futures] == [False] * 2 + [True] * 8
    with pytest.raises(RuntimeError, match="open"):
        fetcher.submit(str(file), 0, 1)
    storage.released.set()


def test_a_forgotten_fetcher_ends_by_itself(file):
    fetcher = Fetcher(Storage(StorageOptions()), threads=2)
    fetcher.submit(str(file), 0, 10).result(PATIENCE)
    threads = fetchers()
    assert threads
    del fetcher
    assert not going_on(threads)


def test_a_fetcher_goes_on_after_a_pause(file):
    fetcher = Fetcher(Storage(StorageOptions()), threads=2)
    fetcher.submit(str(file), 0, 10).result(PATIENCE)
    assert not going_on(fetchers())
    assert len(fetcher.submit(str(file), 0, 10).result(PATIENCE)) == 10
    fetcher.close()


def test_at_least_one_thread():
    with pytest.raises(ValueError, match="threads"):
        Fetcher(Storage(StorageOptions()), threads=0)


# --- stragglers -------------------------------------------------------------------------------


def stalls(count):
    """The given number of requests, after the first 30, stall; the others do not."""
    left = [count]

    def fault(method, path, number):
        if method == "GET" and number > 30 and left[0]:
            left[0] -= 1
            return "stall"
        return None

    return fault


@pytest.fixture
def remote(tmp_path, request):
    (tmp_path / "files").mkdir()
    data = bytes(range(256)) * 800 + bytes(60 << 20 if "cached" in request.fixturenames else 0)
    (tmp_path / "files" / "a.tar").write_bytes(data)
    return tmp_path / "files", data


def nothing_is_due(fetcher):
    """Whether no request will be asked for again, however long it takes."""
    with fetcher._changed:
        return fetcher._straggler() == (None, float("inf"))


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_a_straggler_is_asked_for_again_and_the_first_answer_counts(remote, tmp_path, cached):
    folder, data = remote
    options = StorageOptions(deadline=600, request_timeout=600, cache_dir=tmp_path / "cache" if cached else None)
    with http_proxy(folder, stalls(1)) as (proxy, base):
        fetcher = Fetcher(Storage(options), threads=4, extra_bytes=2000)
        if cached:  # 30 requests that have nothing to do with the cache, so that the pace is known
            fetcher._pace.recent.extend([0.01] * 30)
            proxy.requests["before"] = 30
        step = 1 << 20 if cached else 1000
        futures = [fetcher.submit(f"{base}/a.tar", i * step, i * step + 1000) for i in range(60)]
        assert [bytes(f.result(PATIENCE)) for f in futures] == [data[i * step : i * step + 1000] for i in range(60)]
        assert fetcher.hedged_requests >= 1
        assert proxy.faults["stall"] == 1
        proxy.released.set()
        fetcher.close()


def test_at_rest_the_threads_that_watch_for_stragglers_end_with_the_last_answer(remote, monkeypatch):
    folder, _ = remote
    monkeypatch.setattr("streamaug.storage.fetcher._STRAGGLER_SECONDS", 1000.0)
    options = StorageOptions(deadline=600, request_timeout=600)
    with http_proxy(folder, stalls(1)) as (proxy, base):
        fetcher = Fetcher(Storage(options), threads=4, extra_bytes=2000)
        futures = [fetcher.submit(f"{base}/a.tar", i * 1000, i * 1000 + 1000) for i in range(60)]
        answered = as_completed(futures, PATIENCE)
        for _ in range(59):
            next(answered)
        threads = fetchers()
        fetcher.rest()
        proxy.released.set()
        assert len(threads) > 1
        assert not going_on(threads)
        fetcher.close()


@pytest.mark.parametrize(
    ("recent", "patience"),
    [([0.01] * 9, float("inf")), ([0.01] * 30, 1.0), ([0.5] * 30, 1.5), ([0.01] * 94 + [0.6, *[9.0] * 5], 1.8)],
)
def test_a_straggler_takes_a_second_and_three_times_the_95th_percentile(recent, patience):
    fetcher = Fetcher(Storage(StorageOptions()), threads=1)
    fetcher._pace.recent.extend(recent)
    assert fetcher._pace.patience() == pytest.approx(patience)


def test_extra_requests_keep_to_their_budget(remote):
    folder, data = remote
    with http_proxy(folder, stalls(8)) as (proxy, base):
        fetcher = Fetcher(Storage(StorageOptions(deadline=600, request_timeout=600)), threads=12, extra_bytes=2500)
        futures = [fetcher.submit(f"{base}/a.tar", i * 1000, i * 1000 + 1000) for i in range(100)]
        proxy.wait_for(lambda: proxy.requests["GET"] == 102)
        assert nothing_is_due(fetcher)  # though six still stall
        proxy.released.set()
        assert all(bytes(f.result(PATIENCE)) == data[i * 1000 : i * 1000 + 1000] for i, f in enumerate(futures))
        assert fetcher.hedged_requests == 2
        assert fetcher.hedged_bytes == 2000
        assert proxy.requests["GET"] == 102
        fetcher.close()


def test_without_a_budget_it_is_one_percent_of_what_was_asked_for(remote):
    folder, _ = remote
    with http_proxy(folder, stalls(8)) as (proxy, base):
        fetcher = Fetcher(Storage(StorageOptions(deadline=600, request_timeout=600)), threads=12)
        futures = [fetcher.submit(f"{base}/a.tar", i * 1000, i * 1000 + 1000) for i in range(130)]
        proxy.wait_for(lambda: proxy.requests["GET"] == 131)
        assert nothing_is_due(fetcher)  # though seven still stall
        proxy.released.set()
        assert all(len(f.result(PATIENCE)) == 1000 for f in futures)
        assert fetcher.hedged_requests == 1
        assert proxy.requests["GET"] == 131
        fetcher.close()


def test_without_hedging_nothing_is_asked_for_twice(remote):
    folder, _ = remote
    with http_proxy(folder, stalls(1)) as (proxy, base):
        options = StorageOptions(deadline=600, request_timeout=600, hedge=False)
        fetcher = Fetcher(Storage(options), threads=4, extra_bytes=10**9)
        futures = [fetcher.submit(f"{base}/a.tar", i * 1000, i * 1000 + 1000) for i in range(60)]
        proxy.wait_for(lambda: proxy.requests["GET"] == 60)
        assert nothing_is_due(fetcher)
        proxy.released.set()
        assert all(len(f.result(PATIENCE)) == 1000 for f in futures)
        assert (fetcher.hedged_requests, proxy.requests["GET"]) == (0, 60)
        fetcher.close()


@pytest.mark.slow
def test_when_both_attempts_fail_the_error_comes_once(remote):
    folder, _ = remote
    with http_proxy(folder, stalls(100)) as (proxy, base):
        options = StorageOptions(deadline=4.0, request_timeout=3.0)
        fetcher = Fetcher(Storage(options), threads=2, extra_bytes=10**9)
        for i in range(30):
            fetcher.submit(f"{base}/a.tar", i, i + 1).result(PATIENCE)
        fetcher._pace.recent.extend([0.01] * 256)  # so that a second of patience is enough on a slow machine too
        with pytest.raises(StorageError, match=r"a\.tar.*tries"):
            fetcher.submit(f"{base}/a.tar", 0, 10).result(PATIENCE)
        assert fetcher.hedged_requests == 1
        proxy.released.set()
        fetcher.close()
