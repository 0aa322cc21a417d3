"""Ranges of remote objects by way of the disk cache."""

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed

import numpy as np
import pytest
from blocks import block, on_disk
from servers import http_proxy
from watching import PATIENCE, WatchedStorage

from streamaug.errors import StorageError
from streamaug.storage import Fetcher, Storage, StorageOptions
from streamaug.storage.cache.blocks import BlockCache, block_name, key_of
from streamaug.storage.cache.reader import CachedReader, Source
from streamaug.storage.location import Location
from streamaug.storage.options import CACHE_BLOCK

KEY = key_of("s3://b/a.tar", 10, "etag")
LIMIT = 8 * CACHE_BLOCK


@pytest.fixture
def served(tmp_path):
    (tmp_path / "files").mkdir()
    data = bytes(block(0, 5 * CACHE_BLOCK + 4567))
    (tmp_path / "files" / "a.tar").write_bytes(data)
    with http_proxy(tmp_path / "files") as (proxy, base):
        yield proxy, f"{base}/a.tar", data, StorageOptions(cache_dir=tmp_path / "cache", deadline=10)


def test_each_byte_comes_over_the_wire_once_whoever_asks(served):
    proxy, url, data, options = served
    storage = Storage(options)
    edges = sorted(np.random.default_rng(1).integers(0, len(data), 60).tolist())
    asked = list(zip([0, *edges], [*edges, len(data)], strict=True)) * 2
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda r: bytes(storage.read(url, *r)), asked))
    assert got == [data[a:b] for a, b in asked]
    assert proxy.bytes == len(data)
    assert bytes(Storage(options).read(url, 0, len(data))) == data
    assert proxy.bytes == len(data)


def test_a_block_that_another_thread_finished_between_look_and_claim_is_not_fetched_again(tmp_path):
    data = bytes(block(3, 2 * CACHE_BLOCK))
    fetched = []

    def fetch(start, stop, progress):
        fetched.append((start, stop))
        return memoryview(data)[start:stop]

    class Interleaved(BlockCache):
        """Has another reader read the same, from first to last, right after the first look found nothing."""

        looked = False

        def read_into(self, *arguments):
            found = super().read_into(*arguments)
            if not self.looked:
                self.looked = True
                assert whole_of(reader) == data
            return found

    def whole_of(reader):
        return bytes(reader.read(Source("a.tar", KEY, len(data), fetch), 0, len(data)))

    reader = CachedReader(Interleaved(tmp_path, LIMIT), patience=5.0)
    assert whole_of(reader) == data
    assert fetched == [(0, len(data))]


def test_another_version_is_another_entry(served, tmp_path):
    _, url, data, options = served
    assert bytes(Storage(options).read(url, 0, 100)) == data[:100]
    (tmp_path / "files" / "a.tar").write_bytes(data[::-1])
    os.utime(tmp_path / "files" / "a.tar", ns=(10**18, 10**18))
    assert bytes(Storage(options).read(url, 0, 100)) == data[::-1][:100]


def test_damaged_blocks_are_fetched_again(served, tmp_path):
    proxy, url, data, options = served
    Storage(options).read(url, 0, len(data))
    for path in (tmp_path / "cache").rglob("*-[0-9]"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    assert bytes(Storage(options).read(url, 10, len(data) - 10)) == data[10:-10]
    assert proxy.bytes == 2 * len(data)
    assert bytes(Storage(options).read(url, 10, len(data) - 10)) == data[10:-10]
    assert proxy.bytes == 2 * len(data)


def test_an_error_while_one_thread_fetches_frees_the_others(served):
    proxy, url, data, options = served
    proxy.fault = lambda method, path, number: 403 if method == "GET" and proxy.requests["GET"] == 1 else None
    storage = Storage(options)

    def attempt(_):
        try:
            return bytes(storage.read(url, 0, len(data))) == data
        except StorageError:
            return "error"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(8), timeout=PATIENCE))
    assert outcomes.count("error") == 1
    assert outcomes.count(True) == 7


