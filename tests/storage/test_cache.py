import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from servers import http_proxy

from streamaug.errors import StorageError
from streamaug.storage import Storage, StorageOptions
from streamaug.storage.cache import BlockCache, key_of
from streamaug.storage.cached import CachedReader, Source
from streamaug.storage.options import CACHE_BLOCK

KEY = key_of("s3://b/a.tar", 10, "etag")
LIMIT = 8 * CACHE_BLOCK


def block(number, size=CACHE_BLOCK):
    return memoryview(np.random.default_rng(number).bytes(size))


def read(cache, number, start=0, stop=CACHE_BLOCK, key=KEY):
    target = bytearray(stop - start)
    return bytes(target) if cache.read_into(key, number, memoryview(target), start, stop) else None


def on_disk(folder):
    return sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())


def test_what_is_written_is_read_in_whole_and_in_part(tmp_path):
    cache = BlockCache(tmp_path, LIMIT)
    assert read(cache, 0) is None
    cache.write(KEY, 0, block(0))
    cache.write(KEY, 1, block(1, 1000))
    again = BlockCache(tmp_path, LIMIT)
    assert read(again, 0) == bytes(block(0))
    assert read(again, 0, 77, 5000) == bytes(block(0)[77:5000])
    assert read(again, 1, 0, 1000) == bytes(block(1, 1000))
    assert read(again, 1, 0, 1001) is None
    assert read(again, 0, key=key_of("s3://b/a.tar", 10, "other etag")) is None


def test_every_flipped_bit_and_every_cut_is_found_and_the_block_dropped(tmp_path):
    cache = BlockCache(tmp_path, LIMIT)
    rng = np.random.default_rng(0)
    for trial in range(60):
        cache.write(KEY, 0, block(0, 5000))
        (path,) = list(tmp_path.rglob(f"{KEY}-0"))
        data = bytearray(path.read_bytes())
        if trial % 3:
            at = int(rng.integers(len(data)))
            data[at] ^= 1 << int(rng.integers(8))
        else:
            data = data[: int(rng.integers(len(data)))]
        path.write_bytes(data)
        assert read(cache, 0, 0, 5000) is None
        assert not path.exists()
    assert cache.used() == (0, 0)


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, CACHE_BLOCK), min_size=1, max_size=30))
def test_the_limit_holds_after_every_write(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("cache")
    limit = 3 * CACHE_BLOCK
    cache = BlockCache(folder, limit)
    for number, size in enumerate(sizes):
        cache.write(KEY, number, block(number, size))
        assert on_disk(folder) <= limit
        assert read(cache, number, 0, size) == bytes(block(number, size))


def test_the_least_recently_used_go_first(tmp_path):
    cache = BlockCache(tmp_path, LIMIT)
    for number in range(7):
        cache.write(KEY, number, block(number))
    for path in tmp_path.rglob(f"{KEY}-*"):
        os.utime(path, (1000 + int(path.name.rpartition("-")[2]),) * 2)
    for number in (0, 3):
        assert read(cache, number) is not None
    cache.write(KEY, 7, block(7))
    held = {number for number in range(8) if read(cache, number) is not None}
    assert {0, 3, 7} <= held
    assert 1 not in held


def test_the_limit_holds_at_every_moment_for_many_writers(tmp_path):
    """Eight threads and another process write while a watcher adds up all files, those being written included."""
    limit = 6 * CACHE_BLOCK
    code = f"""
import sys
import numpy as np
from streamaug.storage.cache import BlockCache
cache = BlockCache({str(tmp_path)!r}, {limit})
for i in range(300):
    cache.write("{"b" * 32}", i, memoryview(np.random.default_rng(i).bytes({CACHE_BLOCK})))
"""
    cache = BlockCache(tmp_path, limit)
    most, done = 0, threading.Event()

    def watch():
        nonlocal most
        while not done.is_set():
            with cache._counting():  # files only appear under this lock; one that is renamed meanwhile keeps its inode
                sizes = {}
                for path in [*cache.folder.glob("writing/*"), *cache.folder.glob("blocks/*/*")]:
                    with contextlib.suppress(FileNotFoundError):
                        status = path.stat()
                        sizes[status.st_ino] = status.st_size
            most = max(most, sum(sizes.values()))
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    other = subprocess.Popen([sys.executable, "-c", code])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: cache.write(KEY, i, block(i)), range(300)))
    assert other.wait(60) == 0
    done.set()
    watcher.join()
    assert 4 * CACHE_BLOCK < most <= limit
    assert on_disk(tmp_path) <= limit
    assert cache.used()[1] >= 4


