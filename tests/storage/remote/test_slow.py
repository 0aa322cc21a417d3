"""Links that are slow and go on: no limit is over a whole answer, and nothing is asked for twice."""

import logging
import os
import subprocess
import sys

import pytest
from odd_servers import Reply, served
from reading import reader
from tars import write_tar
from watching import PATIENCE

from streamaug.cli import main
from streamaug.errors import StorageError
from streamaug.shards import ShardSet
from streamaug.storage import Storage, StorageOptions

#: Much shorter than the slow answers take, and than a line of 1.2 MB/s needs for one range of several.
OPTIONS = StorageOptions(request_timeout=1.5, deadline=3.0)


def shards_of(folder, count, samples, size):
    """Shards of noise with an index, as files of a server."""
    for number in range(count):
        members = []
        for i in range(samples):
            members += [(f"{number}-{i:04d}.jpg", os.urandom(size)), (f"{number}-{i:04d}.cls", b"1")]
        write_tar(folder / f"s-{number}.tar", members)
    main(["index", f"{folder}/s-{{0..{count - 1}}}.tar"])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def epoch(base, count, options):
    shards = ShardSet.open(f"{base}/s-{{0..{count - 1}}}.tar", storage=options)
    with reader(shards, batch_size=16, lanes=4) as one:
        return sum(len(batch.data) for batch in one)


@pytest.mark.slow
@pytest.mark.parametrize("speed", [{"each": 200_000}, {"together": 1_200_000}])
@pytest.mark.parametrize("samples", [12, pytest.param(60, marks=pytest.mark.slow)], ids=["4 MB", "20 MB"])
def test_an_epoch_over_a_slow_link_ends_and_asks_for_nothing_twice(tmp_path, speed, samples):
    files = shards_of(tmp_path, 4, samples, 80_000)
    total = sum(len(data) for name, data in files.items() if name.endswith(".tar"))
    with served(files, **speed) as (server, base):
        assert epoch(base, 4, OPTIONS) == 4 * samples // 16 * 16
        assert server.sent <= 1.2 * total
        # A kilobyte may lie in two ranges. A machine that stands still longer than `request_timeout` makes the reader
        # break off and go on behind the bytes it has, and those on their way at that moment are sent again.
        assert sum(times > 2 for times in server.asked.values()) <= 0.01 * total / 1024
        assert max(server.asked.values()) <= 4


@pytest.mark.slow
def test_two_processes_that_share_a_cache_ask_for_nothing_twice_over_a_slow_link(tmp_path):
    """The one that waits for the other's blocks waits while they come, though for longer than `request_timeout`."""
    (tmp_path / "files").mkdir()
    files = shards_of(tmp_path / "files", 1, 20, 80_000)
    code = f"""
import sys
from streamaug.storage import Storage, StorageOptions
options = StorageOptions(request_timeout=4, deadline=60, cache_dir={str(tmp_path / "cache")!r})
data = open({str(tmp_path / "files" / "s-0.tar")!r}, "rb").read()
sys.exit(0 if bytes(Storage(options).read(sys.argv[1], 0, len(data))) == data else 3)
"""
    with served(files, each=150_000) as (server, base):
        command = [sys.executable, "-c", code, f"{base}/s-0.tar"]
        jobs = [subprocess.Popen(command) for _ in range(2)]
        assert [job.wait(PATIENCE) for job in jobs] == [0, 0]
        assert server.sent <= 1.2 * len(files["s-0.tar"])


def test_a_link_that_is_silent_is_named_with_the_option_that_bounds_it(tmp_path):
    def answer(server, request):
        server.stopped.wait(5)

    with served({"a.tar": bytes(1000)}, answer) as (_, base):
        storage = Storage(StorageOptions(request_timeout=0.3, deadline=0.5))
        with pytest.raises(StorageError, match=r"a\.tar.*no byte.*request_timeout.*deadline"):
            storage.read(f"{base}/a.tar", 0, 100)


@pytest.mark.slow
def test_why_it_takes_long_is_said_once_and_not_on_every_try(monkeypatch, caplog):
    """From 0.2 s on here, and not from 10 s on; then for a minute no more."""
    monkeypatch.setattr("streamaug.storage.remote.retry._SAY_SECONDS", 0.2)
    with served({"a.tar": bytes(1000)}, lambda server, request: Reply(503)) as (server, base):
        storage = Storage(StorageOptions(deadline=1.5))
        with caplog.at_level(logging.WARNING, "streamaug.storage"):
            for start in range(3):
                with pytest.raises(StorageError, match="503"):
                    storage.read(f"{base}/a.tar?signature=planted", start, 100)
        assert len(server.requests) > 9
        (said,) = [record.getMessage() for record in caplog.records]
        assert "a.tar: still trying" in said
        assert "503" in said
        assert "planted" not in said
