"""S3 as moto answers it: an epoch is that from the disk, and what is not there is named."""

import http.client
import subprocess
import sys
from pathlib import Path

import obstore
import pytest
from obstore.store import S3Store
from reading import reader, rows
from servers import s3_environment
from watching import PATIENCE

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
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=PATIENCE)
    connection.request("PUT", "/bucket")
    assert connection.getresponse().status == 200
    connection.close()
    store = S3Store("bucket", endpoint=endpoint, region="us-east-1", client_options={"allow_http": True})
    for path in sorted(Path(uneven[0]).parent.glob("*.tar")):
        obstore.put(store, f"data/{path.name}", path.read_bytes())
    return f"s3://bucket/data/{Path(uneven[0]).name}"


def test_an_epoch_is_that_from_the_disk(bucket, uneven):
    assert rows(reader(bucket, storage=sa.StorageOptions(deadline=60.0))) == rows(reader(uneven[0]))


@pytest.mark.parametrize("change", [("bucket/", "nowhere/"), ("000006}", "000007}")])
def test_what_is_not_there_is_named(bucket, change):
    with pytest.raises(sa.StorageError, match=r"part-00000\d\.tar"):
        rows(reader(bucket.replace(*change), storage=sa.StorageOptions(deadline=60.0)))


def test_a_pattern_is_matched_and_a_bucket_that_is_not_there_is_named(bucket, uneven):
    """moto answers 404 to the list of a bucket that it lacks, where SeaweedFS makes it."""
    folder = bucket.rpartition("/")[0]
    options = sa.StorageOptions(deadline=60.0)
    assert rows(reader(f"{folder}/part-*.tar", storage=options)) == rows(reader(uneven[0]))
    with pytest.raises(sa.StorageError, match=r"s3://nowhere/data/part-\*\.tar: .* there is no such bucket"):
        reader("s3://nowhere/data/part-*.tar", storage=options)
