import shutil

import pytest
from blocks import block
from servers import http_proxy

from streamaug.storage import Storage, StorageOptions
from streamaug.storage.cache.blocks import BlockCache
from streamaug.storage.cache.space import CacheSpace
from streamaug.storage.options import CACHE_BLOCK

KEY = "0" * 32
DATA = bytes(block(0, 9 * CACHE_BLOCK + 123))


@pytest.fixture
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    (folder / "a.tar").write_bytes(DATA)
    with http_proxy(folder) as (_, base):
        yield f"{base}/a.tar"


def fill(storage, url):
    """Read all, piece by piece, so that the cache takes what it may."""
    for start in range(0, len(DATA), 700_000):
        stop = min(len(DATA), start + 700_000)
        assert bytes(storage.read(url, start, stop)) == DATA[start:stop]


@pytest.mark.parametrize("min_free", [None, 1_200_000])
def test_a_share_of_the_disk_stays_free_and_a_checkpoint_can_be_written(small_disk, url, min_free):
    """Of 3 MiB, a tenth or the bytes that were asked for; no warning, since nothing is wrong."""
    storage = Storage(StorageOptions(cache_dir=small_disk / "cache", cache_min_free=min_free, deadline=5))
    fill(storage, url)
    left = 3 * 2**20 // 10 if min_free is None else min_free
    assert left <= shutil.disk_usage(small_disk).free <= left + CACHE_BLOCK + 100_000
    (small_disk / "checkpoint").write_bytes(bytes(left))


def test_the_cache_gives_way_to_files_of_others(small_disk, url):
    """Also while it is only read: here it looks at once, and not after some seconds."""
    storage = Storage(StorageOptions(cache_dir=small_disk / "cache", cache_min_free=300_000, deadline=5))
    fill(storage, url)
    cache = BlockCache(small_disk / "cache", 64 << 30, 300_000)
    assert cache.used()[0] > 2 * CACHE_BLOCK
    (small_disk / "of others").write_bytes(bytes(shutil.disk_usage(small_disk).free - 200_000))
    assert shutil.disk_usage(small_disk).free < 300_000
    cache.give_way()
    assert cache.used()[0] < 2 * CACHE_BLOCK
    assert shutil.disk_usage(small_disk).free > 300_000


def test_old_blocks_give_way_where_the_disk_is_full_against_its_numbers(small_disk, monkeypatch):
    """As with a quota, of which the file system's numbers say nothing."""
    monkeypatch.setattr(CacheSpace, "_disk", lambda self: (1 << 40, 1 << 40, 0))
    cache = BlockCache(small_disk, 64 << 30, 0)
    for number in range(6):
        cache.write(KEY, number, block(number))
    target = memoryview(bytearray(CACHE_BLOCK))
    assert cache.read_into(KEY, 5, target, 0, CACHE_BLOCK)
    assert target == block(5)
    assert cache.used()[1] <= 2
