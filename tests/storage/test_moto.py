"""S3 as moto answers it: an epoch is that from the disk, and what is not there is named."""

import http.client
import subprocess
import sys
import time
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store
from servers import s3_environment

import streamaug as sa


def _port_of(process):
    """The port that moto says it listens on."""
    for line in process.stderr:
        if "Running on http://127.0.0.1:" in line:
            return int(line.rsplit(":", 1)[1].split("/")[0].split("\x1b")[0])
    raise RuntimeError("moto did not start")


@pytest.fixture
def endpoint():
    program = Path(sys.executable).with_name("moto_server")
    if not program.exists():
        pytest.skip("moto is not installed: pip install 'moto[s3,server]'")
    command = [str(program), "-H", "127.0.0.1", "-p", "0"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield f"http://127.0.0.1:{_port_of(process)}"
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def bucket(endpoint, uneven, monkeypatch):
    """The uneven shards in a bucket; gives their URL pattern."""
    s3_environment(monkeypatch, endpoint)
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=30)
    connection.request("PUT", "/bucket")
    assert connection.getresponse().status == 200
    connection.close()
    store = S3Store("bucket", endpoint=endpoint, region="us-east-1", client_options={"allow_http": True})
    for path in sorted(Path(uneven[0]).parent.glob("*.tar")):
        obstore.put(store, f"data/{path.name}", path.read_bytes())
    return f"s3://bucket/data/{Path(uneven[0]).name}"


def contents(url):
    shards = sa.ShardSet.open(url, storage=sa.StorageOptions(deadline=30.0))
    return {
        int(position): (key, bytes(data))
        for batch in sa.ShardReader(shards, batch_size=32, seed=2, lanes=8, window=64)
        for position, key, data in zip(batch.origin.positions, batch.origin.keys, batch.data, strict=True)
    }


def test_an_epoch_is_that_from_the_disk(bucket, uneven):
    started = time.monotonic()
    assert contents(bucket) == contents(uneven[0])
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("change", [("bucket/", "nowhere/"), ("000006}", "000007}")])
def test_what_is_not_there_is_named(bucket, change):
    with pytest.raises(sa.StorageError, match=r"part-00000\d\.tar"):
        contents(bucket.replace(*change))
