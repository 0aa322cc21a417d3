import os
import pickle

import pytest

from streamaug.errors import StorageError
from streamaug.storage import Storage, StorageOptions


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a b-000001.tar"
    path.write_bytes(bytes(range(256)) * 40)
    return path


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_ranges_are_those_of_the_file(file, scheme):
    url = f"file://{str(file).replace(' ', '%20')}" if scheme else str(file)
    storage = pickle.loads(pickle.dumps(Storage(StorageOptions())))
    data = file.read_bytes()
    assert storage.size(url) == len(data)
    assert storage.read_all(url) == data
    for start, stop in ((0, 1), (7, 7), (100, 5000), (len(data) - 3, len(data))):
        assert bytes(memoryview(storage.read(url, start, stop))) == data[start:stop]


def test_a_short_read_is_an_error(file):
    with pytest.raises(StorageError, match=r"a b-000001\.tar: must hold bytes 10000 to 20000, got only 10240"):
        Storage(StorageOptions()).read(str(file), 10000, 20000)


def test_a_missing_file_is_named(tmp_path):
    storage = Storage(StorageOptions())
    for call in (storage.size, lambda url: storage.read(url, 0, 10)):
        with pytest.raises(StorageError, match=r"gone-000001\.tar.*must exist"):
            call(str(tmp_path / "gone-000001.tar"))
    assert storage.read_all(str(tmp_path / "gone.json")) is None
    assert storage.read_head(str(tmp_path / "gone" / "x.idx"), 10) is None


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(StorageError, match="readable"):
        Storage(StorageOptions()).read(str(tmp_path), 0, 10)


def test_a_file_that_changes_while_it_is_read_is_an_error(file):
    storage = Storage(StorageOptions())
    storage.read(str(file), 0, 10)
    storage.read(str(file), 10, 20)
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(1, 1))
    with pytest.raises(StorageError, match="must not change"):
        storage.read(str(file), 0, 10)
    assert Storage(StorageOptions()).read(str(file), 0, 1)[0] == 255


def test_an_unknown_scheme_is_refused_at_once():
    with pytest.raises(StorageError, match=r"gopher://h/a\.tar.*scheme must be one of"):
        Storage(StorageOptions()).read("gopher://h/a.tar", 0, 10)


def test_options_are_checked_and_hold_no_secret(tmp_path):
    assert StorageOptions(endpoint="http://h:9", cache_dir=tmp_path).endpoint == "http://h:9"
    for wrong in (
        {"deadline": 0},
        {"request_timeout": -1.0},
        {"concurrency": 0},
        {"memory_limit": 0},
        {"cache_dir": tmp_path, "cache_limit": 1000},
        {"endpoint": "h:9"},
        {"endpoint": "http://user:planted@h:9"},
        {"endpoint": "http://h:9/?key=planted"},
    ):
        with pytest.raises(ValueError, match=next(iter(reversed(wrong)))) as caught:
            StorageOptions(**wrong)
        assert "planted" not in str(caught.value)