@pytest.mark.slow
def test_two_jobs_share_a_cache_smaller_than_the_data(served, tmp_path):
    _, url, _, _ = served
    code = f"""
import sys
from streamaug.storage import Storage, StorageOptions
options = StorageOptions(cache_dir={str(tmp_path / "cache")!r}, cache_limit={3 * CACHE_BLOCK}, deadline=20)
data = open({str(tmp_path / "files" / "a.tar")!r}, "rb").read()
storage = Storage(options)
for i in range(40):
    start = i * 97_003 % len(data)
    stop = min(len(data), start + 900_000)
    if bytes(storage.read({url!r}, start, stop)) != data[start:stop]:
        sys.exit(3)
"""
    jobs = [subprocess.Popen([sys.executable, "-W", "error", "-c", code]) for _ in range(2)]
    assert [job.wait(PATIENCE) for job in jobs] == [0, 0]
    assert on_disk(tmp_path / "cache") <= 3 * CACHE_BLOCK


def test_a_limit_below_one_block_is_an_error_at_the_start(tmp_path):
    with pytest.raises(ValueError, match=r"cache_limit.*one block"):
        StorageOptions(cache_dir=tmp_path, cache_limit=CACHE_BLOCK)


def test_on_a_full_disk_reading_goes_on_with_one_warning(small_disk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    data = bytes(block(0, 9 * CACHE_BLOCK + 123))
    (folder / "a.tar").write_bytes(data)
    (small_disk / "of others").write_bytes(bytes(2_000_000))
    with http_proxy(folder) as (proxy, base):
        storage = Storage(StorageOptions(cache_dir=small_disk, deadline=5))
        stops = [(start, min(len(data), start + 700_000)) for start in range(0, len(data), 700_000)]
        with pytest.warns(UserWarning, match=r"cache_dir.*cannot be written") as caught:
            got = [bytes(storage.read(f"{base}/a.tar", start, stop)) for start, stop in stops]
        assert got == [data[start:stop] for start, stop in stops]
        assert len(caught) == 1
        assert bytes(storage.read(f"{base}/a.tar", 0, len(data))) == data
        before = proxy.bytes
        assert [bytes(storage.read(f"{base}/a.tar", start, stop)) for start, stop in stops] == got
        assert proxy.bytes - before == len(data)  # just what was asked for, since nothing more can be kept


def test_a_cache_that_may_only_be_read_is_read(small_disk, tmp_path_factory):
    """Blocks whose time of use cannot be noted are none the worse for it."""
    folder = tmp_path_factory.mktemp("files")
    data = bytes(block(0, CACHE_BLOCK + 5))
    (folder / "a.tar").write_bytes(data)
    options = StorageOptions(cache_dir=small_disk, deadline=5)
    with http_proxy(folder) as (proxy, base):
        assert bytes(Storage(options).read(f"{base}/a.tar", 0, len(data))) == data
        for path in small_disk.rglob("*-[0-9]"):
            os.utime(path, (1000, 1000))
        subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
        proxy.bytes = 0
        with pytest.warns(UserWarning, match="cache_dir"):
            assert bytes(Storage(options).read(f"{base}/a.tar", 0, len(data))) == data
        assert proxy.bytes == 0


@pytest.mark.slow
def test_jobs_that_read_the_same_at_the_same_time_fetch_it_once(served, tmp_path):
    """As the ranks of a node do, each in a process of its own."""
    proxy, url, data, _ = served
    code = f"""
import sys
from streamaug.storage import Storage, StorageOptions
storage = Storage(StorageOptions(cache_dir={str(tmp_path / "cache")!r}, deadline=20))
data = open({str(tmp_path / "files" / "a.tar")!r}, "rb").read()
print("ready", flush=True)
sys.stdin.readline()
for start in range(0, len(data), 300_000):
    if bytes(storage.read({url!r}, start, min(len(data), start + 300_000))) != data[start : start + 300_000]:
        sys.exit(3)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    jobs = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    for job in jobs:
        job.stdout.readline()
    for job in jobs:
        job.communicate(b"go\n", timeout=PATIENCE)
    assert [job.returncode for job in jobs] == [0, 0, 0, 0]
    assert proxy.bytes == len(data)


@pytest.mark.slow
def test_a_reading_job_that_is_killed_leaves_nothing_to_clean(served, tmp_path):
    proxy, url, data, options = served
    proxy.fault = lambda method, path, number: "drip" if method == "GET" else None
    code = f"""
from streamaug.storage import Storage, StorageOptions
storage = Storage(StorageOptions(cache_dir={str(tmp_path / "cache")!r}, deadline=20))
print("ready", flush=True)
for start in range(0, {len(data)}, 100_000):
    storage.read({url!r}, start, min({len(data)}, start + 100_000))
"""
    for trial in range(3):
        proxy.forget()
        job = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert job.stdout.readline() == b"ready\n"
        proxy.wait_for(lambda wanted=1 + trial: proxy.requests["GET"] == wanted)  # and now its answer drips
        job.send_signal(signal.SIGKILL)
        job.communicate()
    proxy.fault = lambda method, path, number: None
    assert bytes(Storage(options).read(url, 0, len(data))) == data
    assert BlockCache(tmp_path / "cache", LIMIT).used()[1] == 6  # none was held by the dead, or it would not be kept
    assert not list((tmp_path / "cache" / "streamaug-blocks-v1" / "writing").iterdir())


def test_what_another_process_never_brings_is_fetched_here(served, tmp_path):
    _, url, data, options = served
    storage = Storage(dataclasses.replace(options, request_timeout=0.5))
    storage.size(url)
    location = Location.parse(url)
    source = storage._source(location, storage._versions.get(location), None)
    stopped = BlockCache(tmp_path / "cache", LIMIT).claim(block_name(source.key, 1))
    assert bytes(storage.read(url, 0, len(data))) == data
    assert BlockCache(tmp_path / "cache", LIMIT).used()[1] == 5  # all but the one that the other has claimed
    BlockCache(tmp_path / "cache", LIMIT).release(stopped)


def test_an_object_without_etag_and_time_is_read_and_not_kept(served, tmp_path):
    """Nothing would tell its next version from this one."""
    proxy, url, data, options = served
    proxy.fault = lambda method, path, number: "no tag"
    storage = Storage(options)
    with pytest.warns(UserWarning, match="neither etag nor time"):
        assert bytes(storage.read(url, 100, len(data))) == data[100:]
    assert bytes(storage.read(url, 0, len(data))) == data
    assert not list((tmp_path / "cache").rglob("*-[0-9]"))


def test_a_server_without_ranges_fills_the_cache_by_passing_by_once(served, tmp_path):
    proxy, url, data, options = served
    proxy.fault = lambda method, path, number: "ignore range" if method == "GET" else None
    storage = Storage(options)
    with pytest.warns(UserWarning, match="range"):
        assert bytes(storage.read(url, 0, 10)) == data[:10]
    assert proxy.bytes <= 3 * len(data)  # two answers that were no range, for one may be a slip, and the stream
    before = proxy.bytes
    edges = sorted(np.random.default_rng(1).integers(0, len(data), 60).tolist())
    asked = list(zip([0, *edges], [*edges, len(data)], strict=True))
    with ThreadPoolExecutor(16) as pool:
        got = list(pool.map(lambda r: bytes(storage.read(url, *r)), asked))
    assert got == [data[a:b] for a, b in asked]
    assert proxy.bytes == before


def test_closing_a_fetcher_ends_the_wait_for_another_thread(served):
    proxy, url, data, options = served
    proxy.fault = lambda method, path, number: "stall" if method == "GET" else None
    storage = WatchedStorage(dataclasses.replace(options, deadline=600, request_timeout=600))
    fetcher = Fetcher(storage, threads=8)
    futures = [fetcher.submit(url, 0, len(data)) for _ in range(8)]
    storage.wait_until_asked(8)
    proxy.wait_for(lambda: proxy.faults["stall"] == 1)
    fetcher.close()
    given_up = list(itertools.islice(as_completed(futures, PATIENCE), 7))
    assert all("given up" in str(future.exception()) for future in given_up)
    assert sum(future.running() for future in futures) == 1  # the server has not answered it