def test_a_killed_writer_leaves_nothing_that_counts_or_lies(tmp_path):
    limit = 6 * CACHE_BLOCK
    code = f"""
import numpy as np
from streamaug.storage.cache import BlockCache
cache = BlockCache({str(tmp_path)!r}, {limit})
print("ready", flush=True)
i = 0
while True:
    cache.write("{KEY}", i % 40, memoryview(np.random.default_rng(i % 40).bytes({CACHE_BLOCK})))
    i += 1
"""
    leftovers = 0
    for trial in range(4):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(0.05 + 0.037 * trial)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        cache = BlockCache(tmp_path, limit)
        leftovers += len(list(cache.folder.joinpath("writing").iterdir()))
        assert on_disk(tmp_path) <= limit
        for number in range(40):
            got = read(cache, number)
            assert got is None or got == bytes(block(number))
        for number in range(100, 108):
            cache.write(KEY, number, block(number))
            assert read(cache, number) == bytes(block(number))
            assert on_disk(tmp_path) <= limit
        assert not list(cache.folder.joinpath("writing").iterdir())


def test_a_half_written_file_of_the_dead_goes_and_that_of_the_living_stays(tmp_path):
    cache = BlockCache(tmp_path, LIMIT)
    dead = cache.folder / "writing" / "dead.1"
    dead.write_bytes(bytes(3 * CACHE_BLOCK))
    living = cache.claim("living")
    os.ftruncate(living.descriptor, CACHE_BLOCK)
    for number in range(9):
        cache.write(KEY, number, block(number))
        assert on_disk(tmp_path) <= LIMIT + 3 * CACHE_BLOCK
    assert not dead.exists()
    assert living.path.exists()
    assert on_disk(tmp_path) <= LIMIT
    cache.release(living)
    assert not living.path.exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", tmp_path], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


def test_on_a_full_disk_reading_goes_on_with_one_warning(small_disk, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    data = bytes(block(0, 9 * CACHE_BLOCK + 123))
    (folder / "a.tar").write_bytes(data)
    with http_proxy(folder) as (_, base):
        storage = Storage(StorageOptions(cache_dir=small_disk, deadline=5))
        stops = [(start, min(len(data), start + 700_000)) for start in range(0, len(data), 700_000)]
        with pytest.warns(UserWarning, match=r"cache_dir.*cannot be written") as caught:
            got = [bytes(storage.read(f"{base}/a.tar", start, stop)) for start, stop in stops]
        assert got == [data[start:stop] for start, stop in stops]
        assert len(caught) == 1
        assert bytes(storage.read(f"{base}/a.tar", 0, len(data))) == data


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cache_dir"):
        BlockCache(tmp_path / "file" / "cache", LIMIT)


def test_clear_leaves_nothing(tmp_path):
    cache = BlockCache(tmp_path, LIMIT)
    for number in range(5):
        cache.write(KEY, number, block(number))
    assert cache.used()[1] == 5
    cache.clear()
    assert cache.used() == (0, 0)
    cache.write(KEY, 1, block(1))
    assert read(cache, 1) == bytes(block(1))


# --- through the storage ----------------------------------------------------------------------


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

    def fetch(start, stop):
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
        outcomes = list(pool.map(attempt, range(8), timeout=20))
    assert outcomes.count("error") == 1
    assert outcomes.count(True) == 7


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
    assert [job.wait(100) for job in jobs] == [0, 0]
    assert on_disk(tmp_path / "cache") <= 3 * CACHE_BLOCK


def test_a_limit_below_one_block_is_an_error_at_the_start(tmp_path):
    with pytest.raises(ValueError, match=r"cache_limit.*one block"):
        StorageOptions(cache_dir=tmp_path, cache_limit=CACHE_BLOCK)
