import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from blocks import block, on_disk
from hypothesis import given, settings
from hypothesis import strategies as st
from watching import PATIENCE

from streamaug.errors import StorageError
from streamaug.storage.cache import locking
from streamaug.storage.cache.blocks import BlockCache, block_name, key_of
from streamaug.storage.cache.locking import open_locked, unlock
from streamaug.storage.options import CACHE_BLOCK

KEY = key_of("s3://b/a.tar", 10, "etag")
LIMIT = 8 * CACHE_BLOCK


def read(cache, number, start=0, stop=CACHE_BLOCK, key=KEY):
    target = bytearray(stop - start)
    return bytes(target) if cache.read_into(key, number, memoryview(target), start, stop) else None


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


@pytest.mark.slow
def test_the_limit_holds_at_every_moment_for_many_writers(tmp_path):
    """Eight threads and another process write while a watcher adds up all files, those being written included."""
    limit = 6 * CACHE_BLOCK
    code = f"""
import sys
import numpy as np
from streamaug.storage.cache.blocks import BlockCache
cache = BlockCache({str(tmp_path)!r}, {limit})
for i in range(300):
    cache.write("{"b" * 32}", i, memoryview(np.random.default_rng(i).bytes({CACHE_BLOCK})))
"""
    cache = BlockCache(tmp_path, limit)
    most, done = 0, threading.Event()

    def watch():
        nonlocal most
        while not done.is_set():
            with (
                cache._space._counting()
            ):  # files only appear under this lock; one that is renamed meanwhile keeps its inode
                sizes = {}
                for path in [*cache.folder.glob("writing/*"), *cache.folder.glob("blocks/*/*")]:
                    with contextlib.suppress(FileNotFoundError):
                        status = path.stat()
                        sizes[status.st_ino] = status.st_size
            most = max(most, sum(sizes.values()))
            done.wait(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        other = subprocess.Popen([sys.executable, "-c", code])
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda i: cache.write(KEY, i, block(i)), range(300)))
        assert other.wait(PATIENCE) == 0
    finally:
        done.set()
        watcher.join()
    assert 4 * CACHE_BLOCK < most <= limit
    assert on_disk(tmp_path) <= limit
    assert cache.used()[1] >= 4


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing_that_counts_or_lies(tmp_path):
    limit = 6 * CACHE_BLOCK
    code = f"""
import numpy as np
from streamaug.storage.cache.blocks import BlockCache
cache = BlockCache({str(tmp_path)!r}, {limit})
blocks = [memoryview(np.random.default_rng(i).bytes({CACHE_BLOCK})) for i in range(40)]
while True:
    for i, block in enumerate(blocks):
        print(i, flush=True)
        cache.write("{KEY}", i, block)
"""
    leftovers = 0
    for trial in range(4):
        writer = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        for number in range(1 + 13 * trial):  # it is about to write, or writing, when the last of these comes
            assert writer.stdout.readline() == b"%d\n" % number
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


def test_a_fork_while_the_count_is_locked_keeps_no_lock(tmp_path):
    """The child shares the open file, and must not hold its lock for as long as it lives."""
    cache = BlockCache(tmp_path, LIMIT)
    claim = cache.claim(block_name(KEY, 1))
    with cache._space._counting():
        child = os.fork()
        if child == 0:
            signal.pause()
            os._exit(0)
    try:
        cache.finish(claim, block(1))
        cache.release(claim)
        BlockCache(tmp_path, LIMIT).write(KEY, 0, block(0))  # with a warning, were the count locked for long
        again = cache.claim(block_name(KEY, 1))
        assert again is not None
        cache.release(again)
        assert [read(cache, number) for number in range(2)] == [bytes(block(0)), bytes(block(1))]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_lock_that_is_never_given_up_is_waited_for_no_longer_than_patience(tmp_path, monkeypatch):
    """A job that was stopped must not stop the node."""
    monkeypatch.setattr("streamaug.storage.cache.space._LOCK_SECONDS", 1.0)
    cache = BlockCache(tmp_path, LIMIT)
    stopped = open_locked(cache.folder / "lock", os.O_CREAT | os.O_RDWR)
    tries = []
    monkeypatch.setattr(locking, "open_locked", lambda *path_and_flags: tries.append(open_locked(*path_and_flags)))
    with pytest.warns(UserWarning, match="locked for 1 s by another process"):
        cache.write(KEY, 0, block(0))
    assert len(tries) > 1
    assert not cache.keeps()
    unlock(stopped)


def test_one_claim_at_a_time_and_what_was_finished_is_there(tmp_path):
    cache, other = BlockCache(tmp_path, LIMIT), BlockCache(tmp_path, LIMIT)
    name = block_name(KEY, 3)
    claim = cache.claim(name)
    assert other.claim(name) is None
    other.write(KEY, 3, block(4))
    assert read(other, 3) is None
    cache.finish(claim, block(3))
    cache.release(claim)
    assert read(other, 3) == bytes(block(3))
    assert not list(cache.folder.joinpath("writing").iterdir())
    given_up = cache.claim(block_name(KEY, 5))
    cache.release(given_up)
    assert other.claim(block_name(KEY, 5)) is not None


def test_a_lowered_limit_holds_from_the_start(tmp_path):
    cache = BlockCache(tmp_path, LIMIT)
    for number in range(7):
        cache.write(KEY, number, block(number))
    lower = BlockCache(tmp_path, 3 * CACHE_BLOCK)
    lower.trim()
    assert on_disk(tmp_path) <= 3 * CACHE_BLOCK
    assert lower.used()[1] >= 1


def test_folders_that_somebody_deletes_are_made_again(tmp_path):
    cache = BlockCache(tmp_path, LIMIT)
    cache.write(KEY, 0, block(0))
    shutil.rmtree(tmp_path / "streamaug-blocks-v1")
    for _ in range(3):
        cache.write(KEY, 1, block(1))
    assert read(cache, 0) is None
    assert read(cache, 1) == bytes(block(1))
