"""Remote shards without an index: counted once a node, by headers where that is faster, with one warning."""

import concurrent.futures
import multiprocessing
import os
import threading
import warnings

import pytest
from servers import http_proxy
from tars import pairs, write_tar
from watching import PATIENCE

import streamaug as sa
from streamaug.errors import ShardError
from streamaug.shards.node_cache import NodeCache
from streamaug.shards.range_file import Pace, RangeFile
from streamaug.shards.scan import scan
from streamaug.storage import Storage
from streamaug.storage.fetcher import Fetcher
from streamaug.storage.location import Location

SMALL, LARGE = 700, 900_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three shards of small samples, three of large ones."""
    folder = tmp_path_factory.mktemp("remote")
    for number in range(3):
        write_tar(folder / f"small-{number}.tar", pairs(40, size=SMALL, start=40 * number))
        write_tar(folder / f"large-{number}.tar", pairs(8, size=LARGE, start=8 * number))
    return folder


def size_of(folder, name):
    return sum(path.stat().st_size for path in folder.glob(f"{name}-*.tar"))


def test_every_start_but_the_first_reads_nothing(folder):
    with http_proxy(folder) as (proxy, base):
        first = sa.ShardSet.open(base + "/small-{0..2}.tar")
        assert size_of(folder, "small") * 0.9 <= proxy.bytes <= size_of(folder, "small")
        proxy.forget()
        again = sa.ShardSet.open(base + "/small-{0..2}.tar")
        assert proxy.bytes == 0
        assert again.fingerprint == first.fingerprint
        assert [again.index(number).keys for number in range(3)] == [first.index(number).keys for number in range(3)]
        assert proxy.bytes == 0


def test_one_warning_says_what_it_costs_and_how_to_be_rid_of_it(folder):
    with http_proxy(folder) as (_, base):
        with pytest.warns(
            UserWarning, match=r"3 remote shards of 0\.0\d+ GB have no index.*`streamaug index`"
        ) as caught:
            sa.ShardSet.open(base + "/small-{0..2}.tar")
        assert len(caught) == 1
        with warnings.catch_warnings(record=True) as later:
            warnings.simplefilter("always")
            sa.ShardSet.open(base + "/small-{0..2}.tar")
            sa.ShardSet.open(folder / "small-{0..2}.tar")
        assert later == []


def test_a_new_version_is_counted_anew(folder, tmp_path):
    path = write_tar(tmp_path / "x-0.tar", pairs(5))
    with http_proxy(tmp_path) as (proxy, base):
        assert sa.ShardSet.open(base + "/x-0.tar").num_samples == 5
        write_tar(path, pairs(7))
        os.utime(path, ns=(1, 1))
        proxy.forget()
        assert sa.ShardSet.open(base + "/x-0.tar").num_samples == 7
        assert proxy.bytes > 0


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"no line of ours\n", b"streamaug-scan-1 40 1 00000000\nv1.2 1\n", None])
def test_a_damaged_cache_costs_time_and_nothing_else(folder, damage):
    with http_proxy(folder) as (_, base):
        first = sa.ShardSet.open(base + "/small-{0..2}.tar")
        for file in NodeCache.of_user().folder.glob("indexes/*/*"):
            if damage is None:
                file.unlink()
            else:
                file.write_bytes(damage)
        assert [first.index(number).keys for number in range(3)]
        again = sa.ShardSet.open(base + "/small-{0..2}.tar")
        assert again.num_samples == 120
        assert again.index(1).offsets.tolist() == first.index(1).offsets.tolist()


def test_without_a_cache_that_can_be_written_each_start_reads(folder, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with http_proxy(folder) as (proxy, base):
        for _ in range(2):
            proxy.forget()
            with pytest.warns(UserWarning, match="at every start, since .*file/streamaug cannot be written"):
                assert sa.ShardSet.open(base + "/small-{0..2}.tar").num_samples == 120
            assert proxy.bytes > 0


def test_a_store_that_tells_no_version_is_counted_each_time(folder):
    with http_proxy(folder, lambda method, url, number: "no tag") as (proxy, base):
        for _ in range(2):
            proxy.forget()
            assert sa.ShardSet.open(base + "/small-0.tar").num_samples == 40
            assert proxy.bytes > 0


def counted(url, barrier):
    warnings.simplefilter("ignore")
    barrier.wait()
    return sa.ShardSet.open(url).num_samples


@pytest.mark.slow
def test_processes_that_start_together_count_each_shard_once(folder):
    context = multiprocessing.get_context("spawn")
    with (
        http_proxy(folder) as (proxy, base),
        context.Manager() as manager,
        concurrent.futures.ProcessPoolExecutor(3, mp_context=context) as pool,
    ):
        barrier = manager.Barrier(3)
        waiting = [pool.submit(counted, base + "/small-{0..2}.tar", barrier) for _ in range(3)]
        assert [one.result() for one in waiting] == [120] * 3
        assert proxy.bytes <= size_of(folder, "small")


def test_a_lock_is_waited_for_and_what_the_other_made_is_taken(folder):
    cache = NodeCache.of_user()
    with http_proxy(folder) as (proxy, base):
        storage = Storage(sa.StorageOptions())
        shard = Location.parse(base + "/small-0.tar")
        key = cache.key(storage, shard)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            with cache.making(key):
                waiting = pool.submit(sa.ShardSet.open, shard.url)
                proxy.wait_for(lambda: proxy.paths["/small-0.idx"] > 0)
                samples, num_bytes = scan(storage, shard)
                proxy.forget()
                assert cache.write(key, samples, num_bytes)
            assert waiting.result().num_samples == 40
        assert proxy.bytes == 0


class Known(Pace):
    """A pace that is known beforehand."""

    def __init__(self, gap):
        super().__init__()
        self._gap = gap

    @property
    def gap(self):
        return self._gap


@pytest.mark.parametrize("name", ["small", "large"])
@pytest.mark.parametrize("gap", [1, 64 << 10, 1 << 40])
def test_headers_are_found_whatever_is_skipped(folder, name, gap):
    url = str(folder / f"{name}-0.tar")
    with http_proxy(folder) as (proxy, base):
        storage = Storage(sa.StorageOptions())
        assert scan(storage, f"{base}/{name}-0.tar", pace=Known(gap)) == scan(storage, url)
        size = (folder / f"{name}-0.tar").stat().st_size
        assert proxy.bytes <= size
        if name == "large" and gap < LARGE:
            assert proxy.bytes < 0.1 * size
        if gap > size:
            assert proxy.bytes >= size - 20_000  # all but what follows the marker


def test_a_slow_link_has_large_members_skipped_and_a_fast_one_reads_on():
    slow, fast = Pace(), Pace()
    for pace, latency, rate in ((slow, 0.05, 1.2e6), (fast, 0.03, 200e6)):
        pace.note(16 << 10, 9.0)  # the first request, which sets the connection up
        assert pace.gap == 64 << 10  # skips are tried first
        for _ in range(3):
            pace.note(16 << 10, latency)
        assert pace.gap == 8 << 20  # then reading on
        for _ in range(2):
            pace.note(1 << 20, latency + (1 << 20) / rate)
    assert slow.gap == 64 << 10  # 50 ms are 60 kB here
    assert 4 << 20 < fast.gap <= 8 << 20


def test_a_file_can_be_read_from_anywhere(folder):
    data = (folder / "large-0.tar").read_bytes()
    with http_proxy(folder) as (_, base):
        file = RangeFile(
            Storage(sa.StorageOptions()), Location.parse(base + "/large-0.tar"), len(data), Known(64 << 10)
        )
        for offset in (0, 512, 3_000_000, 3_000_100, 100, 5_000_000, 4_999_488, len(data) - 10):
            file.seek(offset)
            assert file.read(600) == data[offset : offset + 600]
            assert file.tell() == min(offset + 600, len(data))


def test_a_remote_tar_that_is_no_tar_is_named_and_not_kept(tmp_path):
    (tmp_path / "x-0.tar").write_bytes(b"<html>" + bytes(5000))
    with http_proxy(tmp_path) as (_, base):
        for _ in range(2):
            with pytest.raises(ShardError, match=r"x-0\.tar at offset 0: .*a web page"):
                sa.ShardSet.open(base + "/x-0.tar")


def test_the_disk_cache_is_filled_by_the_way_where_it_holds_the_set(folder, tmp_path):
    options = sa.StorageOptions(cache_dir=tmp_path / "cache")
    with http_proxy(folder) as (proxy, base):
        shards = sa.ShardSet.open(base + "/large-{0..2}.tar", storage=options)
        proxy.forget()
        assert len(list(sa.ShardReader(shards, batch_size=8, lanes=2))) == 3
        assert proxy.bytes < 0.2 * size_of(folder, "large")


def test_a_wait_for_a_lock_ends_with_its_reader(folder):
    cache = NodeCache.of_user()
    with http_proxy(folder) as (_, base):
        storage = Storage(sa.StorageOptions())
        key = cache.key(storage, Location.parse(base + "/small-0.tar"))
        began = threading.Event()

        def wait():
            began.set()
            with cache.making(key):
                pass

        with cache.making(key):
            fetcher = Fetcher(storage, threads=1)
            future = fetcher.call(wait)
            assert began.wait(PATIENCE)
            fetcher.close()
            with pytest.raises(sa.StorageError, match="counting was given up"):
                future.result(PATIENCE)
